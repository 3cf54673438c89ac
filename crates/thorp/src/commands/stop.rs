//! `thorp stop`: ends the running peer, otherwise the tracker, with a goodbye.

use thorp_node::api::Command;
use thorp_node::launch;

use super::context::Context;
use crate::exit::{Exit, Result};

pub async fn run(context: &Context) -> Result {
    let (state, exit) = context.answer_of_running(Command::Stop).await?;
    if exit == Exit::DONE {
        let who = if launch::has_ca(&state).await? {
            "tracker"
        } else {
            "peer"
        };
        context.say(&format!("The {who} has said goodbye and ended."));
    }
    Ok(exit)
}
