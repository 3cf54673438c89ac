//! Names that lead to something and are not there: some file systems take letters for the same, so
//! that a file is found by `a.txt` though its folder has `A.txt` only.
//!
//! Owns how that is found out: a folder is asked which names it has. A name is looked up there
//! where it may have gone, or where a walk has not met it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use cap_std::fs::Dir;
use thorp_wire::Name;

/// Which of these names lead to something and are not in their folders, or are in a folder that
/// is not: a file system that takes letters for the same leads there by all of them. Each
/// folder is read once.
pub(super) fn in_other_letters_only<'a>(dir: &Dir, names: &'a [Name]) -> BTreeSet<&'a Name> {
    let mut looked: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let there = |name: &&Name| dir.symlink_metadata(name.as_str()).is_ok();
    let there: Vec<&Name> = names.iter().filter(there).collect();
    for name in &there {
        for path in Path::new(name.as_str()).ancestors() {
            let (Some(folder), Some(base)) = (path.parent(), path.file_name()) else {
                continue;
            };
            if let (Some(folder), Some(base)) = (folder.to_str(), base.to_str()) {
                looked.entry(folder).or_default().insert(base);
            }
        }
    }
    // What is left of each are those names that it has not.
    for (folder, missing) in &mut looked {
        let opened = match *folder {
            "" => dir.try_clone(),
            folder => dir.open_dir(folder),
        };
        let has_not = opened.and_then(|dir| {
            for entry in dir.entries()? {
                if let Some(name) = entry?.file_name().to_str() {
                    missing.remove(name);
                }
            }
            Ok(())
        });
        if has_not.is_err() {
            missing.clear();
        }
    }
    let is_missing = |path: &Path| {
        let (folder, base) = (path.parent()?.to_str()?, path.file_name()?.to_str()?);
        looked.get(folder)?.contains(base).then_some(())
    };
    let has_none = |name: &&Name| {
        let mut above = Path::new(name.as_str()).ancestors();
        above.any(|path| is_missing(path).is_some())
    };
    there.into_iter().filter(has_none).collect()
}

/// A name with all small letters large and the other way round, if it has any.
pub(super) fn in_other_letters(base: &OsStr) -> Option<String> {
    let base = base.to_str()?;
    let swapped = |letter: char| {
        let one = if letter.is_lowercase() {
            letter.to_uppercase().next()
        } else {
            letter.to_lowercase().next()
        };
        one.unwrap_or(letter)
    };
    let other: String = base.chars().map(swapped).collect();
    (other != base).then_some(other)
}

/// What a folder has.
pub(super) fn names_in(dir: &Dir) -> io::Result<HashSet<OsString>> {
    dir.entries()?.map(|entry| Ok(entry?.file_name())).collect()
}
