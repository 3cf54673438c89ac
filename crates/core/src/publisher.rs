//! What to tell other members of this peer's share.
//!
//! Owns the history of the own listing: a number that grows with each batch of
//! changes, and which names changed at which number. From it an update can be
//! made for any copy, whatever its state, one frame at a time. The listing itself is in the
//! catalogue; which links want updates, and when, is decided in the peer machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use thorp_wire::frame::Update;
use thorp_wire::{Entry, InfoHash, Name, PeerId};

use crate::catalogue::{Catalogue, Listing};
use crate::time::Instant;

/// A first look at the share that is over sooner is not told to the tracker.
const LOOK_UNTOLD: Duration = Duration::from_millis(200);

/// Changes are gathered for this long before they are published.
pub const GATHER: Duration = Duration::from_millis(100);

/// How many names and states the history keeps. Beyond that its oldest part is
/// dropped, and a copy that is older gets a full update.
const HISTORY: usize = if cfg!(test) { 40 } else { 200_000 };

/// An update takes further changes as long as it has no more names than this. The others come with
/// the next one.
const NAMES_AT_ONCE: usize = if cfg!(test) { 10 } else { 10_000 };

/// How many comings and goings of neighbours are kept.
const NEIGHBOUR_CHANGES: usize = 256;

/// Bytes of entries that go into one frame: far below the limit, so that
/// other frames can go in between.
pub(crate) const FRAME: usize = if cfg!(test) { 16 * 1024 } else { 128 * 1024 };
/// What an entry or a name takes in a frame, beside its text.
const ENTRY: usize = 64;

/// The own listing's history.
#[derive(Debug)]
pub struct Publisher {
    own: PeerId,
    epoch: u64,
    /// The state that has been published.
    seq: u64,
    /// The names that changed with each state, both in order.
    history: BTreeMap<u64, Arc<[Name]>>,
    history_names: usize,
    /// Updates can be made from any state since this one.
    oldest: u64,
    neighbours_changed: u64,
    /// The state in which a neighbour was missing that had not said goodbye.
    neighbour_lost: u64,
    torrents_changed: u64,
    look: Look,
    /// The state in which a tracker was told last that the first look has begun or ended.
    look_told: u64,
    /// Which neighbours came or went at which number, as far back as it is kept.
    neighbour_changes: VecDeque<(u64, PeerId)>,
    /// Since this number all of these are kept.
    neighbours_known_since: u64,
    unpublished: Unpublished,
}

/// Whether the share is looked through for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Over,
    /// It has taken no time that is worth telling.
    Begun(Instant),
    /// The tracker is told.
    Told,
}

/// Who reads an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A peer: it takes changes of the neighbours, instead of all of them. It has no use for
    /// torrents.
    Peer,
    /// A tracker: one of an older version shows the neighbours, and knows no changes of them.
    Tracker,
}

/// An update that is being sent, frame by frame.
///
/// It brings a copy from one state to another, however much the share changes meanwhile. What is in
/// no frame yet is taken as it is when its frame is made. What changes meanwhile comes again with
/// the next update; only there, if both together could be more than the reader keeps.
#[derive(Debug)]
pub struct OutgoingUpdate {
    /// What its first frame says, without the entries.
    blank: Update,
    rest: Rest,
}

/// What is left to be sent of an update.
#[derive(Debug)]
enum Rest {
    /// All entries.
    Entries(RestOfListing),
    /// The names that have changed, from this one on.
    Names { names: Arc<[Name]>, next: usize },
}

/// What is left to be sent of a whole listing.
#[derive(Debug)]
struct RestOfListing {
    /// The last name that was sent.
    after: Option<Name>,
    sent: usize,
    /// How many entries the receiver keeps.
    most: usize,
    /// The names that have changed since it began, as far as they were published until this state.
    changed: BTreeSet<Name>,
    changed_until: u64,
}

/// Changes that are not published yet.
#[derive(Debug, Default)]
struct Unpublished {
    names: BTreeSet<Name>,
    neighbours: Option<Vec<PeerId>>,
    has_lost_neighbour: bool,
    torrents: Option<Vec<InfoHash>>,
    /// The first look has ended.
    look: bool,
    since: Option<Instant>,
}

impl Publisher {
    /// The history of an empty share, at state 0.
    pub fn new(own: PeerId, epoch: u64, catalogue: &mut Catalogue) -> Self {
        let nothing = Update {
            since: None,
            ..Update::heartbeat(0)
        };
        catalogue.apply(own, epoch, nothing);
        Self {
            own,
            epoch,
            seq: 0,
            history: BTreeMap::new(),
            history_names: 0,
            oldest: 0,
            neighbours_changed: 0,
            neighbour_lost: 0,
            torrents_changed: 0,
            look: Look::Over,
            look_told: 0,
            neighbour_changes: VecDeque::new(),
            neighbours_known_since: 0,
            unpublished: Unpublished::default(),
        }
    }

    /// The state that has been published.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The share has changed. It is listed at once and published soon.
    pub fn share_changed(
        &mut self,
        now: Instant,
        catalogue: &mut Catalogue,
        added: Vec<Entry>,
        removed: Vec<Name>,
    ) {
        if added.is_empty() && removed.is_empty() {
            return;
        }
        self.unpublished.since.get_or_insert(now);
        self.unpublished.names.extend(
            added
                .iter()
                .map(|entry| entry.name.clone())
                .chain(removed.iter().cloned()),
        );
        let change = Update {
            added,
            removed,
            ..Update::heartbeat(self.seq)
        };
        catalogue.apply(self.own, self.epoch, change);
    }

    /// The neighbours have changed; one of them was lost, if `is_lost`. Published soon.
    pub fn neighbours_changed(&mut self, now: Instant, neighbours: Vec<PeerId>, is_lost: bool) {
        self.unpublished.since.get_or_insert(now);
        self.unpublished.has_lost_neighbour |= is_lost;
        self.unpublished.neighbours = Some(neighbours);
    }

    /// Other torrents are served to clients, beside those that follow from the entries. Published
    /// soon.
    pub fn torrents_changed(&mut self, now: Instant, mut torrents: Vec<InfoHash>) {
        self.unpublished.since.get_or_insert(now);
        torrents.truncate(Update::MAX_TORRENTS);
        self.unpublished.torrents = Some(torrents);
    }

    /// The first look at the share begins.
    pub fn begin_look(&mut self, now: Instant) {
        self.look = Look::Begun(now);
    }

    /// The share was looked through. Published soon, after the changes of which the look has told.
    pub fn end_look(&mut self, now: Instant) {
        if std::mem::replace(&mut self.look, Look::Over) == Look::Told {
            self.unpublished.since.get_or_insert(now);
            self.unpublished.look = true;
        }
    }

    /// Whether a tracker is to be told that the share is still looked through.
    pub fn is_looking(&self) -> bool {
        self.look == Look::Told
    }

    /// The state in which the torrents that are served were published last; `None` while others
    /// are to be published.
    pub fn torrents_published_at(&self) -> Option<u64> {
        let is_published = self.unpublished.torrents.is_none();
        is_published.then_some(self.torrents_changed)
    }

    /// Whether a copy at this state has the entry of this name as it is now.
    pub fn has_told(&self, name: &Name, at: u64) -> bool {
        let later = (Bound::Excluded(at), Bound::Unbounded);
        let mut later = self.history.range(later).map(|(_, names)| names);
        at >= self.oldest
            && !self.unpublished.names.contains(name)
            && !later.any(|names| names.binary_search(name).is_ok())
    }

    /// When [`publish`](Self::publish) is due, if there is something to publish.
    pub fn publish_at(&self) -> Option<Instant> {
        let changes = self.unpublished.since.map(|since| since + GATHER);
        let look = match self.look {
            Look::Begun(at) => Some(at + LOOK_UNTOLD),
            Look::Told | Look::Over => None,
        };
        changes.into_iter().chain(look).min()
    }

    /// Publishes the gathered changes as the next state. Returns whether there
    /// were any.
    pub fn publish(&mut self, now: Instant, catalogue: &mut Catalogue) -> bool {
        if self.publish_at().is_none_or(|due| now < due) {
            return false;
        }
        if let Look::Begun(at) = self.look
            && at + LOOK_UNTOLD <= now
        {
            self.look = Look::Told;
            self.unpublished.look = true;
        }
        let Unpublished {
            names,
            neighbours,
            has_lost_neighbour,
            torrents,
            look,
            since: _,
        } = std::mem::take(&mut self.unpublished);
        if let Some(neighbours) = &neighbours {
            let before = catalogue
                .listing(self.own)
                .map_or(&[][..], Listing::neighbours);
            let gone = before.iter().filter(|id| !neighbours.contains(id));
            let come = neighbours.iter().filter(|id| !before.contains(id));
            let changes = gone.chain(come).map(|id| (self.seq + 1, *id));
            self.neighbour_changes.extend(changes);
            while self.neighbour_changes.len() > NEIGHBOUR_CHANGES {
                let oldest = self.neighbour_changes.pop_front();
                self.neighbours_known_since = oldest.map_or(self.seq, |(seq, _)| seq);
            }
        }
        let has_other_torrents = torrents.is_some();
        let advance = Update {
            since: Some(self.seq),
            neighbours: neighbours.clone(),
            torrents,
            ..Update::heartbeat(self.seq + 1)
        };
        catalogue.apply(self.own, self.epoch, advance);
        self.seq += 1;
        if neighbours.is_some() {
            self.neighbours_changed = self.seq;
        }
        if has_lost_neighbour {
            self.neighbour_lost = self.seq;
        }
        if has_other_torrents {
            self.torrents_changed = self.seq;
        }
        if look {
            self.look_told = self.seq;
        }
        self.history_names += names.len();
        self.history.insert(self.seq, names.into_iter().collect());
        while self.history_names.max(self.history.len()) > HISTORY {
            let Some((seq, names)) = self.history.pop_first() else {
                break;
            };
            self.history_names -= names.len();
            self.oldest = seq;
        }
        true
    }

    /// Whether a copy at this state lacks what its reader should be told at once, and not with the
    /// next message: anything but other neighbours; for a peer these too, if one of them was lost.
    pub fn is_urgent(&self, since: Option<u64>, reader: Reader) -> bool {
        let Some(since) = since.filter(|since| (self.oldest..self.seq).contains(since)) else {
            return true;
        };
        let mut names = self.history.range(since + 1..);
        names.any(|(_, names)| !names.is_empty())
            || self.torrents_changed > since
            || reader == Reader::Tracker && self.look_told > since
            || reader == Reader::Peer && self.neighbour_lost > since
    }

    /// Begins the update of a copy at state `since` (`None`: there is no copy). Returns `None` if
    /// the copy is at the published state already.
    ///
    /// A long change is cut into several updates; after each the copy is a whole listing.
    ///
    /// A receiver that keeps at most `most` entries of a peer gets one more
    /// than that, so that it knows that they are too many. It would throw the
    /// rest away.
    pub fn update_since(
        &self,
        since: Option<u64>,
        most: usize,
        reader: Reader,
        catalogue: &Catalogue,
    ) -> Option<OutgoingUpdate> {
        let since = since.filter(|since| (self.oldest..=self.seq).contains(since));
        if since == Some(self.seq) {
            return None;
        }
        let own = catalogue.listing(self.own)?;
        let (seq, rest) = match since {
            None => {
                let rest = RestOfListing {
                    after: None,
                    sent: 0,
                    most,
                    changed: BTreeSet::new(),
                    changed_until: self.seq,
                };
                (self.seq, Rest::Entries(rest))
            }
            Some(since) => {
                let (seq, names) = self.changed_since(since);
                (seq, Rest::Names { names, next: 0 })
            }
        };
        let tell_neighbours = since.is_none_or(|since| self.neighbours_changed > since);
        let mut moved: BTreeSet<PeerId> = BTreeSet::new();
        if let Some(since) = since
            && reader == Reader::Peer
            && since >= self.neighbours_known_since
        {
            let changes = self.neighbour_changes.iter();
            let changes = changes.filter(|(seq, _)| *seq > since);
            moved.extend(changes.map(|(_, id)| *id));
        }
        let is_shorter = !moved.is_empty() && moved.len() < own.neighbours().len();
        let (met, parted) = if is_shorter {
            moved
                .into_iter()
                .partition(|id| own.neighbours().contains(id))
        } else {
            (Vec::new(), Vec::new())
        };
        let neighbours = (tell_neighbours && !is_shorter).then(|| {
            let most = own.neighbours().len().min(Update::MAX_NEIGHBOURS);
            own.neighbours()[..most].to_vec()
        });
        let tells_torrents = since.is_none_or(|since| self.torrents_changed > since);
        let tells_torrents = tells_torrents && reader == Reader::Tracker;
        let torrents = tells_torrents.then(|| own.torrents().to_vec());
        // A full listing without any says that there are none.
        let torrents = torrents.filter(|all| since.is_some() || !all.is_empty());
        let blank = Update {
            since,
            neighbours,
            torrents,
            met,
            parted,
            looking: reader == Reader::Tracker && self.is_looking(),
            ..Update::heartbeat(seq)
        };
        Some(OutgoingUpdate { blank, rest })
    }

    /// Returns the names that have changed since a state, in order, up to the state from which on
    /// they are too many for one update, and that state.
    fn changed_since(&self, since: u64) -> (u64, Arc<[Name]>) {
        let mut until = since;
        let mut batches: Vec<&Arc<[Name]>> = Vec::new();
        let mut count = 0;
        for (seq, names) in self.history.range(since + 1..) {
            if count > 0 && count + names.len() > NAMES_AT_ONCE {
                break;
            }
            until = *seq;
            count += names.len();
            if !names.is_empty() {
                batches.push(names);
            }
        }
        let names = match &batches[..] {
            // It may be as long as the whole history: it is not copied.
            [one] => Arc::clone(one),
            several => {
                let names: BTreeSet<&Name> =
                    several.iter().flat_map(|names| names.iter()).collect();
                names.into_iter().cloned().collect()
            }
        };
        (until, names)
    }

    /// How many entries and names an [update](Self::update_since) would have.
    pub fn entries_since(&self, since: Option<u64>, most: usize, catalogue: &Catalogue) -> usize {
        let own = catalogue.listing(self.own).map_or(0, Listing::len);
        match since.filter(|since| (self.oldest..=self.seq).contains(since)) {
            Some(since) => self.changed_since(since).1.len(),
            None => own.min(most.saturating_add(1)),
        }
    }

    /// Makes the next frame of an update; the last one is marked as such. There is nothing left to
    /// be sent after that one.
    pub fn next_frame(&self, update: &mut OutgoingUpdate, catalogue: &Catalogue) -> Update {
        let mut frame = update.next_blank();
        let Some(own) = catalogue.listing(self.own) else {
            return frame;
        };
        let mut filled = 0;
        let mut has_room_for = |name: &Name| {
            let size = name.as_str().len() + ENTRY;
            let has_room = filled == 0 || filled + size <= FRAME;
            filled += size;
            has_room
        };
        match &mut update.rest {
            Rest::Entries(rest) => {
                self.note_changes(rest);
                let leaves_out = |entry: &Entry| rest.leaves_out(own.len(), &entry.name);
                let most = rest.most.saturating_add(1) - rest.sent;
                let entries = own.entries_after(rest.after.as_ref());
                for entry in entries.filter(|entry| !leaves_out(entry)).take(most) {
                    if !has_room_for(&entry.name) {
                        frame.last = false;
                        break;
                    }
                    frame.added.push(entry);
                }
                rest.sent += frame.added.len();
                if let Some(last) = frame.added.last() {
                    rest.after = Some(last.name.clone());
                }
            }
            Rest::Names { names, next } => {
                for name in &names[*next..] {
                    if !has_room_for(name) {
                        frame.last = false;
                        break;
                    }
                    *next += 1;
                    match own.entry(name) {
                        Some(entry) => frame.added.push(entry),
                        None => frame.removed.push(name.clone()),
                    }
                }
            }
        }
        frame
    }
}

impl Publisher {
    /// Notes what has changed while a whole listing is being sent. More than the history keeps is
    /// not noted: then the listing is sent as a whole once more.
    fn note_changes(&self, rest: &mut RestOfListing) {
        let published = self.history.range(rest.changed_until + 1..);
        let published = published.flat_map(|(_, names)| names.iter());
        let room = HISTORY.saturating_sub(rest.changed.len());
        let changed = published.chain(&self.unpublished.names).take(room);
        rest.changed.extend(changed.cloned());
        rest.changed_until = self.seq;
    }
}

impl RestOfListing {
    /// Whether an entry comes with the next update only, as all that has changed meanwhile does.
    /// A file that is renamed would otherwise be sent under both of its names, which may be one
    /// more than the receiver keeps, though the listing fits.
    fn leaves_out(&self, len: usize, name: &Name) -> bool {
        let fits = len <= self.most;
        let may_be_too_many = len + self.changed.len() > self.most;
        fits && may_be_too_many && self.changed.contains(name)
    }
}

impl OutgoingUpdate {
    /// The state of the copy once all frames have arrived.
    pub fn seq(&self) -> u64 {
        self.blank.seq
    }

    /// Ends the update before all of it was sent, to a receiver that keeps nothing of it.
    pub fn cut_short(mut self) -> Update {
        self.next_blank()
    }

    /// A last frame without entries. Only the first one says what has changed beside them.
    fn next_blank(&mut self) -> Update {
        let rest = Update {
            first: false,
            since: self.blank.since,
            looking: self.blank.looking,
            ..Update::heartbeat(self.blank.seq)
        };
        std::mem::replace(&mut self.blank, rest)
    }
}

#[cfg(test)]
mod tests;
