//! `thorp ls`: one peer's files, or those of all peers.

use thorp_node::api::Command;

use super::context::Context;
use crate::args::LsArgs;
use crate::exit::Result;

pub async fn run(context: &Context, args: LsArgs) -> Result {
    let command = Command::Ls { peer: args.peer };
    context.answer(args.visiting.tracker, command).await
}
