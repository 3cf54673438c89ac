//! The output of `--json`: answers of a node, and notices.
//!
//! Rows and figures are printed unchanged. Codes of a node get the fields that `docs/json.md`
//! describes, with the sentence that a user reads.

use serde::Serialize;
use thorp_node::api::{Event, Member, Notice};

use crate::exit::Complaint;
use crate::words;

/// Returns an event of an answer as a line.
pub fn event(event: &Event) -> serde_json::Result<String> {
    let said = match event {
        Event::Failed { name, failure } => Said::Failed {
            name,
            failure: failure.into(),
        },
        Event::Waiting { name, failure } => Said::Waiting {
            name,
            failure: failure.into(),
        },
        Event::Note(note) => Said::Note {
            message: words::note(note),
        },
        Event::Error(failure) => Said::Error(failure.into()),
        other => return serde_json::to_string(other),
    };
    serde_json::to_string(&said)
}

/// Returns an event of an answer as the page reads it.
pub fn value(event: &Event) -> serde_json::Value {
    let line = self::event(event).unwrap_or_default();
    serde_json::from_str(&line).unwrap_or_default()
}

/// Returns a notice as a line.
pub fn notice(notice: &Notice) -> serde_json::Result<String> {
    serde_json::to_string(&match notice {
        Notice::Connecting { address, port } => Said::Connecting {
            address,
            port: *port,
        },
        Notice::Connected => Said::Connected,
        Notice::Admitted(member) => Said::Admitted(member),
        Notice::TrackerLost(trouble) => Said::TrackerLost {
            reason: words::trouble(trouble),
        },
        Notice::Note(note) => Said::Note {
            message: words::note(note),
        },
        Notice::Warning(warning) => Said::Warning {
            message: words::warning(warning),
        },
    })
}

/// Returns a failure that ends the process as a line.
pub fn failure(failure: &Complaint) -> serde_json::Result<String> {
    serde_json::to_string(&Said::Error(failure.clone()))
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Said<'a> {
    Failed {
        name: &'a str,
        #[serde(flatten)]
        failure: Complaint,
    },
    Waiting {
        name: &'a str,
        #[serde(flatten)]
        failure: Complaint,
    },
    Error(Complaint),
    Note {
        message: String,
    },
    Warning {
        message: String,
    },
    Connecting {
        address: &'a str,
        port: u16,
    },
    Connected,
    Admitted(&'a Member),
    TrackerLost {
        reason: String,
    },
}
