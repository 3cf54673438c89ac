//! `thorp invite`: a way in for another machine.

use super::Context;
use crate::args::Invite;
use crate::exit::{Exit, Result};
use crate::node_seam;
use crate::out;
use crate::state::Role;

pub async fn run(context: &Context, args: &Invite) -> Result {
    // The CA is with a tracker alone, or with the tracker inside a peer.
    let mut states = vec![context.state(Role::Tracker)?];
    if context.global.state.is_none() {
        states.push(context.state(Role::Peer)?);
    }
    let invite = node_seam::invite(&states, args.uses, args.expires).await?;
    let text = if context.global.json {
        serde_json::json!({ "event": "invite", "invite": invite }).to_string()
    } else {
        invite
    };
    let _ = out::data(&text);
    context.say("On the other machine: thorp join   (it asks for the line above)");
    Ok(Exit::DONE)
}
