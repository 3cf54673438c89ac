//! The views of the story, for tests of tables and screens.

use std::collections::BTreeMap;

use thorp_node::api::{TrackedFile, TrackedPeer, TrackerView};

const P1: &str = "192.168.198.138";
const P2: &str = "192.168.198.139";
const P3: &str = "192.168.198.137";

/// After peer 1 has fetched `3.txt` from peer 2.
pub fn first() -> TrackerView {
    view(&[
        (P1, &["1.txt", "2.txt", "3.txt", "client"], &[P2]),
        (P2, &["3.txt", "4.txt", "client"], &[P1]),
    ])
}

/// After everybody has fetched something from everybody.
pub fn then() -> TrackerView {
    view(&[
        (P3, &["2.txt", "5.txt", "6.txt", "client"], &[P1, P2]),
        (
            P1,
            &["1.txt", "2.txt", "3.txt", "5.txt", "client"],
            &[P3, P2],
        ),
        (P2, &["3.txt", "4.txt", "6.txt", "client"], &[P3, P1]),
    ])
}

/// After peer 1 has left and peer 2 was cut off.
pub fn alone() -> TrackerView {
    view(&[(P3, &["2.txt", "5.txt", "6.txt", "client"], &[])])
}

/// A view of peers with their files and neighbours.
pub fn view(rows: &[(&str, &[&str], &[&str])]) -> TrackerView {
    let mut held: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (address, files, _) in rows {
        for file in *files {
            held.entry(file).or_default().push((*address).to_owned());
        }
    }
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    TrackerView {
        peers: rows
            .iter()
            .map(|(address, files, neighbours)| TrackedPeer {
                address: (*address).to_owned(),
                name: None,
                files: owned(files),
                files_total: files.len() as u64,
                neighbours: owned(neighbours),
            })
            .collect(),
        files_total: held.len() as u64,
        files: held
            .into_iter()
            .map(|(name, holders)| TrackedFile {
                name: name.to_owned(),
                root_prefix: None,
                holders,
            })
            .collect(),
    }
}
