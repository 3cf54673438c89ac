//! Small files: whole in memory, verified, then written and named in a few system calls.
//!
//! They come by the thousand, so what they have in common is done once for those that come
//! together, a [`Batch`]: the folder is opened beneath the store for the first of them only. What
//! is in the way of one is looked at when it is refused its name, and not before.
//!
//! A file that replaces nothing is written without a name where the file system can do that, and
//! then given its own one: nothing is left of it if this program ends before, and there is nothing
//! that a sweep could take for a leftover. Elsewhere it has a temporary name first.

use std::io::{self, Write};

use cap_std::fs::{Dir, File};
use rustix::fs::OFlags;
use thorp_disk::DiskThread;
use thorp_wire::{Attributes, Content, Name, merkle};

use super::{Destination, Part, Replace, Store, StoreError, Stored};
use crate::attributes;
use crate::stamp::Stamp;

/// Small files that are put into a store one right after the other. It is not to be kept for
/// longer than that: a folder that is moved takes those files along that are put into it.
pub struct Batch<'a> {
    store: &'a Store,
    /// The folder that the last one was put into.
    folder: Option<Folder>,
}

/// A folder of a store.
struct Folder {
    name: String,
    dir: Dir,
    /// Whether files may begin without a name there; as long as that is not known, they may.
    has_nameless: bool,
}

/// The file to be written.
#[derive(Clone, Copy)]
struct New<'a> {
    base: &'a str,
    content: Content,
    attributes: Option<Attributes>,
    bytes: &'a [u8],
    replace: Replace,
}

impl Store {
    /// Files are put here, one right after the other.
    pub fn batch(&self) -> Batch<'_> {
        Batch {
            store: self,
            folder: None,
        }
    }

    /// Stores a file. It has the bytes and, where given, the modification time
    /// of the listed one: sorted by date it lies where it lay at its holder's,
    /// and the same file listed by both is shown as one.
    ///
    /// The bytes are verified before anything is written.
    pub fn put(
        &self,
        disk: DiskThread,
        name: &Name,
        content: Content,
        attributes: Option<Attributes>,
        bytes: &[u8],
        replace: Replace,
    ) -> Result<Stored, StoreError> {
        let mut batch = self.batch();
        batch.put(disk, name, content, attributes, bytes, replace)
    }
}

impl Batch<'_> {
    /// Stores a file as [`Store::put`] does.
    pub fn put(
        &mut self,
        disk: DiskThread,
        name: &Name,
        content: Content,
        attributes: Option<Attributes>,
        bytes: &[u8],
        replace: Replace,
    ) -> Result<Stored, StoreError> {
        let path = self.store.path_of(name);
        if merkle::content_of(bytes) != content {
            return Err(StoreError::Mismatch { path });
        }
        let new = New {
            base: name.base(),
            content,
            attributes,
            bytes,
            replace,
        };
        let was_open = self.is_open(name);
        let written = match self.write(name, new)? {
            // The folder was removed since it was opened.
            Err(error) if was_open && error.kind() == io::ErrorKind::NotFound => {
                self.folder = None;
                self.write(name, new)?
            }
            written => written,
        };
        match written {
            Ok(stamp) => Ok(Stored { path, stamp }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match self.store.check(disk, name) {
                    Ok(Destination::Free | Destination::Exists { .. }) => {
                        Err(StoreError::Exists { path })
                    }
                    Err(what) => Err(what),
                }
            }
            Err(error) => Err(self.store.failed(name, error)),
        }
    }

    fn is_open(&self, name: &Name) -> bool {
        let open = self.folder.as_ref();
        open.is_some_and(|open| name.folder().unwrap_or_default() == open.name)
    }

    /// Writes a file into its folder.
    fn write(&mut self, name: &Name, new: New<'_>) -> Result<io::Result<Stamp>, StoreError> {
        let store = self.store;
        if !self.is_open(name) {
            self.folder = Some(Folder {
                name: name.folder().unwrap_or_default().to_owned(),
                dir: store.folder(name)?,
                has_nameless: true,
            });
        }
        let Some(Folder {
            dir, has_nameless, ..
        }) = &mut self.folder
        else {
            return Ok(Err(io::ErrorKind::NotFound.into()));
        };
        if new.replace == Replace::No && store.naming.begins_nameless() && *has_nameless {
            match write_nameless(dir, new) {
                Ok(Some(stamp)) => return Ok(Ok(stamp)),
                Ok(None) => *has_nameless = false,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(store.write_named(dir, new))
    }
}

impl Store {
    /// Writes a file under a temporary name, and gives it its own one.
    fn write_named(&self, folder: &Dir, new: New<'_>) -> io::Result<Stamp> {
        let mut part = Part::create(folder, new.content)?;
        part.file.write_all(new.bytes)?;
        attributes::give(&part.file, new.attributes);
        self.give_name(folder, &part.name, new.base, new.replace)?;
        part.renamed = true;
        // After the rename, which changes the time of change.
        Stamp::of(&part.file)
    }
}

/// Writes a file that has no name, and gives it one that is free; nothing, where the file system
/// has no such files.
fn write_nameless(folder: &Dir, new: New<'_>) -> io::Result<Option<Stamp>> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let mode = attributes::mode_of_new(new.attributes);
    // Other reasons for a failure are met again under a temporary name.
    let Ok(file) = rustix::fs::openat(folder, ".", flags, mode) else {
        return Ok(None);
    };
    let mut file = File::from_std(file.into());
    file.write_all(new.bytes)?;
    attributes::give_time(&file, new.attributes);
    match super::naming::name_nameless(&file, folder, new.base) {
        Ok(()) => Stamp::of(&file).map(Some),
        Err(taken @ rustix::io::Errno::EXIST) => Err(taken.into()),
        Err(_) => Ok(None),
    }
}
