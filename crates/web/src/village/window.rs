//! A window of a list, as it is asked for and answered: see `API.md`.

use serde::{Deserialize, Serialize};
use thorp_node::api::Member;
use thorp_node::snapshot::{MemberRef, TrackedFile};

/// By what rows are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Names, with numbers as people count them.
    #[default]
    Name,
    /// Sizes.
    Length,
    /// The times of the last modification.
    Mtime,
    /// The number of members that have all of a file.
    Holders,
}

impl Order {
    /// All of them, each at the place that it has as a number.
    pub(crate) const ALL: [Self; 4] = [Self::Name, Self::Length, Self::Mtime, Self::Holders];
}

/// Which rows are wanted, and in which order.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Window {
    pub(crate) order: Order,
    pub(crate) descending: bool,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

impl Window {
    /// Whether the row at this place is in it.
    pub(crate) fn has(&self, place: usize) -> bool {
        (self.offset..self.end()).contains(&place)
    }

    /// Returns the place after the last one.
    pub(crate) fn end(&self) -> usize {
        self.offset.saturating_add(self.limit)
    }
}

/// The rows of a window, and of how many they are a part.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Windowed {
    pub(crate) rows: Vec<Row>,
    pub(crate) total: usize,
    /// The number of files that are in the list, or below the folder.
    pub(crate) files: usize,
    /// The bytes in these files.
    pub(crate) bytes: u64,
    /// Whether there are more files than can be shown.
    #[serde(rename = "cut")]
    pub(crate) is_cut: bool,
}

/// A row: a folder, or a file.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "row", rename_all = "kebab-case")]
pub(crate) enum Row {
    Folder {
        /// Its whole path.
        name: String,
        /// The number of files below it.
        files: usize,
        /// The bytes in these files.
        bytes: u64,
        /// When the latest of them was modified.
        mtime: i64,
    },
    File(Shown),
}

/// A file: one row for each name and content.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) nth: u32,
    pub(crate) has_twin: bool,
    pub(crate) length: u64,
    pub(crate) mtime: i64,
    pub(crate) executable: bool,
    pub(crate) root: Option<String>,
    pub(crate) holders: Vec<Member>,
    pub(crate) holders_total: u32,
    pub(crate) partial_total: u32,
    /// Whether this peer shares this content under this name now.
    pub(crate) here: bool,
}

impl Row {
    /// Returns the file that it is about, unless it is about a folder.
    pub(crate) fn as_file_mut(&mut self) -> Option<&mut Shown> {
        match self {
            Self::File(file) => Some(file),
            Self::Folder { .. } => None,
        }
    }
}

impl From<TrackedFile> for Shown {
    fn from(file: TrackedFile) -> Self {
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            name: file.name,
            nth: number(file.nth as u64),
            has_twin: file.has_twin,
            length: file.length,
            mtime: file.mtime,
            executable: file.executable,
            root: file.root,
            holders: file.holders.into_iter().map(member).collect(),
            holders_total: number(file.holders_total),
            partial_total: number(file.partial_total),
            here: false,
        }
    }
}

fn member(of: MemberRef) -> Member {
    let (address, port) = match of.address {
        Some(address) => (address.ip().to_string(), address.port()),
        None => ("0.0.0.0".to_owned(), 0),
    };
    Member {
        id: of.id,
        name: of.name,
        address,
        port,
    }
}
