//! Where fetched files are now, said once at the end of an answer; and why there, said
//! once for a state directory.
//!
//! A user who types `thorp get` looks for the file where that was typed. With a peer
//! running it is in the peer's share.

use std::fs::File;
use std::path::{Path, PathBuf};

use thorp_disk::DiskThread;
use thorp_node::api::{Fetched, Get};
use thorp_node::launch::TOLD_WHERE;

use crate::quoting::quoted;
use crate::units;

const WHY: &str = "A peer runs on this machine, so what is fetched goes into the directory that it \
shares, and others find it there. To have it elsewhere: -o DIR";

/// Where the files of one answer went.
#[derive(Debug)]
pub struct Whereabouts {
    here: PathBuf,
    /// Whether it is said why.
    explains: bool,
    has_explained: bool,
    elsewhere: u64,
    /// The last of these.
    last: PathBuf,
    /// The directories that they were put into, with the folders of their names.
    roots: Vec<PathBuf>,
}

impl Whereabouts {
    /// For a fetch that is typed in the directory `here`. It is said why files go
    /// elsewhere, if `is_new` to the user, who has not said where.
    pub fn new(get: &Get, here: PathBuf, is_new: bool) -> Self {
        Self {
            here,
            explains: is_new && get.dir.is_none(),
            has_explained: false,
            elsewhere: 0,
            last: PathBuf::new(),
            roots: Vec::new(),
        }
    }

    /// Whether it was said why: the user knows from now on.
    pub fn has_explained(&self) -> bool {
        self.has_explained
    }

    /// A file has arrived.
    pub fn on_fetched(&mut self, fetched: &Fetched) {
        if fetched.path == self.here.join(&fetched.name) {
            return;
        }
        self.elsewhere += 1;
        self.last.clone_from(&fetched.path);
        let root = root_of(fetched);
        if !self.roots.contains(&root) {
            self.roots.push(root);
        }
    }

    /// Where the files are that are not simply here; and why, the first time ever.
    pub fn said(&mut self) -> Option<String> {
        let place = match (std::mem::take(&mut self.elsewhere), &self.roots[..]) {
            (0, _) => return None,
            (1, _) => format!("It is {}.", self.shown(&self.last)),
            (files, [root]) => {
                format!(
                    "{} are in {}.",
                    units::count(files, "file"),
                    self.shown(root)
                )
            }
            (files, roots) => {
                let roots: Vec<String> = roots.iter().map(|root| self.shown(root)).collect();
                let files = units::count(files, "file");
                format!("{files} are in {}.", roots.join(" and "))
            }
        };
        self.roots.clear();
        if !std::mem::take(&mut self.explains) {
            return Some(place);
        }
        self.has_explained = true;
        Some(format!("{place}\n{WHY}"))
    }

    /// A path as it is typed from here.
    fn shown(&self, path: &Path) -> String {
        let beneath = path.strip_prefix(&self.here).unwrap_or(path);
        let shown = if beneath.as_os_str().is_empty() {
            Path::new(".")
        } else {
            beneath
        };
        quoted(&shown.to_string_lossy())
    }
}

/// Whether the user was never told why, by what is in the state directory.
pub fn is_new(_: DiskThread, state: &Path) -> bool {
    !state.join(TOLD_WHERE).exists()
}

/// The user was told why. Where that cannot be written down, it is said again.
pub fn explained(_: DiskThread, state: &Path) {
    let _ = File::create_new(state.join(TOLD_WHERE));
}

/// The directory that a file was put into: its path without its name.
fn root_of(fetched: &Fetched) -> PathBuf {
    if fetched.path.ends_with(&fetched.name) {
        let folders = Path::new(&fetched.name).components().count();
        let root = fetched.path.ancestors().nth(folders);
        return root.unwrap_or(Path::new("/")).to_owned();
    }
    fetched.path.parent().unwrap_or(&fetched.path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use thorp_node::api::AnswerSource;

    fn fetched(name: &str, path: &str) -> Fetched {
        Fetched {
            name: name.to_owned(),
            path: path.into(),
            ..samples::fetched(AnswerSource::Memory)
        }
    }

    fn said(is_new: bool, get: &Get, files: &[(&str, &str)]) -> Option<String> {
        let mut places = Whereabouts::new(get, "/home/ann".into(), is_new);
        for (name, path) in files {
            places.on_fetched(&fetched(name, path));
        }
        let said = places.said();
        assert_eq!(
            places.has_explained(),
            said.as_ref().is_some_and(|said| said.contains(WHY))
        );
        said
    }

    #[test]
    fn a_file_that_is_not_simply_here_is_told_of_with_its_path_and_once_why() {
        let get = Get::default();
        let here = [("a", "/home/ann/a"), ("d/b", "/home/ann/d/b")];
        assert_eq!(said(true, &get, &here), None);
        let first = said(true, &get, &[("a", "/home/ann/share/a")]);
        assert_eq!(first, Some(format!("It is share/a.\n{WHY}")));
        for (files, expected) in [
            (vec![("a", "/srv/x/a")], "It is /srv/x/a."),
            (vec![("a", "/srv/my share/a")], "It is \"/srv/my share/a\"."),
            (
                vec![("a", "/srv/a"), ("d/b", "/srv/d/b")],
                "2 files are in /srv.",
            ),
            (
                vec![("a", "/home/ann/s/a"), ("d/b", "/home/ann/s/d/b")],
                "2 files are in s.",
            ),
        ] {
            assert_eq!(said(false, &get, &files).as_deref(), Some(expected));
        }
        let elsewhere = Get {
            dir: Some("/tmp/x".into()),
            ..get
        };
        let said = said(true, &elsewhere, &[("a", "/tmp/x/a")]);
        assert_eq!(said.as_deref(), Some("It is /tmp/x/a."), "the user knows");
    }

    #[test]
    fn it_is_new_once_for_a_state_directory() {
        use thorp_disk::testing::DISK;
        let state = tempfile::tempdir().expect("a directory");
        assert!(is_new(DISK, state.path()));
        explained(DISK, state.path());
        assert!(!is_new(DISK, state.path()));
    }
}
