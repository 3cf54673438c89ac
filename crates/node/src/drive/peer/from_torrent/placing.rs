//! The files of a torrent put in their places, once all of it is there.

use std::sync::Arc;

use thorp_files::store::{
    Destination, Partial, Placed, Replace, SmallFile, StoreError, TorrentPart,
};
use thorp_wire::merkle::{Hash, Hashed};
use thorp_wire::{Content, Name, printable};

use super::plan::Plan;
use super::{Folder, Job, on_disk};
use crate::api::{AnswerSource, Done, ErrorKind, Event, Failure, Fetched, Provenance};
use crate::drive::peer::room::{Promise, Promises};
use crate::sessions::TorrentBytes;

/// What has been fetched.
pub(super) struct Arrived {
    partial: Arc<Partial>,
    /// The clients that it came from.
    clients: Vec<String>,
    /// How many bytes came.
    received: u64,
    /// The content of the only file and the hashes of its pieces, if they are known.
    hashed: Option<(Content, Vec<Hash>)>,
    /// Whether there is not room for all files beside the partial one, so that it gives back the
    /// room of each.
    pub is_short: bool,
    /// The room of the disk for the files, until all are there.
    promise: Option<Arc<Promise>>,
}

impl Arrived {
    pub async fn of(
        partial: &Arc<Partial>,
        plan: &Plan,
        (clients, received): (Vec<String>, u64),
        torrent: &Arc<TorrentBytes>,
        (promises, promise): (Promises, Option<Arc<Promise>>),
    ) -> Result<Self, Failure> {
        let (looked_at, beside) = (Arc::clone(partial), plan.bytes_beside());
        let torrent = Arc::clone(torrent);
        let itself = promise.clone();
        let looked = on_disk(move |disk| {
            let has_room = promises.has_room_beside(disk, &looked_at, beside, itself.as_ref());
            (has_room, torrent.take_hashes_of_file(disk))
        });
        let (has_room, hashed) = looked.await?;
        Ok(Self {
            partial: Arc::clone(partial),
            clients,
            received,
            hashed,
            is_short: !has_room,
            promise,
        })
    }
}

/// What has become of the files.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    files: u64,
    bytes: u64,
    left_out: u64,
    /// What was not fetched, or not put there, because something else is.
    pub in_the_way: u64,
    /// What of that was fetched: it is in the partial file only.
    pub unplaced: u64,
    ms: f64,
}

impl Outcome {
    pub fn done(self) -> Result<Done, Failure> {
        if self.in_the_way > 0 {
            return Err(Failure::Several {
                failed: self.in_the_way,
                of: self.files + self.in_the_way,
                kind: ErrorKind::Exists,
                room: None,
            });
        }
        Ok(Done {
            count: self.files,
            bytes: self.bytes,
            left_out: self.left_out,
            ms: self.ms,
        })
    }
}

impl Job<'_> {
    /// Puts all files in their places, and tells of each. `arrived` is what was fetched, if
    /// anything was.
    pub(super) async fn place(
        &self,
        plan: Plan,
        arrived: Option<Arrived>,
    ) -> Result<Outcome, Failure> {
        let mut outcome = Outcome {
            left_out: plan.hidden + plan.reserved.len() as u64,
            in_the_way: plan.in_the_way.len() as u64,
            ..Outcome::default()
        };
        let is_only = plan.files.len() == 1 && outcome.in_the_way == 0;
        let there = plan.there.into_iter().map(|part| (part.name, part.length));
        for (name, length) in there {
            outcome.files += 1;
            outcome.bytes += length;
            let fetched = self.fetched(&name, (length, None), AnswerSource::Local);
            self.tell(Event::Fetched(fetched)).await;
        }
        for name in plan.empty {
            if !self.make_empty(&name).await? {
                outcome.in_the_way += 1;
                self.failed(name.to_string(), Failure::Exists).await;
                continue;
            }
            outcome.files += 1;
            let fetched = self.fetched(&name, (0, Some(Content::EMPTY)), AnswerSource::Torrent);
            self.tell(Event::Fetched(fetched)).await;
        }
        let Some(mut arrived) = arrived else {
            outcome.ms = self.milliseconds();
            return Ok(outcome);
        };
        for part in plan.files.into_values() {
            match self.place_one(&part, &arrived).await? {
                Ok(placed) => {
                    outcome.files += 1;
                    outcome.bytes += part.length;
                    if let Some(promise) = arrived.promise.as_ref().filter(|_| !arrived.is_short) {
                        promise.on_made(part.length);
                    }
                    let content = (part.length, Some(placed.content));
                    let source = if placed.was_there {
                        AnswerSource::Local
                    } else {
                        AnswerSource::Torrent
                    };
                    let mut fetched = self.fetched(&part.name, content, source);
                    fetched.clients.clone_from(&arrived.clients);
                    // What came is told once.
                    fetched.received = std::mem::take(&mut arrived.received);
                    self.tell(Event::Fetched(fetched)).await;
                }
                Err(StoreError::Exists { .. }) if is_only => return Err(Failure::Exists),
                Err(StoreError::Exists { .. }) => {
                    outcome.in_the_way += 1;
                    outcome.unplaced += 1;
                    self.failed(part.name.to_string(), Failure::Exists).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        outcome.ms = self.milliseconds();
        Ok(outcome)
    }

    async fn place_one(
        &self,
        part: &TorrentPart,
        arrived: &Arrived,
    ) -> Result<Result<Placed, StoreError>, Failure> {
        let (folder, part) = (self.folder.clone(), part.clone());
        let (partial, is_short) = (Arc::clone(&arrived.partial), arrived.is_short);
        let hashed = arrived.hashed.clone();
        let replace = self.replace();
        on_disk(move |disk| {
            let placed = match &folder {
                Folder::Share(share) => share.place(disk, &partial, &part, hashed, replace),
                Folder::Directory(store) => store.place(disk, &partial, &part, hashed, replace),
            };
            if placed.is_ok()
                && is_short
                && let Err(error) = partial.give_back(disk, part.offset, part.length)
            {
                let file = printable(part.name.as_str());
                tracing::warn!(%file, %error, "its room is taken twice");
            }
            placed
        })
        .await
    }

    /// Returns whether there is an empty file of this name now.
    async fn make_empty(&self, name: &Name) -> Result<bool, Failure> {
        let (folder, name, replace) = (self.folder.clone(), name.clone(), self.replace());
        let made = on_disk(move |disk| {
            let empty = SmallFile {
                name: &name,
                content: Content::EMPTY,
                attributes: None,
                came: Hashed::of(&[]),
                replace,
                set_aside: None,
            };
            let made = match &folder {
                Folder::Share(share) => share.store(disk, empty),
                Folder::Directory(store) => store.put(disk, empty),
            };
            match made {
                Ok(_) => Ok(true),
                Err(StoreError::Exists { .. }) => {
                    let there = folder.store().check(disk, &name)?;
                    Ok(matches!(there, Destination::Exists { length: 0, .. }))
                }
                Err(error) => Err(error),
            }
        });
        Ok(made.await??)
    }

    fn replace(&self) -> Replace {
        if self.get.overwrite {
            Replace::Yes
        } else {
            Replace::No
        }
    }

    fn fetched(
        &self,
        name: &Name,
        (length, content): (u64, Option<Content>),
        source: AnswerSource,
    ) -> Fetched {
        Fetched {
            name: name.to_string(),
            path: self.folder.path_of(name),
            length,
            root: content.map_or_else(String::new, |content| content.root.to_string()),
            from: None,
            sources: Vec::new(),
            clients: Vec::new(),
            received: 0,
            answer: Provenance {
                source,
                via: None,
                tracker_asked: false,
            },
            ms: self.milliseconds(),
        }
    }
}
