//! The peers of one torrent and one family of addresses: seeders first, then leechers.
//!
//! A row is as small as it can be, since there are millions. Two rows lie in the torrent itself, as
//! most torrents have no more: then nothing else of memory is read. Few rows are searched one by
//! one; more have an index of their numbers. Who may be in here is decided by the store.

use hashbrown::HashTable;
use smallvec::SmallVec;
use thorp_wire::announce::compact::{V4, V6};
use thorp_wire::{InfoHash, Name};

use super::keyed::Key;
use super::members::Has;

/// Up to this many rows are searched one by one.
const FEW: usize = 16;
/// Stands for a number for a moment, while two rows change places.
const NO_ROW: u32 = u32::MAX;

/// One peer. `N` is the length of its address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<const N: usize> {
    /// Address and port, as they are sent.
    pub(super) at: [u8; N],
    /// Of which program it is: a hash of its peer id and its key.
    pub(super) tag: u32,
    /// When it is forgotten, in ticks.
    pub(super) due: u32,
    /// Whether it counts for its address.
    pub(super) is_charged: bool,
}

/// See the module.
///
/// Invariant: the first `seeders` rows are seeders. The index, if there is one, has exactly the
/// numbers of all rows, and `charged` the number of charged rows of each group of addresses.
#[derive(Debug)]
pub(super) struct Peers<const N: usize> {
    rows: SmallVec<[Row<N>; 2]>,
    seeders: u32,
    large: Option<Box<Large>>,
}

/// What is needed besides, if there are many rows.
#[derive(Debug)]
struct Large {
    index: HashTable<u32>,
    /// Counts for groups of addresses, about one a row: that an address shares its group with one
    /// that has many rows is unlikely, and nobody outside can bring it about.
    charged: Vec<u8>,
}

impl<const N: usize> Default for Peers<N> {
    fn default() -> Self {
        Self {
            rows: SmallVec::new(),
            seeders: 0,
            large: None,
        }
    }
}

impl<const N: usize> Peers<N> {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn seeders(&self) -> u32 {
        self.seeders
    }

    pub(super) fn leechers(&self) -> u32 {
        number(self.rows.len()) - self.seeders
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut Row<N> {
        &mut self.rows[row]
    }

    pub(super) fn is_seeder(&self, row: usize) -> bool {
        row < self.seeders as usize
    }

    /// Something of the first and the last row: memory comes with what is around it.
    pub(super) fn glance(&self) -> u8 {
        let of = |row: Option<&Row<N>>| row.map_or(0, |row| row.at[0]);
        of(self.rows.first()).wrapping_add(of(self.rows.last()))
    }

    /// Returns the number of the row of this address and port.
    pub(super) fn find(&self, key: Key, at: &[u8; N]) -> Option<usize> {
        match &self.large {
            None => self.rows.iter().position(|row| row.at == *at),
            Some(large) => {
                let is_it = |row: &u32| self.rows[*row as usize].at == *at;
                let found = large.index.find(key.of_bytes(at), is_it);
                found.map(|row| *row as usize)
            }
        }
    }

    /// Returns how many charged rows there are of an address, or of its group.
    pub(super) fn charged(&self, key: Key, at: &[u8; N]) -> usize {
        match &self.large {
            None => {
                let rows = self.rows.iter().filter(|row| row.is_charged);
                rows.filter(|row| ip(&row.at) == ip(at)).count()
            }
            Some(large) => usize::from(large.charged[large.group(key, at)]),
        }
    }

    pub(super) fn insert(&mut self, key: Key, row: Row<N>, is_seeder: bool) {
        if self.rows.len() == self.rows.capacity() {
            // Doubling would leave a quarter of the memory unused.
            let more = (self.rows.len() / 4).max(2);
            self.rows.reserve_exact(more);
        }
        self.rows.push(row);
        let last = self.rows.len() - 1;
        let Self { rows, large, .. } = self;
        match large {
            Some(large) if large.charged.len() >= rows.len() => {
                let of = |row: &u32| key.of_bytes(&rows[*row as usize].at);
                large
                    .index
                    .insert_unique(key.of_bytes(&row.at), number(last), of);
                large.charge(key, &row, u8::saturating_add);
            }
            Some(_) => self.index(key),
            None if last >= FEW => self.index(key),
            None => {}
        }
        if is_seeder {
            self.set_seeder(key, last, true);
        }
    }

    /// Makes a row a seeder or a leecher. Returns its new number.
    pub(super) fn set_seeder(&mut self, key: Key, row: usize, is_seeder: bool) -> usize {
        let to = match (self.is_seeder(row), is_seeder) {
            (false, true) => {
                self.seeders += 1;
                self.seeders - 1
            }
            (true, false) => {
                self.seeders -= 1;
                self.seeders
            }
            _ => return row,
        };
        self.swap(key, row, to as usize);
        to as usize
    }

    /// Removes a row; other rows may change their numbers.
    pub(super) fn remove(&mut self, key: Key, row: usize) -> Row<N> {
        let row = self.set_seeder(key, row, false);
        let last = self.rows.len() - 1;
        self.swap(key, row, last);
        let removed = self.rows[last];
        if let Some(large) = &mut self.large {
            let found = large
                .index
                .find_entry(key.of_bytes(&removed.at), |row| *row as usize == last);
            if let Ok(found) = found {
                found.remove();
            }
            large.charge(key, &removed, u8::saturating_sub);
        }
        self.rows.pop();
        if self.rows.len() <= FEW / 2 {
            self.large = None;
        }
        if self.rows.spilled() && self.rows.len() < self.rows.capacity() / 2 {
            let mut fewer = SmallVec::with_capacity(self.rows.len() + self.rows.len() / 4);
            fewer.extend_from_slice(&self.rows);
            self.rows = fewer;
            if self.large.is_some() {
                // It has room for as many rows as there were.
                self.index(key);
            }
        }
        removed
    }

    /// Removes what is due, and returns when the next row is: [`u32::MAX`] without any.
    pub(super) fn sweep(&mut self, key: Key, now: u32, mut gone: impl FnMut(Row<N>, bool)) -> u32 {
        let mut next = u32::MAX;
        // Backwards, so that only rows that were looked at change their numbers.
        for row in (0..self.rows.len()).rev() {
            let due = self.rows[row].due;
            if due <= now {
                let was_seeder = self.is_seeder(row);
                gone(self.remove(key, row), was_seeder);
            } else {
                next = next.min(due);
            }
        }
        next
    }

    /// Returns how many rows [`sample`](Self::sample) would have to choose from.
    pub(super) fn others(&self, but: Option<usize>, wants_seeders: bool) -> usize {
        let first = self.first(wants_seeders);
        let is_among = but.is_some_and(|but| but >= first);
        self.rows.len() - first - usize::from(is_among)
    }

    /// Returns the first row that is handed out.
    fn first(&self, wants_seeders: bool) -> usize {
        if wants_seeders {
            0
        } else {
            self.seeders as usize
        }
    }

    /// Appends the addresses of up to `most` rows, but not of the row `but`; each of the others
    /// is equally likely. Seeders are left out unless they are wanted.
    pub(super) fn sample(
        &self,
        random: &mut fastrand::Rng,
        most: usize,
        but: Option<usize>,
        wants_seeders: bool,
        out: &mut Vec<u8>,
    ) {
        let first = self.first(wants_seeders);
        let rows = &self.rows[first..];
        let others = self.others(but, wants_seeders);
        let but = but.and_then(|but| but.checked_sub(first));
        let mut left = most.min(others);
        let mut append = |base: usize, rows: &[Row<N>]| {
            for (row, peer) in rows.iter().enumerate() {
                if Some(base + row) != but && left > 0 {
                    left -= 1;
                    out.extend_from_slice(&peer.at);
                }
            }
        };
        if others <= most {
            return append(0, rows);
        }
        // A run of each half, that goes on at the half's beginning: reading runs costs far less
        // than reading single rows. One row more than wanted, because of `but`.
        let wanted = most + usize::from(but.is_some());
        let (half, ones) = (rows.len() / 2, wanted / 2);
        for (base, rows, run) in [
            (0, &rows[..half], ones),
            (half, &rows[half..], wanted - ones),
        ] {
            if run == 0 {
                continue;
            }
            let from = random.usize(..rows.len());
            let to_end = run.min(rows.len() - from);
            append(base + from, &rows[from..from + to_end]);
            append(base, &rows[..run - to_end]);
        }
    }

    /// Makes the index anew, with room for half as many rows more.
    fn index(&mut self, key: Key) {
        let room = self.rows.len() + self.rows.len() / 2;
        let mut large = Large {
            index: HashTable::with_capacity(room),
            charged: vec![0; room.next_power_of_two()],
        };
        for (row, peer) in self.rows.iter().enumerate() {
            let of = |row: &u32| key.of_bytes(&self.rows[*row as usize].at);
            large
                .index
                .insert_unique(key.of_bytes(&peer.at), number(row), of);
            large.charge(key, peer, u8::saturating_add);
        }
        self.large = Some(Box::new(large));
    }

    fn swap(&mut self, key: Key, a: usize, b: usize) {
        if a == b {
            return;
        }
        if let Some(large) = &mut self.large {
            let hash_of = |row: usize| key.of_bytes(&self.rows[row].at);
            let (of_a, of_b) = (hash_of(a), hash_of(b));
            large.renumber(of_a, number(a), NO_ROW);
            large.renumber(of_b, number(b), number(a));
            large.renumber(of_a, NO_ROW, number(b));
        }
        self.rows.swap(a, b);
    }
}

impl Large {
    fn renumber(&mut self, hash: u64, from: u32, to: u32) {
        if let Some(row) = self.index.find_mut(hash, |row| *row == from) {
            *row = to;
        }
    }

    fn charge<const N: usize>(&mut self, key: Key, row: &Row<N>, by: fn(u8, u8) -> u8) {
        if row.is_charged {
            let group = self.group(key, &row.at);
            self.charged[group] = by(self.charged[group], 1);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
    fn group<const N: usize>(&self, key: Key, at: &[u8; N]) -> usize {
        key.of_bytes(ip(at)) as usize & (self.charged.len() - 1)
    }
}

/// Returns the part of an address that counts as one machine's: all of an IPv4 address, and the
/// /64 of an IPv6 address, which one machine has to itself.
pub(super) fn ip<const N: usize>(at: &[u8; N]) -> &[u8] {
    &at[..if N == V6 { 8 } else { 4 }]
}

fn number(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(NO_ROW)
}

/// One torrent: its peers by family, and what is counted.
#[derive(Debug)]
pub(super) struct Torrent {
    pub(super) info_hash: InfoHash,
    /// How many peers have become seeders here.
    pub(super) downloaded: u32,
    /// No row is due before this tick.
    pub(super) next_due: u32,
    pub(super) v4: Peers<V4>,
    more: Option<Box<More>>,
}

/// What many torrents do not have.
#[derive(Debug, Default)]
struct More {
    v6: Peers<V6>,
    /// A name by which a member lists it, as long as one does.
    name: Option<Name>,
    /// Members of the group that have it.
    members: Box<[Has]>,
}

impl Torrent {
    pub(super) fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            downloaded: 0,
            next_due: u32::MAX,
            v4: Peers::default(),
            more: None,
        }
    }

    pub(super) fn v6(&self) -> Option<&Peers<V6>> {
        self.more.as_ref().map(|more| &more.v6)
    }

    pub(super) fn v6_mut(&mut self) -> &mut Peers<V6> {
        &mut self.more.get_or_insert_default().v6
    }

    /// Takes the peers of IPv6 out, if it has a place for such.
    pub(super) fn take_v6(&mut self) -> Option<Peers<V6>> {
        let more = self.more.as_mut()?;
        Some(std::mem::take(&mut more.v6))
    }

    pub(super) fn name(&self) -> Option<&Name> {
        self.more.as_ref()?.name.as_ref()
    }

    pub(super) fn set_name(&mut self, name: Option<Name>) {
        if name.is_some() || self.name().is_some() {
            self.more.get_or_insert_default().name = name;
        }
    }

    pub(super) fn members(&self) -> &[Has] {
        self.more.as_ref().map_or(&[], |more| &more.members)
    }

    /// Takes the members out, so that they can be changed.
    pub(super) fn take_members(&mut self) -> Vec<Has> {
        let members = self.more.as_mut().map(|more| &mut more.members);
        members.map(std::mem::take).unwrap_or_default().into_vec()
    }

    pub(super) fn set_members(&mut self, members: Vec<Has>) {
        self.more.get_or_insert_default().members = members.into_boxed_slice();
    }

    /// Something of each part of it that an announce reads.
    pub(super) fn glance(&self) -> u8 {
        let [first, ..] = *self.info_hash.as_bytes();
        first.wrapping_add(self.more.is_none().into())
    }

    pub(super) fn seeders(&self) -> u32 {
        self.v4.seeders() + self.v6().map_or(0, Peers::seeders)
    }

    pub(super) fn leechers(&self) -> u32 {
        self.v4.leechers() + self.v6().map_or(0, Peers::leechers)
    }

    pub(super) fn peers(&self) -> usize {
        self.v4.len() + self.v6().map_or(0, Peers::len)
    }

    /// Gives back the memory of what it has no more.
    pub(super) fn give_back(&mut self) {
        self.more
            .take_if(|more| more.v6.len() == 0 && more.name.is_none() && more.members.is_empty());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.peers() == 0 && self.members().is_empty()
    }
}

#[cfg(any(test, feature = "testing"))]
impl<const N: usize> Peers<N> {
    /// Asserts the invariant; walks over everything.
    pub(super) fn check(&self, key: Key) {
        assert!(self.seeders as usize <= self.rows.len());
        for (row, peer) in self.rows.iter().enumerate() {
            assert_eq!(self.find(key, &peer.at), Some(row), "there once");
        }
        if let Some(large) = &self.large {
            assert_eq!(large.index.len(), self.rows.len());
            let charged: usize = large.charged.iter().map(|n| usize::from(*n)).sum();
            let rows = self.rows.iter().filter(|row| row.is_charged);
            assert_eq!(charged, rows.count());
        }
    }

    pub(super) fn rows(&self) -> &[Row<N>] {
        &self.rows
    }

    /// Returns how many bytes it takes, besides itself.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let large = self.large.as_ref();
        let large = large.map(|large| {
            size_of::<Large>() + large.index.allocation_size() + large.charged.capacity()
        });
        let on_heap = if self.rows.spilled() {
            self.rows.capacity()
        } else {
            0
        };
        on_heap * size_of::<Row<N>>() + large.unwrap_or(0)
    }
}

#[cfg(test)]
impl Torrent {
    /// Returns how many bytes it takes, besides itself, without its name.
    pub(super) fn bytes(&self) -> usize {
        let more = self
            .more
            .as_ref()
            .map(|more| size_of::<More>() + more.v6.bytes() + size_of_val::<[Has]>(&more.members));
        self.v4.bytes() + more.unwrap_or(0)
    }
}
