//! The plain-lines form of `tracker` and `share`, for scripts, logs and simple terminals.
//!
//! The purpose of the verb (peers that come and go, neighbours, connecting) goes to standard
//! output, warnings and hints to standard error. With `--json` the same is written as objects. If
//! standard output cannot be written, for example because a disk is full, the node goes on: this
//! is said once, and later lines are tried again. Owns the wording of doors and neighbours; the
//! caller handles signals and the end.

mod log;

use std::collections::HashSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};
use thorp_node::api::{JsonPath, Notice, PeerRow};
use thorp_node::if_any;
use thorp_node::printable::printable;

use crate::node::{Door, LocalPeer, NodeNews};
use crate::out::{self, Flow, StandardOutput};
use crate::quoting::printable_lines;
use crate::tables::{Following, Neighbourhood, Tables};
use crate::wrap::{self, wrapped};
use crate::{json, table, units, words};
use log::{Happening, Log};
use tokio::time::sleep_until;

/// How to follow a node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Whether to write objects instead of sentences.
    pub json: bool,
    /// Whether to leave out hints and news of the connection and, for a tracker, all events.
    pub quiet: bool,
    /// Whether a tracker writes its tables whenever they change, instead of events.
    pub tables: bool,
}

/// The two output streams.
pub struct Streams<O, T> {
    /// Standard output.
    pub out: O,
    /// Standard error.
    pub talk: T,
    /// The width of the terminal that standard error goes to, if it is one.
    pub talk_width: Option<usize>,
    /// Whether it was said that standard output cannot be written.
    pub is_lossy: bool,
}

impl<O: Write, T: Write> Streams<O, T> {
    /// Writes a line to standard output.
    fn write(&mut self, text: &str) -> Flow {
        match out::line(&mut self.out, text) {
            Ok(flow) => flow,
            Err(error) => {
                if !self.is_lossy {
                    self.is_lossy = true;
                    self.say(&format!(
                        "thorp: standard output cannot be written ({}): lines are lost until \
                         it can be; this node goes on",
                        words::plain(&error.to_string())
                    ));
                }
                Flow::Open
            }
        }
    }

    fn object(&mut self, event: &str, value: &impl Serialize) -> Flow {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(value) else {
            return Flow::Open;
        };
        fields.insert("event".into(), event.into());
        self.write(&Value::Object(fields).to_string())
    }

    fn say(&mut self, text: &str) {
        let _ = match self.talk_width {
            Some(width) => out::line(&mut self.talk, &wrapped(text, width, "", "")),
            None => out::line(&mut self.talk, text),
        };
    }
}

impl Streams<StandardOutput, io::Stderr> {
    /// Returns the streams of the process.
    pub fn standard() -> Self {
        Self {
            out: out::standard(),
            talk: io::stderr(),
            talk_width: wrap::width(io::stderr()),
            is_lossy: false,
        }
    }
}

/// What a peer's user is told first.
#[derive(Clone, Debug)]
pub struct Welcome {
    directory: PathBuf,
    listen: Option<SocketAddr>,
    door: Option<Door>,
}

impl Welcome {
    /// Returns the welcome of this peer.
    pub fn of(peer: &LocalPeer) -> Self {
        Self {
            directory: peer.directory.clone(),
            listen: peer.listen,
            door: peer.door.clone(),
        }
    }
}

/// Tells the user what is shared, and how other machines can join.
pub fn greet(
    welcome: &Welcome,
    streams: &mut Streams<impl Write, impl Write>,
    manner: Manner,
) -> Flow {
    let Welcome {
        directory,
        listen,
        door,
    } = welcome;
    let flow = if manner.json {
        let value = json!({
            "event": "sharing",
            "directory": JsonPath::of(directory),
            "listen": listen,
        });
        streams.write(&value.to_string())
    } else {
        streams.write(&words::sharing(directory, *listen))
    };
    if let Some(door) = door {
        tell_door(door, streams, manner);
    }
    flow
}

/// Follows a peer until it ends, or until the reader of the lines is gone.
pub async fn follow_peer(
    news: &mut NodeNews,
    streams: &mut Streams<impl Write, impl Write>,
    manner: Manner,
) -> Flow {
    let mut following = Following::of(&news.viewer);
    let mut known = None;
    let mut shown = String::from(NO_NEIGHBOURS);
    let mut notices = true;
    loop {
        let flow = tokio::select! {
            biased;
            notice = news.notices.recv(), if notices => if let Some(notice) = notice {
                if (news.was_removed)() {
                    continue;
                }
                tell_notice(&notice, streams, manner)
            } else {
                notices = false;
                Flow::Open
            },
            is_due = following.is_due() => {
                // That the machine was removed is said once, where the program ends.
                if !is_due || (news.was_removed)() {
                    return Flow::Open;
                }
                let Some(now) = Neighbourhood::of(&news.viewer).await else {
                    return Flow::Open;
                };
                if manner.json {
                    // How many files each has is as of then: it changes all the time.
                    let said = (now.members(), now.tracker_connected);
                    if known.as_ref() == Some(&said) {
                        continue;
                    }
                    known = Some(said);
                    streams.object("neighbours", &now)
                } else {
                    let line = neighbours(&now);
                    if line == shown {
                        Flow::Open
                    } else {
                        shown.clone_from(&line);
                        streams.write(&line)
                    }
                }
            }
        };
        if flow == Flow::Closed {
            return flow;
        }
    }
}

/// What a tracker's user is told first: how others get in, and where it listens.
pub fn greet_tracker(
    (door, listen): (&Door, SocketAddr),
    streams: &mut Streams<impl Write, impl Write>,
    manner: Manner,
) {
    tell_door(door, streams, manner);
    let _ = if manner.json {
        let value = json!({ "event": "listening", "listen": listen });
        streams.write(&value.to_string())
    } else if manner.quiet && !manner.tables {
        Flow::Open
    } else {
        let _ = streams.write(&words::listening(listen));
        streams.write(words::WAITING)
    };
}

/// Follows a tracker until it ends, or until the reader of the lines is gone.
pub async fn follow_tracker(
    news: &mut NodeNews,
    streams: &mut Streams<impl Write, impl Write>,
    manner: Manner,
) -> Flow {
    let mut following = Following::of(&news.viewer);
    let mut log = Log::default();
    let mut shown = Tables::default();
    let mut notices = true;
    loop {
        let flow = tokio::select! {
            biased;
            notice = news.notices.recv(), if notices => if let Some(notice) = notice {
                match notice {
                    Notice::Admitted(member) => {
                        tell_happenings(&[Happening::Admitted(member)], streams, manner)
                    }
                    notice => tell_notice(&notice, streams, manner),
                }
            } else {
                notices = false;
                Flow::Open
            },
            is_due = following.is_due() => {
                if !is_due {
                    return Flow::Open;
                }
                if manner.tables {
                    let Some(tables) = Tables::of(&news.viewer).await else {
                        return Flow::Open;
                    };
                    show_tables(tables, &mut shown, streams, manner)
                } else {
                    let Some(happenings) = log.look(&news.viewer).await else {
                        return Flow::Open;
                    };
                    tell_happenings(&happenings, streams, manner)
                }
            }
            () = if_any(log.next().map(sleep_until)) => {
                let Some(happenings) = log.look(&news.viewer).await else {
                    return Flow::Open;
                };
                tell_happenings(&happenings, streams, manner)
            }
        };
        if flow == Flow::Closed {
            return flow;
        }
    }
}

/// Writes the tables if they have changed since they were last written.
fn show_tables(
    tables: Tables,
    shown: &mut Tables,
    streams: &mut Streams<impl Write, impl Write>,
    manner: Manner,
) -> Flow {
    if tables == *shown {
        return Flow::Open;
    }
    *shown = tables;
    if manner.json {
        streams.object("tables", shown)
    } else {
        streams.write(&table::both(shown))
    }
}

/// Writes a dated line for each event.
fn tell_happenings(
    happenings: &[Happening],
    streams: &mut Streams<impl Write, impl Write>,
    manner: Manner,
) -> Flow {
    if manner.quiet {
        return Flow::Open;
    }
    let now = units::now();
    for happening in happenings {
        let flow = if manner.json {
            let dated = Dated {
                time: now,
                happening,
            };
            match serde_json::to_string(&dated) {
                Ok(line) => streams.write(&line),
                Err(_) => Flow::Open,
            }
        } else {
            streams.write(&format!("{} {}", units::moment(now), happening.line()))
        };
        if flow == Flow::Closed {
            return flow;
        }
    }
    Flow::Open
}

#[derive(Serialize)]
struct Dated<'a> {
    #[serde(flatten)]
    happening: &'a Happening,
    time: i64,
}

/// What [`neighbours`] returns if there are none.
pub const NO_NEIGHBOURS: &str = "Neighbours: none";

/// Returns a line such as `Neighbours: 192.168.198.137 192.168.198.139`, with ports only where two
/// neighbours share an address.
pub fn neighbours(view: &Neighbourhood) -> String {
    if view.neighbours.is_empty() {
        return NO_NEIGHBOURS.into();
    }
    let (mut seen, mut twice) = (HashSet::new(), HashSet::new());
    for row in &view.neighbours {
        if !seen.insert(&row.member.address) {
            twice.insert(&row.member.address);
        }
    }
    let label = |row: &PeerRow| {
        let address = printable(&row.member.address);
        match (
            twice.contains(&row.member.address),
            row.member.address.contains(':'),
        ) {
            (false, _) => address.to_string(),
            (true, false) => format!("{address}:{}", row.member.port),
            (true, true) => format!("[{address}]:{}", row.member.port),
        }
    };
    let labels: Vec<_> = view.neighbours.iter().map(label).collect();
    format!("Neighbours: {}", labels.join(" "))
}

/// Returns the sentence for a notice.
pub fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Connecting { address, port } => words::connecting(address, *port),
        Notice::Connected => words::ESTABLISHED.into(),
        Notice::Admitted(member) => format!("{}.", log::admitted(member)),
        Notice::TrackerLost(trouble) => format!(
            "The tracker is out of reach ({}). Neighbours go on without it; trying again.",
            words::trouble(trouble)
        ),
        Notice::Note(note) => printable_lines(&words::note(note)),
        Notice::Warning(warning) => {
            format!("Warning: {}", printable_lines(&words::warning(warning)))
        }
    }
}

/// Returns the commands to type on another machine, to be copied.
pub fn door(door: &Door) -> String {
    let tracker = printable(&door.tracker);
    match &door.invite {
        _ if door.open => format!(
            "On another machine:\n  \
               thorp share DIR --tracker {tracker}    to share a directory as well\n  \
               thorp get NAME --tracker {tracker}     to fetch a file\n\
             The key of this group, which the other machine shows as well: {}",
            door.ca
        ),
        Some(invite) => format!(
            "On another machine: thorp join    and paste this line (one machine, 24 hours):\n\
             {invite}\n\
             After that, there: thorp get NAME    or: thorp share DIR\n\
             For the next machine, here: thorp invite{}",
            door.at
        ),
        None => format!(
            "{}. It asks for the line that thorp invite prints.",
            hint(door)
        ),
    }
}

/// Returns the same in one line.
pub fn hint(door: &Door) -> String {
    if door.open {
        let tracker = printable(&door.tracker);
        return format!("On another machine: thorp share --tracker {tracker}");
    }
    let at = &door.at;
    format!("To let another machine in: type thorp invite{at} here, and thorp join there")
}

fn tell_door(told: &Door, streams: &mut Streams<impl Write, impl Write>, manner: Manner) {
    if manner.json {
        let value = json!({
            "event": "door",
            "tracker": told.tracker,
            "open": told.open,
            "ca": told.ca,
            "invite": told.invite,
        });
        let _ = streams.write(&value.to_string());
    } else if !manner.quiet {
        streams.say(&door(told));
    }
}

/// Writes a notice.
pub fn tell_notice(
    told: &Notice,
    streams: &mut Streams<impl Write, impl Write>,
    manner: Manner,
) -> Flow {
    if manner.json {
        return match json::notice(told) {
            Ok(text) => streams.write(&text),
            Err(_) => Flow::Open,
        };
    }
    match told {
        Notice::Note(_) if manner.quiet => Flow::Open,
        Notice::Note(_) | Notice::Warning(_) | Notice::TrackerLost(_) => {
            streams.say(&notice(told));
            Flow::Open
        }
        _ if manner.quiet => Flow::Open,
        _ => streams.write(&notice(told)),
    }
}

#[cfg(test)]
mod tests;
