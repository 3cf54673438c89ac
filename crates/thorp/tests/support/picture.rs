//! The tracker's two tables, out of its lines.
//!
//! A table is its title on a line of its own, rows that begin and end with `|`,
//! the first of them its head, and an empty line after it.

use std::time::{Duration, Instant};

use super::process::{Line, Running, Stream};
use super::{PATIENCE, SLACK};

/// What a tracker shows: the rows of both tables, without their heads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Peer, File List, Neighbours.
    pub peers: Vec<Vec<String>>,
    /// File Name, Held by.
    pub files: Vec<Vec<String>>,
}

impl Picture {
    /// Reads the two tables as a document would have them.
    pub fn of(peers: &str, files: &str) -> Self {
        let rows = |table: &str| table.lines().filter_map(row).skip(1).collect();
        Self {
            peers: rows(peers),
            files: rows(files),
        }
    }

    /// Every picture in these lines, with the time at which it was complete.
    pub fn all(lines: &[Line]) -> Vec<(Instant, Self)> {
        let mut lines = lines.iter().filter(|line| line.stream == Stream::Stdout);
        let mut pictures = Vec::new();
        let mut peers = Vec::new();
        while let Some(line) = lines.next() {
            match line.text.trim() {
                "List of Peers" => (peers, _) = table(&mut lines),
                "List of Files" => {
                    let (files, Some(end)) = table(&mut lines) else {
                        break;
                    };
                    let peers = std::mem::take(&mut peers);
                    pictures.push((end, Self { peers, files }));
                }
                _ => {}
            }
        }
        pictures
    }

    /// Waits until `tracker` shows this, and asserts that it does so within
    /// `limit` of `since`.
    #[track_caller]
    pub fn is_shown(&self, tracker: &Running, since: Instant, limit: Duration) {
        let what = format!("the picture {self:#?}");
        let at = tracker.wait_until(&what, PATIENCE, |lines| {
            let (at, last) = Self::all(lines).pop()?;
            (last == *self).then_some(at)
        });
        assert_in_time(&what, at, since, limit);
    }
}

/// Asserts that something came within `limit` of `since`.
#[track_caller]
pub fn assert_in_time(what: &str, at: Instant, since: Instant, limit: Duration) {
    let took = at.saturating_duration_since(since);
    assert!(
        took <= limit + SLACK,
        "{took:?} instead of {limit:?} for {what}"
    );
}

/// The rows up to the empty line, and when that came.
fn table<'a>(lines: &mut impl Iterator<Item = &'a Line>) -> (Vec<Vec<String>>, Option<Instant>) {
    let mut rows = Vec::new();
    for line in lines {
        if line.text.trim().is_empty() {
            return (rows.split_off(1.min(rows.len())), Some(line.at));
        }
        rows.extend(row(&line.text));
    }
    (Vec::new(), None)
}

/// A row's cells; nothing if it is no row, or only rules off the head.
fn row(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    if inner.chars().all(|c| "-=:|+ ".contains(c)) && inner.contains(['-', '=']) {
        return None;
    }
    Some(inner.split('|').map(|cell| cell.trim().into()).collect())
}

#[test]
fn tables_are_read() {
    let text = "\
Waiting for a connection...
List of Peers
| Peer      | File List | Neighbours |
|===========|===========|============|
| 127.0.0.2 | a b       |            |

List of Files
| File Name | Held by   |
|-----------|-----------|
| a         | 127.0.0.2 |
| b         | 127.0.0.2 |

List of Peers
| Peer";
    let at = Instant::now();
    let line = |text: &str| Line {
        stream: Stream::Stdout,
        at,
        text: text.into(),
    };
    let lines: Vec<_> = text.lines().map(line).collect();
    let expected = Picture::of(
        "| Peer | File List | Neighbours |\n|---|---|---|\n| 127.0.0.2 | a b | |",
        "| File Name | Held by |\n|---|---|\n| a | 127.0.0.2 |\n| b | 127.0.0.2 |",
    );
    assert_eq!(expected.peers, [["127.0.0.2", "a b", ""]]);
    assert_eq!(expected.files.len(), 2);
    assert_eq!(Picture::all(&lines), [(at, expected)]);
}
