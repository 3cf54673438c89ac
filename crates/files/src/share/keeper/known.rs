//! What is reported and no news: above all files that were fetched just now.
//!
//! Each of them was listed when it got its name, and is reported all the same. Where nothing else
//! was reported, that is known. Owns the look that otherwise tells so with one system call;
//! whatever is not as it is listed is [examined](super::looking).

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, MetadataExt};

use super::letters::{in_other_letters, names_in};
use super::{Keeper, Mark, name_of};
use crate::share::locks::{lock, read};
use crate::stamp::Stamp;

/// The folder of the last path that was looked at. Reports are in the order of paths.
///
/// It is kept during one look only: a folder that is moved takes its handle along.
#[derive(Default)]
pub(super) struct Folders {
    last: Option<(PathBuf, Dir)>,
    /// The names that it has, once they were asked for.
    names: Option<HashSet<OsString>>,
}

/// What is at a path.
#[derive(PartialEq, Eq)]
enum There {
    File(Stamp),
    Nothing,
    /// Something else, or it is not known.
    Other,
}

impl Folders {
    /// Whether a path leads to something that goes by another name only: a file system that takes
    /// letters for the same leads there by all of them. No, where that is not known.
    pub fn has_in_other_letters(&mut self, share: &Dir, path: &Path) -> bool {
        let (Some(folder), Some(base)) = (path.parent(), path.file_name()) else {
            return false;
        };
        let Some(other) = in_other_letters(base) else {
            return false;
        };
        self.open(share, folder);
        let Some((_, dir)) = &self.last else {
            return false;
        };
        let Ok(other) = dir.symlink_metadata(&other) else {
            return false;
        };
        let is_it =
            |meta: cap_std::fs::Metadata| (meta.dev(), meta.ino()) == (other.dev(), other.ino());
        if !dir.symlink_metadata(base).is_ok_and(is_it) {
            return false;
        }
        if self.names.is_none() {
            self.names = names_in(dir).ok();
        }
        let names = self.names.as_ref();
        names.is_some_and(|names| !names.contains(base))
    }

    fn open(&mut self, share: &Dir, folder: &Path) {
        if self.last.as_ref().is_some_and(|(last, _)| last == folder) {
            return;
        }
        let opened = if folder.as_os_str().is_empty() {
            share.try_clone()
        } else {
            share.open_dir(folder)
        };
        self.last = opened.ok().map(|dir| (folder.to_owned(), dir));
        self.names = None;
    }

    fn look(&mut self, share: &Dir, path: &Path) -> There {
        let (Some(folder), Some(base)) = (path.parent(), path.file_name()) else {
            return There::Other;
        };
        self.open(share, folder);
        let Some((_, dir)) = &self.last else {
            return There::Other;
        };
        match dir.symlink_metadata(base) {
            Ok(meta) if meta.is_file() => There::File(Stamp::new(&meta)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => There::Nothing,
            _ => There::Other,
        }
    }
}

impl Keeper {
    /// Whether what was reported of this path is no news: there is the listed file, whose root is
    /// known and believed, or nothing is there and nothing was listed; and nothing depends on it.
    pub(super) fn is_as_listed(&mut self, folders: &mut Folders, path: &Path, mark: Mark) -> bool {
        if mark.is_of_stored()
            && !self.settling.contains_key(path)
            && !self.unsure.waits_for(path)
            && self.links.depending_on(path).is_empty()
        {
            return true;
        }
        let Some(name) = name_of(path) else {
            return false;
        };
        let index = read(&self.shared.index);
        let listed = index.record(&name);
        let has_more = index.lists_beneath(Some(name.as_str()))
            || index.is_unreadable(&name)
            || listed.is_none() && index.has_file_or_link(&name);
        drop(index);
        let as_listed = match listed {
            None => There::Nothing,
            Some(record) if record.root.is_some() && !mark.written => There::File(record.stamp),
            Some(_) => return false,
        };
        let is_waited_for = self.settling.contains_key(path)
            || self.unsure.waits_for(path)
            || listed.is_some_and(|listed| self.shared.is_held(&name, &listed.stamp));
        if has_more
            || is_waited_for
            || !self.links.depending_on(path).is_empty()
            || folders.look(&self.shared.dir, path) != as_listed
        {
            return false;
        }
        lock(&self.shared.left_out).replace(path, None);
        if mark.complete && listed.is_some() {
            self.shared.queue_for_v1(&name);
        }
        true
    }
}
