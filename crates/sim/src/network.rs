//! Where machines are, how long bytes take between them, and what a frame costs
//! on the wire.
//!
//! Machines of a region are near to one another; regions lie anywhere on a map. The
//! tracker has a place of its own. Nothing here is told to a peer, which sees only
//! how long its answers take.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use thorp_wire::PeerId;

use crate::trace::Region;

/// A machine's place in the village. The tracker's is the first.
pub type Node = usize;

/// The tracker.
pub const TRACKER: Node = 0;

/// Where every node listens.
pub const PORT: u16 = 3334;
/// One way, between two machines at the same place: two home lines or a campus.
const NEAREST: Duration = Duration::from_millis(2);
/// One way across the whole map, besides.
const ACROSS: Duration = Duration::from_millis(90);
/// How far around the middle of their region machines lie, on a map of one by one.
const SPREAD: f64 = 0.03;
/// A packet that is lost is sent again after this long, so it comes late.
const SENT_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// A dial to a machine that does not answer takes this long to fail, as in `node`.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The network between the nodes.
#[derive(Debug)]
pub struct Network {
    places: Vec<(f64, f64)>,
    regions: Vec<Option<Region>>,
    /// Regions that nothing goes into or out of.
    cut: BTreeSet<Region>,
    loss: f64,
    random: fastrand::Rng,
}

impl Network {
    /// The tracker, and machines in these regions. So many of all packets are lost.
    pub fn new(regions: &[Region], loss: f64, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = regions.iter().map(|region| region.0).max().unwrap_or(0) + 1;
        let middles: Vec<(f64, f64)> = (0..count).map(|_| (random.f64(), random.f64())).collect();
        let mut places = vec![(random.f64(), random.f64())];
        for region in regions {
            let (x, y) = middles[usize::from(region.0)];
            let mut near = || (random.f64() - 0.5) * 2.0 * SPREAD;
            places.push((x + near(), y + near()));
        }
        let regions = std::iter::once(None)
            .chain(regions.iter().copied().map(Some))
            .collect();
        Self {
            places,
            regions,
            cut: BTreeSet::new(),
            loss,
            random,
        }
    }

    /// How long a packet takes from one node to another, if it is not lost.
    pub fn one_way(&self, from: Node, to: Node) -> Duration {
        let ((x, y), (far_x, far_y)) = (self.places[from], self.places[to]);
        NEAREST + ACROSS.mul_f64((x - far_x).hypot(y - far_y))
    }

    /// How long this one takes.
    pub fn delay(&mut self, from: Node, to: Node) -> Duration {
        let mut delay = self.one_way(from, to);
        while self.loss > 0.0 && self.random.f64() < self.loss {
            delay += SENT_AGAIN_AFTER;
        }
        delay
    }

    /// Cuts a region off from all others and the tracker, or joins it again.
    pub fn cut(&mut self, region: Region, is_cut: bool) {
        if is_cut {
            self.cut.insert(region);
        } else {
            self.cut.remove(&region);
        }
    }

    /// Whether packets go from one to the other.
    pub fn is_open(&self, a: Node, b: Node) -> bool {
        let (a, b) = (self.regions[a], self.regions[b]);
        let is_cut = |region: Option<Region>| region.is_some_and(|at| self.cut.contains(&at));
        a == b || !(is_cut(a) || is_cut(b))
    }
}

/// The address of a node.
pub fn address(node: Node) -> SocketAddr {
    let number = u32::try_from(node).expect("some thousands");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)), PORT)
}

/// The key of a node. Their order says nothing of where the nodes are.
pub fn id_of(node: Node) -> PeerId {
    let mut key = [0; 32];
    let scattered = fastrand::Rng::with_seed(node as u64).u64(..);
    key[..8].copy_from_slice(&scattered.to_be_bytes());
    key[24..].copy_from_slice(&(node as u64).to_be_bytes());
    PeerId::new(key)
}

/// The node with this key, if it is one of a village.
pub fn node_of(id: PeerId) -> Option<Node> {
    let number = id.as_bytes()[24..].try_into().ok()?;
    let node = Node::try_from(u64::from_be_bytes(number)).ok()?;
    (id_of(node) == id).then_some(node)
}

/// What goes over the wire besides frames. All of it in bytes, IP and TCP headers
/// included, Ethernet's not.
///
/// A TCP segment over IPv4 has 20 bytes of IP (RFC 791), 20 of TCP (RFC 9293) and 12
/// of timestamps (RFC 7323); a TLS 1.3 record has 5 in front, a type and a tag of 16
/// (RFC 8446).
pub mod cost {
    const HEADERS: usize = 20 + 20 + 12;
    const RECORD: usize = 5 + 1 + 16;
    const LONGEST_RECORD: usize = 16 * 1024;
    const SEGMENT: usize = 1500 - HEADERS;

    /// What a link takes to be opened: three segments of TCP, and TLS with a
    /// certificate of each end (some 900 bytes each in a chain of one, with its signature).
    pub const OPENING: Paid = Paid {
        by_sender: 4 * HEADERS + 320 + 1100,
        by_receiver: 3 * HEADERS + 130 + 1200,
    };
    /// What a link takes to be closed: an alert, and a FIN each way.
    pub const CLOSING: Paid = Paid {
        by_sender: 3 * HEADERS + RECORD + 2,
        by_receiver: 2 * HEADERS,
    };

    /// What one announce of one file takes over UDP: 98 bytes (BEP 15), 8 of UDP and 20
    /// of IP. The answer is the tracker's.
    pub const ANNOUNCE: usize = 98 + 8 + 20;

    /// Bytes that the two ends of a link have sent.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Paid {
        pub by_sender: usize,
        pub by_receiver: usize,
    }

    /// A frame of so many bytes, and its acknowledgements: one for two segments.
    pub fn of_frame(bytes: usize) -> Paid {
        let records = bytes.div_ceil(LONGEST_RECORD).max(1);
        let bytes = bytes + records * RECORD;
        let segments = bytes.div_ceil(SEGMENT);
        Paid {
            by_sender: bytes + segments * HEADERS,
            by_receiver: segments.div_ceil(2) * HEADERS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_of_a_region_are_nearer_than_others() {
        let regions: Vec<Region> = (0..40).map(|machine| Region(machine / 20)).collect();
        let network = Network::new(&regions, 0.0, 5);
        let own = network.one_way(1, 2);
        let other = network.one_way(1, 30);
        assert!(own < Duration::from_millis(11), "{own:?}");
        assert!(own < other, "{own:?}, {other:?}");
    }

    #[test]
    fn a_region_that_is_cut_off_reaches_only_itself() {
        let mut network = Network::new(&[Region(0), Region(0), Region(1)], 0.0, 5);
        network.cut(Region(0), true);
        assert!(network.is_open(1, 2));
        assert!(!network.is_open(1, 3) && !network.is_open(TRACKER, 2));
        assert!(network.is_open(3, TRACKER));
        network.cut(Region(0), false);
        assert!(network.is_open(1, 3));
    }

    #[test]
    fn a_heartbeat_is_one_segment_and_one_acknowledgement() {
        assert_eq!(cost::of_frame(20).by_sender, 20 + 22 + 52);
        assert_eq!(cost::of_frame(20).by_receiver, 52);
        assert_eq!(cost::of_frame(100_000).by_receiver, 35 * 52);
    }
}
