//! `thorp join`: become a member by an invite.

use super::{Context, invitation};
use crate::args::Join;
use crate::exit::{Exit, Result};
use crate::node_seam;
use crate::out;
use crate::state::Role;

pub async fn run(context: &Context, args: &Join) -> Result {
    let invite = invitation::read(context, args.file.as_deref()).await?;
    let state = context.state(Role::Peer)?;
    let joined = node_seam::join(&state, &invite, &context.settings).await?;
    if context.global.json {
        let object = serde_json::json!({ "event": "joined", "message": joined });
        let _ = out::data(&object.to_string());
    } else {
        context.say(&joined);
    }
    Ok(Exit::DONE)
}
