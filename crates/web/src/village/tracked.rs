//! A search through all files of a tracker. It goes on in slices of the tracker's time, which are
//! charged, so where a search has been is remembered: its next window goes on from there.

use std::time::{Duration, Instant};

use thorp_node::snapshot::{Ask, At, Part, SnapshotRow};
use tokio::time::{sleep, timeout};

use super::window::{Order, Row, Shown, Window, Windowed};
use crate::refusal::Refusal;
use crate::served::ServedNode;

/// How long to wait where searches have cost a tracker so much lately that it does nothing for
/// them.
const BUSY: Duration = Duration::from_millis(20);
/// How long a search waits for the one before it: a page that has gone on to other words has hung
/// up, but the server has not seen that yet.
const TURN: Duration = Duration::from_secs(2);
/// The most files of a part of a search.
const ROWS: usize = 1000;
/// The most members that a found file names.
const NAMED: usize = 12;
/// How long the sum of a search is told again without counting anew.
const GOOD_FOR: Duration = Duration::from_secs(30);
/// The most places that are remembered of a search.
const PLACES: usize = 4096;

/// A tracker's searches: one at a time, and the last that came to its end.
#[derive(Default)]
pub(crate) struct Searches(tokio::sync::Mutex<Option<Searched>>);

/// A search that came to its end: its sums, and where its parts begin.
struct Searched {
    words: String,
    since: Instant,
    places: Vec<Place>,
    total: usize,
    bytes: u64,
}

/// A place that a search has come to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    /// The number of files that were found before it.
    found: usize,
    /// The bytes in these files.
    bytes: u64,
    at: At,
}

impl Searches {
    /// Returns a window of what a tracker knows by these words.
    pub(crate) async fn search(
        &self,
        node: &ServedNode,
        words: String,
        window: Window,
    ) -> Result<Windowed, Refusal> {
        if window.order != Order::Name || window.descending {
            return Err(Refusal::BadRequest);
        }
        let turn = timeout(TURN, self.0.lock()).await;
        let mut last = turn.map_err(|_| Refusal::TooMany)?;
        let known = last
            .as_ref()
            .filter(|last| last.words == words && last.since.elapsed() < GOOD_FOR);
        let start = known.map_or_else(Place::default, |known| known.before(window.offset));
        let mut found = Windowed {
            total: start.found,
            bytes: start.bytes,
            ..Windowed::default()
        };
        let mut ask = Ask {
            names: NAMED,
            at: start.at.clone(),
            ..Ask::first(
                Part::Found {
                    words: words.clone(),
                },
                ROWS,
            )
        };
        let mut places = vec![start];
        loop {
            let pages = node.viewer.pages([ask.clone()]).await;
            let [page] = pages.ok_or(Refusal::Stopping)?;
            if page.busy {
                sleep(BUSY).await;
                continue;
            }
            let next = page.next(&ask);
            for row in page.rows {
                let SnapshotRow::File(file) = row else {
                    continue;
                };
                found.bytes = found.bytes.saturating_add(file.length);
                if window.has(found.total) {
                    found.rows.push(Row::File(Shown::from(file)));
                }
                found.total += 1;
            }
            let Some(next) = next else { break };
            if let Some(known) = known.filter(|_| found.total >= window.end()) {
                // The rest was counted a moment ago.
                found.total = known.total.max(found.total);
                found.bytes = known.bytes.max(found.bytes);
                found.files = found.total;
                return Ok(found);
            }
            if places.len() < PLACES {
                places.push(Place {
                    found: found.total,
                    bytes: found.bytes,
                    at: next.at.clone(),
                });
            }
            ask = next;
        }
        found.files = found.total;
        // What was not counted now is as old as it was.
        let known = known.filter(|_| places[0] != Place::default());
        let since = known.map_or_else(Instant::now, |known| known.since);
        let mut all = known.map_or_else(Vec::new, |known| known.up_to(&places[0]));
        all.append(&mut places);
        *last = Some(Searched {
            words,
            since,
            places: all,
            total: found.total,
            bytes: found.bytes,
        });
        drop(last);
        Ok(found)
    }
}

impl Searched {
    /// Returns the last place before the file of this number. The first files are always looked
    /// for from the start, or what is new before them would never be seen.
    fn before(&self, number: usize) -> Place {
        if number == 0 {
            return Place::default();
        }
        let after = self.places.partition_point(|place| place.found <= number);
        let place = self.places.get(after.saturating_sub(1));
        place.cloned().unwrap_or_default()
    }

    /// Returns the places before this one.
    fn up_to(&self, place: &Place) -> Vec<Place> {
        let before = self.places.iter().take_while(|one| *one != place);
        before.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use thorp_node::snapshot::RowKey;

    use super::*;

    fn place(found: usize) -> Place {
        Place {
            found,
            bytes: found as u64,
            at: At::After(RowKey::Folder {
                name: found.to_string(),
            }),
        }
    }

    #[test]
    fn a_search_goes_on_from_the_last_place_before_its_window() {
        let mut places = vec![Place::default()];
        places.extend([1000, 2000, 2000, 2300].map(place));
        let searched = Searched {
            words: "a".into(),
            since: Instant::now(),
            places,
            total: 2500,
            bytes: 2500,
        };
        assert_eq!(searched.before(0), Place::default());
        assert_eq!(searched.before(999), Place::default());
        assert_eq!(searched.before(1000), place(1000));
        assert_eq!(searched.before(2299), place(2000));
        assert_eq!(searched.before(9999), place(2300));
        let before: Vec<usize> = searched
            .up_to(&place(2000))
            .iter()
            .map(|place| place.found)
            .collect();
        assert_eq!(before, [0, 1000]);
    }
}
