//! What a user is told who follows a fetch at the menu or on the screen.
//!
//! Owns no layout. What the command line says of the same events is in `answer`.

use thorp_node::api::{ErrorKind, Event};

use crate::exit::Complaint;
use crate::quoting::{printable_lines, quoted};
use crate::{answer, words};

/// Returns what to show for an event of a fetch. The end of an answer is shown by the conversation.
pub fn event(event: &Event) -> Option<String> {
    match event {
        Event::Fetched(fetched) => Some(answer::arrival(fetched)),
        Event::Failed { name, failure } => Some(format!(
            "{}: {}",
            quoted(name),
            self::failure(&failure.into())
        )),
        Event::Waiting { name, failure } => Some(words::waited_for(name, failure)),
        Event::Note(note) => Some(printable_lines(&words::note(note))),
        Event::Hashing(hashing) => Some(answer::being_hashed(hashing)),
        Event::Resumed {
            name,
            bytes,
            of_bytes,
        } => Some(answer::resumed(name, *bytes, *of_bytes)),
        _ => None,
    }
}

/// Returns what to show for the failure of a fetch.
pub fn failure(failure: &Complaint) -> String {
    match failure.kind {
        ErrorKind::NotFound => words::NOBODY.into(),
        _ => printable_lines(&failure.message),
    }
}
