//! `thorp ls`: one peer's files, or everybody's.

use thorp_node::api::Command;

use super::Context;
use crate::args::LsArgs;
use crate::exit::Result;

pub async fn run(context: &Context, args: LsArgs) -> Result {
    let command = Command::Ls { peer: args.peer };
    context.answer(args.visiting.tracker, command).await
}
