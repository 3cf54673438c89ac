//! The swarms of a tracker for clients of BitTorrent: who is in which torrent.
//!
//! ```text
//! peers     one torrent: its peers by family, seeders and leechers
//! feed      what the catalogue tells: which members have which torrents
//! listed    changes a store after the feed: a member has a torrent, or not any more
//! members   where the group's members are reached, who appear without announcing
//! handed    which peers a client is told
//! keyed     hashes with a secret
//! ```
//!
//! The store is called directly by the threads that read announces. To use several without one
//! lock, several stores share the torrents: an [`Assignment`] says which one has a torrent. It
//! owns no socket and no packet, and the catalogue of the group is elsewhere: its [feed](feed)
//! tells the store which member has which torrent.
//!
//! **Who may change a peer.** A peer is its address and port, and a stranger cannot announce from
//! another's address. But many machines may share an address. So a peer also has a tag, made of
//! the id and the secret key that its client announces: an announce from the same address and
//! port with another tag changes nothing, until the client with the right one is late.
//!
//! **What strangers may take.** An address may have some rows of one torrent
//! ([`StoreLimits::at_one_address`]), and in all an eighth of what is still free. So one
//! address, or a few, leave something for every other, and none has to give anything up. About a
//! hundred that take all they can fill a store, and three thousand a torrent (a /48 of IPv6 has
//! 65,536): a client that comes then is answered, but not handed out.

pub(crate) mod feed;
mod handed;
mod keyed;
mod listed;
mod members;
mod peers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use thorp_wire::announce::{Announce, AnnounceEvent, Compact, SwarmCounts};
use thorp_wire::{InfoHash, Name};

use crate::ahead::glance_at;
use crate::time::Instant;
use keyed::Key;
use members::Members;
use peers::{Peers, Row, Torrent, ip};

pub use feed::MemberChange;
pub use members::MemberNumber;

/// How exactly a peer's time is kept. A torrent is not swept more often than this.
const TICK: Duration = Duration::from_secs(16);
/// The most torrents that [`Swarms::sweep`] looks at.
const SWEPT_AT_ONCE: usize = 1000;
/// An address may have this many rows in a store that is not full, whatever is free.
const LEAST_SHARE: u16 = 4;

/// How much one store may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Torrents that are there because clients announced them. Those of the group's members do not
    /// count: their listings have bounds of their own.
    pub torrents: u32,
    /// Peers in all torrents, members not counted.
    pub peers: u32,
    /// Peers of one torrent.
    pub of_one_torrent: u32,
    /// Peers of one torrent at one address; at most 200.
    pub at_one_address: u8,
}

impl StoreLimits {
    /// Limits of a tracker, for each of so many stores: four million peers, some 200 MB.
    pub fn of_tracker(stores: u32) -> Self {
        let stores = stores.max(1);
        Self {
            torrents: 2_000_000 / stores,
            peers: 4_000_000 / stores,
            of_one_torrent: 100_000,
            at_one_address: 32,
        }
    }
}

/// What a store is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether any torrent is tracked. Otherwise, only those that members of the group have or
    /// lately had.
    pub is_any: bool,
    /// How long a client may wait until it announces again. It is forgotten after twice this time.
    pub interval: Duration,
}

/// Which of several stores has which torrent.
#[derive(Clone, Copy, Debug)]
pub struct Assignment {
    key: Key,
    stores: usize,
}

impl Assignment {
    /// Makes one for so many stores. The seed has to be secret: then nobody can choose torrents
    /// that are all in one store.
    pub fn new(stores: usize, seed: u64) -> Self {
        let key = Key::new(seed);
        Self { key, stores }
    }

    /// Returns the number of the store that has a torrent.
    #[expect(clippy::cast_possible_truncation, reason = "less than `stores`")]
    pub fn store_of(&self, torrent: &InfoHash) -> usize {
        if self.stores == 1 {
            return 0;
        }
        let hash = self.key.of_torrent(torrent);
        ((u128::from(hash) * self.stores as u128) >> 64) as usize
    }
}

/// From where a client announces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncedFrom {
    /// The address under which it is handed out, with the port that it says.
    pub ip: IpAddr,
    /// Whether it is on the tracker's own machine, whose users are not bounded one by one.
    pub is_local: bool,
}

/// How many peers are wanted of each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// IPv4 addresses.
    pub v4: usize,
    /// IPv6 addresses.
    pub v6: usize,
}

/// Peers for a client, as they are sent: 6 bytes each, and 18 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// IPv4 addresses.
    pub v4: Vec<u8>,
    /// IPv6 addresses.
    pub v6: Vec<u8>,
}

/// What is counted of all torrents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmTotals {
    /// Torrents.
    pub torrents: u64,
    /// Peers that have all of a torrent, counted for each.
    pub seeders: u64,
    /// Peers that do not have all of a torrent yet, counted for each.
    pub leechers: u64,
    /// Announces that were answered.
    pub announces: u64,
}

/// One of the torrents with the most peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Its info-hash.
    pub torrent: InfoHash,
    /// A name by which a member lists its file, if one does.
    pub name: Option<Name>,
    /// How many peers it has.
    pub counts: SwarmCounts,
}

impl Busy {
    /// How many peers it has, in which way ever.
    pub fn peers(&self) -> u32 {
        self.counts.seeders + self.counts.leechers
    }
}

/// This torrent is not tracked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this tracker does not know this torrent")]
pub struct NotTracked;

/// One store. See the module.
///
/// Invariant: `index` has exactly the numbers of `torrents`, none of which is empty; `totals`, the
/// number of announced torrents and `charges` agree with them.
#[derive(Debug)]
pub struct Swarms {
    key: Key,
    random: fastrand::Rng,
    limits: StoreLimits,
    policy: Policy,
    torrents: Vec<Torrent>,
    index: HashTable<u32>,
    members: Members,
    totals: SwarmTotals,
    /// All rows.
    peers: u32,
    /// Torrents that have rows.
    announced: u32,
    /// Rows of each group of addresses, about one a row: an address hardly ever shares its group
    /// with one that has many, and nobody outside can bring that about.
    charges: Box<[u16]>,
    /// Which torrent is swept next.
    sweeping: usize,
}

impl Swarms {
    /// Makes an empty store. The seed has to be secret.
    pub fn new(limits: StoreLimits, policy: Policy, seed: u64) -> Self {
        let groups = (limits.peers / 2 + 1).next_power_of_two();
        Self {
            key: Key::new(seed),
            random: fastrand::Rng::with_seed(seed.rotate_left(32)),
            limits,
            policy,
            torrents: Vec::new(),
            index: HashTable::new(),
            members: Members::default(),
            totals: SwarmTotals::default(),
            peers: 0,
            announced: 0,
            charges: vec![0; groups as usize].into_boxed_slice(),
            sweeping: 0,
        }
    }

    /// Reads what announces of these torrents are going to read. Memory is slow, and does many
    /// things at once where one does not depend on another: so it is waited for once for all of
    /// them, and not for each in turn. Nothing is changed by it.
    pub fn look_ahead<'a>(&self, torrents: impl Iterator<Item = &'a InfoHash>) {
        // What is computed in between would keep the processor from reading many at once.
        let hashes: Vec<u64> = torrents
            .map(|torrent| self.key.of_torrent(torrent))
            .collect();
        // That it is another torrent with a hash like that is rare, and does no harm.
        let rows = hashes
            .into_iter()
            .filter_map(|hash| self.index.find(hash, |_| true));
        let rows: Vec<usize> = rows.map(|row| *row as usize).collect();
        glance_at(&rows, |row| self.torrents[*row].glance());
        glance_at(&rows, |row| self.torrents[*row].v4.glance());
    }

    /// Takes what a client says, and appends peers for it. To a client that ends none are given.
    pub fn announce(
        &mut self,
        now: Instant,
        said: &Announce,
        from: AnnouncedFrom,
        wanted: Wanted,
        handed: &mut Handed,
    ) -> Result<SwarmCounts, NotTracked> {
        let now = ticks(now);
        let torrent = self.find(&said.torrent);
        let torrent = torrent.filter(|torrent| self.sweep_torrent(*torrent, now));
        self.totals.announces += 1;
        let torrent = match torrent {
            Some(torrent) => torrent,
            None if !self.policy.is_any => return Err(NotTracked),
            None if said.event == AnnounceEvent::Stopped => return Ok(SwarmCounts::default()),
            None => match self.begin(said, from) {
                Some(torrent) => torrent,
                None => return Ok(SwarmCounts::default()),
            },
        };
        let row = self.change(torrent, now, said, from);
        let counts = self.counts_of(torrent);
        if said.event == AnnounceEvent::Stopped {
            self.drop_if_empty(torrent);
        } else {
            self.hand_out(torrent, (said, from), row, wanted, handed);
        }
        Ok(counts)
    }

    /// Returns what is counted of a torrent, if it is tracked.
    pub fn scrape(&mut self, now: Instant, torrent: &InfoHash) -> Option<SwarmCounts> {
        let torrent = self.find(torrent)?;
        let is_there = self.sweep_torrent(torrent, ticks(now));
        is_there.then(|| self.counts_of(torrent))
    }

    /// Returns what is counted of all torrents, as of the last sweep of each.
    pub fn totals(&self) -> SwarmTotals {
        self.totals
    }

    /// Returns the torrents with the most peers, those with more first, as of the last sweep of
    /// each.
    pub fn busiest(&self, most: usize) -> Vec<Busy> {
        let mut best = BTreeMap::new();
        for (at, torrent) in self.torrents.iter().enumerate() {
            let counts = self.counts_of(at);
            let key = (counts.seeders + counts.leechers, torrent.info_hash);
            let least = best.first_key_value().map(|(least, _)| *least);
            if best.len() < most || least.is_some_and(|least| key > least) {
                best.insert(key, at);
            }
            if best.len() > most {
                best.pop_first();
            }
        }
        let busy = |(_, at): (_, usize)| Busy {
            torrent: self.torrents[at].info_hash,
            name: self.torrents[at].name().cloned(),
            counts: self.counts_of(at),
        };
        best.into_iter().rev().map(busy).collect()
    }

    /// Forgets peers that are silent, in some torrents: to be called every second or so. Without
    /// it, only torrents that are announced are swept.
    pub fn sweep(&mut self, now: Instant) {
        let now = ticks(now);
        for _ in 0..SWEPT_AT_ONCE.min(self.torrents.len()) {
            // Backwards: a torrent that is removed is replaced by one that was looked at.
            self.sweeping = match self.sweeping {
                0 => self.torrents.len(),
                n => n.min(self.torrents.len()),
            };
            let Some(torrent) = self.sweeping.checked_sub(1) else {
                return;
            };
            self.sweeping = torrent;
            self.sweep_torrent(torrent, now);
        }
    }

    /// Changes a client's row. Returns its number.
    fn change(
        &mut self,
        torrent: usize,
        now: u32,
        said: &Announce,
        from: AnnouncedFrom,
    ) -> Option<usize> {
        let said = Said {
            at: address_of(said, from),
            tag: self.tag(said),
            is_seeder: said.is_of_seeder(),
            event: said.event,
            is_local: from.is_local,
        };
        match said.at {
            Compact::V4(at) => self.change_in(torrent, now, said, at, |torrent| &mut torrent.v4),
            Compact::V6(at) => self.change_in(torrent, now, said, at, Torrent::v6_mut),
        }
    }

    fn change_in<const N: usize>(
        &mut self,
        torrent: usize,
        now: u32,
        said: Said,
        at: [u8; N],
        peers_of: fn(&mut Torrent) -> &mut Peers<N>,
    ) -> Option<usize> {
        let (key, lifetime) = (self.key, self.lifetime());
        let due = now.saturating_add(lifetime);
        let tag = said.tag;
        let peers = peers_of(&mut self.torrents[torrent]);
        let Some(row) = peers.find(key, &at) else {
            let is_there = said.event == AnnounceEvent::Stopped
                || self.has_no_room(torrent, said, at, peers_of);
            return if is_there {
                None
            } else {
                let row = Row {
                    at,
                    tag,
                    due,
                    is_charged: !said.is_local,
                };
                Some(self.insert(torrent, row, said.is_seeder, peers_of))
            };
        };
        let known = peers.row_mut(row);
        // Its client has announced again within half of its lifetime, if it is there.
        let is_late = known.due.saturating_sub(now) <= lifetime / 2;
        if known.tag != tag && !is_late {
            return Some(row);
        }
        if said.event == AnnounceEvent::Stopped {
            let was_seeder = peers.is_seeder(row);
            let removed = peers.remove(key, row);
            self.on_removed(&removed, was_seeder);
            self.on_fewer(torrent);
            return None;
        }
        (known.tag, known.due) = (tag, due);
        let was_seeder = peers.is_seeder(row);
        let row = peers.set_seeder(key, row, said.is_seeder);
        if was_seeder != said.is_seeder {
            self.count(was_seeder, -1);
            self.count(said.is_seeder, 1);
            let downloaded = &mut self.torrents[torrent].downloaded;
            let has_completed = said.event == AnnounceEvent::Completed && said.is_seeder;
            *downloaded = downloaded.saturating_add(has_completed.into());
        }
        Some(row)
    }

    fn has_no_room<const N: usize>(
        &mut self,
        torrent: usize,
        said: Said,
        at: [u8; N],
        peers_of: fn(&mut Torrent) -> &mut Peers<N>,
    ) -> bool {
        let of_torrent = &mut self.torrents[torrent];
        let is_full = of_torrent.peers() >= self.limits.of_one_torrent as usize
            // A member appears as such.
            || self.members.is_at(of_torrent.members(), said.at);
        if is_full || self.peers >= self.limits.peers {
            return true;
        }
        if said.is_local {
            return false;
        }
        let here = peers_of(of_torrent).charged(self.key, &at);
        here >= usize::from(self.limits.at_one_address)
            || self.charges[self.group(&at)] >= share(self.free())
    }

    fn insert<const N: usize>(
        &mut self,
        torrent: usize,
        row: Row<N>,
        is_seeder: bool,
        peers_of: fn(&mut Torrent) -> &mut Peers<N>,
    ) -> usize {
        let of_torrent = &mut self.torrents[torrent];
        of_torrent.next_due = of_torrent.next_due.min(row.due);
        self.announced += u32::from(of_torrent.peers() == 0);
        let peers = peers_of(of_torrent);
        peers.insert(self.key, row, is_seeder);
        let number = if is_seeder {
            peers.seeders() as usize - 1
        } else {
            peers.len() - 1
        };
        self.peers += 1;
        self.count(is_seeder, 1);
        if row.is_charged {
            self.charges[self.group(&row.at)] += 1;
        }
        number
    }

    fn on_removed<const N: usize>(&mut self, row: &Row<N>, was_seeder: bool) {
        self.peers -= 1;
        self.count(was_seeder, -1);
        if row.is_charged {
            self.charges[self.group(&row.at)] -= 1;
        }
    }

    /// A torrent has lost peers.
    fn on_fewer(&mut self, torrent: usize) {
        self.announced -= u32::from(self.torrents[torrent].peers() == 0);
    }

    /// Begins a torrent that a client announces, if the client may begin one.
    fn begin(&mut self, said: &Announce, from: AnnouncedFrom) -> Option<usize> {
        let free = self.limits.torrents.saturating_sub(self.announced);
        let charges = match address_of(said, from) {
            Compact::V4(at) => self.charges[self.group(&at)],
            Compact::V6(at) => self.charges[self.group(&at)],
        };
        let is_within = from.is_local || charges < share(free).min(share(self.free()));
        (free > 0 && self.free() > 0 && is_within).then(|| self.add(said.torrent))
    }

    fn add(&mut self, info_hash: InfoHash) -> usize {
        let number = self.torrents.len();
        self.torrents.push(Torrent::new(info_hash));
        let Self {
            index,
            torrents,
            key,
            ..
        } = self;
        let of = |torrent: &u32| key.of_torrent(&torrents[*torrent as usize].info_hash);
        let row = u32::try_from(number).unwrap_or(u32::MAX);
        index.insert_unique(key.of_torrent(&info_hash), row, of);
        self.totals.torrents += 1;
        number
    }

    fn find(&self, torrent: &InfoHash) -> Option<usize> {
        let is_it = |row: &u32| self.torrents[*row as usize].info_hash == *torrent;
        let found = self.index.find(self.key.of_torrent(torrent), is_it);
        found.map(|row| *row as usize)
    }

    /// Returns whether it is still there; if it is not, another one has its number.
    fn drop_if_empty(&mut self, torrent: usize) -> bool {
        self.torrents[torrent].give_back();
        if !self.torrents[torrent].is_empty() {
            return true;
        }
        let last = self.torrents.len() - 1;
        let of = |row: usize| self.key.of_torrent(&self.torrents[row].info_hash);
        let (hash, of_last) = (of(torrent), of(last));
        let is_it = |row: &u32| *row as usize == torrent;
        if let Ok(found) = self.index.find_entry(hash, is_it) {
            found.remove();
        }
        if last != torrent
            && let Some(row) = self.index.find_mut(of_last, |row| *row as usize == last)
        {
            *row = u32::try_from(torrent).unwrap_or(u32::MAX);
        }
        self.torrents.swap_remove(torrent);
        self.totals.torrents -= 1;
        false
    }

    /// Forgets the peers of a torrent that are silent, and the torrent with the last one. Returns
    /// whether it is still there; if it is not, another one has its number.
    fn sweep_torrent(&mut self, torrent: usize, now: u32) -> bool {
        let key = self.key;
        if self.torrents[torrent].next_due > now || self.torrents[torrent].peers() == 0 {
            return true;
        }
        let mut v4 = std::mem::take(&mut self.torrents[torrent].v4);
        let mut v6 = self.torrents[torrent].take_v6();
        let next_v4 = v4.sweep(key, now, |row, was_seeder| {
            self.on_removed(&row, was_seeder);
        });
        let next_v6 = v6.as_mut().map_or(u32::MAX, |v6| {
            v6.sweep(key, now, |row, was_seeder| {
                self.on_removed(&row, was_seeder);
            })
        });
        let swept = &mut self.torrents[torrent];
        swept.v4 = v4;
        if let Some(v6) = v6 {
            *swept.v6_mut() = v6;
        }
        swept.next_due = next_v4.min(next_v6);
        self.on_fewer(torrent);
        self.drop_if_empty(torrent)
    }

    fn counts_of(&self, torrent: usize) -> SwarmCounts {
        let torrent = &self.torrents[torrent];
        let members = torrent.members();
        let whole = members.iter().filter(|has| has.is_whole()).count();
        let in_part = members.len() - whole;
        let of = |members: usize| u32::try_from(members).unwrap_or(u32::MAX);
        SwarmCounts {
            seeders: torrent.seeders() + of(whole),
            leechers: torrent.leechers() + of(in_part),
            downloaded: torrent.downloaded,
        }
    }

    fn count(&mut self, is_seeder: bool, by: i64) {
        let count = if is_seeder {
            &mut self.totals.seeders
        } else {
            &mut self.totals.leechers
        };
        *count = count.saturating_add_signed(by);
    }

    /// How many rows are free.
    fn free(&self) -> u32 {
        self.limits.peers - self.peers
    }

    /// After how many ticks a peer that says nothing is forgotten.
    fn lifetime(&self) -> u32 {
        let ticks = (2 * self.policy.interval)
            .as_secs()
            .div_ceil(TICK.as_secs());
        u32::try_from(ticks).unwrap_or(u32::MAX).saturating_add(1)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "half of the bits are enough"
    )]
    fn tag(&self, said: &Announce) -> u32 {
        let mut bytes = [0; 24];
        bytes[..20].copy_from_slice(said.client.as_bytes());
        bytes[20..].copy_from_slice(&said.key.to_be_bytes());
        self.key.of_bytes(&bytes) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
    fn group<const N: usize>(&self, at: &[u8; N]) -> usize {
        self.key.of_bytes(ip(at)) as usize & (self.charges.len() - 1)
    }
}

/// What of an announce changes a row.
#[derive(Clone, Copy)]
struct Said {
    at: Compact,
    tag: u32,
    is_seeder: bool,
    event: AnnounceEvent,
    is_local: bool,
}

fn address_of(said: &Announce, from: AnnouncedFrom) -> Compact {
    Compact::of(SocketAddr::new(from.ip, said.port))
}

/// What an address may have at most, if so much is free.
fn share(free: u32) -> u16 {
    u16::try_from(free / 8).unwrap_or(u16::MAX).max(LEAST_SHARE)
}

fn ticks(now: Instant) -> u32 {
    let ticks = (now - Instant::default()).as_secs() / TICK.as_secs();
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

#[cfg(any(test, feature = "testing"))]
impl Swarms {
    /// Asserts the invariant; walks over everything.
    pub fn check(&self) {
        let mut totals = SwarmTotals {
            announces: self.totals.announces,
            ..SwarmTotals::default()
        };
        let (mut peers, mut announced) = (0, 0);
        let mut charges = vec![0; self.charges.len()];
        for (number, torrent) in self.torrents.iter().enumerate() {
            assert_eq!(self.find(&torrent.info_hash), Some(number), "there once");
            assert!(!torrent.is_empty());
            let is_listed = torrent.members().iter().any(|has| has.listed.is_some());
            assert_eq!(torrent.name().is_some(), is_listed);
            torrent.v4.check(self.key);
            torrent.v6().inspect(|v6| v6.check(self.key));
            totals.torrents += 1;
            let of = self.counts_of(number);
            totals.seeders += u64::from(of.seeders);
            totals.leechers += u64::from(of.leechers);
            peers += torrent.peers();
            announced += u32::from(torrent.peers() > 0);
            for row in torrent.v4.rows() {
                assert!(row.due >= torrent.next_due);
                charges[self.group(&row.at)] += u16::from(row.is_charged);
            }
            for row in torrent.v6().map_or(&[][..], Peers::rows) {
                assert!(row.due >= torrent.next_due);
                charges[self.group(&row.at)] += u16::from(row.is_charged);
            }
        }
        assert_eq!(self.index.len(), self.torrents.len());
        assert_eq!((self.totals, self.announced), (totals, announced));
        assert_eq!(self.peers as usize, peers);
        assert_eq!(*self.charges, *charges);
        assert!(self.peers <= self.limits.peers);
    }
}
