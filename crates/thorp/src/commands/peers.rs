//! `thorp peers`: lists the peers that are present.

use thorp_node::api::Command;

use super::context::Context;
use crate::args::Visiting;
use crate::exit::Result;

pub async fn run(context: &Context, visiting: Visiting) -> Result {
    context.answer(visiting.tracker, Command::Peers).await
}
