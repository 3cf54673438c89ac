//! What is left out of the share, path by path, so that the count of it stays
//! true while files come and go.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::locks::{lock, read};
use super::shared::Share;
use super::walk::{Cause, Skipped};

/// From one path to another one.
type Range<'a> = (Bound<&'a Path>, Bound<&'a Path>);

/// Files and folders that are left out, each with its cause. What is beneath one
/// of them is not looked at, and is not here.
#[derive(Default)]
pub(super) struct LeftOut {
    paths: BTreeMap<PathBuf, Cause>,
    counted: Skipped,
}

impl LeftOut {
    /// How many, by cause.
    pub fn counted(&self) -> Skipped {
        self.counted
    }

    /// Those in a range, in order.
    fn within(&self, range: Range<'_>) -> impl DoubleEndedIterator<Item = (PathBuf, Cause)> {
        let paths = self.paths.range::<Path, _>(range);
        paths.map(|(path, cause)| (path.clone(), *cause))
    }

    /// Replaces what is left out at a path and beneath it. Returns whether
    /// anything changed.
    pub fn replace(
        &mut self,
        path: &Path,
        now: impl IntoIterator<Item = (PathBuf, Cause)>,
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

impl Share {
    /// The first files and folders from here on that are left out, each with why.
    pub fn left_out_from(&self, from: Bound<&Path>, limit: usize) -> Vec<(PathBuf, Cause)> {
        let range = (from, Bound::Unbounded);
        let mut paths: Vec<_> = lock(&self.shared.left_out)
            .within(range)
            .take(limit)
            .collect();
        let index = read(&self.shared.index);
        paths.extend(index.unreadable_within(range).take(limit).map(unreadable));
        drop(index);
        paths.sort_unstable();
        paths.truncate(limit);
        paths
    }

    /// The last of them before here, in order.
    pub fn left_out_before(&self, before: Bound<&Path>, limit: usize) -> Vec<(PathBuf, Cause)> {
        let range = (Bound::Unbounded, before);
        let mut paths: Vec<_> = lock(&self.shared.left_out)
            .within(range)
            .rev()
            .take(limit)
            .collect();
        let index = read(&self.shared.index);
        let unread = index.unreadable_within(range).rev();
        paths.extend(unread.take(limit).map(unreadable));
        drop(index);
        paths.sort_unstable();
        paths.drain(..paths.len().saturating_sub(limit));
        paths
    }
}

fn unreadable(path: &Path) -> (PathBuf, Cause) {
    (path.to_owned(), Cause::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(paths: &[&str]) -> Vec<(PathBuf, Cause)> {
        let hidden = |path: &&str| (PathBuf::from(path), Cause::Hidden);
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
        let other = [(PathBuf::from("a/b/.y"), Cause::Symlink)];
        assert!(left_out.replace(Path::new("a/b/.y"), other));
        assert_eq!(left_out.counted().symlinks, 1);
        left_out.replace(Path::new(""), None);
        assert_eq!(left_out.counted(), Skipped::default());
    }
}
