//! `thorp peers`: who is there.

use thorp_node::api::Command;

use super::Context;
use crate::args::Visiting;
use crate::exit::Result;

pub async fn run(context: &Context, visiting: Visiting) -> Result {
    context.answer(visiting.tracker, Command::Peers).await
}
