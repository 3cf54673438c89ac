//! One rule for every bound that members share: of memory, of places, of room in a queue.
//!
//! What is held belongs to [`Account`]s. An account that asks for more than is free gets it from
//! the account that holds most, if that one holds clearly more than the asking account would. So
//! every account has a guaranteed share that no other can take: an equal part of the whole, less a
//! fifth. The fifth keeps two accounts of about the same size from taking room from each other in
//! turn.
//!
//! Accounts that are addresses belong to networks. A network has no share of its own, since its
//! machines need not know each other; but a quarter of the whole is out of its reach, however many
//! addresses it has.
//!
//! What is done with a thing that gives way is up to the caller: it forgets a listing, frees a
//! place, asks for an update again. What was turned down is tried [`Again`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use thorp_wire::PeerId;

use crate::time::Instant;

/// The account that is charged for what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// One member.
    Member(PeerId),
    /// Everything from one address: where keys cost nothing, forty members may be one machine.
    Address(IpAddr),
}

impl Account {
    /// Returns the account of a member that is seen at this address. In an open group a member is
    /// charged by its address, unless it is on this machine.
    pub fn of(member: PeerId, seen_at: IpAddr, is_open: bool) -> Self {
        let seen_at = seen_at.to_canonical();
        if is_open && !seen_at.is_loopback() {
            Self::Address(seen_at)
        } else {
            Self::Member(member)
        }
    }

    /// Returns the network of an address: a /24 for IPv4, a /64 for IPv6.
    pub fn network(self) -> Option<IpAddr> {
        match self {
            Self::Member(_) => None,
            Self::Address(IpAddr::V4(ip)) => Some(Ipv4Addr::from_bits(ip.to_bits() & !0xff).into()),
            Self::Address(IpAddr::V6(ip)) => {
                let bits = ip.to_bits() & !u128::from(u64::MAX);
                Some(Ipv6Addr::from_bits(bits).into())
            }
        }
    }
}

/// A bound, and everything that is held within it, by key.
///
/// Invariant: the indices agree with `holdings`, whose sum is at most `in_all`.
#[derive(Clone, Debug)]
pub struct SharedBound<K> {
    in_all: u64,
    total: u64,
    holdings: BTreeMap<K, Holding>,
    accounts: BTreeMap<Account, Held<K>>,
    by_amount: BTreeSet<(u64, Account)>,
    networks: BTreeMap<IpAddr, Network>,
}

/// A thing that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holding {
    account: Account,
    amount: u64,
}

/// What one account holds. Of equally large things, the one with the first key counts as the
/// largest.
#[derive(Clone, Debug)]
struct Held<K> {
    amount: u64,
    things: BTreeSet<(u64, Reverse<K>)>,
}

impl<K: Ord> Held<K> {
    fn put_in(&mut self, key: K, amount: u64) {
        self.amount += amount;
        self.things.insert((amount, Reverse(key)));
    }

    fn take_out(&mut self, key: K, amount: u64) {
        self.amount -= amount;
        self.things.remove(&(amount, Reverse(key)));
    }
}

/// What the accounts of one network hold.
#[derive(Clone, Debug, Default)]
struct Network {
    amount: u64,
    accounts: BTreeSet<(u64, Account)>,
}

/// There is no room, and no account that has to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<K: Copy + Ord> SharedBound<K> {
    /// Creates a bound with nothing in it.
    pub fn new(in_all: u64) -> Self {
        Self {
            in_all,
            total: 0,
            holdings: BTreeMap::new(),
            accounts: BTreeMap::new(),
            by_amount: BTreeSet::new(),
            networks: BTreeMap::new(),
        }
    }

    /// Sets the size of a thing that an account holds. Returns the keys of the things that had to
    /// give way, which are not held any more. If there is no room, nothing changes.
    pub fn ask(&mut self, key: K, account: Account, amount: u64) -> Result<Vec<K>, Full> {
        let before = self.holdings.get(&key).copied();
        let others = self.total - self.amount(key);
        if others.saturating_add(amount) <= self.in_all {
            self.set(key, Some(Holding { account, amount }));
            return Ok(Vec::new());
        }
        self.set(key, None);
        let (is_room, gave_way) = self.make_room(account, amount);
        if !is_room {
            self.put_back(gave_way);
            self.set(key, before);
            return Err(Full);
        }
        self.set(key, Some(Holding { account, amount }));
        Ok(gave_way.into_iter().map(|(victim, _)| victim).collect())
    }

    /// Whether [`ask`](Self::ask) would find room.
    pub fn would_fit(&mut self, key: K, account: Account, amount: u64) -> bool {
        let before = self.holdings.get(&key).copied();
        self.set(key, None);
        let (is_room, gave_way) = self.make_room(account, amount);
        self.put_back(gave_way);
        self.set(key, before);
        is_room
    }

    /// Releases a thing, if it is held.
    pub fn give_back(&mut self, key: K) {
        self.set(key, None);
    }

    /// Returns the size of a thing; zero if it is not held.
    pub fn amount(&self, key: K) -> u64 {
        self.holdings.get(&key).map_or(0, |holding| holding.amount)
    }

    /// Returns how much an account holds.
    pub fn held_by(&self, account: Account) -> u64 {
        self.accounts.get(&account).map_or(0, |held| held.amount)
    }

    /// Returns how much all accounts hold together.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns how much is free.
    pub fn free(&self) -> u64 {
        self.in_all - self.total
    }

    /// Takes things out until an account has room for `amount` more, or nothing has to give way to
    /// it. Returns whether there is room, and what was taken out.
    fn make_room(&mut self, account: Account, amount: u64) -> (bool, Vec<(K, Holding)>) {
        let mut gave_way = Vec::new();
        while self.total.saturating_add(amount) > self.in_all {
            let Some((victim, holding)) = self.next_to_give_way(account, amount) else {
                return (false, gave_way);
            };
            self.set(victim, None);
            gave_way.push((victim, holding));
        }
        (true, gave_way)
    }

    fn put_back(&mut self, gave_way: Vec<(K, Holding)>) {
        for (victim, holding) in gave_way {
            self.set(victim, Some(holding));
        }
    }

    /// Returns what must give way first to an account that asks for `amount` more: the largest
    /// thing of the account that holds most or, failing that, a larger thing of its own.
    fn next_to_give_way(&self, account: Account, amount: u64) -> Option<(K, Holding)> {
        let own = self.held_by(account).saturating_add(amount);
        let network = account.network();
        // If the network would exceed its bound, only accounts within it give way.
        let at_home = network.is_some_and(|network| {
            let held = self.networks.get(&network).map_or(0, |held| held.amount);
            self.is_most_of_all(held.saturating_add(amount))
        });
        let most = if at_home {
            let held = network.and_then(|network| self.networks.get(&network));
            held.and_then(|held| other_than(&held.accounts, account))
        } else {
            other_than(&self.by_amount, account)
        };
        let gives_way = most
            .filter(|(most, _)| is_clearly_more(*most, own))
            .or_else(|| self.largest_of_a_crowd(network));
        if let Some((_, largest)) = gives_way {
            return self.largest_of(largest);
        }
        let (largest, holding) = self.largest_of(account)?;
        is_clearly_more(holding.amount, amount).then_some((largest, holding))
    }

    /// Returns the account that holds most in a network that exceeds the bound on networks, unless
    /// that is the asking network.
    fn largest_of_a_crowd(&self, asking: Option<IpAddr>) -> Option<(u64, Account)> {
        let crowd = self
            .networks
            .iter()
            .find(|(network, held)| Some(**network) != asking && self.is_most_of_all(held.amount));
        crowd.and_then(|(_, held)| held.accounts.last().copied())
    }

    fn is_most_of_all(&self, amount: u64) -> bool {
        amount > self.in_all - self.in_all / 4
    }

    fn largest_of(&self, account: Account) -> Option<(K, Holding)> {
        let (_, Reverse(key)) = *self.accounts.get(&account)?.things.last()?;
        Some((key, *self.holdings.get(&key)?))
    }

    /// Replaces what is held under a key, and updates all indices.
    fn set(&mut self, key: K, holding: Option<Holding>) {
        let now = holding.filter(|now| now.amount > 0);
        let before = match now {
            Some(now) => self.holdings.insert(key, now),
            None => self.holdings.remove(&key),
        };
        if before == now {
            return;
        }
        self.total -= before.map_or(0, |before| before.amount);
        self.total += now.map_or(0, |now| now.amount);
        match (before, now) {
            (Some(before), Some(now)) if before.account == now.account => {
                self.index(now.account, |held| {
                    held.take_out(key, before.amount);
                    held.put_in(key, now.amount);
                });
            }
            _ => {
                if let Some(Holding { account, amount }) = before {
                    self.index(account, |held| held.take_out(key, amount));
                }
                if let Some(Holding { account, amount }) = now {
                    self.index(account, |held| held.put_in(key, amount));
                }
            }
        }
    }

    fn index(&mut self, account: Account, change: impl FnOnce(&mut Held<K>)) {
        let held = self.accounts.entry(account).or_insert_with(|| Held {
            amount: 0,
            things: BTreeSet::new(),
        });
        let before = held.amount;
        change(held);
        let after = held.amount;
        if held.things.is_empty() {
            self.accounts.remove(&account);
        }
        replace(&mut self.by_amount, account, before, after);
        if let Some(network) = account.network() {
            let held = self.networks.entry(network).or_default();
            held.amount = held.amount - before + after;
            replace(&mut held.accounts, account, before, after);
            if held.accounts.is_empty() {
                self.networks.remove(&network);
            }
        }
    }
}

fn replace(by_amount: &mut BTreeSet<(u64, Account)>, account: Account, before: u64, after: u64) {
    by_amount.remove(&(before, account));
    if after > 0 {
        by_amount.insert((after, account));
    }
}

fn other_than(by_amount: &BTreeSet<(u64, Account)>, account: Account) -> Option<(u64, Account)> {
    let mut most_first = by_amount.iter().rev();
    most_first.find(|(_, other)| *other != account).copied()
}

/// Whether `most` exceeds `than` by more than a quarter.
fn is_clearly_more(most: u64, than: u64) -> bool {
    u128::from(most) * 4 > u128::from(than) * 5
}

/// When to try again after being turned down; the wait doubles each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    at: Instant,
    wait: Duration,
}

impl Again {
    const FIRST: Duration = Duration::from_secs(10);
    const LONGEST: Duration = Duration::from_mins(10);

    /// Starts after the first time.
    pub fn new(now: Instant) -> Self {
        Self {
            at: now + Self::FIRST,
            wait: Self::FIRST,
        }
    }

    /// Whether it is time to try again.
    pub fn is_due(&self, now: Instant) -> bool {
        self.at <= now
    }

    /// Postpones the next attempt a little, because there is no room yet. Does not count as an
    /// attempt.
    #[must_use]
    pub fn postponed(self, now: Instant) -> Self {
        Self {
            at: now + Self::FIRST,
            ..self
        }
    }

    /// Doubles the wait, after being turned down again.
    #[must_use]
    pub fn later(self, now: Instant) -> Self {
        let wait = (2 * self.wait).min(Self::LONGEST);
        Self {
            at: now + wait,
            wait,
        }
    }
}

#[cfg(any(test, feature = "testing"))]
impl<K: Copy + Ord + std::fmt::Debug> SharedBound<K> {
    /// Asserts the invariant; walks over everything.
    pub(crate) fn check(&self) {
        assert!(self.total <= self.in_all);
        let mut again = Self::new(self.in_all);
        for (key, holding) in &self.holdings {
            assert!(holding.amount > 0);
            again.set(*key, Some(*holding));
        }
        assert_eq!(format!("{self:?}"), format!("{again:?}"));
    }
}

#[cfg(test)]
mod tests;
