//! `Update` and `Ack`: how a peer's listing reaches the tracker and the
//! neighbours, which keep a copy of it.

use minicbor::{Decode, Encode};

use super::body::{FrameBody, THING};
use super::{FrameError, at_most, possible_entry};
use crate::{Entry, InfoHash, Name, PeerId};

/// A change of the sender's share, the whole of it, or only a sign of life.
///
/// A long one is cut into several frames with the same `seq`. The receiver
/// gathers them from the one marked `first` on, and applies them all at the one
/// marked `last`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Update {
    /// The state of the listing once this update is applied.
    #[n(2)]
    pub seq: u64,
    /// The state that this update changes; missing in a full listing. Never
    /// above `seq`, and below it if entries come or go.
    #[n(3)]
    pub since: Option<u64>,
    /// The first frame of this update.
    #[n(4)]
    pub first: bool,
    /// The last frame of this update.
    #[n(5)]
    pub last: bool,
    /// Entries that are new or different.
    #[n(6)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub added: Vec<Entry>,
    /// Names that are gone.
    #[n(7)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub removed: Vec<Name>,
    /// The sender's neighbours, when they have changed.
    #[n(8)]
    pub neighbours: Option<Vec<PeerId>>,
    /// How many entries the whole listing has. Said where it is not kept, with the
    /// signs of life, so that it can be asked for once there is room.
    #[n(10)]
    pub entries: Option<u64>,
    /// An estimate of the memory that keeping it takes, in bytes.
    #[n(11)]
    pub bytes: Option<u64>,
    /// Names that the sender has looked up since it last told. Said to the tracker
    /// with the signs of life.
    #[n(12)]
    #[cbor(default, skip_if = "is_zero")]
    pub lookups: u32,
    /// How many of these were found without asking the tracker.
    #[n(13)]
    #[cbor(default, skip_if = "is_zero")]
    pub spared: u32,
    /// Neighbours that have come since the state that this update changes. Said instead of all
    /// neighbours, if that is shorter.
    #[n(14)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub met: Vec<PeerId>,
    /// Neighbours that have gone since then.
    #[n(15)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub parted: Vec<PeerId>,
    /// The info-hashes of torrents that the sender has and serves to ordinary clients, beside
    /// those that follow from its entries: all of them, when they have changed. Said to the
    /// tracker.
    #[n(16)]
    pub torrents: Option<Vec<InfoHash>>,
    /// The sender still looks through its share for the first time: its listing lacks what it has
    /// not come to. Said to the tracker, in every frame until that has ended.
    #[n(17)]
    #[cbor(default, skip_if = "is_false")]
    pub looking: bool,
}

impl Update {
    /// The most neighbours a member may name.
    pub const MAX_NEIGHBOURS: usize = 1024;
    /// The most torrents a member may name.
    pub const MAX_TORRENTS: usize = 2048;

    /// An update that changes nothing: a sign of life.
    pub fn heartbeat(seq: u64) -> Self {
        Self {
            seq,
            since: Some(seq),
            first: true,
            last: true,
            added: Vec::new(),
            removed: Vec::new(),
            neighbours: None,
            entries: None,
            bytes: None,
            lookups: 0,
            spared: 0,
            met: Vec::new(),
            parted: Vec::new(),
            torrents: None,
            looking: false,
        }
    }

    /// Whether it says nothing but that its sender lives.
    pub fn is_heartbeat(&self) -> bool {
        self.since == Some(self.seq)
            && self.first
            && self.last
            && self.added.is_empty()
            && self.removed.is_empty()
            && self.neighbours.is_none()
            && self.met.is_empty()
            && self.parted.is_empty()
            && self.torrents.is_none()
            && self.entries.is_none()
            && self.bytes.is_none()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "minicbor calls it so")]
fn is_false(is_so: &bool) -> bool {
    !is_so
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "minicbor calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl FrameBody for Update {
    fn check(&self) -> Result<(), FrameError> {
        if self.since > Some(self.seq) {
            return Err(FrameError::malformed(
                "an update from a later state to an earlier one",
            ));
        }
        let changes = !self.added.is_empty() || !self.removed.is_empty();
        if changes && self.since == Some(self.seq) {
            return Err(FrameError::malformed(
                "a change of the listing without a new seq",
            ));
        }
        self.added.iter().try_for_each(possible_entry)?;
        let changes = !self.met.is_empty() || !self.parted.is_empty();
        if changes && (self.neighbours.is_some() || self.since.is_none()) {
            return Err(FrameError::malformed(
                "all neighbours, and what has changed of them",
            ));
        }
        if self.torrents.is_some() && self.since == Some(self.seq) {
            return Err(FrameError::malformed(
                "a change of the torrents without a new seq",
            ));
        }
        at_most(
            Self::MAX_TORRENTS,
            self.torrents.as_deref().unwrap_or_default(),
            "torrents",
        )?;
        at_most(Self::MAX_NEIGHBOURS, &self.met, "new neighbours")?;
        at_most(Self::MAX_NEIGHBOURS, &self.parted, "former neighbours")?;
        at_most(
            Self::MAX_NEIGHBOURS,
            self.neighbours.as_deref().unwrap_or_default(),
            "neighbours",
        )
    }

    fn size(&self) -> usize {
        let added = self.added.iter().map(|entry| &entry.name);
        let names = added.chain(&self.removed);
        let names: usize = names.map(|name| THING + name.as_str().len()).sum();
        let neighbours = self.neighbours.as_deref().map_or(0, <[_]>::len);
        let torrents = self.torrents.as_deref().map_or(0, <[_]>::len);
        names + THING * (neighbours + self.met.len() + self.parted.len() + torrents)
    }
}

/// The answer to an [`Update`]. A tracker always gives it, a neighbour only
/// when something has to change.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ack {
    /// The state of the sender's copy; missing means "send a full listing".
    #[n(2)]
    pub seq: Option<u64>,
    /// The interval granted from now on, in milliseconds.
    #[n(3)]
    pub interval: Option<u32>,
    /// The listing is too large and is not kept: send only signs of life.
    #[n(4)]
    #[cbor(default)]
    pub unlisted: bool,
    /// The number of the sender's group record.
    #[n(5)]
    pub record: Option<u64>,
}

impl FrameBody for Ack {
    fn check(&self) -> Result<(), FrameError> {
        Ok(())
    }

    fn size(&self) -> usize {
        THING
    }
}
