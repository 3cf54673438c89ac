//! Reassembles an update that its sender has cut into several frames.

use thiserror::Error;
use thorp_wire::frame::Update;
use thorp_wire::{Entry, Name};

use crate::catalogue::{Bounds, ListingSize, cost_of_entry, cost_of_text, cost_of_torrents};

/// The update that is arriving on one link.
#[derive(Debug, Default)]
pub struct Gathering {
    begun: Option<Gathered>,
}

/// An update that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// The content of the update.
    pub update: Update,
    /// Whether it exceeded the bounds, so that its entries and names were dropped.
    pub too_long: bool,
    /// Whether there was no room for it beside the updates on other links, so that its entries
    /// were dropped and the receiver must ask for it again.
    pub crowded_out: bool,
    /// The estimated memory it takes, in bytes.
    cost: u64,
    /// At least as many bytes as its entries take in a catalogue.
    listed: u64,
    /// Whether its entries came in the order of their names, each once.
    in_order: bool,
}

impl Gathering {
    /// Takes the next frame. Returns the whole update after the last frame.
    ///
    /// Keeps no more than `bounds` allow, plus one frame.
    pub fn push(&mut self, frame: Update, bounds: Bounds) -> Result<Option<Gathered>, GatherError> {
        let names = frame.added.iter().map(|entry| &entry.name);
        let cost: u64 = names.chain(&frame.removed).map(cost_of).sum();
        let torrents = frame.torrents.as_deref().unwrap_or_default();
        let cost = cost + cost_of_torrents(torrents);
        let listed = frame.added.iter().map(cost_in_a_listing).sum::<u64>();
        let in_order = frame.added.is_sorted_by(|one, next| one.name < next.name);
        let mut gathered = match (self.begun.take(), frame.first) {
            (None, true) => Gathered {
                update: frame,
                too_long: false,
                crowded_out: false,
                cost,
                listed,
                in_order,
            },
            (Some(mut begun), false) => {
                let last = begun.update.added.last();
                let follows = |first: &Entry| last.is_none_or(|last| last.name < first.name);
                begun.in_order &= in_order && frame.added.first().is_none_or(follows);
                begun.listed += listed;
                let update = &mut begun.update;
                if (update.seq, update.since) != (frame.seq, frame.since) {
                    return Err(GatherError::Mixed);
                }
                update.added.extend(frame.added);
                update.removed.extend(frame.removed);
                update.neighbours = frame.neighbours.or(update.neighbours.take());
                // The first frame says which neighbours came and went, and which torrents there
                // are.
                update.last = frame.last;
                begun.cost += cost;
                begun
            }
            (Some(_), true) => return Err(GatherError::Mixed),
            (None, false) => return Err(GatherError::NoBeginning),
        };
        let update = &mut gathered.update;
        gathered.too_long |= update.added.len().max(update.removed.len()) > bounds.entries
            || gathered.cost > bounds.bytes;
        if gathered.too_long || gathered.crowded_out {
            gathered.throw_away();
        }
        if gathered.update.last {
            return Ok(Some(gathered));
        }
        self.begun = Some(gathered);
        Ok(None)
    }

    /// Whether the first frame of an update has come, and not yet the last.
    pub fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Returns the estimated memory held here, in bytes.
    pub fn cost(&self) -> u64 {
        self.begun.as_ref().map_or(0, |begun| begun.cost)
    }

    /// Drops the entries of the arriving update, to make room for other updates.
    pub fn throw_away(&mut self) {
        if let Some(begun) = &mut self.begun {
            begun.crowded_out = true;
            begun.throw_away();
        }
    }
}

impl Gathered {
    /// Returns the estimated memory it takes, in bytes.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// How large the listing is at most that this makes of one of that size. What it adds may have
    /// been there before.
    pub fn size_at_most(&self, before: ListingSize) -> ListingSize {
        let torrents = self.update.torrents.as_deref().unwrap_or_default();
        ListingSize {
            entries: before.entries.saturating_add(self.update.added.len()),
            bytes: before.bytes + self.listed + cost_of_torrents(torrents),
        }
    }

    /// Whether its entries came in the order of their names, each once.
    pub fn is_in_order(&self) -> bool {
        self.in_order
    }

    fn throw_away(&mut self) {
        self.update.added = Vec::new();
        self.update.removed = Vec::new();
        self.update.torrents = None;
        (self.cost, self.listed) = (0, 0);
    }
}

fn cost_in_a_listing(entry: &Entry) -> u64 {
    cost_of_entry(&entry.name, entry.v1.is_some())
}

/// Estimates the memory that a name takes together with its entry, in bytes.
pub(crate) fn cost_of(name: &Name) -> u64 {
    // A vector that grows is half full.
    2 * size_of::<Entry>() as u64 + cost_of_text(name)
}

/// The frames of an update do not fit together; the link must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GatherError {
    /// An update began before the last one ended.
    #[error("an update began before the last one had ended")]
    Mixed,
    /// A later frame arrived of an update that never began.
    #[error("an update without its beginning")]
    NoBeginning,
}

#[cfg(test)]
mod tests {
    use thorp_wire::InfoHash;

    use super::*;

    fn part(seq: u64, first: bool, last: bool, name: &str) -> Update {
        Update {
            first,
            last,
            since: None,
            added: vec![Entry {
                name: name.parse().expect("a name"),
                length: 0,
                mtime: 0,
                root: None,
                partial: false,
                nanos: 0,
                executable: false,
                v1: None,
            }],
            ..Update::heartbeat(seq)
        }
    }

    fn bounds(entries: usize) -> Bounds {
        Bounds {
            entries,
            bytes: 1 << 20,
        }
    }

    #[test]
    fn an_update_takes_effect_whole_at_its_last_frame() {
        let mut gathering = Gathering::default();
        assert_eq!(
            gathering.push(part(1, true, false, "a"), bounds(9)),
            Ok(None)
        );
        assert_eq!(
            gathering.push(part(1, false, false, "b"), bounds(9)),
            Ok(None)
        );
        let whole = gathering
            .push(part(1, false, true, "c"), bounds(9))
            .expect("it fits")
            .expect("whole");
        let names: Vec<_> = whole.update.added.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(!whole.too_long);
        let next = gathering.push(part(2, true, true, "d"), bounds(9));
        assert!(next.expect("it fits").is_some());
    }

    #[test]
    fn only_the_first_frame_says_which_torrents_there_are_and_which_neighbours_came_and_went() {
        let ids = |n: u8| vec![thorp_wire::PeerId::new([n; 32]); Update::MAX_NEIGHBOURS];
        let frame = |first, last, n| Update {
            since: Some(0),
            met: ids(n),
            parted: ids(n),
            torrents: Some(vec![InfoHash::new([n; 20])]),
            ..part(1, first, last, "a")
        };
        let mut gathering = Gathering::default();
        let begun = gathering.push(frame(true, false, 1), bounds(1000));
        assert_eq!(begun, Ok(None));
        for _ in 0..100 {
            let more = gathering.push(frame(false, false, 2), bounds(1000));
            assert_eq!(more, Ok(None));
        }
        let whole = gathering.push(frame(false, true, 2), bounds(1000));
        let update = whole.expect("it fits").expect("whole").update;
        assert_eq!((update.met, update.parted), (ids(1), ids(1)));
        assert_eq!(update.torrents, Some(vec![InfoHash::new([1; 20])]));
    }

    #[test]
    fn frames_that_do_not_fit_together_are_refused() {
        let mut gathering = Gathering::default();
        let mut push = |frame| gathering.push(frame, bounds(9));
        assert_eq!(
            push(part(1, false, true, "a")),
            Err(GatherError::NoBeginning)
        );
        assert_eq!(push(part(1, true, false, "a")), Ok(None));
        assert_eq!(push(part(2, false, true, "a")), Err(GatherError::Mixed));
        assert_eq!(push(part(1, true, false, "a")), Ok(None));
        assert_eq!(push(part(1, true, true, "a")), Err(GatherError::Mixed));
    }

    #[test]
    fn an_endless_update_does_not_grow_and_is_reported_as_too_long() {
        let one = cost_of(&"a".parse().expect("a name"));
        let by_bytes = Bounds {
            entries: 1000,
            bytes: one * 2,
        };
        for bounds in [bounds(2), by_bytes] {
            let mut gathering = Gathering::default();
            assert_eq!(gathering.push(part(1, true, false, "a"), bounds), Ok(None));
            for _ in 0..100 {
                assert_eq!(gathering.push(part(1, false, false, "b"), bounds), Ok(None));
                let held = gathering.begun.as_ref().expect("under way");
                assert!(held.update.added.len() <= 2);
            }
            let whole = gathering.push(part(1, false, true, "c"), bounds);
            assert!(whole.expect("it fits").expect("whole").too_long);
        }
    }
}
