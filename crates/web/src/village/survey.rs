//! The files of a folder, as the whole village lists them: asked for by one request at a time, and
//! remembered for a moment.
//!
//! A program that goes through a tree asks for one folder after the other. Every answer has all
//! that is beneath its folder, so those beneath it need no answer of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thorp_node::api::{Command, Event, Failure, FileRow};
use thorp_node::{Name, reserved};

use crate::served::AskNode;

/// How old an answer may be that is told again.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// How long it is known which folder was asked for: of those beneath it, it is asked again.
const KNOWN_FOR: Duration = Duration::from_mins(10);
/// The most files of an answer that is remembered, and the most bytes of their names.
const MOST_FILES: usize = 100_000;
const MOST_NAMES: usize = 16 << 20;

/// Whose files are wanted.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The folder; empty for all there is.
    pub(crate) folder: &'a str,
    /// The only peer to ask.
    pub(crate) from: Option<&'a str>,
}

/// The question that goes on, and the last answer.
#[derive(Default)]
pub(crate) struct Surveys(tokio::sync::Mutex<Option<Survey>>);

/// An answer.
struct Survey {
    /// The folder; empty for all there is.
    folder: String,
    /// The only peer that was asked.
    from: Option<String>,
    since: Instant,
    files: Arc<Vec<File>>,
}

/// A file, as far as listings tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) length: u64,
    pub(crate) mtime: i64,
    pub(crate) root: Option<String>,
}

impl From<FileRow> for File {
    fn from(row: FileRow) -> Self {
        Self {
            name: row.name,
            length: row.length,
            mtime: row.mtime,
            root: row.root,
        }
    }
}

/// What a listing is told besides its files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// How many hidden files are left out.
    pub(crate) hidden: u64,
    /// How old it is, in seconds.
    pub(crate) age: u64,
}

impl Surveys {
    /// Tells the files of a folder, each with its path in it, as the village listed them a moment
    /// ago at most. If not all of them are known, that is a failure.
    pub(crate) async fn each_in(
        &self,
        node: &AskNode,
        wanted: Wanted<'_>,
        mut each: impl FnMut(&str, File),
    ) -> Result<Told, Failure> {
        let mut last = self.0.lock().await;
        let above = last.as_ref().filter(|last| last.covers(wanted));
        if let Some(fresh) = above.filter(|last| last.since.elapsed() < GOOD_FOR) {
            let (files, age) = (Arc::clone(&fresh.files), fresh.since.elapsed().as_secs());
            drop(last);
            let mut sorted = Sorted::of(wanted);
            for file in files.iter() {
                sorted.each(file.clone(), &mut each);
            }
            return Ok(Told {
                hidden: sorted.hidden,
                age,
            });
        }
        let folder = above
            .map_or(wanted.folder, |above| &above.folder)
            .to_owned();
        *last = None;
        let mut files = Some(Vec::new());
        let mut names = 0;
        let mut sorted = Sorted::of(wanted);
        ask(node, wanted.from, &folder, |row| {
            let file = File::from(row);
            if let Some(kept) = &mut files {
                names += file.name.len();
                kept.push(file.clone());
                if kept.len() > MOST_FILES || names > MOST_NAMES {
                    files = None;
                }
            }
            sorted.each(file, &mut each);
        })
        .await
        .map_err(|failure| match failure {
            // Without the folder above there is none beneath it.
            Failure::NoFolderCalled { .. } => Failure::NoFolderCalled {
                folder: wanted.folder.to_owned(),
            },
            other => other,
        })?;
        *last = files.map(|files| Survey {
            folder,
            from: wanted.from.map(str::to_owned),
            since: Instant::now(),
            files: Arc::new(files),
        });
        drop(last);
        Ok(Told {
            hidden: sorted.hidden,
            age: 0,
        })
    }

    /// Tells the rows of a folder's files as they are at this moment. If not all of them are known,
    /// that is a failure.
    pub(crate) async fn each_now(
        &self,
        node: &AskNode,
        wanted: Wanted<'_>,
        mut each: impl FnMut(FileRow),
    ) -> Result<(), Failure> {
        let _turn = self.0.lock().await;
        ask(node, wanted.from, wanted.folder, |row| {
            if is_told(wanted.folder, &row.name) {
                each(row);
            }
        })
        .await
    }
}

async fn ask(
    node: &AskNode,
    from: Option<&str>,
    folder: &str,
    mut each: impl FnMut(FileRow),
) -> Result<(), Failure> {
    let folder = Some(folder.to_owned()).filter(|folder| !folder.is_empty());
    let command = Command::Ls {
        peer: from.map(str::to_owned),
        folder,
    };
    let mut events = node(command);
    while let Some(event) = events.recv().await {
        match event {
            Event::File(mut row) => {
                // A village lists every file at each of its members, and nobody looks at those.
                row.holders = Vec::new();
                each(row);
            }
            Event::Done(_) => return Ok(()),
            Event::Error(failure) => return Err(failure),
            _ => {}
        }
    }
    Err(Failure::AnswerCutShort)
}

impl Survey {
    /// Whether its folder is the wanted one, or above it, and no other peers were asked.
    fn covers(&self, wanted: Wanted<'_>) -> bool {
        let is_above = self.folder.is_empty()
            || self.folder == wanted.folder
            || beneath(&self.folder, wanted.folder).is_some();
        is_above && self.from.as_deref() == wanted.from && self.since.elapsed() < KNOWN_FOR
    }
}

/// Files that are told, and those that are hidden.
struct Sorted<'a> {
    folder: &'a str,
    hidden: u64,
}

impl<'a> Sorted<'a> {
    fn of(wanted: Wanted<'a>) -> Self {
        Self {
            folder: wanted.folder,
            hidden: 0,
        }
    }

    fn each(&mut self, file: File, each: &mut impl FnMut(&str, File)) {
        let Some(path) = beneath(self.folder, &file.name).map(str::to_owned) else {
            return;
        };
        if is_told(self.folder, &file.name) {
            each(&path, file);
        } else {
            self.hidden += 1;
        }
    }
}

/// Returns the path of a file in a folder; `None` if it is elsewhere.
fn beneath<'a>(folder: &str, name: &'a str) -> Option<&'a str> {
    let path = if folder.is_empty() {
        name
    } else {
        name.strip_prefix(folder)?.strip_prefix('/')?
    };
    (!path.is_empty()).then_some(path)
}

/// Whether a file is in a folder, and not hidden there: in a folder that was named with its whole
/// path nothing is hidden by that path.
fn is_told(folder: &str, name: &str) -> bool {
    let path = beneath(folder, name).and_then(|path| path.parse::<Name>().ok());
    path.is_some_and(|path| !reserved::acts_unasked(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> File {
        File {
            name: name.to_owned(),
            length: 1,
            mtime: 0,
            root: None,
        }
    }

    fn wanted<'a>(folder: &'a str, from: Option<&'a str>) -> Wanted<'a> {
        Wanted { folder, from }
    }

    #[test]
    fn an_answer_covers_what_is_beneath_its_folder_of_the_same_peer() {
        let survey = |folder: &str| Survey {
            folder: folder.to_owned(),
            from: Some("oak".to_owned()),
            since: Instant::now(),
            files: Arc::default(),
        };
        for name in ["a", "a/b", "a/b/c"] {
            assert!(survey("a").covers(wanted(name, Some("oak"))), "{name}");
            assert!(survey("").covers(wanted(name, Some("oak"))), "{name}");
            assert!(!survey("a").covers(wanted(name, None)), "{name}");
            assert!(!survey("a").covers(wanted(name, Some("elm"))), "{name}");
        }
        for name in ["", "ab", "b/a"] {
            assert!(!survey("a").covers(wanted(name, Some("oak"))), "{name}");
        }
    }

    #[test]
    fn what_is_hidden_in_a_folder_is_counted_and_no_other_folder_is_told() {
        let wanted = wanted("a/.b", None);
        let mut sorted = Sorted::of(wanted);
        let mut told = Vec::new();
        for name in ["a/.b/x", "a/.b/.c", "a/.b/d/.e", "a/.bc", "a/x", "a/.b"] {
            sorted.each(file(name), &mut |path: &str, _| told.push(path.to_owned()));
        }
        assert_eq!((told, sorted.hidden), (vec!["x".to_owned()], 2));
    }
}
