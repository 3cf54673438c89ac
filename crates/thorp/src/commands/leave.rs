//! `thorp leave`: forgets the group, or everything.

use std::path::Path;

use serde_json::json;
use thorp_node::launch::{self, Standing};

use super::context::Context;
use crate::args::LeaveArgs;
use crate::exit::{Complaint, Exit, Result};
use crate::out;
use crate::state::NodeKind;
use crate::words::there;

pub async fn run(context: &Context, args: &LeaveArgs) -> Result {
    let state = context.state(NodeKind::Peer)?;
    let standing = launch::standing(&state).await?;
    let keeps = matches!(standing, Standing::Keeper | Standing::MemberAndKeeper);
    if args.purge && keeps {
        let question = format!(
            "{} holds the CA of a group: without it the group ends, for all its members. \
             To be able to bring it back, save it first (thorp tracker --backup FILE {})",
            state.display(),
            there(&state)
        );
        let yes = "Remove it, and end the group.";
        context.confirm(&question, yes, args.yes).await?;
    }
    let hint = tracker_alone(context).await?;
    let left = launch::leave(&state, args.purge).await;
    let left = left.map_err(|error| {
        let mut failure = Complaint::from(error);
        failure.message.push_str(&hint);
        failure
    })?;
    let mut message = if left.was_removed {
        REMOVED.to_owned()
    } else {
        farewell(standing, args.purge, &state)
    };
    message.push_str(&hint);
    if !left.stays.is_empty() {
        let stays = left.stays.iter().map(|path| path.display().to_string());
        let stays: Vec<_> = stays.collect();
        message.push_str(" Left there, because thorp did not make it: ");
        message.push_str(&stays.join(", "));
    }
    if context.global.json {
        let object = json!({ "event": "left", "message": message });
        let _ = out::data(&object.to_string())?;
    } else {
        context.say(&message);
    }
    Ok(Exit::DONE)
}

const REMOVED: &str = "This machine has left its group, which had removed it: its key is let in there no \
     more. To come back it needs a new key and a new invite: thorp leave --purge, then thorp join. \
     To join another group: thorp join";

/// Returns a hint about the group that a tracker keeps in a state directory of its own, which
/// `leave` does not touch; empty if there is none.
async fn tracker_alone(context: &Context) -> Result<String> {
    let state = context.state(NodeKind::Tracker)?;
    let is_other = state != context.state(NodeKind::Peer)?;
    Ok(
        if is_other && matches!(launch::standing(&state).await, Ok(Standing::Keeper)) {
            format!(
                "\nThe group that the tracker keeps in {} stays; to end it: \
             thorp leave --purge {}",
                state.display(),
                there(&state)
            )
        } else {
            String::new()
        },
    )
}

fn farewell(standing: Standing, purge: bool, state: &Path) -> String {
    let state = state.display();
    match (standing, purge) {
        (Standing::Nothing, _) => format!("There is no state in {state}: nothing to remove."),
        (_, true) => format!("All that thorp kept in {state} is removed."),
        (Standing::MemberAndKeeper, false) => format!(
            "This machine has left its group. The CA of another group is still in {state}: \
             thorp share uses that one from now on."
        ),
        (_, false) => "This machine has left its group. Its key stays, and so does its row in the \
             group's table, until it is removed there: thorp remove NAME. To join a group: thorp join."
            .to_owned(),
    }
}
