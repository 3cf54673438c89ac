//! `thorp invite`: a way in for another machine.

use thorp_node::api::Event;
use thorp_node::launch::{self, EMBEDDED};

use super::Context;
use crate::args::Invite;
use crate::exit::{Exit, Result};
use crate::out;
use crate::state::Role;

pub async fn run(context: &Context, args: &Invite) -> Result {
    // The CA is with the tracker inside a peer, or with a tracker alone. With
    // --state, the latter may be a peer's too, which knows where to ask.
    let peer = context.state(Role::Peer)?;
    let states = [peer.join(EMBEDDED), context.state(Role::Tracker)?];
    let invite = launch::invite(&states, args.uses, args.expires).await?;
    let text = if context.global.json {
        serde_json::to_string(&Event::Invite { invite }).unwrap_or_default()
    } else {
        invite
    };
    let _ = out::data(&text);
    context.say("On the other machine: thorp join   (it asks for the line above)");
    Ok(Exit::DONE)
}
