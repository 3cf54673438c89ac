//! What was sent: by which node, of which kind, in which hour.

use std::time::Duration;

use thorp_core::time::Instant;
use thorp_wire::frame::{Body, Find, Query};

use crate::network::cost::{self, Paid};
use crate::network::{Node, TRACKER};

/// Kinds of frames, as they are counted. Files themselves are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameKind {
    /// An update that says nothing but that its sender lives.
    Beat,
    /// A change of a listing.
    Update,
    /// A whole listing.
    Listing,
    /// A change of the neighbours, and of nothing else.
    Neighbours,
    /// What became of an update.
    Ack,
    /// A question.
    Find,
    /// A question that is asked in advance.
    Compare,
    /// Its answer.
    Found,
    /// A file is asked for.
    Get,
    /// A question that is not answered.
    Refused,
    /// Hellos, goodbyes, records, certificates.
    Other,
    /// Plain BitTorrent's: one peer has one file.
    Announce,
}

impl FrameKind {
    /// All of them, in the order of [`Traffic::to_tracker`].
    pub const ALL: [Self; 12] = [
        Self::Beat,
        Self::Update,
        Self::Listing,
        Self::Neighbours,
        Self::Ack,
        Self::Find,
        Self::Compare,
        Self::Found,
        Self::Get,
        Self::Refused,
        Self::Other,
        Self::Announce,
    ];

    /// Of which kind this is; a file is of none.
    pub fn of(body: &Body) -> Option<Self> {
        Some(match body {
            Body::Update(update) if update.is_heartbeat() => Self::Beat,
            Body::Update(update) if update.since.is_none() => Self::Listing,
            Body::Update(update) if update.added.is_empty() && update.removed.is_empty() => {
                Self::Neighbours
            }
            Body::Update(_) => Self::Update,
            Body::Ack(_) => Self::Ack,
            Body::Find(Find {
                query: Query::Beyond(..),
                ..
            }) => Self::Compare,
            Body::Find(_) => Self::Find,
            Body::Found(_) => Self::Found,
            Body::Get(_) => Self::Get,
            Body::Refused(_) => Self::Refused,
            Body::Content(_) => return None,
            _ => Self::Other,
        })
    }
}

/// Messages by kind.
pub type ByKind = [u64; FrameKind::ALL.len()];

/// What was sent in each hour.
#[derive(Debug)]
pub struct Traffic {
    hours: Vec<Hour>,
    nodes: usize,
    /// Whether the tracker is told by announces who has what, instead of by updates.
    announces: bool,
}

/// What was sent in one hour.
#[derive(Clone, Debug)]
pub struct Hour {
    /// Messages that peers sent to the tracker.
    pub to_tracker: ByKind,
    /// Messages that the tracker sent.
    pub from_tracker: ByKind,
    /// Messages between peers.
    pub among_peers: ByKind,
    /// Bytes that each node sent which are no file's, by node.
    pub bytes: Vec<u64>,
    /// How long each node was online.
    pub online: Vec<Duration>,
    /// Files that each node sent.
    pub served: Vec<u32>,
    /// Bytes of all peers by kind, with their acknowledgements.
    pub bytes_by: ByKind,
}

impl Traffic {
    /// Of so many nodes, nothing yet.
    pub fn new(nodes: usize, announces: bool) -> Self {
        Self {
            hours: Vec::new(),
            nodes,
            announces,
        }
    }

    /// A frame of so many bytes is sent.
    pub fn sent(&mut self, now: Instant, from: Node, to: Node, body: &Body, bytes: usize) {
        let Some(kind) = FrameKind::of(body) else {
            return;
        };
        let is_upkeep = matches!(
            kind,
            FrameKind::Beat
                | FrameKind::Update
                | FrameKind::Listing
                | FrameKind::Neighbours
                | FrameKind::Ack
                | FrameKind::Other
        );
        if self.announces && is_upkeep && (from == TRACKER || to == TRACKER) {
            return;
        }
        let hour = self.at(now);
        let counts = if to == TRACKER {
            &mut hour.to_tracker
        } else if from == TRACKER {
            &mut hour.from_tracker
        } else {
            &mut hour.among_peers
        };
        counts[kind as usize] += 1;
        let paid = cost::of_frame(bytes);
        let by_peers = [(from, paid.by_sender), (to, paid.by_receiver)];
        let by_peers = by_peers.into_iter().filter(|(node, _)| *node != TRACKER);
        hour.bytes_by[kind as usize] += by_peers.map(|(_, bytes)| bytes as u64).sum::<u64>();
        self.paid(now, from, to, paid);
    }

    /// A peer of plain BitTorrent tells the tracker of so many files, one by one.
    pub fn announced(&mut self, now: Instant, from: Node, files: usize) {
        let hour = self.at(now);
        hour.to_tracker[FrameKind::Announce as usize] += files as u64;
        hour.bytes[from] += (files * cost::ANNOUNCE) as u64;
    }

    /// A node has sent a file.
    pub fn served(&mut self, now: Instant, from: Node) {
        self.at(now).served[from] += 1;
    }

    /// Bytes are sent that are no frame.
    pub fn paid(&mut self, now: Instant, from: Node, to: Node, paid: Paid) {
        let hour = self.at(now);
        hour.bytes[from] += paid.by_sender as u64;
        hour.bytes[to] += paid.by_receiver as u64;
    }

    /// A node was online from one moment to another.
    pub fn was_online(&mut self, node: Node, from: Instant, until: Instant) {
        let mut from = from;
        while from < until {
            let start = from - Instant::default();
            let next = Duration::from_hours(start.as_secs() / 3600 + 1);
            let end = until.min(Instant::after_start(next));
            self.at(from).online[node] += end - from;
            from = end;
        }
    }

    /// The hours from one on, up to another.
    pub fn hours(&self, hours: std::ops::Range<usize>) -> &[Hour] {
        let end = hours.end.min(self.hours.len());
        &self.hours[hours.start.min(end)..end]
    }

    fn at(&mut self, now: Instant) -> &mut Hour {
        let hour = usize::try_from((now - Instant::default()).as_secs() / 3600).unwrap_or(0);
        while self.hours.len() <= hour {
            self.hours.push(Hour {
                to_tracker: ByKind::default(),
                from_tracker: ByKind::default(),
                among_peers: ByKind::default(),
                bytes: vec![0; self.nodes],
                online: vec![Duration::ZERO; self.nodes],
                served: vec![0; self.nodes],
                bytes_by: ByKind::default(),
            });
        }
        &mut self.hours[hour]
    }
}
