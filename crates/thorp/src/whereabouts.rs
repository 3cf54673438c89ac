//! Says once at the end of an answer where fetched files are, and, once for each state directory,
//! why there.
//!
//! A user who types `thorp get` expects the file in the current directory. If a peer runs, it is
//! in the peer's share.

use std::fs::File;
use std::path::{Path, PathBuf};

use thorp_disk::DiskThread;
use thorp_node::api::{Fetched, Get};
use thorp_node::launch::TOLD_WHERE;

use crate::quoting::quoted;
use crate::units;

const WHY: &str = "A peer runs on this machine, so what is fetched goes into the directory that it \
shares, and others find it there. To have it elsewhere: -o DIR";

/// Where the files of an answer are.
#[derive(Debug)]
pub struct Whereabouts {
    here: PathBuf,
    /// Whether to say why they are there.
    explains: bool,
    has_explained: bool,
    elsewhere: u64,
    /// The path of the last of these files.
    last: PathBuf,
    /// The directories where the files are, without the folders of their names.
    roots: Vec<PathBuf>,
}

impl Whereabouts {
    /// Starts with a fetch that is typed in the directory `here`. Explains why files are elsewhere
    /// if that `is_new` to the user, unless the user has named a directory.
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

    /// Whether the reason was given, so that the user knows from now on.
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

    /// Returns where the files are, if not in the current directory; with the reason the first
    /// time.
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

    /// Returns a path as it can be typed in the current directory.
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

/// Whether the reason was never given to the user, according to the state directory.
pub fn is_new(_: DiskThread, state: &Path) -> bool {
    !state.join(TOLD_WHERE).exists()
}

/// Records that the reason was given. If that fails, it will be given again.
pub fn explained(_: DiskThread, state: &Path) {
    let _ = File::create_new(state.join(TOLD_WHERE));
}

/// Returns the directory where a file is: its path without the file's name.
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
    fn a_file_elsewhere_is_told_with_its_path_and_once_with_the_reason() {
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
    fn the_reason_is_new_once_for_each_state_directory() {
        use thorp_disk::testing::DISK;
        let state = tempfile::tempdir().expect("a directory");
        assert!(is_new(DISK, state.path()));
        explained(DISK, state.path());
        assert!(!is_new(DISK, state.path()));
    }
}
