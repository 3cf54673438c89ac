//! `thorp find`: who has what, by a pattern.

use thorp_node::api::Command;

use super::Context;
use crate::args::Find;
use crate::exit::Result;

pub async fn run(context: &Context, args: Find) -> Result {
    let pattern = args.pattern;
    let command = Command::Find { pattern };
    context.answer(args.visiting.tracker, command).await
}
