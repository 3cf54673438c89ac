//! `thorp stop`: end the running peer with a goodbye.

use thorp_node::api::Command;

use super::Context;
use crate::exit::{Exit, Result};

pub async fn run(context: &Context) -> Result {
    let exit = context.answer(None, Command::Stop).await?;
    if exit == Exit::DONE {
        context.say("The peer has said goodbye and ended.");
    }
    Ok(exit)
}
