//! `thorp members`: lists the group's members, present or not.

use thorp_node::api::Command;
use thorp_node::launch;

use super::asking::show;
use super::context::Context;
use crate::exit::Result;

pub async fn run(context: &Context) -> Result {
    let mut renderer = context.renderer(context.answer_style());
    let states = context.keepers()?;
    let mut answers = launch::ask_keeper(&states, Command::Members).await?;
    show(&mut answers, &mut renderer, true).await
}
