//! The contents to choose from, where one name means several.

use serde::Serialize;
use thorp_node::api::FileRow;

/// The most contents that are kept.
const MOST: usize = 100;
/// The most holders of a content that are named; the others are counted.
const HOLDERS: usize = 16;

/// A content, with the first of its holders.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Variant {
    #[serde(flatten)]
    pub(crate) row: FileRow,
    pub(crate) holders_total: usize,
}

impl Variant {
    /// Returns the first of several contents.
    pub(crate) fn first(rows: Vec<FileRow>) -> Vec<Self> {
        rows.into_iter().take(MOST).map(Self::of).collect()
    }

    fn of(mut row: FileRow) -> Self {
        let holders_total = row.holders.len();
        row.holders.truncate(HOLDERS);
        row.holders.shrink_to_fit();
        Self { row, holders_total }
    }
}

#[cfg(test)]
mod tests {
    use thorp_node::api::{HolderRow, Member};

    use super::*;

    #[test]
    fn few_contents_are_kept_with_few_holders_and_all_are_counted() {
        let holder = |number: usize| HolderRow {
            member: Member {
                id: format!("{number:052}"),
                name: None,
                address: "192.168.198.138".into(),
                port: 3334,
            },
            partial: false,
        };
        let row = FileRow {
            name: "a".into(),
            length: 1,
            mtime: 0,
            mtime_ns: 0,
            executable: false,
            root: None,
            holders: (0..300).map(holder).collect(),
        };
        let kept = Variant::first(vec![row; 1000]);
        assert_eq!(kept.len(), MOST);
        assert_eq!(kept[0].row.holders.len(), HOLDERS);
        let shown = serde_json::to_value(&kept[0]).expect("JSON");
        assert_eq!(
            (&shown["holders_total"], &shown["name"]),
            (&300.into(), &"a".into())
        );
    }
}
