//! Files of a torrent, taken out of the one partial file in which all of it arrives.
//!
//! A torrent's pieces go over the ends of its files, so all of it arrives in one [`Partial`], as
//! its pieces have it. Owns how its files are copied out of it once they are verified; a torrent of
//! one file is given its name instead. Nothing is replaced unless the user said so, and a file that
//! is there already with the same bytes is left as it is.

use std::fs;
use std::io;

use thorp_disk::DiskThread;
use thorp_wire::frame::MAX_INLINE;
use thorp_wire::merkle::{Hash, LEAF, LayerHasher};
use thorp_wire::{Content, Name};

use super::partial::is_zero;
use super::{
    BUFFER, Destination, File, FileExt, FileIdentity, Part, Partial, Replace, Store, StoreError,
    Stored,
};
use crate::stamp::Stamp;

/// A file of a torrent, among the bytes of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentPart {
    /// What it is to be called.
    pub name: Name,
    /// Where it begins.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// A file of a torrent that is in its place.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Where it is.
    pub stored: Stored,
    /// What it is.
    pub content: Content,
    /// The hashes of its pieces, as members cut it.
    pub layer: Vec<Hash>,
    /// It was there before, and is left as it is.
    pub was_there: bool,
}

impl Store {
    /// Gives a file of a torrent its name, now that all of its pieces are verified. `hashed` are
    /// its content and the hashes of its pieces, if they are known; it is read for them otherwise.
    pub fn place(
        &self,
        disk: DiskThread,
        partial: &Partial,
        part: &TorrentPart,
        hashed: Option<(Content, Vec<Hash>)>,
        replace: Replace,
    ) -> Result<Placed, StoreError> {
        let there = self.check(disk, &part.name)?;
        if replace == Replace::No && there != Destination::Free {
            return self.is_there(disk, partial, part);
        }
        let is_all = part.offset == 0 && part.length == partial.content().length;
        if is_all && part.name == *partial.target() {
            let run = Run {
                disk,
                partial,
                part,
            };
            let hashed = hashed.map_or_else(|| run.each(|_, _| Ok(())), Ok);
            let (content, layer) = hashed.map_err(|error| partial.failed(error))?;
            return Ok(Placed {
                stored: self.finish(disk, partial, None, replace, None)?,
                content,
                layer,
                was_there: false,
            });
        }
        let folder = self.folder(&part.name)?;
        let failed = |error| self.failed(&part.name, error);
        let (file, mut to) = Part::create(&folder, partial.content()).map_err(failed)?;
        let run = Run {
            disk,
            partial,
            part,
        };
        let (content, layer) = run.copy(&file).map_err(failed)?;
        if part.length > MAX_INLINE {
            thorp_disk::synced(file.sync_all()).map_err(failed)?;
        }
        let identity = FileIdentity::of(&file.metadata().map_err(failed)?);
        self.must_lead_to(&part.name, &folder, &to.name, identity)?;
        self.give_name(&folder, &to.name, part.name.base(), replace)
            .map_err(failed)?;
        to.renamed = true;
        let stored = Stored {
            path: self.path_of(&part.name),
            stamp: Stamp::of(&file).map_err(failed)?,
        };
        Ok(Placed {
            stored,
            content,
            layer,
            was_there: false,
        })
    }

    /// The file that is there already, if it has the same bytes.
    fn is_there(
        &self,
        disk: DiskThread,
        partial: &Partial,
        part: &TorrentPart,
    ) -> Result<Placed, StoreError> {
        let exists = || StoreError::Exists {
            path: self.path_of(&part.name),
        };
        let file = self
            .file_there(&part.name, part.length)?
            .ok_or_else(exists)?;
        let (mut there, mut is_same) = (vec![0; BUFFER], true);
        let run = Run {
            disk,
            partial,
            part,
        };
        let (content, layer) = run
            .each(|at, bytes| {
                let there = &mut there[..bytes.len()];
                file.read_exact_at(there, at)?;
                is_same &= there == bytes;
                Ok(())
            })
            .map_err(|error| self.failed(&part.name, error))?;
        if !is_same {
            return Err(exists());
        }
        let stamp = Stamp::of(&file).map_err(|error| self.failed(&part.name, error))?;
        Ok(Placed {
            stored: Stored {
                path: self.path_of(&part.name),
                stamp,
            },
            content,
            layer,
            was_there: true,
        })
    }

    /// The file of that name, to be read, if it is one of this length.
    pub fn file(
        &self,
        _: DiskThread,
        name: &Name,
        length: u64,
    ) -> Result<Option<fs::File>, StoreError> {
        Ok(self.file_there(name, length)?.map(File::into_std))
    }

    fn file_there(&self, name: &Name, length: u64) -> Result<Option<File>, StoreError> {
        let file = match self.opened(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| self.failed(name, error))?,
        };
        let meta = file.metadata().map_err(|error| self.failed(name, error))?;
        Ok((meta.is_file() && meta.len() == length).then_some(file))
    }
}

/// The bytes of one file.
struct Run<'a> {
    disk: DiskThread,
    partial: &'a Partial,
    part: &'a TorrentPart,
}

impl Run<'_> {
    /// Reads and hashes them. `each` gets some after the other, with their place in the file.
    fn each(
        &self,
        mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<(Content, Vec<Hash>)> {
        let mut hasher = LayerHasher::new(self.part.length);
        let mut buffer = vec![0; BUFFER];
        let mut at = 0;
        while at < self.part.length {
            let left = usize::try_from(self.part.length - at).unwrap_or(BUFFER);
            let bytes = &mut buffer[..left.min(BUFFER)];
            self.partial.read(self.disk, bytes, self.part.offset + at)?;
            each(at, bytes)?;
            let fits = hasher.update(bytes);
            debug_assert!(fits, "is as long as it is");
            at += bytes.len() as u64;
        }
        let found = hasher.finish();
        found.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Copies them. Whole leaves of zeros become holes.
    fn copy(&self, to: &File) -> io::Result<(Content, Vec<Hash>)> {
        let copied = self.each(|at, bytes| {
            let mut at = at;
            for leaf in bytes.chunks(LEAF) {
                if !is_zero(leaf) {
                    to.write_all_at(leaf, at)?;
                }
                at += leaf.len() as u64;
            }
            Ok(())
        })?;
        to.set_len(self.part.length)?;
        Ok(copied)
    }
}

#[cfg(test)]
mod tests {
    use thorp_disk::testing::DISK;
    use thorp_wire::merkle::content_of;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    /// A torrent of `a/one` with 300,000 bytes, `a/none` without any and `a/two` with 70,000, in a
    /// new directory, all of it there.
    fn arrived(store: &Store) -> (Partial, Vec<u8>, [TorrentPart; 3]) {
        let bytes: Vec<u8> = (0..=250u8).cycle().take(370_000).collect();
        let partial = store.partial(DISK, &name("a"), content_of(&bytes));
        let partial = partial.expect("is made");
        partial.write(DISK, &bytes, 0).expect("is written");
        let part = |text, offset, length| TorrentPart {
            name: name(text),
            offset,
            length,
        };
        let parts = [
            part("a/one", 0, 300_000),
            part("a/none", 300_000, 0),
            part("a/two", 300_000, 70_000),
        ];
        (partial, bytes, parts)
    }

    #[test]
    fn the_files_of_a_torrent_are_copied_out_of_it_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(DISK, dir.path()).expect("opens");
        let (partial, bytes, parts) = arrived(&store);
        for part in &parts {
            let placed = store.place(DISK, &partial, part, None, Replace::No);
            let placed = placed.expect("is placed");
            let begin = usize::try_from(part.offset).expect("is short");
            let own = &bytes[begin..begin + usize::try_from(part.length).expect("is short")];
            assert_eq!(fs::read(&placed.stored.path).expect("is there"), own);
            assert_eq!(placed.content, content_of(own));
        }
        partial.discard(DISK).expect("is removed");
        let left = fs::read_dir(dir.path()).expect("is there").count();
        let inside = fs::read_dir(dir.path().join("a"))
            .expect("is there")
            .count();
        assert_eq!((left, inside), (1, 3));
        // Those that have it open read on.
        let mut some = [0; 5];
        partial.read(DISK, &mut some, 3).expect("is read");
        assert_eq!(some, bytes[3..8]);
    }

    #[test]
    fn a_file_in_the_way_stays_and_one_with_the_same_bytes_is_what_was_wanted() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(DISK, dir.path()).expect("opens");
        let (partial, bytes, parts) = arrived(&store);
        fs::create_dir(dir.path().join("a")).expect("is made");
        fs::write(dir.path().join("a/one"), &bytes[..300_000]).expect("is written");
        let mut other = bytes[300_000..].to_vec();
        other[69_999] ^= 1;
        fs::write(dir.path().join("a/two"), &other).expect("is written");
        let place = |part, replace| store.place(DISK, &partial, part, None, replace);
        let same = place(&parts[0], Replace::No).expect("is the same");
        assert_eq!(same.content, content_of(&bytes[..300_000]));
        let why = place(&parts[2], Replace::No);
        assert!(matches!(why, Err(StoreError::Exists { .. })), "{why:?}");
        assert_eq!(fs::read(dir.path().join("a/two")).expect("stays"), other);
        place(&parts[2], Replace::Yes).expect("replaces it");
        let two = fs::read(dir.path().join("a/two")).expect("is there");
        assert_eq!(two, bytes[300_000..]);
    }

    #[test]
    fn a_torrent_of_one_file_is_given_its_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(DISK, dir.path()).expect("opens");
        let bytes = vec![5; 300_000];
        // It is not known by what is in it.
        let known_by = Content {
            length: 300_000,
            ..content_of(b"a torrent")
        };
        let partial = store.partial(DISK, &name("f"), known_by).expect("is made");
        partial.write(DISK, &bytes, 0).expect("is written");
        let part = TorrentPart {
            name: name("f"),
            offset: 0,
            length: 300_000,
        };
        let placed = store.place(DISK, &partial, &part, None, Replace::No);
        assert_eq!(placed.expect("is placed").content, content_of(&bytes));
        drop(partial);
        let left = fs::read_dir(dir.path()).expect("is there").count();
        assert_eq!(left, 1);
        assert_eq!(fs::read(dir.path().join("f")).expect("is there"), bytes);
    }
}
