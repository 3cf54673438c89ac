//! Makes pages of peers and files from what the machine of a tracker or a peer knows.
//!
//! A page is found by its key in the machine's ordered indices. What a row says about other
//! members (their addresses, whether two share one, whether a name has two contents) is looked up
//! only for the rows of the page.

use std::net::SocketAddr;

use thorp_core::catalogue::{Catalogue, ChildrenFrom, FolderChild, Listing, NamedFile};
use thorp_core::peer::Peer;
use thorp_core::presence::{Place, Presence, Presences};
use thorp_core::time::Instant;
use thorp_core::tracker::Tracker;
use thorp_core::words::Words;
use thorp_wire::frame::{Holder, MemberRow};
use thorp_wire::{Entry, Name, PeerId};

use crate::api::snapshot::{Ask, At, FolderRow, Part, RowKey, SnapshotRow};
use crate::api::tracked::{Around, MemberRef, PeerLink, TrackedFile, TrackedPeer};
use crate::api::{self, FileRow};

/// A file counts as popular if it has more than this many times the holders that a row names.
const POPULAR: usize = 4;

/// What a machine knows about other members.
pub struct Knowledge<'a> {
    /// The peers that are present.
    present: &'a Presences,
    /// The listings of all peers.
    catalogue: &'a Catalogue,
    /// This peer, if the node is one: it is in the catalogue, but not among those present.
    itself: Option<&'a Holder>,
    /// The maximum number of neighbours in the row of one peer.
    most_neighbours: usize,
    /// At a peer: how its links are at this moment.
    links: Option<(&'a Peer, Instant)>,
}

/// The rows of a page, the number of rows in the part, and whether there are more.
pub type PageRows = (Vec<SnapshotRow>, u64, bool);

impl<'a> Knowledge<'a> {
    /// Returns what a tracker knows.
    pub fn of_tracker(tracker: &'a Tracker) -> Self {
        Self {
            present: tracker.present(),
            catalogue: tracker.catalogue(),
            itself: None,
            most_neighbours: usize::MAX,
            links: None,
        }
    }

    /// Returns what a peer knows; other peers see this peer as `itself`.
    pub fn of_peer(peer: &'a Peer, itself: Option<&'a Holder>, now: Instant) -> Self {
        Self {
            present: peer.present(),
            catalogue: peer.catalogue(),
            itself,
            most_neighbours: MemberRow::MAX_NEIGHBOURS,
            links: Some((peer, now)),
        }
    }
}

impl Knowledge<'_> {
    /// Makes a page, or returns `None` if its part is made elsewhere.
    pub(super) fn page(&self, ask: &Ask) -> Option<PageRows> {
        match &ask.part {
            Part::Peers => Some(self.peers(ask)),
            Part::Files => Some(self.files(ask)),
            Part::FilesOf { id } => Some(self.files_of(id, ask)),
            Part::Folder { path } => Some(self.folder(path, ask)),
            // A search is made a part at a time, and charged for.
            Part::Found { .. }
            | Part::Node
            | Part::Share
            | Part::LeftOut
            | Part::Transfers
            | Part::Uploads
            | Part::Swarms
            | Part::Warnings
            | Part::Counts => None,
        }
    }

    /// Makes the row of a peer, if the peer is present.
    pub(super) fn peer(&self, id: PeerId, names: usize) -> Option<SnapshotRow> {
        let presence = self.present.get(id).filter(|presence| presence.is_listed)?;
        Some(self.peer_row(presence, names))
    }

    fn peers(&self, ask: &Ask) -> PageRows {
        let place = |key: &RowKey| match key {
            RowKey::Peer { address, id } => Some((*address, id.parse().ok()?)),
            RowKey::File { .. } | RowKey::Folder { .. } | RowKey::Path { .. } => None,
        };
        let forwards = |from: Option<Place>| self.present.from_place(from);
        let backwards = |before: Option<Place>| self.present.before_place(before);
        let row = |presence: &Presence| self.peer_row(presence, ask.names);
        let (rows, more) = match &ask.at {
            At::Start => forth(forwards(None), ask, row),
            At::From(key) => forth(forwards(place(key)), ask, row),
            At::After(key) => {
                let after = place(key);
                let behind = forwards(after).filter(|peer| Some(peer.place()) != after);
                forth(behind, ask, row)
            }
            At::End => back(backwards(None), ask, row),
            At::Before(key) => back(backwards(place(key)), ask, row),
        };
        (rows, self.present.listed_count() as u64, more)
    }

    fn files(&self, ask: &Ask) -> PageRows {
        let row = |file: NamedFile| self.file_row(&file, ask.names);
        let named = |key: &RowKey| named(key).unwrap_or((None, 0));
        let (rows, more) = match &ask.at {
            At::Start => forth(self.catalogue.files_from(None), ask, row),
            At::From(key) => {
                let (name, nth) = named(key);
                let from = name.as_ref().map(|name| (name, nth));
                forth(self.catalogue.files_from(from), ask, row)
            }
            At::After(key) => {
                let (name, nth) = named(key);
                let from = name.as_ref().map(|name| (name, nth.saturating_add(1)));
                forth(self.catalogue.files_from(from), ask, row)
            }
            At::End => back(self.catalogue.files_before(None), ask, row),
            At::Before(key) => {
                let (name, nth) = named(key);
                let before = name.as_ref().map(|name| (name, nth));
                back(self.catalogue.files_before(before), ask, row)
            }
        };
        (rows, self.catalogue.rows(), more)
    }

    fn folder(&self, path: &str, ask: &Ask) -> PageRows {
        let from = match &ask.at {
            At::After(RowKey::Folder { name }) => ChildrenFrom::BehindFolder(name),
            At::After(RowKey::File { name, .. }) => ChildrenFrom::BehindFile(name),
            _ => ChildrenFrom::Start,
        };
        let row = |child| match child {
            FolderChild::Folder(name) => SnapshotRow::Folder(FolderRow { name }),
            FolderChild::File(file) => self.file_row(&file, ask.names),
        };
        let (rows, more) = forth(self.catalogue.children(path, from), ask, row);
        (rows, 0, more)
    }

    /// Searches until there are enough rows or it has taken this many steps. Returns the rows,
    /// where to go on, and what it has cost.
    pub(super) fn search(&self, ask: &Ask, most: u64) -> (Vec<SnapshotRow>, Option<RowKey>, u64) {
        let words = match &ask.part {
            Part::Found { words } => Words::new(words),
            _ => None,
        };
        let Some(words) = words else {
            return (Vec::new(), None, 0);
        };
        let behind = match &ask.at {
            At::After(key) => named(key).and_then(|(name, _)| name),
            _ => None,
        };
        let slice = self
            .catalogue
            .search(&words, behind.as_ref(), ask.limit, most);
        let row = |file: &NamedFile| self.file_row(file, ask.names);
        let rows = slice.files.iter().map(row).collect();
        let reached = slice.reached.map(|name| RowKey::File {
            name: name.to_string(),
            nth: usize::MAX,
        });
        (rows, reached, slice.steps)
    }

    fn files_of(&self, id: &str, ask: &Ask) -> PageRows {
        let id = id.parse().ok();
        let listing = id.and_then(|id| Some((id, self.catalogue.listing(id)?)));
        let Some((id, listing)) = listing else {
            return (Vec::new(), 0, false);
        };
        let holder = self.holder(id);
        let row = |entry: Entry| listed(&entry, holder.as_ref());
        let name = |key: &RowKey| named(key).and_then(|(name, _)| name);
        let (rows, more) = match &ask.at {
            At::Start => forth(listing.entries_after(None), ask, row),
            At::From(key) => {
                let name = name(key);
                let here = name.as_ref().and_then(|name| listing.entry(name));
                let behind = listing.entries_after(name.as_ref());
                forth(here.into_iter().chain(behind), ask, row)
            }
            At::After(key) => forth(listing.entries_after(name(key).as_ref()), ask, row),
            At::End => back(listing.entries_before(None), ask, row),
            At::Before(key) => back(listing.entries_before(name(key).as_ref()), ask, row),
        };
        (rows, listing.len() as u64, more)
    }

    fn peer_row(&self, presence: &Presence, names: usize) -> SnapshotRow {
        let listing = self.catalogue.listing(presence.id);
        let neighbours = listing.map_or(&[][..], Listing::neighbours);
        let told = &neighbours[..neighbours.len().min(self.most_neighbours)];
        let (address, _) = presence.place();
        let around = Around {
            shares_address: self.present.is_shared(address.ip()),
            neighbours: self.refs(told.iter().copied(), names),
            names,
            link: self.link(presence.id),
        };
        SnapshotRow::Peer(TrackedPeer::of(presence, listing, around))
    }

    /// Returns how the link to a peer is at this moment.
    fn link(&self, id: PeerId) -> Option<PeerLink> {
        let (peer, now) = self.links?;
        let (rtt, heard) = peer.liveness(id)?;
        let whole = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        Some(PeerLink {
            rtt_us: rtt.map(|rtt| whole(rtt.as_micros())),
            silent_ms: whole((now - heard).as_millis()),
        })
    }

    fn file_row(&self, file: &NamedFile, names: usize) -> SnapshotRow {
        let wholes = &file.wholes;
        let holders = if self.itself.is_none() && wholes.len() / POPULAR > names {
            self.first_holders(&file.file.entry, names)
        } else {
            self.refs(wholes.iter().copied(), names)
        };
        SnapshotRow::File(TrackedFile::of(file, holders))
    }

    /// Returns the first holders by address of the whole of a popular file. Searching all present
    /// peers in order finds them sooner than looking up the address of every holder.
    fn first_holders(&self, file: &Entry, most: usize) -> Vec<MemberRef> {
        let has_it = |presence: &&Presence| {
            let listing = self.catalogue.listing(presence.id);
            let entry = listing.and_then(|listing| listing.entry(&file.name));
            let is_same = |it: Entry| (it.length, it.root) == (file.length, file.root);
            entry.is_some_and(|entry| !entry.partial && is_same(entry))
        };
        let holders = self.present.from_place(None).filter(has_it).take(most);
        let named = holders.map(|presence| self.present_ref(presence.id, presence.place().0));
        named.collect()
    }

    /// Returns the first `most` of these members: by address, then those whose address is unknown
    /// here.
    fn refs(&self, ids: impl Iterator<Item = PeerId>, most: usize) -> Vec<MemberRef> {
        let (mut seen, mut unseen) = (Vec::new(), Vec::new());
        for id in ids {
            match self.address(id) {
                Some(address) => seen.push((address, id)),
                None => unseen.push(id),
            }
        }
        if most < seen.len() {
            seen.select_nth_unstable(most);
            seen.truncate(most);
        }
        seen.sort_unstable();
        let seen = seen.into_iter();
        let seen = seen.map(|(address, id)| self.present_ref(id, address));
        let unseen = unseen.into_iter().map(|id| MemberRef {
            id: id.to_string(),
            name: None,
            address: None,
            shares_address: false,
        });
        seen.chain(unseen).take(most).collect()
    }

    fn present_ref(&self, id: PeerId, address: SocketAddr) -> MemberRef {
        let shares_address = self.present.is_shared(address.ip());
        let named = || self.present.get(id)?.name.as_ref();
        MemberRef {
            id: id.to_string(),
            name: shares_address
                .then(named)
                .flatten()
                .map(ToString::to_string),
            address: Some(address),
            shares_address,
        }
    }

    fn address(&self, id: PeerId) -> Option<SocketAddr> {
        let present = self.present.get(id).filter(|presence| presence.is_listed);
        if let Some(presence) = present {
            return Some(presence.place().0);
        }
        let itself = self.itself.filter(|itself| itself.id == id)?;
        itself.addresses.first().copied()
    }

    fn holder(&self, id: PeerId) -> Option<Holder> {
        let present = self.present.get(id).map(Presence::holder);
        present.or_else(|| self.itself.filter(|itself| itself.id == id).cloned())
    }
}

fn listed(entry: &Entry, holder: Option<&Holder>) -> SnapshotRow {
    let holder = holder.map(|holder| api::HolderRow {
        member: crate::rows::holder(holder),
        partial: entry.partial,
    });
    SnapshotRow::Listed(FileRow {
        name: entry.name.to_string(),
        length: entry.length,
        mtime: entry.mtime,
        mtime_ns: entry.nanos,
        executable: entry.executable,
        root: entry.root.map(|root| root.to_string()),
        holders: holder.into_iter().collect(),
    })
}

/// Returns a file's name and number from its key, or `None` for a key of another kind.
fn named(key: &RowKey) -> Option<(Option<Name>, usize)> {
    match key {
        RowKey::File { name, nth } => Some((name.parse().ok(), *nth)),
        RowKey::Peer { .. } | RowKey::Folder { .. } | RowKey::Path { .. } => None,
    }
}

/// Returns the first rows of an iterator, and whether there are more.
fn forth<T>(
    walk: impl Iterator<Item = T>,
    ask: &Ask,
    row: impl Fn(T) -> SnapshotRow,
) -> (Vec<SnapshotRow>, bool) {
    let mut walk = walk.fuse();
    let rows = walk.by_ref().take(ask.limit).map(row).collect();
    (rows, walk.next().is_some())
}

/// Returns the first rows of an iterator that runs backwards, in forward order.
fn back<T>(
    walk: impl Iterator<Item = T>,
    ask: &Ask,
    row: impl Fn(T) -> SnapshotRow,
) -> (Vec<SnapshotRow>, bool) {
    let (mut rows, more) = forth(walk, ask, row);
    rows.reverse();
    (rows, more)
}
