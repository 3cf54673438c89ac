//! `thorp status`: how this machine's peer is, or else its tracker.

use thorp_node::api::Command;

use super::context::Context;
use crate::exit::Result;

pub async fn run(context: &Context) -> Result {
    let (_, exit) = context.answer_of_running(Command::Status).await?;
    Ok(exit)
}
