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
use rustix::io::Errno;
use thorp_disk::DiskThread;
use thorp_wire::merkle::Hashed;
use thorp_wire::{Attributes, Content, Name};

use super::naming::name_nameless;
use super::{Aside, Destination, Part, Replace, Store, StoreError, Stored};
use crate::attributes;
use crate::stamp::Stamp;

/// A small file that has come, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct SmallFile<'a> {
    /// Its name in the store.
    pub name: &'a Name,
    /// What it is to be.
    pub content: Content,
    /// What its holder has listed besides: sorted by date it lies where it lay at its holder's, and
    /// the same file listed by both is shown as one.
    pub attributes: Option<Attributes>,
    /// What has come.
    pub came: Hashed<'a>,
    /// Whether it replaces what goes by its name.
    pub replace: Replace,
    /// What goes by its name is renamed right before, to this last part.
    pub set_aside: Option<&'a str>,
}

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

impl Store {
    /// Files are put here, one right after the other.
    pub fn batch(&self) -> Batch<'_> {
        Batch {
            store: self,
            folder: None,
        }
    }

    /// Stores a file. Its bytes are verified before anything is written.
    pub fn put(&self, disk: DiskThread, file: SmallFile<'_>) -> Result<Stored, StoreError> {
        self.batch().put_and_look(disk, file)
    }
}

impl Batch<'_> {
    /// Stores a file as [`Store::put`] does, and does not look at it afterwards.
    pub fn put(&mut self, disk: DiskThread, file: SmallFile<'_>) -> Result<(), StoreError> {
        self.place(disk, file).map(drop)
    }

    /// Stores a file as [`Store::put`] does.
    pub(crate) fn put_and_look(
        &mut self,
        disk: DiskThread,
        file: SmallFile<'_>,
    ) -> Result<Stored, StoreError> {
        let placed = self.place(disk, file)?;
        // It has its name by now, which changes the time of change.
        let stamp = Stamp::of(&placed).map_err(|error| self.store.failed(file.name, error))?;
        let path = self.store.path_of(file.name);
        Ok(Stored { path, stamp })
    }

    fn place(&mut self, disk: DiskThread, file: SmallFile<'_>) -> Result<File, StoreError> {
        let (store, name) = (self.store, file.name);
        if file.came.content() != file.content {
            let path = store.path_of(name);
            return Err(StoreError::Mismatch { path });
        }
        let was_open = self.is_open(name);
        let written = match self.write(disk, file)? {
            // The folder was removed since it was opened.
            Err(error) if was_open && error.kind() == io::ErrorKind::NotFound => {
                self.folder = None;
                self.write(disk, file)?
            }
            written => written,
        };
        match written {
            Ok(placed) => Ok(placed),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match store.check(disk, name) {
                    Ok(Destination::Free | Destination::Exists { .. }) => {
                        let path = store.path_of(name);
                        Err(StoreError::Exists { path })
                    }
                    Err(what) => Err(what),
                }
            }
            Err(error) => Err(store.failed(name, error)),
        }
    }

    fn is_open(&self, name: &Name) -> bool {
        let open = self.folder.as_ref();
        open.is_some_and(|open| name.folder().unwrap_or_default() == open.name)
    }

    /// Writes a file into its folder.
    fn write(
        &mut self,
        disk: DiskThread,
        file: SmallFile<'_>,
    ) -> Result<io::Result<File>, StoreError> {
        let (store, name) = (self.store, file.name);
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
        if file.replace == Replace::No && store.naming.begins_nameless() && *has_nameless {
            match store.write_nameless(disk, dir, file)? {
                Ok(Some(placed)) => return Ok(Ok(placed)),
                Ok(None) => *has_nameless = false,
                Err(error) => return Ok(Err(error)),
            }
        }
        store.write_named(disk, dir, file)
    }
}

impl Store {
    /// Writes a file under a temporary name, and gives it its own one.
    fn write_named(
        &self,
        disk: DiskThread,
        folder: &Dir,
        file: SmallFile<'_>,
    ) -> Result<io::Result<File>, StoreError> {
        let written = Part::create(folder, file.content).and_then(|(mut written, part)| {
            written.write_all(file.came.bytes())?;
            attributes::give(&written, file.attributes);
            Ok((written, part))
        });
        let (written, mut part) = match written {
            Ok(written) => written,
            Err(error) => return Ok(Err(error)),
        };
        let aside = self.set_aside(disk, file.name, file.set_aside)?;
        let named = self.give_name(folder, &part.name, file.name.base(), file.replace);
        if named.is_ok() {
            part.renamed = true;
            Aside::stays(aside);
        }
        Ok(named.map(|()| written))
    }

    /// Writes a file that has no name, and gives it one that is free; nothing, where the file
    /// system has no such files.
    fn write_nameless(
        &self,
        disk: DiskThread,
        folder: &Dir,
        file: SmallFile<'_>,
    ) -> Result<io::Result<Option<File>>, StoreError> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mode = attributes::mode_of_new(file.attributes);
        // Other reasons for a failure are met again under a temporary name.
        let Ok(nameless) = rustix::fs::openat(folder, ".", flags, mode) else {
            return Ok(Ok(None));
        };
        let mut nameless = File::from_std(nameless.into());
        if let Err(error) = nameless.write_all(file.came.bytes()) {
            return Ok(Err(error));
        }
        attributes::give_time(&nameless, file.attributes);
        let aside = self.set_aside(disk, file.name, file.set_aside)?;
        Ok(match name_nameless(&nameless, folder, file.name.base()) {
            Ok(()) => {
                Aside::stays(aside);
                Ok(Some(nameless))
            }
            Err(taken @ Errno::EXIST) => Err(taken.into()),
            Err(_) => Ok(None),
        })
    }
}
