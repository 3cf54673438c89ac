//! Reads the content of a folder, or the files below it whose names match words, page by page.
//!
//! A folder of a village is no row of the snapshot: it is what its files have in common. So of each
//! folder in a folder only the first file is read, and what follows its last one is asked for.

use thorp_node::api::FileRow;
use thorp_node::snapshot::{Ask, At, Page, Part, RowKey, SnapshotRow, TrackedFile};

use crate::sorting::names;

/// The most rows of a page.
const AT_ONCE: usize = 500;
/// The most items that are read.
pub const MOST: usize = 5000;
/// The most holders that a row names: among them this peer is looked for.
const HOLDERS: usize = 40;
/// The longest part of a name, in bytes.
const LONGEST_PART: usize = 255;

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

/// A reading, which goes on until it `is_over`.
#[derive(Debug)]
pub struct FolderReader {
    part: Part,
    folder: String,
    /// The words that a name must have, in lower case. Without one, the folder itself is read.
    words: Vec<String>,
    at: At,
    found: Vec<FolderItem>,
    pub is_over: bool,
    /// Whether there is more than [`MOST`].
    pub is_cut: bool,
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
    /// Begins to read a folder: its path with a `/` at its end, or nothing for all files.
    pub fn new(part: Part, folder: &str, filter: &str) -> Self {
        let at = if folder.is_empty() {
            At::Start
        } else {
            // No name in the folder comes before this one.
            from(format!("{folder}\u{1}"))
        };
        Self {
            part,
            folder: folder.to_owned(),
            words: filter.split_whitespace().map(str::to_lowercase).collect(),
            at,
            found: Vec::new(),
            is_over: false,
            is_cut: false,
        }
    }

    /// Returns the request for the next page.
    pub fn ask(&self) -> Ask {
        Ask {
            part: self.part.clone(),
            at: self.at.clone(),
            limit: AT_ONCE,
            names: HOLDERS,
        }
    }

    /// Takes the answer.
    pub fn take(&mut self, page: Page) {
        let Some(last) = page.rows.last().and_then(SnapshotRow::key) else {
            self.is_over = true;
            return;
        };
        for row in page.rows {
            let Some(file) = FoundFile::of(row) else {
                continue;
            };
            // All of another answer's files are one page, which begins before the folder.
            if file.name < self.folder {
                continue;
            }
            let Some(rest) = file.name.strip_prefix(&self.folder) else {
                self.is_over = true;
                return;
            };
            let item = match rest.split_once('/') {
                Some((child, _)) if self.words.is_empty() => {
                    let path = format!("{}{child}/", self.folder);
                    if matches!(self.found.last(), Some(FolderItem::Folder(last)) if *last == path)
                    {
                        continue;
                    }
                    FolderItem::Folder(path)
                }
                _ if self.matches(rest) => FolderItem::File(file),
                _ => continue,
            };
            if self.found.len() == MOST {
                (self.is_over, self.is_cut) = (true, true);
                return;
            }
            self.found.push(item);
        }
        self.is_over = !page.more;
        self.at = self.behind(last);
    }

    /// Returns what was found: folders first, numbers in names as people count them.
    pub fn finish(self) -> Vec<FolderItem> {
        let mut found = self.found;
        found.sort_by(|a, b| {
            let is_file = |item: &FolderItem| matches!(item, FolderItem::File(_));
            is_file(a)
                .cmp(&is_file(b))
                .then_with(|| names(a.path(), b.path()))
        });
        found
    }

    fn matches(&self, rest: &str) -> bool {
        let rest = rest.to_lowercase();
        self.words.iter().all(|word| rest.contains(word))
    }

    /// Returns the place behind this row, and behind the folder that it is in.
    fn behind(&self, last: RowKey) -> At {
        if let (Some(FolderItem::Folder(path)), RowKey::File { name, .. }) =
            (self.found.last(), &last)
            && name.starts_with(path)
        {
            let path = path.trim_end_matches('/');
            let part = path.rsplit('/').next().unwrap_or_default();
            if part.len() < LONGEST_PART {
                // Of all bytes this one follows the `/`.
                return from(format!("{path}0"));
            }
        }
        At::After(last)
    }
}

fn from(name: String) -> At {
    At::From(RowKey::File { name, nth: 0 })
}

impl FoundFile {
    fn of(row: SnapshotRow) -> Option<Self> {
        match row {
            SnapshotRow::File(file) => Some(Self::of_all(file)),
            SnapshotRow::Listed(file) => Some(Self::of_one(file)),
            _ => None,
        }
    }

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

    fn of_one(file: FileRow) -> Self {
        let holders = file.holders.into_iter().map(|holder| holder.member.id);
        let holders: Vec<String> = holders.collect();
        Self {
            name: file.name,
            length: file.length,
            mtime: file.mtime,
            root: file.root,
            has_twin: false,
            holders_total: holders.len() as u64,
            holders,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Shown;

    /// Reads all, and returns what was found and in how many pages.
    fn read(shown: &Shown, folder: &str, filter: &str) -> (Vec<String>, usize) {
        let mut reader = FolderReader::new(Part::Files, folder, filter);
        let mut pages = 0;
        while !reader.is_over {
            reader.take(shown.page(&reader.ask()));
            pages += 1;
            assert!(pages < 1000, "it does not end");
        }
        let found = reader.finish();
        (
            found.iter().map(|item| item.path().to_owned()).collect(),
            pages,
        )
    }

    fn village(names: &[&str]) -> Shown {
        Shown::of(&[("10.0.0.1", names, &[])])
    }

    #[test]
    fn a_folder_is_what_its_files_have_in_common() {
        let shown = village(&[
            "10.txt", "2.txt", "a", "a b/x", "a-/x", "a.txt", "a/1", "a/b/c/d", "a/b/e", "a0",
            "z/1",
        ]);
        let (all, _) = read(&shown, "", "");
        assert_eq!(
            all,
            [
                "a b/", "a-/", "a/", "z/", "2.txt", "10.txt", "a", "a.txt", "a0"
            ]
        );
        assert_eq!(read(&shown, "a/", "").0, ["a/b/", "a/1"]);
        assert_eq!(read(&shown, "a/b/", "").0, ["a/b/c/", "a/b/e"]);
        assert_eq!(read(&shown, "none/", "").0, [""; 0]);
    }

    #[test]
    fn of_a_folder_in_a_folder_not_all_files_are_read() {
        let names: Vec<String> = (0..20_000).map(|n| format!("deep/{n:05}")).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.push("z.txt");
        let (all, pages) = read(&village(&names), "", "");
        assert_eq!((all, pages), (vec!["deep/".into(), "z.txt".into()], 2));
    }

    #[test]
    fn words_match_anywhere_below_the_folder_in_any_case() {
        let shown = village(&[
            "Slides/Monday.pdf",
            "Slides/notes.txt",
            "monday.txt",
            "x/slides monday",
        ]);
        assert_eq!(
            read(&shown, "", "slides MONDAY").0,
            ["Slides/Monday.pdf", "x/slides monday"]
        );
        assert_eq!(read(&shown, "Slides/", "day").0, ["Slides/Monday.pdf"]);
        assert_eq!(
            read(&shown, "Slides/", "slides").0,
            [""; 0],
            "the folder's name is not meant"
        );
    }

    #[test]
    fn no_more_is_read_than_there_is_room_for() {
        let names: Vec<String> = (0..MOST + 700).map(|n| format!("{n:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let shown = village(&names);
        let mut reader = FolderReader::new(Part::Files, "", "");
        while !reader.is_over {
            reader.take(shown.page(&reader.ask()));
        }
        assert!(reader.is_cut);
        assert_eq!(reader.finish().len(), MOST);
    }

    #[test]
    fn a_folder_whose_name_has_no_room_for_another_letter_is_read_as_well() {
        let long = "x".repeat(LONGEST_PART);
        let names = [format!("{long}/1"), format!("{long}/2"), "z".to_owned()];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(
            read(&village(&names), "", "").0,
            [format!("{long}/"), "z".into()]
        );
    }
}
