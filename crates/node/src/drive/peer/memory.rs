//! The neighbours that were, on disk, for the next start.
//!
//! Owns the file and the order in which it is written. It is only a hint: a
//! file that cannot be used is set aside with a warning, for without it a peer
//! finds its neighbours through the tracker. Which to remember and which to dial
//! is decided in [`thorp_core::remembered`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thorp_core::remembered::{FORGOTTEN_AFTER, Known};
use thorp_disk::DiskThread;
use thorp_group::certificate::CaKey;
use thorp_group::state::{StateDir, StateError};
use thorp_wire::PeerId;
use thorp_wire::frame::Holder;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::api::{Notice, Warning};

const FILE: &str = "neighbours.json";
const DAMAGED: &str = "neighbours.json.damaged";

/// Where a peer's neighbours are written down, and who they were.
pub struct Memory {
    state: Arc<StateDir>,
    /// Neighbours are members of one group only.
    ca: CaKey,
    pub(super) known: Vec<Known>,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Stored {
    ca: String,
    neighbours: Vec<Neighbour>,
}

#[derive(Serialize, Deserialize)]
struct Neighbour {
    id: String,
    name: Option<String>,
    addresses: Vec<SocketAddr>,
    /// For how long of this peer's running it has been away.
    away_seconds: u64,
    /// Whether it was fetched from. Those that an older version has kept were.
    #[serde(default = "yes")]
    chosen: bool,
}

fn yes() -> bool {
    true
}

impl Memory {
    /// What it makes in a state directory.
    pub(crate) const FILES: [&str; 2] = [FILE, DAMAGED];

    /// The neighbours from earlier in this group. What is wrong with the file
    /// is said in `notices`.
    pub fn open(
        disk: DiskThread,
        state: Arc<StateDir>,
        ca: CaKey,
        notices: &mpsc::Sender<Notice>,
    ) -> Self {
        let known = match state.read_json::<Stored>(disk, FILE) {
            Ok(Some(stored)) if stored.ca == ca.to_string() => {
                stored.neighbours.into_iter().filter_map(known).collect()
            }
            Ok(_) => Vec::new(),
            Err(error) => {
                let warning = match error {
                    StateError::Corrupt { path, why } => {
                        // Where it cannot be moved, it will be written over.
                        let _ = state.rename(disk, FILE, DAMAGED);
                        let set_aside = DAMAGED.to_owned();
                        Warning::NeighboursDamaged {
                            path,
                            why,
                            set_aside,
                        }
                    }
                    other => Warning::NeighboursUnread {
                        why: other.to_string(),
                    },
                };
                // A caller that does not read its notices misses some.
                let _ = notices.try_send(Notice::Warning(warning));
                Vec::new()
            }
        };
        Self { state, ca, known }
    }

    /// Writes down what it is given, one after the other, until it is let go.
    pub(super) fn start(self, notices: mpsc::Sender<Notice>) -> Writer {
        let (latest, changes) = watch::channel(Vec::new());
        let task = tokio::spawn(write(self.state, self.ca, changes, notices));
        Writer { latest, task }
    }
}

/// Writes the neighbours down while the peer goes on.
pub(super) struct Writer {
    latest: watch::Sender<Vec<Known>>,
    task: JoinHandle<()>,
}

impl Writer {
    /// To be written down; only the latest counts.
    pub(super) fn write(&self, known: Vec<Known>) {
        self.latest.send_replace(known);
    }

    /// Waits until all is written.
    pub(super) async fn finish(self) {
        drop(self.latest);
        let _ = self.task.await;
    }
}

async fn write(
    state: Arc<StateDir>,
    ca: CaKey,
    mut changes: watch::Receiver<Vec<Known>>,
    notices: mpsc::Sender<Notice>,
) {
    let mut failed = false;
    while changes.changed().await.is_ok() {
        let known = changes.borrow_and_update().clone();
        let state = state.clone();
        let written = thorp_disk::spawn(move |disk| save(disk, &state, ca, &known)).await;
        if let Ok(Err(error)) = written
            && !std::mem::replace(&mut failed, true)
        {
            let warning = Warning::NeighboursUnsaved {
                why: error.to_string(),
            };
            // A caller that does not read its notices misses some.
            let _ = notices.try_send(Notice::Warning(warning));
        }
    }
}

fn save(disk: DiskThread, state: &StateDir, ca: CaKey, known: &[Known]) -> Result<(), StateError> {
    let neighbour = |known: &Known| Neighbour {
        id: known.member.id.to_string(),
        name: known.member.name.as_ref().map(ToString::to_string),
        addresses: known.member.addresses.clone(),
        away_seconds: known.away.as_secs(),
        chosen: known.chosen,
    };
    let stored = Stored {
        ca: ca.to_string(),
        neighbours: known.iter().map(neighbour).collect(),
    };
    state.write_json(disk, FILE, &stored)
}

/// Nothing where it is none: the user may have been at the file.
fn known(neighbour: Neighbour) -> Option<Known> {
    let id: PeerId = neighbour.id.parse().ok()?;
    let away = Duration::from_secs(neighbour.away_seconds);
    if away > FORGOTTEN_AFTER {
        return None;
    }
    let mut addresses = neighbour.addresses;
    addresses.truncate(Holder::MAX_ADDRESSES);
    Some(Known {
        member: Holder {
            id,
            name: neighbour.name.and_then(|name| name.parse().ok()),
            addresses,
            partial: false,
        },
        away,
        chosen: neighbour.chosen,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use thorp_disk::testing::DISK;
    use thorp_group::testing::{Group, state};

    use super::*;

    fn oak() -> Known {
        Known {
            member: Holder {
                id: PeerId::new([7; 32]),
                name: Some("oak".parse().expect("a name")),
                addresses: vec!["10.0.0.7:3334".parse().expect("an address")],
                partial: false,
            },
            away: Duration::from_hours(1),
            chosen: true,
        }
    }

    fn opened(state: &Arc<StateDir>, ca: CaKey) -> (Vec<Known>, Option<Notice>) {
        let (notices, mut said) = mpsc::channel(8);
        let memory = Memory::open(DISK, state.clone(), ca, &notices);
        (memory.known, said.try_recv().ok())
    }

    #[tokio::test]
    async fn what_was_written_last_is_there_at_the_next_start() {
        let (_temporary, state) = state();
        let (state, ca) = (Arc::new(state), Group::new().authority.ca());
        assert_eq!(opened(&state, ca), (Vec::new(), None));
        let (notices, _said) = mpsc::channel(8);
        let writer = Memory::open(DISK, state.clone(), ca, &notices).start(notices);
        writer.write(Vec::new());
        writer.write(vec![oak()]);
        writer.finish().await;
        assert_eq!(opened(&state, ca), (vec![oak()], None));
        assert_eq!(Arc::strong_count(&state), 1, "the directory is free");
    }

    #[test]
    fn neighbours_in_another_group_are_none_in_this_one() {
        let (_temporary, state) = state();
        save(DISK, &state, Group::new().authority.ca(), &[oak()]).expect("saves");
        assert_eq!(
            opened(&Arc::new(state), Group::new().authority.ca()),
            (Vec::new(), None)
        );
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_said_and_a_damaged_row_left_out() {
        let (_temporary, state) = state();
        let (state, ca) = (Arc::new(state), Group::new().authority.ca());
        save(DISK, &state, ca, &[oak(), oak()]).expect("saves");
        let text = fs::read_to_string(state.file(FILE)).expect("is there");
        let id = oak().member.id.to_string();
        state
            .write(DISK, FILE, text.replacen(&id, "nobody", 1).as_bytes())
            .expect("writes");
        assert_eq!(opened(&state, ca), (vec![oak()], None));

        let ages = text.replacen("3600", &u64::MAX.to_string(), 1);
        state.write(DISK, FILE, ages.as_bytes()).expect("writes");
        assert_eq!(opened(&state, ca), (vec![oak()], None));

        let half = &text.as_bytes()[..text.len() / 2];
        state.write(DISK, FILE, half).expect("writes");
        let (known, notice) = opened(&state, ca);
        assert_eq!(known, []);
        let Some(Notice::Warning(Warning::NeighboursDamaged {
            path, set_aside, ..
        })) = notice
        else {
            panic!("{notice:?}");
        };
        assert_eq!((path, &*set_aside), (state.file(FILE), DAMAGED));
        assert_eq!(fs::read(state.file(DAMAGED)).expect("is there"), half);
        assert_eq!(opened(&state, ca), (Vec::new(), None));
    }
}
