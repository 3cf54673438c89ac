//! The torrents of a share: its files, by the info-hashes under which clients ask for them.
//!
//! Owns an index, only where clients are served. It keeps eight bytes of an info-hash: which
//! info-hashes an entry has follows from the entry, and is computed again when a client asks.

use std::collections::BTreeSet;

use thorp_wire::torrent::build::{Privacy, v2_info};
use thorp_wire::torrent::info_hash_v2;
use thorp_wire::{Content, Entry, InfoHash, Name};

/// A torrent of one shared file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedTorrent {
    /// The name of the file.
    pub name: Name,
    /// The file.
    pub content: Content,
    /// The info dictionary of a v2 torrent. That of a v1 torrent is
    /// [on disk](super::Share::v1_info).
    pub info: Option<Vec<u8>>,
}

/// See the module.
///
/// The beginning of an info-hash, and a file that has it. Without a file it comes before all that
/// have one.
#[derive(Debug, Default)]
pub(super) struct Torrents(BTreeSet<(u64, Option<Name>)>);

impl Torrents {
    pub fn on_listed(&mut self, entry: &Entry) {
        for made in torrents_of(entry) {
            let name = Some(entry.name.clone());
            self.0.insert((start_of(made.info_hash), name));
        }
    }

    pub fn on_unlisted(&mut self, entry: &Entry) {
        for made in torrents_of(entry) {
            let name = Some(entry.name.clone());
            self.0.remove(&(start_of(made.info_hash), name));
        }
    }

    /// The torrent with this info-hash, as the listing is now.
    pub fn find(
        &self,
        info_hash: InfoHash,
        entry: impl Fn(&Name) -> Option<Entry>,
    ) -> Option<SharedTorrent> {
        let start = start_of(info_hash);
        let candidates = self.0.range((start, None)..);
        let candidates = candidates.map_while(|(of, name)| (*of == start).then_some(name.as_ref()));
        candidates.flatten().find_map(|name| {
            let entry = entry(name)?;
            let mut torrents = torrents_of(&entry);
            let made = torrents.find(|made| made.info_hash == info_hash)?;
            Some(SharedTorrent {
                name: name.clone(),
                content: entry.content()?,
                info: made.info,
            })
        })
    }
}

struct Made {
    info_hash: InfoHash,
    info: Option<Vec<u8>>,
}

/// The torrents of an entry: of version 2 for clients that keep to its trackers and for others,
/// and of version 1 once its pieces are hashed.
fn torrents_of(entry: &Entry) -> impl Iterator<Item = Made> {
    let content = entry.content().filter(|content| content.length > 0);
    let v2 = content.map(|content| {
        [Privacy::Private, Privacy::Public].map(|privacy| {
            let info = v2_info(entry.name.base(), content, privacy);
            Made {
                info_hash: info_hash_v2(&info).truncated(),
                info: Some(info),
            }
        })
    });
    let v1 = entry.v1.filter(|_| content.is_some());
    let v1 = v1.map(|info_hash| Made {
        info_hash,
        info: None,
    });
    v2.into_iter().flatten().chain(v1)
}

fn start_of(info_hash: InfoHash) -> u64 {
    let start = info_hash.as_bytes().first_chunk();
    u64::from_be_bytes(*start.unwrap_or(&[0; 8]))
}
