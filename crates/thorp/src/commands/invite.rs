//! `thorp invite`: a way in for another machine.

use thorp_node::launch::{self, EMBEDDED};

use super::Context;
use crate::args::Invite;
use crate::exit::{Exit, Result};
use crate::out;
use crate::state::Role;

pub async fn run(context: &Context, args: &Invite) -> Result {
    // The CA is with a tracker alone, or with the tracker inside a peer.
    let peer = context.state(Role::Peer)?;
    let states = [context.state(Role::Tracker)?, peer.join(EMBEDDED)];
    let invite = launch::invite(&states, args.uses, args.expires).await?;
    let text = if context.global.json {
        serde_json::json!({ "event": "invite", "invite": invite }).to_string()
    } else {
        invite
    };
    let _ = out::data(&text);
    context.say("On the other machine: thorp join   (it asks for the line above)");
    Ok(Exit::DONE)
}
