//! The tracker's face for ordinary BitTorrent clients: announces and scrapes.
//!
//! ```text
//! http  over HTTP, on the node's port
//! udp   over UDP, on the same port number
//! ids   connection ids for UDP
//! ```
//!
//! Owns the stores of swarms ([`thorp_core::swarms`]), which are called directly by the code that
//! reads an announce. Which members have which torrent comes from the tracker's task. Exists only
//! where the group's owner has turned it on: without it, clients get no byte.

pub(crate) mod http;
mod ids;
pub(crate) mod udp;

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use thorp_core::swarms::{
    AnnouncedFrom, Assignment, Busy, Handed, MemberChange, NotTracked, Policy, StoreLimits,
    SwarmTotals, Swarms, Wanted,
};
use thorp_core::time::Instant;
use thorp_group::clock::Clock;
use thorp_wire::InfoHash;
use thorp_wire::announce::{Announce, SwarmCounts};

use crate::config::Config;
use crate::net::addresses::Reach;
use crate::system::{now, random};

/// How many stores share the torrents for each thread that answers over UDP, if there are several,
/// so that two seldom want the same one. With more of them, fewer announces of a batch are in the
/// same one.
const STORES_EACH: u32 = 4;
/// How many peers a client gets that does not say how many it wants.
const USUALLY_WANTED: u32 = 50;

/// A handle to the face. Clones share it.
#[derive(Clone)]
pub struct Face(Arc<Inner>);

struct Inner {
    stores: Box<[Mutex<Swarms>]>,
    assignment: Assignment,
    clock: Clock,
    interval: Duration,
    /// For how long a connection id is good.
    connection: Duration,
    reach: Reach,
    /// Under which addresses clients on this machine are handed out.
    own: RwLock<Vec<IpAddr>>,
}

/// What a client says, and then what it is told.
pub(crate) struct Asked {
    said: Announce,
    from: AnnouncedFrom,
    store: usize,
    wanted: Wanted,
    pub(crate) handed: Handed,
    pub(crate) counts: Result<SwarmCounts, NotTracked>,
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Face({:?})", self.totals())
    }
}

impl Face {
    /// Makes a face without torrents. `is_any` sets whether any torrent is tracked, or only those
    /// that members have.
    pub fn new(is_any: bool, config: &Config, reach: Reach, clock: Clock) -> Self {
        let stores = match udp::threads() {
            1 => 1,
            threads => STORES_EACH * threads,
        };
        Self::of_stores(stores, is_any, config, reach, clock)
    }

    fn of_stores(number: u32, is_any: bool, config: &Config, reach: Reach, clock: Clock) -> Self {
        let policy = Policy {
            is_any,
            interval: config.announce_interval,
        };
        let limits = StoreLimits::of_tracker(number);
        let store = |_| Mutex::new(Swarms::new(limits, policy, random()));
        let stores: Box<[_]> = (0..number).map(store).collect();
        let face = Self(Arc::new(Inner {
            assignment: Assignment::new(stores.len(), random()),
            stores,
            interval: config.announce_interval,
            connection: config.udp_connection,
            own: RwLock::default(),
            clock,
            reach,
        }));
        face.look_for_addresses();
        face
    }

    /// Takes what a client says, and appends peers to `handed`.
    pub(crate) fn announce(
        &self,
        said: &Announce,
        from: IpAddr,
        wanted: Wanted,
        handed: &mut Handed,
    ) -> Result<SwarmCounts, NotTracked> {
        let from = self.origins().of(from);
        let now = now(&self.0.clock);
        self.store(&said.torrent)
            .announce(now, said, from, wanted, handed)
    }

    /// Takes what several clients say, which is quicker than one after another: each store is
    /// locked once, and knows all that it is going to be asked.
    pub(crate) fn announce_all(&self, now: Instant, all: &mut [Asked]) {
        for (number, store) in self.0.stores.iter().enumerate() {
            let is_its = |asked: &Asked| asked.store == number;
            if !all.iter().any(is_its) {
                continue;
            }
            let mut store = lock(store);
            let its = all.iter().filter(|asked| is_its(asked));
            store.look_ahead(its.map(|asked| &asked.said.torrent));
            for asked in all.iter_mut().filter(|asked| is_its(asked)) {
                let (said, handed) = (&asked.said, &mut asked.handed);
                asked.counts = store.announce(now, said, asked.from, asked.wanted, handed);
            }
        }
    }

    /// Returns what a client says, to be taken together with others. Peers are appended to
    /// `handed`.
    pub(crate) fn asked(
        &self,
        said: Announce,
        from: AnnouncedFrom,
        wanted: Wanted,
        handed: Handed,
    ) -> Asked {
        Asked {
            store: self.0.assignment.store_of(&said.torrent),
            from,
            said,
            wanted,
            handed,
            counts: Err(NotTracked),
        }
    }

    /// Returns what is counted of a torrent; zeros if it is not tracked.
    pub(crate) fn scrape(&self, torrent: &InfoHash) -> SwarmCounts {
        let now = now(&self.0.clock);
        let counts = self.store(torrent).scrape(now, torrent);
        counts.unwrap_or_default()
    }

    /// Returns what is counted of all torrents.
    pub fn totals(&self) -> SwarmTotals {
        let mut all = SwarmTotals::default();
        for store in &self.0.stores {
            let of = lock(store).totals();
            all.torrents += of.torrents;
            all.seeders += of.seeders;
            all.leechers += of.leechers;
            all.announces += of.announces;
        }
        all
    }

    /// Returns the torrents with the most peers, those with more first.
    pub fn busiest(&self, most: usize) -> Vec<Busy> {
        let stores = self.0.stores.iter();
        let mut all: Vec<_> = stores.flat_map(|store| lock(store).busiest(most)).collect();
        all.sort_by_key(|busy| Reverse((busy.peers(), busy.torrent)));
        all.truncate(most);
        all
    }

    /// Forgets silent clients. To be called every second or so.
    pub(crate) fn sweep(&self) {
        for store in &self.0.stores {
            lock(store).sweep(now(&self.0.clock));
        }
    }

    /// Finds out again which addresses this machine has.
    pub(crate) fn look_for_addresses(&self) {
        let own = self.0.reach.addresses();
        let own = own.into_iter().map(|address| address.ip().to_canonical());
        let own = own.filter(|ip| !ip.is_loopback()).collect();
        let known = self.0.own.write();
        *known.unwrap_or_else(PoisonError::into_inner) = own;
    }

    /// Takes a change of what members have.
    pub(crate) fn on_member(&self, change: &MemberChange) {
        match change {
            MemberChange::Lists(_, torrent, ..)
            | MemberChange::Unlists(_, torrent)
            | MemberChange::Names(_, torrent)
            | MemberChange::Unnames(_, torrent) => {
                self.store(torrent).on_member(change);
            }
            MemberChange::Reached(..) | MemberChange::Left(_) => {
                let stores = self.0.stores.iter();
                stores.for_each(|store| lock(store).on_member(change));
            }
        }
    }

    /// How long a client may wait until it announces itself again, in seconds.
    fn interval(&self) -> u32 {
        u32::try_from(self.0.interval.as_secs()).unwrap_or(u32::MAX)
    }

    /// Returns under which addresses clients are handed out as of now.
    fn origins(&self) -> Origins<'_> {
        Origins(self.0.own.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn store(&self, torrent: &InfoHash) -> MutexGuard<'_, Swarms> {
        let stores = &self.0.stores;
        lock(&stores[self.0.assignment.store_of(torrent)])
    }
}

/// Under which addresses clients are handed out.
struct Origins<'a>(RwLockReadGuard<'a, Vec<IpAddr>>);

impl Origins<'_> {
    /// Returns under which address a client is handed out. One on this machine is reached by
    /// others under the machine's address only.
    fn of(&self, from: IpAddr) -> AnnouncedFrom {
        let from = from.to_canonical();
        let is_local = from.is_loopback();
        let mut own = self.0.iter().filter(|_| is_local);
        let reachable = own.find(|own| own.is_ipv4() == from.is_ipv4());
        AnnouncedFrom {
            ip: reachable.copied().unwrap_or(from),
            is_local,
        }
    }
}

fn lock(store: &Mutex<Swarms>) -> MutexGuard<'_, Swarms> {
    // A store is whole between two calls, and a panic in one would be a fault of its own.
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns how many peers a client is given, if at most `most` fit.
fn wanted(said: &Announce, most: usize) -> usize {
    let wanted = said.wanted.unwrap_or(USUALLY_WANTED);
    usize::try_from(wanted).unwrap_or(most).min(most)
}

#[cfg(test)]
impl Face {
    /// Makes a face for tests, on this machine's clock.
    pub(crate) fn for_tests(is_any: bool) -> Self {
        let reach = Reach::on(([10, 0, 0, 7], 3333).into());
        let config = Config::default();
        Self::of_stores(STORES_EACH, is_any, &config, reach, Clock::system())
    }
}
