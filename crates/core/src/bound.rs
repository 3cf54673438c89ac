//! One rule for every bound that many members share: of memory, of places, of room
//! in a queue.
//!
//! What is held belongs to [`Account`]s. An account that asks for more than is free
//! gets it from the account that holds most, if that holds clearly more than the asking
//! one would. So every account has a guaranteed share, which no other can take: an
//! equal part of the whole, less a fifth. The fifth is what keeps two accounts of
//! about the same size from taking the same room from each other in turn.
//!
//! Accounts that are addresses belong to networks. A network has no share of its own,
//! since its machines need not know each other; but a quarter of the whole is out of
//! its reach, however many addresses it has.
//!
//! What giving way means is the caller's business: a listing is forgotten, a place is
//! lost, an update is to be sent again. What was turned down is tried [`Again`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use thorp_wire::PeerId;

use crate::time::Instant;

/// Who is charged for what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// One member.
    Member(PeerId),
    /// All that comes from one address: where keys cost nothing, forty members may
    /// be one machine.
    Address(IpAddr),
}

impl Account {
    /// The account of a member that is seen at this address. Where a group is open,
    /// a member is its address; but for those on this very machine.
    pub fn of(member: PeerId, seen_at: IpAddr, is_open: bool) -> Self {
        let seen_at = seen_at.to_canonical();
        if is_open && !seen_at.is_loopback() {
            Self::Address(seen_at)
        } else {
            Self::Member(member)
        }
    }

    /// The network of an address: of IPv4 a /24, of IPv6 a /64.
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

/// A bound, and all that is held beneath it, each thing under its key.
///
/// Invariant: the indices say what `holdings` say, and together those are at most
/// `in_all`.
#[derive(Clone, Debug)]
pub struct SharedBound<K> {
    in_all: u64,
    total: u64,
    holdings: BTreeMap<K, Holding>,
    accounts: BTreeMap<Account, Held<K>>,
    by_amount: BTreeSet<(u64, Account)>,
    networks: BTreeMap<IpAddr, Network>,
}

/// One thing that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holding {
    account: Account,
    amount: u64,
}

/// What one account holds. Of equal things the first key is taken for the largest.
#[derive(Clone, Debug)]
struct Held<K> {
    amount: u64,
    things: BTreeSet<(u64, Reverse<K>)>,
}

/// What the accounts of one network hold.
#[derive(Clone, Debug, Default)]
struct Network {
    amount: u64,
    accounts: BTreeSet<(u64, Account)>,
}

/// There is no room, and no account that has to make some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<K: Copy + Ord> SharedBound<K> {
    /// A bound of which nothing is taken yet.
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

    /// An account wants this thing to be `amount` large from now on. Returns what had
    /// to give way for it: those things are not held any more. Where there is no room
    /// for it, all stays as it was.
    pub fn ask(&mut self, key: K, account: Account, amount: u64) -> Result<Vec<K>, Full> {
        let before = self.holdings.get(&key).copied();
        self.set(key, None);
        let mut gave_way = Vec::new();
        while self.total.saturating_add(amount) > self.in_all {
            let Some((victim, holding)) = self.next_to_give_way(account, amount) else {
                for (victim, holding) in gave_way {
                    self.set(victim, Some(holding));
                }
                self.set(key, before);
                return Err(Full);
            };
            self.set(victim, None);
            gave_way.push((victim, holding));
        }
        self.set(key, Some(Holding { account, amount }));
        Ok(gave_way.into_iter().map(|(victim, _)| victim).collect())
    }

    /// Whether [`ask`](Self::ask) would find room.
    pub fn would_fit(&mut self, key: K, account: Account, amount: u64) -> bool {
        let before = self.holdings.get(&key).copied();
        self.set(key, None);
        let mut gave_way = Vec::new();
        let fits = loop {
            if self.total.saturating_add(amount) <= self.in_all {
                break true;
            }
            let Some((victim, holding)) = self.next_to_give_way(account, amount) else {
                break false;
            };
            self.set(victim, None);
            gave_way.push((victim, holding));
        };
        for (victim, holding) in gave_way {
            self.set(victim, Some(holding));
        }
        self.set(key, before);
        fits
    }

    /// A thing is not held any more, or never was.
    pub fn give_back(&mut self, key: K) {
        self.set(key, None);
    }

    /// What is held under this key.
    pub fn amount(&self, key: K) -> u64 {
        self.holdings.get(&key).map_or(0, |holding| holding.amount)
    }

    /// What an account holds.
    pub fn held_by(&self, account: Account) -> u64 {
        self.accounts.get(&account).map_or(0, |held| held.amount)
    }

    /// What all hold together.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What is not held.
    pub fn free(&self) -> u64 {
        self.in_all - self.total
    }

    /// What has to give way first to an account that asks for so much more: of the
    /// account that holds most, its largest thing.
    fn next_to_give_way(&self, account: Account, amount: u64) -> Option<(K, Holding)> {
        let own = self.held_by(account).saturating_add(amount);
        let network = account.network();
        // Out of a network's reach is what others need to have a quarter.
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

    /// The account that holds most in a network that has more than networks may, if
    /// that is another than `asking`.
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

    /// Takes what is held under a key out of all indices, and puts this there.
    fn set(&mut self, key: K, holding: Option<Holding>) {
        if let Some(before) = self.holdings.remove(&key) {
            self.total -= before.amount;
            self.index(before.account, |held| {
                held.amount -= before.amount;
                held.things.remove(&(before.amount, Reverse(key)));
            });
        }
        if let Some(now) = holding.filter(|now| now.amount > 0) {
            self.total += now.amount;
            self.holdings.insert(key, now);
            self.index(now.account, |held| {
                held.amount += now.amount;
                held.things.insert((now.amount, Reverse(key)));
            });
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

/// By more than a quarter.
fn is_clearly_more(most: u64, than: u64) -> bool {
    u128::from(most) * 4 > u128::from(than) * 5
}

/// When to try again what was turned down: each time after twice as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    at: Instant,
    wait: Duration,
}

impl Again {
    const FIRST: Duration = Duration::from_secs(10);
    const LONGEST: Duration = Duration::from_mins(10);

    /// It was turned down for the first time.
    pub fn new(now: Instant) -> Self {
        Self {
            at: now + Self::FIRST,
            wait: Self::FIRST,
        }
    }

    /// Whether to try it again.
    pub fn is_due(&self, now: Instant) -> bool {
        self.at <= now
    }

    /// There is no room for it yet: it is not tried, and looked at a little later.
    #[must_use]
    pub fn postponed(self, now: Instant) -> Self {
        Self {
            at: now + Self::FIRST,
            ..self
        }
    }

    /// It was turned down once more.
    #[must_use]
    pub fn later(self, now: Instant) -> Self {
        let wait = (2 * self.wait).min(Self::LONGEST);
        Self {
            at: now + wait,
            wait,
        }
    }
}

#[cfg(test)]
impl<K: Copy + Ord + std::fmt::Debug> SharedBound<K> {
    /// Asserts the invariant: it looks at everything.
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
