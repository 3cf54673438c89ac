//! What a node says to others and hears from them, as `-v` shows it: questions and
//! answers about files, a line each. Signs of life and listings are not among them.

use thorp_wire::frame::Query;
use thorp_wire::{Body, Frame, MemberName, PeerId, printable};

/// So many names of one question are shown.
const NAMES: usize = 3;

/// A member, as a log calls it: by its name, or else by the beginning of its id.
pub(super) fn called(name: Option<&MemberName>, id: PeerId) -> String {
    name.map_or_else(|| id.short(), ToString::to_string)
}

/// A frame goes to a member.
pub(super) fn log_sent(whom: &str, frame: &Frame) {
    match &frame.body {
        Body::Find(find) => {
            tracing::info!(%whom, hops = find.hops, "asks for {}", asked(&find.query));
        }
        Body::Get(get) => {
            let length = get.content.length;
            tracing::info!(%whom, root = %get.content.root, length, "asks to be sent a file");
        }
        Body::Found(found) => {
            let (files, members) = (found.variants.len(), found.members.len());
            tracing::debug!(%whom, files, members, more = found.more, "is answered");
        }
        Body::Refused(refused) => {
            tracing::debug!(%whom, reason = ?refused.reason, text = %refused.text, "is refused");
        }
        _ => {}
    }
}

/// A frame comes from a member.
pub(super) fn log_heard(who: &str, frame: &Frame) {
    match &frame.body {
        Body::Found(found) => {
            let (files, members) = (found.variants.len(), found.members.len());
            tracing::info!(%who, files, members, more = found.more, "answers");
            for variant in &found.variants {
                let holders: Vec<String> = variant
                    .holders
                    .iter()
                    .map(|holder| called(holder.name.as_ref(), holder.id))
                    .collect();
                let name = printable(variant.entry.name.as_str());
                tracing::debug!(%who, %name, holders = holders.join(" "), "lists");
            }
        }
        Body::Content(bytes) => tracing::info!(%who, bytes = bytes.bytes.len(), "sends a file"),
        Body::Refused(refused) => {
            tracing::info!(%who, reason = ?refused.reason, text = %refused.text, "refuses");
        }
        Body::Leave(leave) => tracing::info!(%who, reason = %leave.reason, "says goodbye"),
        Body::Find(find) => tracing::debug!(%who, "is asked for {}", asked(&find.query)),
        _ => {}
    }
}

fn asked(query: &Query) -> String {
    match query {
        Query::Names(names) => {
            let shown: Vec<String> = names
                .iter()
                .take(NAMES)
                .map(|name| printable(name).to_string())
                .collect();
            let more = names.len().saturating_sub(NAMES);
            match more {
                0 => shown.join(", "),
                more => format!("{} and {more} more names", shown.join(", ")),
            }
        }
        Query::Pattern(pattern) => format!("what matches {}", printable(pattern)),
        Query::Content(content) => format!("holders of {}", content.root),
        Query::Members(_) => "the members that are present".into(),
        Query::Beyond(..) => "files of neighbours that it does not know of".into(),
    }
}
