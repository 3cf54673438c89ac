//! The visible state of a village: its links, tables and neighbours.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use thorp_core::spared::Spared;
use thorp_core::time::Instant;
use thorp_core::tracker::Counts;
use thorp_wire::PeerId;
use thorp_wire::frame::Holder;

use super::{Cable, Node, Village, id};

impl Village {
    pub fn links_of(&self, node: Node) -> Vec<u64> {
        let of = |cable: &&Cable| cable.ends.contains(&node);
        let links = self.cables.iter().filter(|(_, cable)| of(cable));
        links.map(|(link, _)| *link).collect()
    }

    /// Returns how many connections there are between two nodes.
    pub fn links_between(&self, a: Node, b: Node) -> usize {
        let links = self.links_of(a);
        links
            .iter()
            .filter(|link| self.links_of(b).contains(link))
            .count()
    }

    /// Returns a peer as the tracker names it.
    pub fn holder(&self, node: Node) -> Holder {
        let mut peers = self.tracker().present().listed();
        let peer = peers.find(|peer| peer.id == id(node));
        peer.expect("the tracker knows it").holder()
    }

    /// Returns what the tracker has counted.
    pub fn counts(&self) -> Counts {
        self.tracker().counts(self.now)
    }

    /// Returns how many of a peer's lookups the tracker was spared, according to the peer.
    pub fn spared(&mut self, node: Node) -> Spared {
        let now = self.now;
        self.host(node).peer.spared(now)
    }

    /// Returns the tracker's first table: each peer's address, its names, its neighbours'
    /// addresses.
    pub fn peers_table(&self) -> Vec<(String, String, String)> {
        let tracker = self.tracker();
        let address: BTreeMap<PeerId, IpAddr> = tracker
            .present()
            .listed()
            .map(|peer| (peer.id, peer.seen_at))
            .collect();
        let mut rows: Vec<_> = tracker
            .present()
            .listed()
            .map(|peer| {
                let listing = tracker.catalogue().listing(peer.id);
                let names = listing.map_or(String::new(), |listing| {
                    joined(&listing.names().map(ToString::to_string).collect::<Vec<_>>())
                });
                let neighbours = listing.map_or(&[][..], |listing| listing.neighbours());
                let mut near: Vec<IpAddr> = neighbours
                    .iter()
                    .filter_map(|id| address.get(id).copied())
                    .collect();
                near.sort();
                (
                    peer.seen_at,
                    names,
                    joined(&near.iter().map(ToString::to_string).collect::<Vec<_>>()),
                )
            })
            .collect();
        rows.sort();
        let row = |(ip, names, near): (IpAddr, String, String)| (ip.to_string(), names, near);
        rows.into_iter().map(row).collect()
    }

    /// Returns the tracker's second table: each name and its holders' addresses.
    pub fn files_table(&self) -> Vec<(String, String)> {
        let tracker = self.tracker();
        let address: BTreeMap<PeerId, IpAddr> = tracker
            .present()
            .listed()
            .map(|peer| (peer.id, peer.seen_at))
            .collect();
        let rows = tracker.catalogue().files().map(|file| {
            let mut held: Vec<IpAddr> = file.holders.iter().map(|id| address[id]).collect();
            held.sort();
            (
                file.entry.name.to_string(),
                joined(&held.iter().map(ToString::to_string).collect::<Vec<_>>()),
            )
        });
        rows.collect()
    }

    /// Returns a peer's neighbours, by id.
    pub fn neighbours(&mut self, node: Node) -> Vec<PeerId> {
        self.host(node)
            .peer
            .neighbours()
            .map(|row| row.member.id)
            .collect()
    }

    pub fn received(&self, node: Node, kind: &'static str) -> u64 {
        self.frames.get(&(node, kind)).copied().unwrap_or(0)
    }

    /// Returns which members a peer has dialled since then, in order; `None` stands for the
    /// tracker.
    pub fn dialled_since(&self, node: Node, since: Instant) -> Vec<Option<PeerId>> {
        let dials = self.nodes[node].dials.iter();
        let dials = dials.filter(|(at, _)| *at >= since);
        dials.map(|(_, whom)| *whom).collect()
    }

    /// Returns what a peer has stored for its next start.
    pub fn written_down(&self, node: Node) -> Vec<PeerId> {
        let disk = self.nodes[node].disk.iter();
        disk.map(|known| known.member.id).collect()
    }

    /// Returns how long after `since` a peer dialled another one, each time.
    pub fn dials_of(&self, node: Node, whom: Node, since: Instant) -> Vec<Duration> {
        let dials = self.nodes[node].dials.iter();
        dials
            .filter(|(at, id)| *at >= since && *id == Some(self::id(whom)))
            .map(|(at, _)| *at - since)
            .collect()
    }
}

fn joined(parts: &[String]) -> String {
    parts.join(" ")
}
