//! Looks at the places of files that are to be fetched, in the order of their names.
//!
//! A get looks at a thousand places at once, most of them in one folder, which is opened once for
//! them.

use std::io;

use cap_std::fs::Dir;
use thorp_disk::DiskThread;
use thorp_wire::Name;

use super::{Destination, Store, StoreError};

/// Looks at places one right after the other. It is not to be kept for longer than that: a folder
/// that is moved takes its handle along.
pub struct Looking<'a> {
    store: &'a Store,
    /// The folder that was looked into last; no handle where it is not there.
    folder: Option<(String, Option<Dir>)>,
}

impl Store {
    /// Places are looked at, one right after the other.
    pub fn looking(&self) -> Looking<'_> {
        Looking {
            store: self,
            folder: None,
        }
    }
}

impl Looking<'_> {
    /// What is at the place of this file, as [`Store::check`] says it.
    pub fn check(&mut self, disk: DiskThread, name: &Name) -> Result<Destination, StoreError> {
        let Some(folder) = name.folder() else {
            return self.store.check(disk, name);
        };
        if self.folder.as_ref().is_none_or(|(last, _)| last != folder) {
            let dir = match self.store.dir.open_dir(folder) {
                Ok(dir) => Some(dir),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(_) => return self.store.check(disk, name),
            };
            self.folder = Some((folder.to_owned(), dir));
        }
        match &self.folder {
            Some((_, Some(dir))) => self
                .store
                .destination(name, dir.symlink_metadata(name.base())),
            _ => self.store.free_if_not_too_long(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use thorp_disk::testing::DISK;

    use super::*;

    #[test]
    fn a_place_is_the_same_whether_it_is_looked_at_alone_or_after_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(DISK, dir.path()).expect("a store");
        fs::create_dir_all(dir.path().join("a/folder")).expect("is made");
        for file in ["a/file", "b"] {
            fs::write(dir.path().join(file), "x").expect("is written");
        }
        symlink("nowhere", dir.path().join("a/link")).expect("is made");
        symlink("/", dir.path().join("out")).expect("is made");
        let mut looking = store.looking();
        for name in [
            "a/file", "a/folder", "a/free", "a/link", "b", "b/c", "c", "none/a", "none/b",
            "out/tmp", "a/file/x",
        ] {
            let name: Name = name.parse().expect("a name");
            let alone = format!("{:?}", store.check(DISK, &name));
            assert_eq!(format!("{:?}", looking.check(DISK, &name)), alone);
        }
    }
}
