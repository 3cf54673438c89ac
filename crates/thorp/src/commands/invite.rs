//! `thorp invite`: makes an invite for other machines.

use thorp_node::api::Event;
use thorp_node::launch;

use super::context::Context;
use crate::args::InviteArgs;
use crate::exit::{Exit, Result};
use crate::out;

pub async fn run(context: &Context, args: &InviteArgs) -> Result {
    let states = context.keepers()?;
    let mut is_open = true;
    for state in &states {
        is_open &= !launch::is_by_invitation(state).await?;
    }
    let invite = launch::invite(&states, args.uses, args.expires).await?;
    let text = if context.global.json {
        serde_json::to_string(&Event::Invite { invite }).unwrap_or_default()
    } else {
        invite
    };
    let _ = out::data(&text)?;
    if is_open {
        context.say("This group is open: thorp share --tracker ADDR is enough there, with the tracker's address.");
    }
    context.say(if context.terminals.stdout {
        "On the other machine: thorp join   (it asks for the line above)"
    } else {
        "On the other machine: thorp join FILE   (- for standard input)"
    });
    Ok(Exit::DONE)
}
