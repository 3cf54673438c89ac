//! Reads what is in a folder, or the files below it whose paths have some words.
//!
//! Both are parts of the node's own view, read page by page. What all peers have said is no part
//! of it: that is looked through here, by the same words.

use std::collections::BTreeSet;

use thorp_node::Words;
use thorp_node::api::FileRow;
use thorp_node::snapshot::{Ask, At, Page, Part, RowKey, SnapshotRow, TrackedFile};

use crate::sorting::names;

/// The most rows of a page.
const AT_ONCE: usize = 500;
/// The most items that are read.
pub const MOST: usize = 5000;
/// The most holders that a row names: among them this peer is looked for.
const HOLDERS: usize = 40;

/// A folder or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderItem {
    /// A folder, by its path with a `/` at its end.
    Folder(String),
    File(FoundFile),
}

/// A file, as far as a list of files shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    pub name: String,
    pub length: u64,
    pub mtime: i64,
    pub root: Option<String>,
    /// Whether another content has the same name.
    pub has_twin: bool,
    /// The ids of its first holders.
    pub holders: Vec<String>,
    /// The number of members that have all of it or a part of it.
    pub holders_total: u64,
}

/// Items, of which there are [`MOST`] at most.
#[derive(Debug, Default, PartialEq)]
pub struct Items {
    items: Vec<FolderItem>,
    /// Whether there are more.
    pub are_cut: bool,
}

/// A reading, which goes on until it `is_over`.
#[derive(Debug)]
pub struct FolderReader {
    ask: Ask,
    folder: String,
    found: Items,
    pub is_over: bool,
}

impl FolderItem {
    /// Returns its whole path.
    pub fn path(&self) -> &str {
        match self {
            Self::Folder(path) => path,
            Self::File(file) => &file.name,
        }
    }
}

impl FolderReader {
    /// Begins to read a folder, by its path with a `/` at its end, or by nothing for the top. With
    /// a filter, all files below it are searched.
    pub fn new(folder: &str, filter: &str) -> Self {
        let (part, at) = if filter.trim().is_empty() {
            let path = folder.trim_end_matches('/').to_owned();
            (Part::Folder { path }, At::Start)
        } else {
            let words = filter.to_owned();
            (Part::Found { words }, before(folder))
        };
        let ask = Ask {
            part,
            at,
            limit: AT_ONCE,
            names: HOLDERS,
        };
        Self {
            // No name has more words than may be asked for.
            is_over: !ask.is_possible(),
            ask,
            folder: folder.to_owned(),
            found: Items::default(),
        }
    }

    /// Returns the request for the next page.
    pub fn ask(&self) -> Ask {
        self.ask.clone()
    }

    /// Takes the answer.
    pub fn take(&mut self, page: Page) {
        let next = page.next(&self.ask);
        let reached = page.reached.as_ref();
        let is_past = reached.is_some_and(|key| self.is_past(key));
        for row in page.rows {
            let item = match row {
                SnapshotRow::Folder(folder) => FolderItem::Folder(format!("{}/", folder.name)),
                SnapshotRow::File(file) if file.name.starts_with(&self.folder) => {
                    FolderItem::File(FoundFile::of_all(file))
                }
                _ => continue,
            };
            if !self.found.add(item) {
                self.is_over = true;
                return;
            }
        }
        match next {
            Some(next) if !is_past => self.ask = next,
            _ => self.is_over = true,
        }
    }

    /// Returns what was found.
    pub fn finish(self) -> Items {
        self.found
    }

    /// Whether a place is behind everything in the folder.
    fn is_past(&self, key: &RowKey) -> bool {
        let RowKey::File { name, .. } = key else {
            return false;
        };
        *name > self.folder && !name.starts_with(&self.folder)
    }
}

/// Returns a place before everything in a folder.
fn before(folder: &str) -> At {
    if folder.is_empty() {
        return At::Start;
    }
    At::After(RowKey::File {
        name: format!("{folder}\u{1}"),
        nth: 0,
    })
}

/// Returns what is in a folder of what all peers have, or with a filter the files below it.
pub fn among(rows: &[FileRow], folder: &str, filter: &str) -> Items {
    let mut found = Items::default();
    let Some(words) = Words::new(filter) else {
        return found;
    };
    let is_searched = !filter.trim().is_empty();
    let mut folders = BTreeSet::new();
    for row in rows {
        let Some(rest) = row.name.strip_prefix(folder) else {
            continue;
        };
        let item = match rest.split_once('/') {
            Some((child, _)) if !is_searched => {
                if !folders.insert(child) {
                    continue;
                }
                FolderItem::Folder(format!("{folder}{child}/"))
            }
            _ if words.matches(&row.name) => FolderItem::File(FoundFile::of_one(row)),
            _ => continue,
        };
        if !found.add(item) {
            break;
        }
    }
    found
}

impl Items {
    /// Adds an item. Returns whether there is room for more.
    fn add(&mut self, item: FolderItem) -> bool {
        self.are_cut = self.items.len() == MOST;
        if !self.are_cut {
            self.items.push(item);
        }
        !self.are_cut
    }

    /// Returns them in order: folders first, numbers in names as people count them.
    pub fn sorted(mut self) -> Vec<FolderItem> {
        self.items.sort_by(|a, b| {
            let is_file = |item: &FolderItem| matches!(item, FolderItem::File(_));
            is_file(a)
                .cmp(&is_file(b))
                .then_with(|| names(a.path(), b.path()))
        });
        self.items
    }
}

impl FoundFile {
    fn of_all(file: TrackedFile) -> Self {
        Self {
            name: file.name,
            length: file.length,
            mtime: file.mtime,
            root: file.root,
            has_twin: file.has_twin,
            holders_total: file.holders_total + file.partial_total,
            holders: file.holders.into_iter().map(|holder| holder.id).collect(),
        }
    }

    fn of_one(file: &FileRow) -> Self {
        let holders = file.holders.iter().map(|holder| holder.member.id.clone());
        let holders: Vec<String> = holders.collect();
        Self {
            name: file.name.clone(),
            length: file.length,
            mtime: file.mtime,
            root: file.root.clone(),
            has_twin: false,
            holders_total: holders.len() as u64,
            holders,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::story::Shown;

    /// Reads all, and returns what was found and which parts were asked for.
    fn read(shown: &Shown, folder: &str, filter: &str) -> (Vec<String>, Vec<Part>) {
        let mut reader = FolderReader::new(folder, filter);
        let mut asked = Vec::new();
        while !reader.is_over {
            let ask = reader.ask();
            reader.take(shown.page(&ask));
            asked.push(ask.part);
            assert!(asked.len() < 1000, "it does not end");
        }
        let found = reader.finish().sorted();
        let paths = found.iter().map(|item| item.path().to_owned());
        (paths.collect(), asked)
    }

    fn village(names: &[&str]) -> Shown {
        Shown::of(&[("10.0.0.1", names, &[])])
    }

    #[test]
    fn a_folder_and_a_search_are_the_nodes_own_view() {
        let shown = village(&[
            "10.txt", "2.txt", "a", "a b/x", "a-/x", "a.txt", "a/1", "a/b/c/d", "a/b/e", "a0",
            "z/1",
        ]);
        let (all, asked) = read(&shown, "", "");
        assert_eq!(
            all,
            [
                "a b/", "a-/", "a/", "z/", "2.txt", "10.txt", "a", "a.txt", "a0"
            ]
        );
        let path = String::new();
        assert_eq!(asked, [Part::Folder { path }]);
        assert_eq!(read(&shown, "a/", "").0, ["a/b/", "a/1"]);
        assert_eq!(read(&shown, "a/b/", "").0, ["a/b/c/", "a/b/e"]);
        assert_eq!(read(&shown, "none/", "").0, [""; 0]);
        let (found, asked) = read(&shown, "a/", "b");
        assert_eq!(found, ["a/b/c/d", "a/b/e"]);
        let words = "b".to_owned();
        assert_eq!(asked, [Part::Found { words }]);
    }

    #[test]
    fn words_match_anywhere_in_a_path_below_the_folder_in_any_case() {
        let names = [
            "Slides/Monday.pdf",
            "Slides/notes.txt",
            "monday.txt",
            "x/slides monday",
        ];
        let shown = village(&names);
        let rows = names.map(samples::file);
        for (folder, filter, expected) in [
            (
                "",
                "slides MONDAY",
                &["Slides/Monday.pdf", "x/slides monday"][..],
            ),
            ("Slides/", "day", &["Slides/Monday.pdf"]),
            ("x/", "notes", &[]),
        ] {
            assert_eq!(read(&shown, folder, filter).0, expected);
            let all = among(&rows, folder, filter).sorted();
            let paths: Vec<&str> = all.iter().map(FolderItem::path).collect();
            assert_eq!(paths, expected);
        }
        let too_many = "a ".repeat(Words::MOST + 1);
        assert_eq!(read(&shown, "", &too_many).0, [""; 0]);
        assert_eq!(among(&rows, "", &too_many), Items::default());
    }

    #[test]
    fn what_all_peers_have_is_folders_as_well() {
        let rows = ["b/1", "a/1", "b/2", "b/c/3", "z.txt"].map(samples::file);
        let paths = |folder: &str| -> Vec<String> {
            let all = among(&rows, folder, "").sorted();
            all.iter().map(|item| item.path().to_owned()).collect()
        };
        assert_eq!(paths(""), ["a/", "b/", "z.txt"]);
        assert_eq!(paths("b/"), ["b/c/", "b/1", "b/2"]);
    }

    #[test]
    fn no_more_is_read_than_there_is_room_for() {
        let names: Vec<String> = (0..MOST + 700).map(|n| format!("{n:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let shown = village(&names);
        let mut reader = FolderReader::new("", "");
        while !reader.is_over {
            reader.take(shown.page(&reader.ask()));
        }
        let found = reader.finish();
        assert!(found.are_cut);
        assert_eq!(found.sorted().len(), MOST);
    }
}
