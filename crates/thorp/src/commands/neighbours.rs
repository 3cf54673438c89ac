//! `thorp neighbours`: lists this peer's neighbours.

use thorp_node::api::Command;

use super::context::Context;
use crate::exit::Result;

pub async fn run(context: &Context) -> Result {
    context.answer(None, Command::Neighbours).await
}
