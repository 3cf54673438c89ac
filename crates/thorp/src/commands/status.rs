//! `thorp status`: how this machine's peer is, or else its tracker.

use std::time::UNIX_EPOCH;

use thorp_node::api::Command;
use thorp_node::launch;

use super::context::Context;
use crate::exit::{Complaint, Result};
use crate::state::NodeKind;
use crate::{units, words};

pub async fn run(context: &Context) -> Result {
    match context.answer_of_running(Command::Status).await {
        Ok((_, exit)) => Ok(exit),
        Err(failure) => Err(with_group(context, failure).await),
    }
}

/// Where no node runs, of which group this machine is a member all the same.
async fn with_group(context: &Context, mut failure: Complaint) -> Complaint {
    let Ok(state) = context.state(NodeKind::Peer) else {
        return failure;
    };
    if let Ok(Some(group)) = launch::membership(&state).await {
        let member = group.member();
        let name = member.as_ref().and_then(|member| member.name.as_ref());
        let ends = member.as_ref().and_then(|member| {
            let ends = member.ends.duration_since(UNIX_EPOCH).ok()?;
            Some(units::time(ends.as_secs().try_into().ok()?))
        });
        let sentence = words::member_of(
            name.map(ToString::to_string).as_deref(),
            &group.ca.to_string(),
            &group.trackers,
            ends.as_deref(),
        );
        failure.message.push('\n');
        failure.message.push_str(&sentence);
    }
    failure
}
