//! Which files of a torrent are wanted, and what is in their places.
//!
//! Files that may act by merely being there are left out, and counted, unless they were asked for;
//! those that pad are no files. A file that is in its place already with the right bytes is not
//! fetched: of a v2 torrent its root says so, of a v1 torrent its pieces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thorp_disk::DiskThread;
use thorp_files::store::{Destination, Store, StoreError, TorrentPart};
use thorp_wire::torrent::Info;
use thorp_wire::{Content, Name, reserved};

use super::there::{FilesThere, are_of};
use super::{Job, on_disk};
use crate::api::{Failure, Miss};
use crate::sessions::TorrentBytes;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// What is to be fetched, by its number in the torrent.
    pub files: BTreeMap<usize, TorrentPart>,
    /// What there is nothing to be fetched of.
    pub empty: Vec<Name>,
    /// Those of them that are there with the right length: some of their pieces may be right.
    pub alike: BTreeSet<usize>,
    /// What is there already.
    pub there: Vec<TorrentPart>,
    /// What is not fetched because something else has its name.
    pub in_the_way: Vec<Name>,
    /// Files that would change what is shared.
    pub reserved: Vec<Name>,
    /// How many are left out because they may act unasked.
    pub hidden: u64,
    /// Whether the torrent is one file that begins where the torrent does.
    is_one: bool,
}

impl Plan {
    /// Plans to fetch a torrent.
    pub fn of(info: &Info, hidden: bool) -> Result<Self, Failure> {
        let mut plan = Self::default();
        for (number, file) in info.files().iter().enumerate() {
            let name = file.name.clone();
            if file.padding {
                continue;
            }
            if reserved::changes_what_is_shared(&name) {
                plan.reserved.push(name);
            } else if !hidden && reserved::acts_unasked(&name) {
                plan.hidden += 1;
            } else if file.length == 0 {
                plan.empty.push(name);
            } else {
                let part = TorrentPart {
                    name,
                    offset: file.offset,
                    length: file.length,
                };
                plan.files.insert(number, part);
            }
        }
        if plan.files.is_empty() && plan.empty.is_empty() {
            return Err(Failure::Missed {
                name: info.name().to_string(),
                miss: Miss::AllLeftOut {
                    files: plan.hidden + plan.reserved.len() as u64,
                    hidden: plan.hidden,
                },
            });
        }
        plan.is_one = info.is_one_file();
        Ok(plan)
    }

    /// The bytes of the files that are to be fetched.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|part| part.length).sum()
    }

    /// The bytes that are copied out of the partial file.
    pub fn bytes_beside(&self) -> u64 {
        if self.is_one { 0 } else { self.bytes() }
    }

    /// The bytes for which there must be room beside a partial file that can give back the room of
    /// each file that was copied before the next one is.
    pub fn least_beside(&self) -> u64 {
        let longest = self.files.values().map(|part| part.length).max();
        longest.unwrap_or(0).min(self.bytes_beside())
    }

    /// Whether nothing is left out.
    pub fn is_whole(&self) -> bool {
        self.hidden == 0 && self.reserved.is_empty() && self.in_the_way.is_empty()
    }

    pub fn is_all_there(&self) -> bool {
        self.files.is_empty()
    }

    pub fn is_all_in_the_way(&self) -> bool {
        let are_others = !self.empty.is_empty() || !self.there.is_empty();
        self.files.is_empty() && !are_others
    }
}

impl Job<'_> {
    /// Looks at the places of all files.
    pub(super) async fn look(
        &self,
        plan: Plan,
        torrent: &Arc<TorrentBytes>,
    ) -> Result<Plan, Failure> {
        let look = Look {
            folder: self.folder.clone(),
            torrent: Arc::clone(torrent),
            replaces: self.get.overwrite,
        };
        let events = self.events.clone();
        let looked = on_disk(move |disk| look.run(disk, plan, || !events.is_closed())).await?;
        Ok(looked?)
    }
}

struct Look {
    folder: super::Folder,
    torrent: Arc<TorrentBytes>,
    /// What is in the way is replaced.
    replaces: bool,
}

/// What is in the place of a file.
enum Found {
    Nothing,
    /// The file itself.
    Right,
    /// A file of the same length: that is known at the end.
    Alike,
    /// Something else.
    Other,
}

impl Look {
    fn run(
        &self,
        disk: DiskThread,
        mut plan: Plan,
        go_on: impl Fn() -> bool,
    ) -> Result<Plan, StoreError> {
        let alike = self.alike(disk, &plan)?;
        let mut left_alike = BTreeSet::new();
        for (number, part) in std::mem::take(&mut plan.files) {
            let found = self.found(disk, (number, &part), &alike, &go_on)?;
            match found {
                Found::Right => plan.there.push(part),
                Found::Other if !self.replaces => plan.in_the_way.push(part.name),
                found @ (Found::Nothing | Found::Alike | Found::Other) => {
                    if matches!(found, Found::Alike) {
                        left_alike.insert(number);
                    }
                    plan.files.insert(number, part);
                }
            }
        }
        plan.alike = left_alike;
        let is_in_the_way = |name: &Name| match self.store().check(disk, name) {
            Ok(Destination::Free) => Ok(false),
            Ok(Destination::Exists { length, .. }) => Ok(length > 0 && !self.replaces),
            Err(error) => Err(error),
        };
        for name in std::mem::take(&mut plan.empty) {
            if is_in_the_way(&name)? {
                plan.in_the_way.push(name);
            } else {
                plan.empty.push(name);
            }
        }
        Ok(plan)
    }

    fn store(&self) -> &Store {
        self.folder.store()
    }

    /// The files that are there with the length that they should have.
    fn alike(&self, disk: DiskThread, plan: &Plan) -> Result<BTreeSet<usize>, StoreError> {
        let mut alike = BTreeSet::new();
        for (number, part) in &plan.files {
            let found = self.store().check(disk, &part.name)?;
            if matches!(found, Destination::Exists { length, .. } if length == part.length) {
                alike.insert(*number);
            }
        }
        Ok(alike)
    }

    fn found(
        &self,
        disk: DiskThread,
        (number, part): (usize, &TorrentPart),
        alike: &BTreeSet<usize>,
        go_on: impl Fn() -> bool,
    ) -> Result<Found, StoreError> {
        match self.store().check(disk, &part.name)? {
            Destination::Free => return Ok(Found::Nothing),
            Destination::Exists { length, .. } if length != part.length => return Ok(Found::Other),
            Destination::Exists { .. } => {}
        }
        let file = self.torrent.info.files().get(number);
        if let Some(root) = file.and_then(|file| file.root) {
            let content = Content {
                length: part.length,
                root,
            };
            let is_right = self.folder.holds(disk, &part.name, content, go_on)?;
            return Ok(if is_right { Found::Right } else { Found::Other });
        }
        Ok(self.found_by_pieces(disk, number, alike, go_on))
    }

    /// Of a v1 torrent: looks at the pieces of which all bytes are in files that are there.
    fn found_by_pieces(
        &self,
        disk: DiskThread,
        number: usize,
        alike: &BTreeSet<usize>,
        go_on: impl Fn() -> bool,
    ) -> Found {
        let (torrent, layout) = (&self.torrent, self.torrent.layout());
        let mut files = FilesThere::new(self.store(), torrent, disk);
        let mut is_all = true;
        for piece in torrent.space.pieces_of(number) {
            let Some(piece) = layout.piece(piece) else {
                continue;
            };
            if !go_on() {
                return Found::Alike;
            }
            let (begin, length) = (layout.begin_of(piece), layout.length_of(piece));
            let parts = || torrent.space.parts(begin, length.into());
            if !are_of(alike, torrent, piece) {
                is_all = false;
                continue;
            }
            let is_right = torrent.is_right(piece, |room, at| files.read(room, at));
            // A file that cannot be read is in the way.
            let is_right = is_right.unwrap_or(false);
            let is_its_own = parts().all(|part| part.file.is_none_or(|file| file == number));
            match (is_right, is_its_own) {
                (true, _) => {}
                (false, true) => return Found::Other,
                (false, false) => is_all = false,
            }
        }
        if is_all { Found::Right } else { Found::Alike }
    }
}
