//! Fetched files, put into the share and listed at once: they are not read again.
//!
//! Owns what goes together then: the share is where it was, the file gets its name, the listing
//! and the cache of roots know it. Small files that come together are a [`ShareBatch`].

use std::path::Path;
use std::time::Instant;

use thorp_disk::DiskThread;
use thorp_wire::merkle::Hash;
use thorp_wire::{Attributes, Content, Name, Root};

use super::locks::write;
use super::shared::{Share, Shared};
use super::warning::ShareWarning;
use crate::store::{
    self, LOOK_EVERY, Partial, Placed, Replace, SmallFile, StoreError, Stored, TorrentPart,
};

/// Small files that are put into the share one right after the other. Like that of a [store], it
/// is not to be kept for longer.
///
/// [store]: store::Batch
pub struct ShareBatch<'a> {
    shared: &'a Shared,
    files: store::Batch<'a>,
    /// When the share was seen in its place last.
    seen: Option<Instant>,
}

impl Share {
    /// Files are put into the share, one right after the other.
    pub fn batch(&self) -> ShareBatch<'_> {
        ShareBatch {
            shared: &self.shared,
            files: self.shared.store.batch(),
            seen: None,
        }
    }

    /// Puts a fetched file into the share, as [`Store::put`](store::Store::put) does, and lists it
    /// with its root at once: it is not read again.
    ///
    /// A name that the share's rules leave out is stored and not listed.
    pub fn store(&self, disk: DiskThread, file: SmallFile<'_>) -> Result<Stored, StoreError> {
        self.batch().store(disk, file)
    }

    /// Gives a large file its name, as [`Store::finish`](store::Store::finish) does, and lists it
    /// with its root at once; `layer` are the hashes of its pieces.
    pub fn finish(
        &self,
        disk: DiskThread,
        partial: &Partial,
        layer: &[Hash],
        attributes: Option<Attributes>,
        replace: Replace,
        set_aside: Option<&str>,
    ) -> Result<Stored, StoreError> {
        let root = partial.content().root;
        let shared = &*self.shared;
        shared.must_be_in_place()?;
        shared.arrives(partial.target(), root, layer, || {
            let store = &shared.store;
            store.finish(disk, partial, attributes, replace, set_aside)
        })
    }

    /// Gives a file of a torrent its name, as [`Store::place`](store::Store::place) does, and lists
    /// it with its root at once.
    pub fn place(
        &self,
        disk: DiskThread,
        partial: &Partial,
        part: &TorrentPart,
        hashed: Option<(Content, Vec<Hash>)>,
        replace: Replace,
    ) -> Result<Placed, StoreError> {
        let shared = &*self.shared;
        shared.must_be_in_place()?;
        shared.arrives_as(&part.name, || {
            let store = &shared.store;
            store.place(disk, partial, part, hashed, replace)
        })
    }
}

impl ShareBatch<'_> {
    /// Puts a fetched file into the share, as [`Share::store`] does.
    pub fn store(&mut self, disk: DiskThread, file: SmallFile<'_>) -> Result<Stored, StoreError> {
        if self.seen.is_none_or(|seen| seen.elapsed() >= LOOK_EVERY) {
            self.shared.must_be_in_place()?;
            self.seen = Some(Instant::now());
        }
        let files = &mut self.files;
        // A file of one piece, whose hash is the root.
        self.shared.arrives(file.name, file.content.root, &[], || {
            files.put_and_look(disk, file)
        })
    }
}

impl Shared {
    /// Lists a file with its root as soon as `put` has put it there.
    fn arrives(
        &self,
        name: &Name,
        root: Root,
        layer: &[Hash],
        put: impl FnOnce() -> Result<Stored, StoreError>,
    ) -> Result<Stored, StoreError> {
        let placed = self.arrives_as(name, || {
            let stored = put()?;
            let length = stored.stamp.length;
            Ok(Placed {
                stored,
                content: Content { length, root },
                layer: layer.to_vec(),
                was_there: false,
            })
        });
        Ok(placed?.stored)
    }

    /// Lists a file with the root that it turns out to have, as soon as `put` has put it there.
    fn arrives_as(
        &self,
        name: &Name,
        put: impl FnOnce() -> Result<Placed, StoreError>,
    ) -> Result<Placed, StoreError> {
        let first = write(&self.index).expect(name);
        let stored = put();
        if self.store.has_looked_first() {
            let path = self.path.clone();
            self.inbox.warn(ShareWarning::LooksFirst { path });
        }
        match &stored {
            Ok(placed) if self.lists(name) => {
                let Placed {
                    stored,
                    content,
                    layer,
                    ..
                } = placed;
                let root = content.root;
                write(&self.index).on_file_stored(name, stored.stamp, root);
                self.remembered(self.cache.keep(name, &stored.stamp, root, layer));
                self.queue_for_v1(name);
                self.inbox.stored(name, &stored.stamp);
            }
            _ if first => {
                write(&self.index).expect_no_more(name);
                // Reports that came meanwhile were ignored.
                self.inbox.examine(Path::new(name.as_str()));
            }
            _ => {}
        }
        stored
    }
}
