//! Encodes commands and events as lines of the local socket, and decodes them.
//!
//! This module also decides what a caller understands of a node of another version, since a
//! program may be upgraded while its peer runs: each failure carries its kind beside its code, so
//! that a caller that does not know the code still ends with the right exit code.

use std::io;

use serde::Deserialize;
use serde_json::Value;

use super::{Command, ErrorKind, Event, Failure, Fetched};

/// How the line of a file that has arrived begins.
const FETCHED: &str = r#"{"event":"fetched","#;

/// Encodes a command as a line, including the line break.
pub fn line_of_command(command: &Command) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    Ok(line)
}

/// Decodes the command of a line.
pub fn command_of(line: &str) -> Result<Command, Failure> {
    serde_json::from_str(line).map_err(|error| Failure::UnknownCommand {
        why: error.to_string(),
    })
}

/// Encodes an event as a line, including the line break. The bytes of a file follow theirs.
pub fn line_of(event: &Event) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    add_line(&mut line, event)?;
    Ok(line)
}

/// Adds the same line to others.
pub fn add_line(lines: &mut Vec<u8>, event: &Event) -> io::Result<()> {
    match event {
        Event::Error(failure) => {
            let mut value = serde_json::to_value(event)?;
            add_kind(&mut value, failure);
            serde_json::to_writer(&mut *lines, &value)?;
        }
        Event::Failed { failure, .. } => {
            let mut value = serde_json::to_value(event)?;
            add_kind(&mut value["failure"], failure);
            serde_json::to_writer(&mut *lines, &value)?;
        }
        _ => serde_json::to_writer(&mut *lines, event)?,
    }
    lines.push(b'\n');
    if let Event::Bytes(bytes) = event {
        lines.extend(&bytes.bytes);
    }
    Ok(())
}

/// Decodes a line. Returns `None` for a remark of another version, which has no effect. Any other
/// line that is not understood ends the answer with an error, so that the answer does not look
/// complete.
pub fn event_of(line: &str) -> Option<Event> {
    // Files arrive by the thousand: of these it need not be found out first what the line is.
    if line.starts_with(FETCHED)
        && let Ok(fetched) = serde_json::from_str::<Fetched>(line)
    {
        return Some(Event::Fetched(fetched));
    }
    match serde_json::from_str(line) {
        Ok(event) => Some(event),
        Err(_) => serde_json::from_str(line).map_or(
            Some(Event::Error(Failure::AnswerGarbled)),
            Foreign::understood,
        ),
    }
}

fn add_kind(value: &mut Value, failure: &Failure) {
    value["kind"] = serde_json::to_value(failure.kind()).unwrap_or_default();
}

/// An event of another version: the fields that all versions have.
#[derive(Deserialize)]
struct Foreign {
    event: String,
    name: Option<String>,
    failure: Option<ForeignFailure>,
    #[serde(flatten)]
    itself: Option<ForeignFailure>,
}

#[derive(Deserialize)]
struct ForeignFailure {
    kind: ErrorKind,
    code: Option<String>,
    message: Option<String>,
}

impl Foreign {
    fn understood(self) -> Option<Event> {
        let failure = self.failure.or(self.itself).map(ForeignFailure::understood);
        match (&*self.event, self.name, failure) {
            ("note", ..) => None,
            ("error", _, Some(failure)) => Some(Event::Error(failure)),
            ("failed", Some(name), Some(failure)) => Some(Event::Failed { name, failure }),
            _ => Some(Event::Error(Failure::AnswerGarbled)),
        }
    }
}

impl ForeignFailure {
    fn understood(self) -> Failure {
        Failure::OfAnotherVersion {
            kind: self.kind,
            said: self.message.or(self.code).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::path::PathBuf;

    use super::*;
    use crate::api::{AnswerSource, Done, Get, Note, Obstacle, Provenance};

    fn fetched() -> Fetched {
        Fetched {
            name: "d/a.txt".to_owned(),
            path: "/srv/d/a.txt".into(),
            length: 1024,
            root: "7".repeat(64),
            from: None,
            sources: Vec::new(),
            clients: Vec::new(),
            received: 1024,
            answer: Provenance {
                source: AnswerSource::Memory,
                via: None,
                tracker_asked: false,
            },
            ms: 1.5,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let events = [
            Event::Error(Failure::Exists),
            Event::Failed {
                name: "a.txt".to_owned(),
                failure: Failure::Library {
                    kind: ErrorKind::Network,
                    text: "it is off".to_owned(),
                },
            },
            Event::Note(Note::LeftOut {
                name: "a.txt".to_owned(),
            }),
            Event::Done(Done::default()),
            Event::Fetched(fetched()),
        ];
        for event in events {
            let line = String::from_utf8(line_of(&event).expect("a line")).expect("text");
            assert_eq!(event_of(&line), Some(event), "{line}");
        }
    }

    #[test]
    fn a_path_that_is_no_text_is_written_and_read_again() {
        let path = PathBuf::from(OsString::from_vec(b"/odd\xff".to_vec()));
        let event = Event::Error(Failure::Unstorable {
            path: path.clone(),
            obstacle: Obstacle::Denied,
            room: None,
        });
        let line = String::from_utf8(line_of(&event).expect("a line")).expect("text");
        assert_eq!(event_of(&line), Some(event), "{line}");
        for dir in [None, Some(path), Some("/plain".into())] {
            let command = Command::Get(Get {
                dir,
                ..Get::default()
            });
            let line = String::from_utf8(line_of_command(&command).expect("a line"));
            let line = line.expect("text");
            assert_eq!(command_of(&line), Ok(command), "{line}");
        }
        // What cannot be read is not taken for none: the file would go elsewhere.
        let garbled = r#"{"command":"get","names":["f"],"dir":{"text":"/d","bytes":"xy"}}"#;
        assert!(command_of(&garbled.replace("xy", "2f64")).is_ok());
        assert!(command_of(garbled).is_err());
    }

    #[test]
    fn of_a_file_that_has_arrived_a_later_version_may_say_more() {
        let line = String::from_utf8(line_of(&Event::Fetched(fetched())).expect("a line"));
        let line = line.expect("text");
        let rest = line.strip_prefix(FETCHED).expect("it begins so");
        let more = format!("{FETCHED}\"hops\":2,{rest}");
        assert_eq!(event_of(&more), Some(Event::Fetched(fetched())));
        // Less than all that is known of one is no arrival.
        let less = format!("{FETCHED}\"name\":\"d/a.txt\"}}");
        assert_eq!(event_of(&less), Some(Event::Error(Failure::AnswerGarbled)));
    }

    #[test]
    fn a_failure_says_its_kind_beside_its_code() {
        let line = line_of(&Event::Error(Failure::Exists)).expect("a line");
        let value: Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(value["kind"], "exists");
        assert_eq!(value["code"], "exists");
    }

    #[test]
    fn of_another_version_a_failure_keeps_its_kind_and_a_remark_is_passed_over() {
        let of_another_version = |said: &str| Failure::OfAnotherVersion {
            kind: ErrorKind::NotFound,
            said: said.to_owned(),
        };
        for (line, event) in [
            (
                r#"{"event":"error","kind":"not-found","message":"It is gone."}"#,
                Some(Event::Error(of_another_version("It is gone."))),
            ),
            (
                r#"{"event":"error","kind":"not-found","code":"moved","where":"oak"}"#,
                Some(Event::Error(of_another_version("moved"))),
            ),
            (
                r#"{"event":"failed","name":"a","failure":{"kind":"not-found","code":"moved"}}"#,
                Some(Event::Failed {
                    name: "a".to_owned(),
                    failure: of_another_version("moved"),
                }),
            ),
            (r#"{"event":"note","note":"news"}"#, None),
            (
                r#"{"event":"rumour"}"#,
                Some(Event::Error(Failure::AnswerGarbled)),
            ),
            ("nonsense", Some(Event::Error(Failure::AnswerGarbled))),
        ] {
            assert_eq!(event_of(line), event, "{line}");
        }
    }
}
