//! What is left out of the share, path by path, so that the count of it stays
//! true while files come and go.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// How many files and folders were left out, by cause. What is beneath a
/// folder that was left out is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Starts with a dot.
    pub hidden: u64,
    /// Matches a `.thorpignore`.
    pub ignored: u64,
    /// Its name is not UTF-8 or its path is over 4095 bytes.
    pub unnameable: u64,
    /// Could not be opened.
    pub unreadable: u64,
    /// A folder whose `.thorpignore` cannot be read.
    pub ignore_files: u64,
    /// A symbolic link that leads to no file of the share.
    pub symlinks: u64,
    /// A device, a socket or a pipe.
    pub special: u64,
    /// A state directory of thorp: there are keys in it.
    pub keys: u64,
}

impl Skipped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.hidden
            + self.ignored
            + self.unnameable
            + self.unreadable
            + self.ignore_files
            + self.symlinks
            + self.special
            + self.keys
    }

    /// The number that a cause is counted in.
    fn of(&mut self, cause: LeftOutCause) -> &mut u64 {
        match cause {
            LeftOutCause::Hidden => &mut self.hidden,
            LeftOutCause::Ignored => &mut self.ignored,
            LeftOutCause::Unnameable => &mut self.unnameable,
            LeftOutCause::Unreadable => &mut self.unreadable,
            LeftOutCause::IgnoreFile => &mut self.ignore_files,
            LeftOutCause::LinkOut
            | LeftOutCause::LinkBroken
            | LeftOutCause::LinkToFolder
            | LeftOutCause::LinkToLeftOut => &mut self.symlinks,
            LeftOutCause::Special => &mut self.special,
            LeftOutCause::Keys => &mut self.keys,
        }
    }
}

/// Why something is not shared, as [`Skipped`] counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOutCause {
    /// Its name, or that of a folder it is in, starts with a dot.
    Hidden,
    /// A `.thorpignore` says so.
    Ignored,
    /// Its name is not UTF-8, or its path too long.
    Unnameable,
    /// It cannot be opened.
    Unreadable,
    /// It is a folder whose `.thorpignore` cannot be read.
    IgnoreFile,
    /// It is a symbolic link that leads out of the share.
    LinkOut,
    /// It is a symbolic link that leads nowhere, or in a circle.
    LinkBroken,
    /// It is a symbolic link to a folder.
    LinkToFolder,
    /// It is a symbolic link to something that is left out itself.
    LinkToLeftOut,
    /// It is a device, a socket or a pipe.
    Special,
    /// It is a state directory of thorp.
    Keys,
}

/// From one path to another one.
pub(super) type Range<'a> = (Bound<&'a Path>, Bound<&'a Path>);

/// Files and folders that are left out, each with its cause. What is beneath one
/// of them is not looked at, and is not here.
#[derive(Default)]
pub(super) struct LeftOut {
    paths: BTreeMap<PathBuf, LeftOutCause>,
    counted: Skipped,
}

impl LeftOut {
    /// How many, by cause.
    pub fn counted(&self) -> Skipped {
        self.counted
    }

    /// Those in a range, in order.
    pub fn within(
        &self,
        range: Range<'_>,
    ) -> impl DoubleEndedIterator<Item = (PathBuf, LeftOutCause)> {
        let paths = self.paths.range::<Path, _>(range);
        paths.map(|(path, cause)| (path.clone(), *cause))
    }

    /// Replaces what is left out at a path and beneath it. Returns whether
    /// anything changed.
    pub fn replace(
        &mut self,
        path: &Path,
        now: impl IntoIterator<Item = (PathBuf, LeftOutCause)>,
    ) -> bool {
        let from = (Bound::Included(path), Bound::Unbounded);
        let beneath = self.paths.range::<Path, _>(from);
        let beneath = beneath.take_while(|(other, _)| other.starts_with(path));
        let before: Vec<_> = beneath.map(|(path, _)| path.clone()).collect();
        let mut gone = BTreeMap::new();
        for path in before {
            if let Some(cause) = self.paths.remove(&path) {
                *self.counted.of(cause) -= 1;
                gone.insert(path, cause);
            }
        }
        let mut is_news = false;
        for (path, cause) in now {
            is_news |= gone.get(&path) != Some(&cause);
            *self.counted.of(cause) += 1;
            if let Some(twice) = self.paths.insert(path, cause) {
                *self.counted.of(twice) -= 1;
            }
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(paths: &[&str]) -> Vec<(PathBuf, LeftOutCause)> {
        let hidden = |path: &&str| (PathBuf::from(path), LeftOutCause::Hidden);
        paths.iter().map(hidden).collect()
    }

    #[test]
    fn what_is_beneath_a_path_is_replaced_and_nothing_beside_it() {
        let mut left_out = LeftOut::default();
        let all = hidden(&["a/.x", "a/b/.y", "a.b/.z", "ab/.z"]);
        assert!(left_out.replace(Path::new(""), all));
        assert_eq!(left_out.counted().hidden, 4);
        assert!(!left_out.replace(Path::new("a"), hidden(&["a/b/.y"])));
        assert_eq!(left_out.counted().hidden, 3);
        let other = [(PathBuf::from("a/b/.y"), LeftOutCause::LinkOut)];
        assert!(left_out.replace(Path::new("a/b/.y"), other));
        assert_eq!(left_out.counted().symlinks, 1);
        left_out.replace(Path::new(""), None);
        assert_eq!(left_out.counted(), Skipped::default());
    }
}
