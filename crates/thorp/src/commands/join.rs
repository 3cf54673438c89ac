//! `thorp join`: makes this machine a member with an invite.

use thorp_node::api::{Note, Notice};
use thorp_node::launch::Common;

use super::context::Context;
use super::invitation;
use crate::args::JoinArgs;
use crate::exit::{Exit, Result};
use crate::{json, node, out, words};

pub async fn run(context: &Context, args: &JoinArgs) -> Result {
    let mut invite = invitation::read(context, args.file.as_deref()).await?;
    if !args.tracker.is_empty() {
        invite.trackers.clone_from(&args.tracker);
    }
    let common = Common {
        name: args.name.clone(),
        ..context.visitor()?
    };
    let note = |note: Note| {
        if context.global.json {
            let line = json::notice(&Notice::Note(note));
            // A reader that is gone learns of it by the exit code.
            let _ = line.map(|line| out::data(&line));
        } else {
            context.say(&words::note(&note));
        }
    };
    let joined = node::join(common, invite, note).await?;
    if context.global.json {
        let object = serde_json::json!({ "event": "joined", "message": joined });
        let _ = out::data(&object.to_string())?;
    } else {
        context.say(&joined);
    }
    Ok(Exit::DONE)
}
