//! An open group on hosts of its own; a visitor that fetches; attackers.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::figures::{Figures, median, shown};
use crate::support::process::poll;
use crate::support::village::listening;
use crate::support::{Host, Net, Node, PATIENCE, Running, Village};

/// A tracker, `oak` that has a file, and a visitor: each on a host of its own, so that
/// each is an account of its own. The attackers' hosts are the rest.
pub struct Scene {
    pub net: Net,
    pub village: Village,
    pub tracker: Running,
    pub tracker_node: Node,
    pub oak: Running,
    pub at: SocketAddr,
    pub visitor: Node,
}

impl Scene {
    pub fn new(test: &str, attackers: u8) -> Option<Self> {
        let hosts: Vec<Ipv4Addr> = (1..=4 + attackers).map(address).collect();
        let net = Net::new(test, &hosts)?;
        let village = Village::new();
        let tracker_node = village.node("tracker").on(net.host(address(1)));
        let tracker = tracker_node.start(&["tracker", "--open", "--lines"]);
        listening(&tracker);
        let oak = village.node("oak").on(net.host(address(2)));
        oak.file("honest", "honest bytes");
        let visitor = village.node("visitor").on(net.host(address(3)));
        let at = SocketAddr::from((address(1), 3333));
        let oak = oak.start_sharing(&at.to_string(), "[::]:3334");
        let scene = Self {
            net,
            village,
            tracker,
            tracker_node,
            oak,
            at,
            visitor,
        };
        poll("a visitor to be served", PATIENCE, || {
            scene.visit().1.then_some(())
        });
        Some(scene)
    }

    /// An honest peer's host, beside those of the scene.
    pub fn fourth(&self) -> &Host {
        self.net.host(address(4))
    }

    pub fn attacker(&self, number: u8) -> &Host {
        self.net.host(address(5 + number))
    }

    /// A visitor comes, asks, fetches and goes: how long that took, and whether the file
    /// is right.
    pub fn visit(&self) -> (Duration, bool) {
        visit(&self.visitor, &self.at.to_string())
    }

    /// How long so many visits take, as a rule.
    pub fn before(&self, figures: &mut Figures, times: usize) -> Duration {
        let visits: Vec<_> = (0..times).map(|_| self.visit()).collect();
        let times: Vec<_> = visits.iter().map(|(time, _)| *time).collect();
        figures.usual("a visitor's get before", shown(median(&times)));
        median(&times)
    }

    /// So many visits while something goes on: all are served, within this time.
    pub fn meanwhile(&self, figures: &mut Figures, what: &str, times: usize, bound: Duration) {
        let visits: Vec<_> = (0..times).map(|_| self.visit()).collect();
        let good = visits.iter().filter(|(_, good)| *good).count();
        figures.all(&format!("visitors served {what}"), good, times);
        let times: Vec<_> = visits.iter().map(|(time, _)| *time).collect();
        figures.time(
            &format!("a visitor's get {what}, median"),
            median(&times),
            bound,
        );
        let slowest = times.iter().max().copied().unwrap_or_default();
        figures.time(
            &format!("the slowest of them {what}"),
            slowest,
            PATIENCE / 3,
        );
    }
}

pub fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 198, number)
}

pub fn visit(visitor: &Node, tracker: &str) -> (Duration, bool) {
    let file = visitor.share().join("honest");
    _ = fs::remove_file(&file);
    let begun = Instant::now();
    let end = visitor.run_for(
        Duration::from_mins(2),
        &["get", "honest", "--tracker", tracker],
    );
    let took = begun.elapsed();
    let is_right = fs::read(&file).is_ok_and(|bytes| bytes == b"honest bytes");
    if end.code != Some(0) || !is_right {
        eprintln!("a visitor was not served: {end}");
    }
    (took, end.code == Some(0) && is_right)
}

/// Plays an attack until it is over, or its test has failed. To be called on a thread of the
/// attacker's host.
pub fn play<T>(mut is_over: watch::Receiver<()>, attack: impl Future<Output = T>) -> Option<T> {
    runtime().block_on(async {
        tokio::select! {
            end = attack => Some(end),
            _ = is_over.changed() => None,
        }
    })
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads")
}
