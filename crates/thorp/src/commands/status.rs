//! `thorp status`: how this peer is.

use thorp_node::api::Command;

use super::Context;
use crate::exit::Result;

pub async fn run(context: &Context) -> Result {
    context.answer(None, Command::Status).await
}
