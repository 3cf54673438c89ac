//! What a user looks for on the way: files whose names contain words, and what is in a folder. A
//! search goes on where it stopped, so that a part of it takes little time.

use std::iter::Peekable;

use thorp_wire::Name;

use super::indices::Rows;
use super::{Catalogue, NamedFile};
use crate::words::Words;

/// A part of a search.
#[derive(Debug, Default)]
pub struct SearchSlice {
    /// Files that were found, in the order of their names.
    pub files: Vec<NamedFile>,
    /// The name behind which to go on, if the search has not come to the end.
    pub reached: Option<Name>,
    /// What this part has cost, in the steps of
    /// [`Pattern::steps`](crate::matching::Pattern::steps).
    pub steps: u64,
}

/// What is directly in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderChild {
    /// A folder, by its whole path.
    Folder(String),
    /// A file.
    File(NamedFile),
}

impl Catalogue {
    /// Steps for a name, or for a holder of one that is found: each is somewhere else in memory.
    const SEARCHED: u64 = 64;
    /// Steps for a file that is found, whose holders are gathered.
    const FOUND: u64 = 2048;

    /// Returns files behind a name, or from the first one, whose paths contain these words: until
    /// there are `limit` of them, or until it has taken `most` steps. It looks at one name at
    /// least, so that it comes to its end whatever it may take.
    pub fn search(
        &self,
        words: &Words,
        behind: Option<&Name>,
        limit: usize,
        most: u64,
    ) -> SearchSlice {
        let mut slice = SearchSlice::default();
        let mut last: Option<&Name> = None;
        for same in self.indices.names_behind(&self.listings, behind) {
            let name = same.name;
            let is_enough = slice.files.len() >= limit || slice.steps >= most;
            if let Some(last) = last.filter(|_| is_enough) {
                slice.reached = Some(last.clone());
                return slice;
            }
            last = Some(name);
            slice.steps += Self::SEARCHED + same.steps() + words.steps(name.as_str());
            if words.matches(name.as_str()) {
                let found = self.stops(name);
                let holders: usize = found.iter().map(|file| file.file.holders.len()).sum();
                slice.steps += Self::FOUND + Self::SEARCHED * holders as u64;
                slice.files.extend(found);
            }
        }
        slice
    }

    /// Returns what is in a folder, or beneath no folder, in the order of names. The place to
    /// begin at is the path of a child.
    pub fn children(&self, folder: &str, from: ChildrenFrom<'_>) -> Children<'_> {
        let prefix = match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let start = match from {
            ChildrenFrom::Start => prefix.clone(),
            ChildrenFrom::BehindFolder(path) => behind_folder(path),
            ChildrenFrom::BehindFile(name) => format!("{name}\0"),
        };
        // A place outside of the folder is before it or behind it.
        let start = start.max(prefix.clone());
        Children {
            catalogue: self,
            rows: self.rows_from(&start),
            prefix,
            ready: Vec::new(),
        }
    }

    fn rows_from(&self, text: &str) -> Peekable<Rows<'_>> {
        let rows: Rows<'_> = Box::new(self.indices.texts_from(&self.listings, text));
        rows.peekable()
    }
}

/// Where among a folder's children to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildrenFrom<'a> {
    /// At the first one.
    Start,
    /// Behind a folder, by its whole path.
    BehindFolder(&'a str),
    /// Behind a file, by its whole name.
    BehindFile(&'a str),
}

/// A walk over a folder's children. A folder in it costs one look into the index, however many
/// files it has.
pub struct Children<'a> {
    catalogue: &'a Catalogue,
    rows: Peekable<Rows<'a>>,
    /// What all names in the folder begin with.
    prefix: String,
    /// Files of the last name that are still to be told, the last one first.
    ready: Vec<NamedFile>,
}

impl Iterator for Children<'_> {
    type Item = FolderChild;

    fn next(&mut self) -> Option<FolderChild> {
        if let Some(file) = self.ready.pop() {
            return Some(FolderChild::File(file));
        }
        let (name, _) = self.rows.next()?;
        let rest = name.as_str().strip_prefix(&self.prefix)?;
        if let Some((called, _)) = rest.split_once('/') {
            let path = format!("{}{called}", self.prefix);
            self.rows = self.catalogue.rows_from(&behind_folder(&path));
            return Some(FolderChild::Folder(path));
        }
        while self.rows.next_if(|(next, _)| *next == name).is_some() {}
        self.ready = self.catalogue.stops(name);
        self.ready.reverse();
        self.ready.pop().map(FolderChild::File)
    }
}

/// Returns the first text behind all names in a folder.
fn behind_folder(path: &str) -> String {
    // The character after the slash.
    format!("{path}0")
}
