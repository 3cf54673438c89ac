//! The two tables, from what the machine knows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use thorp_core::tracker::Tracker;
use thorp_wire::PeerId;

use crate::api::{TrackedFile, TrackedPeer, TrackerView};

/// Digits of a root that tell one content from another to a person.
const ROOT_PREFIX: usize = 8;

pub(super) fn of(tracker: &Tracker) -> TrackerView {
    let labels = Labels::of(tracker);
    let mut peers: Vec<_> = tracker.peers().collect();
    peers.sort_by_key(|peer| labels.place(peer.id));
    let peers = peers.into_iter().map(|peer| {
        let listing = tracker.catalogue().listing(peer.id);
        let files = listing
            .into_iter()
            .flat_map(thorp_core::catalogue::Listing::names);
        TrackedPeer {
            address: labels.label(peer.id).unwrap_or_default(),
            name: peer.name.as_ref().map(ToString::to_string),
            files: files
                .take(TrackerView::MAX_ROWS)
                .map(ToString::to_string)
                .collect(),
            files_total: listing.map_or(0, |listing| listing.len() as u64),
            neighbours: labels.all(listing.map_or(&[][..], |listing| listing.neighbours())),
        }
    });
    let peers = peers.collect();
    let mut files: Vec<TrackedFile> = Vec::new();
    let mut roots: Vec<Option<String>> = Vec::new();
    for file in tracker.catalogue().files().take(TrackerView::MAX_ROWS) {
        roots.push(
            file.entry
                .root
                .map(|root| root.to_string()[..ROOT_PREFIX].to_owned()),
        );
        // Who is fetching it is no holder in anybody's table.
        let has_a_part = |peer: &PeerId| tracker.catalogue().has_a_part(*peer, &file.entry.name);
        let holders = file.holders.iter().copied();
        let wholes: Vec<PeerId> = holders.filter(|peer| !has_a_part(peer)).collect();
        files.push(TrackedFile {
            name: file.entry.name.to_string(),
            root_prefix: None,
            holders: labels.all(&wholes),
        });
    }
    for i in 0..files.len() {
        let twin =
            |other: Option<&TrackedFile>| other.is_some_and(|other| other.name == files[i].name);
        if twin(files.get(i + 1))
            || i.checked_sub(1)
                .is_some_and(|before| twin(files.get(before)))
        {
            files[i].root_prefix = Some(
                roots[i]
                    .take()
                    .unwrap_or_else(|| "not hashed yet".to_owned()),
            );
        }
    }
    TrackerView {
        peers,
        files,
        files_total: tracker.catalogue().rows(),
    }
}

/// What each peer is called in the tables: its address, with the port only
/// where two peers share an address.
struct Labels {
    addresses: BTreeMap<PeerId, SocketAddr>,
    /// IP addresses of more than one peer.
    shared: BTreeSet<IpAddr>,
}

impl Labels {
    fn of(tracker: &Tracker) -> Self {
        let address = |peer: &thorp_core::presence::Presence| {
            let unreachable = SocketAddr::new(peer.seen_at, 0);
            let best = peer.addresses.first().copied();
            (peer.id, best.unwrap_or(unreachable))
        };
        let addresses: BTreeMap<_, _> = tracker.peers().map(address).collect();
        let (mut seen, mut shared) = (BTreeSet::new(), BTreeSet::new());
        for address in addresses.values() {
            if !seen.insert(address.ip()) {
                shared.insert(address.ip());
            }
        }
        Self { addresses, shared }
    }

    fn place(&self, peer: PeerId) -> Option<SocketAddr> {
        self.addresses.get(&peer).copied()
    }

    fn label(&self, peer: PeerId) -> Option<String> {
        let address = self.place(peer)?;
        Some(if self.shared.contains(&address.ip()) {
            address.to_string()
        } else {
            address.ip().to_string()
        })
    }

    /// Those that are present, in the order of their addresses.
    fn all(&self, peers: &[PeerId]) -> Vec<String> {
        let mut present: Vec<_> = peers
            .iter()
            .filter_map(|peer| Some((self.place(*peer)?, self.label(*peer)?)))
            .collect();
        present.sort();
        present.into_iter().map(|(_, label)| label).collect()
    }
}
