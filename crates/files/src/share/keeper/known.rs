//! What is reported and no news: above all files that were fetched just now.
//!
//! Each of them was listed when it got its name, and is reported all the same. Where nothing else
//! was reported, that is known. Owns the look that otherwise tells so with one system call;
//! whatever is not as it is listed is [examined](super::looking).

use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;

use super::{Keeper, Mark, name_of};
use crate::share::locks::{lock, read};
use crate::stamp::Stamp;

/// The folder of the last path that was looked at. Reports are in the order of paths.
///
/// It is kept during one look only: a folder that is moved takes its handle along.
#[derive(Default)]
pub(super) struct Folders {
    last: Option<(PathBuf, Dir)>,
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
    fn look(&mut self, share: &Dir, path: &Path) -> There {
        let (Some(folder), Some(base)) = (path.parent(), path.file_name()) else {
            return There::Other;
        };
        if self.last.as_ref().is_none_or(|(last, _)| last != folder) {
            let opened = if folder.as_os_str().is_empty() {
                share.try_clone()
            } else {
                share.open_dir(folder)
            };
            self.last = opened.ok().map(|dir| (folder.to_owned(), dir));
        }
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
