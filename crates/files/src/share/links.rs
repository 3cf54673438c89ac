//! Symbolic links of the share: where each leads, and what that depends on.
//!
//! A link to a shared file is listed as one more name of that file. The link itself is never
//! opened: readers get the file under its own name, so a link that is changed after it was
//! followed leads no reader out of the share. Links to folders are not followed, since the
//! content of the folder is already shared under its own names.
//!
//! This module owns how a link is followed, step by step relative to the share's handle. Nothing
//! outside the share is examined. The index owns the names.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};

use cap_std::fs::Dir;
use thorp_wire::Name;

use super::errors::says_no;
use super::left_out::LeftOutCause;
use super::rules::Rules;

/// The maximum number of links on the way to a file, as in the kernel; more count as a circle.
const MOST: usize = 40;

/// The result of following a link.
pub(super) struct Followed {
    /// The file that the link is another name of, or why there is none.
    pub end: Result<Name, NoFile>,
    /// The links on the way and the path at the end. If one of them changes, the link may lead
    /// elsewhere.
    pub by: BTreeSet<PathBuf>,
}

/// Why a link is not another name of a file.
pub(super) enum NoFile {
    /// It leads to no file of the share.
    LeftOut(LeftOutCause),
    /// The disk does not tell now where it leads.
    NotNow(io::Error),
}

impl From<LeftOutCause> for NoFile {
    fn from(cause: LeftOutCause) -> Self {
        Self::LeftOut(cause)
    }
}

impl NoFile {
    /// Something on the way cannot be looked at.
    fn after(error: io::Error) -> Self {
        if says_no(&error) {
            LeftOutCause::LinkBroken.into()
        } else {
            Self::NotNow(error)
        }
    }
}

/// Follows a link of the share. `roots` are the full paths of the share, which a link may
/// contain.
pub(super) fn follow(dir: &Dir, roots: &[PathBuf], rules: &mut Rules, link: &Path) -> Followed {
    let mut by = BTreeSet::new();
    let end = end_of(dir, roots, link, &mut by);
    if let Ok(end) = &end {
        by.insert(end.clone());
    }
    Followed {
        end: end.and_then(|path| file_at(dir, rules, &path)),
        by,
    }
}

/// The position while a link is followed.
enum Place {
    /// A path relative to the share, without links in it.
    Inside(PathBuf),
    /// A full path that may still lead into the share.
    Above(PathBuf),
}

fn end_of(
    dir: &Dir,
    roots: &[PathBuf],
    link: &Path,
    by: &mut BTreeSet<PathBuf>,
) -> Result<PathBuf, NoFile> {
    let mut place = Place::Inside(PathBuf::new());
    // The next step is the last element.
    let mut steps = Vec::new();
    let mut links = 0;
    let push = |steps: &mut Vec<PathBuf>, path: &Path| {
        let parts = path.components().rev();
        let parts =
            parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
        steps.extend(parts.map(|part| PathBuf::from(part.as_os_str())));
    };
    push(&mut steps, link);
    while let Some(step) = steps.pop() {
        let is_up = step.as_os_str() == "..";
        match &mut place {
            Place::Inside(path) if is_up => {
                if !path.pop() {
                    let above = roots.first().and_then(|root| root.parent());
                    place = Place::Above(above.unwrap_or(Path::new("/")).to_owned());
                }
            }
            Place::Above(path) if is_up => {
                path.pop();
            }
            Place::Above(path) => {
                path.push(step);
                if roots.contains(path) {
                    place = Place::Inside(PathBuf::new());
                } else if !roots.iter().any(|root| root.starts_with(&path)) {
                    return Err(LeftOutCause::LinkOut.into());
                }
            }
            Place::Inside(path) => {
                path.push(step);
                let next = path.clone();
                let meta = dir.symlink_metadata(&next).map_err(|error| {
                    by.insert(next.clone());
                    NoFile::after(error)
                })?;
                if !meta.is_symlink() {
                    continue;
                }
                path.pop();
                links += 1;
                let leads = dir.read_link_contents(&next);
                by.insert(next);
                let leads = leads.map_err(NoFile::after)?;
                if links > MOST {
                    return Err(LeftOutCause::LinkBroken.into());
                }
                if leads.is_absolute() {
                    place = Place::Above("/".into());
                }
                push(&mut steps, &leads);
            }
        }
    }
    match place {
        Place::Inside(path) => Ok(path),
        Place::Above(_) => Err(LeftOutCause::LinkOut.into()),
    }
}

/// Returns the name of the file at this path, if it is shared.
fn file_at(dir: &Dir, rules: &mut Rules, path: &Path) -> Result<Name, NoFile> {
    if path.as_os_str().is_empty() {
        return Err(LeftOutCause::LinkToFolder.into());
    }
    let meta = dir.symlink_metadata(path).map_err(NoFile::after)?;
    if rules.leave_out(dir, path, meta.is_dir()).is_some() {
        return Err(LeftOutCause::LinkToLeftOut.into());
    }
    if meta.is_dir() {
        return Err(LeftOutCause::LinkToFolder.into());
    }
    let name = path.to_str().and_then(|path| path.parse().ok());
    name.filter(|_| meta.is_file())
        .ok_or_else(|| LeftOutCause::LinkToLeftOut.into())
}

/// The dependencies of each link.
#[derive(Default)]
pub(super) struct Links {
    /// The paths on which each link depends.
    paths_of: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Pairs of a path and a link that depends on it.
    dependents: BTreeSet<(PathBuf, PathBuf)>,
}

impl Links {
    /// A link has been followed.
    pub fn on_followed(&mut self, link: &Path, by: BTreeSet<PathBuf>) {
        self.forget(link);
        let pairs = by.iter().map(|path| (path.clone(), link.to_owned()));
        self.dependents.extend(pairs);
        self.paths_of.insert(link.to_owned(), by);
    }

    /// A path is no longer a link, or no longer exists.
    pub fn forget(&mut self, link: &Path) {
        for path in self.paths_of.remove(link).into_iter().flatten() {
            self.dependents.remove(&(path, link.to_owned()));
        }
    }

    /// Returns the links that depend on a path, or on one beneath it.
    pub fn depending_on(&self, path: &Path) -> BTreeSet<PathBuf> {
        let from = (path.to_owned(), PathBuf::new());
        let pairs = self
            .dependents
            .range((Bound::Included(from), Bound::Unbounded));
        let beneath = pairs.take_while(|(on, _)| on.starts_with(path));
        beneath.map(|(_, link)| link.clone()).collect()
    }
}
