//! The handshakes in progress, and which of them is dropped if there are too many.
//!
//! Addresses at which members were seen recently have places of their own, which no stranger can
//! take. Otherwise the [rule](thorp_core::bound) for shared bounds applies: it counts single
//! addresses, so that one machine does not shut out the others of its network, and networks only
//! if one has nearly all places. If all addresses hold equally many places, the oldest handshake
//! is dropped: a member needs only a few round trips, so the oldest is the least likely to be a
//! member's, and silent connections cannot block the port.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thorp_core::bound::{Account, Full, SharedBound};
use tokio::sync::Notify;

use super::Limits;

/// How long an address counts as a member's after a member was seen there.
const KNOWN_FOR: Duration = Duration::from_hours(1);
/// The maximum number of such addresses.
const MOST_KNOWN: usize = 4096;

/// Whether a member was seen at an address recently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Stranger,
    Known,
}

/// A handle to the places. Clones share them.
#[derive(Clone)]
pub(super) struct Gate(Arc<Mutex<Places>>);

struct Places {
    limits: Limits,
    strangers: Row,
    known: Row,
    /// When a member was last seen at an address.
    seen: HashMap<IpAddr, Instant>,
    /// The number of places taken so far.
    last: u64,
}

/// The places of one kind.
struct Row {
    taken: SharedBound<u64>,
    /// Notified when a place has to be given up; the oldest place first.
    wanted: BTreeMap<u64, (Account, Arc<Notify>)>,
}

/// A place in the [`Gate`], released on drop.
pub(super) struct Place {
    gate: Gate,
    who: Who,
    number: u64,
    wanted: Arc<Notify>,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Places {
            limits,
            strangers: Row::new(limits.handshakes),
            known: Row::new((limits.handshakes / 2).max(1)),
            seen: HashMap::new(),
            last: 0,
        })))
    }

    /// Takes a place. If none is free, another connection loses its place.
    pub(super) fn enter(&self, address: IpAddr) -> Place {
        let address = address.to_canonical();
        let mut places = self.places();
        let who = places.who(address);
        places.last += 1;
        let number = places.last;
        let most = if address.is_loopback() {
            u64::MAX
        } else {
            places.limits.per_address
        };
        let wanted = places
            .row(who)
            .enter(number, Account::Address(address), most);
        drop(places);
        Place {
            gate: self.clone(),
            who,
            number,
            wanted,
        }
    }

    /// A member has shown its certificate from this address.
    pub(super) fn on_member(&self, address: IpAddr) {
        let mut places = self.places();
        let now = Instant::now();
        let address = address.to_canonical();
        if places.seen.len() >= MOST_KNOWN && !places.seen.contains_key(&address) {
            places.seen.retain(|_, seen| now - *seen < KNOWN_FOR);
            let oldest = places.seen.iter().min_by_key(|(_, seen)| **seen);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                places.seen.remove(&oldest);
            }
        }
        places.seen.insert(address, now);
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn who(&self, address: IpAddr) -> Who {
        let seen = self.seen.get(&address);
        if seen.is_some_and(|seen| seen.elapsed() < KNOWN_FOR) {
            Who::Known
        } else {
            Who::Stranger
        }
    }

    fn row(&mut self, who: Who) -> &mut Row {
        match who {
            Who::Stranger => &mut self.strangers,
            Who::Known => &mut self.known,
        }
    }
}

impl Row {
    fn new(places: u64) -> Self {
        Self {
            taken: SharedBound::new(places),
            wanted: BTreeMap::new(),
        }
    }

    /// Takes a place in this row. The connections that have to go are notified and no longer
    /// counted, even if they take long to end.
    fn enter(&mut self, number: u64, account: Account, most: u64) -> Arc<Notify> {
        if self.taken.held_by(account) >= most {
            let mut rows = self.wanted.iter();
            let oldest = rows.find(|(_, (of, _))| *of == account);
            if let Some(oldest) = oldest.map(|(number, _)| *number) {
                self.give_way(oldest);
            }
        }
        loop {
            match self.taken.ask(number, account, 1) {
                Ok(gave_way) => {
                    for number in gave_way {
                        self.give_way(number);
                    }
                    break;
                }
                Err(Full) => match self.oldest_for(account) {
                    Some(oldest) => self.give_way(oldest),
                    None => break,
                },
            }
        }
        let wanted = Arc::<Notify>::default();
        self.wanted.insert(number, (account, Arc::clone(&wanted)));
        wanted
    }

    /// Returns the connection to drop if all addresses hold equally many places: the oldest one,
    /// or the oldest of this account's network if that holds three quarters of all.
    fn oldest_for(&self, account: Account) -> Option<u64> {
        let network = account.network();
        let at_home = self
            .wanted
            .iter()
            .filter(|(_, (of, _))| of.network() == network);
        let mut at_home = at_home.map(|(number, _)| *number).peekable();
        let oldest_at_home = at_home.peek().copied();
        if 4 * at_home.count() >= 3 * self.wanted.len() {
            return oldest_at_home;
        }
        self.wanted.keys().next().copied()
    }

    fn give_way(&mut self, number: u64) {
        if let Some((_, wanted)) = self.leave(number) {
            wanted.notify_one();
        }
    }

    fn leave(&mut self, number: u64) -> Option<(Account, Arc<Notify>)> {
        self.taken.give_back(number);
        self.wanted.remove(&number)
    }
}

impl Place {
    /// Waits until this place has to be given up.
    pub(super) async fn given_away(&self) {
        self.wanted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.places().row(self.who).leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn gate(handshakes: u64, per_address: u64) -> Gate {
        Gate::new(Limits {
            handshakes,
            per_address,
            ..Limits::default()
        })
    }

    fn enter(gate: &Gate, ip: &str) -> Place {
        gate.enter(ip.parse().expect("an address"))
    }

    /// Whether the place has to be given up. Asking does not change that.
    fn has_to_go(place: &Place) -> bool {
        let told = std::pin::pin!(place.wanted.notified());
        let told = told.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(());
        if told {
            place.wanted.notify_one();
        }
        told
    }

    #[test]
    fn an_address_that_has_its_share_gives_way_to_itself() {
        let gate = gate(100, 2);
        let one = enter(&gate, "10.0.0.1");
        let two = enter(&gate, "::ffff:10.0.0.1");
        assert!(!has_to_go(&one));
        let three = enter(&gate, "10.0.0.1");
        assert_eq!([&one, &two, &three].map(has_to_go), [true, false, false]);
        let home = ["127.0.0.1"; 3].map(|ip| enter(&gate, ip));
        assert_eq!(home.each_ref().map(has_to_go), [false; 3], "it is exempt");
        drop((one, two, three, home));
        assert!(gate.places().strangers.wanted.is_empty());
        assert_eq!(gate.places().strangers.taken.total(), 0);
    }

    #[test]
    fn a_flood_from_one_machine_leaves_its_neighbours_their_places() {
        let gate = gate(64, 32);
        let visitor = enter(&gate, "fe80::2");
        let flood: Vec<Place> = (0..10_000).map(|_| enter(&gate, "fe80::1")).collect();
        assert!(!has_to_go(&visitor));
        let others: Vec<Place> = (3..30)
            .map(|n| enter(&gate, &format!("fe80::{n}")))
            .collect();
        assert!(!others.iter().any(has_to_go));
        assert_eq!(flood.iter().filter(|place| !has_to_go(place)).count(), 32);
    }

    #[test]
    fn a_flood_from_every_address_of_a_network_cannot_take_members_places_nor_all_others() {
        let gate = gate(64, 32);
        gate.on_member("fd00::1:7".parse().expect("an address"));
        let member = enter(&gate, "fd00::1:7");
        let elsewhere: Vec<Place> = (0..16)
            .map(|n| enter(&gate, &format!("10.{n}.0.1")))
            .collect();
        let attacker = |n: u16| gate.enter(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 2, n).into());
        let flood: Vec<Place> = (0..5000).map(attacker).collect();
        assert!(!has_to_go(&member));
        assert_eq!(
            flood.iter().filter(|place| !has_to_go(place)).count(),
            64 - 16
        );
        assert!(!elsewhere.iter().any(has_to_go), "a quarter is theirs");
        // Another address of the flooding network keeps its place until the flood has replaced
        // all older ones.
        let visitor = enter(&gate, "fd00::1:8");
        let more: Vec<Place> = (5000..5040).map(attacker).collect();
        assert!(!has_to_go(&visitor));
        drop((flood, more));
    }

    #[test]
    fn addresses_of_members_are_remembered_up_to_a_bound() {
        let gate = gate(64, 32);
        for n in 0..5000_u32 {
            gate.on_member(IpAddr::from(n.to_be_bytes()));
        }
        assert_eq!(gate.places().seen.len(), MOST_KNOWN);
        let who = |n: u32| gate.places().who(IpAddr::from(n.to_be_bytes()));
        assert_eq!((who(0), who(4999)), (Who::Stranger, Who::Known));
    }
}
