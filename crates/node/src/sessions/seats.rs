//! Places for connections that others make.
//!
//! Owns who has how many, and who gives way. A member's place gives way by the
//! [rule](thorp_core::bound) for what is shared; a client's also if the client has been idle for
//! longest, since a client that asks for nothing keeps its connection all the same.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thorp_core::bound::{Account, SharedBound};
use thorp_wire::PeerId;
use tokio::sync::Notify;

use super::Transfers;

/// Connections of one member, and of all.
const EACH: u64 = 16;
const ALL: u64 = 256;
/// Connections of clients from one address, and from all.
const CLIENT_EACH: u64 = 16;
const CLIENT_ALL: u64 = 128;
/// A client that was sent nothing for this long may have to go.
const IDLE: Duration = Duration::from_secs(5);

/// See the module. `K` says which of its callers may not have too many.
#[derive(Debug)]
pub(super) struct Seats<K> {
    taken: SharedBound<u64>,
    most_each: u64,
    each: BTreeMap<K, u64>,
    rows: BTreeMap<u64, Row<K>>,
    last: u64,
}

#[derive(Debug)]
struct Row<K> {
    of: K,
    /// What tells a caller that its seat is another's now.
    wanted: Arc<Notify>,
    used: LastUse,
}

/// When a connection was last of use. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct LastUse {
    since: Instant,
    millis: Arc<AtomicU64>,
}

/// A caller's seat, given back when it is dropped.
pub(super) struct Seat {
    transfers: Transfers,
    of: Caller,
    number: u64,
    pub wanted: Arc<Notify>,
    pub used: LastUse,
}

#[derive(Clone, Copy)]
enum Caller {
    Member(PeerId),
    Client(IpAddr),
}

/// A seat that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    number: u64,
    wanted: Arc<Notify>,
    used: LastUse,
}

impl Seats<PeerId> {
    pub fn of_members() -> Self {
        Self::new(ALL, EACH)
    }
}

impl Seats<IpAddr> {
    pub fn of_clients() -> Self {
        Self::new(CLIENT_ALL, CLIENT_EACH)
    }

    /// Takes a seat, if need be that of the client that has been idle for longest: one from the
    /// same address where that has as many as it may have.
    fn take_or_replace(&mut self, client: IpAddr) -> Option<Taken> {
        let account = Account::Address(client);
        if let Some(taken) = self.take(client, account) {
            return Some(taken);
        }
        let is_rival = |row: &Row<IpAddr>| row.of == client || !self.has_all(client);
        let rivals = self.rows.iter().filter(|(_, row)| is_rival(row));
        let (number, row) = rivals.max_by_key(|(_, row)| row.used.elapsed())?;
        if row.used.elapsed() < IDLE {
            return None;
        }
        let (number, of) = (*number, row.of);
        row.wanted.notify_one();
        self.give_back(of, number);
        self.take(client, account)
    }
}

impl<K: Copy + Ord> Seats<K> {
    fn new(all: u64, most_each: u64) -> Self {
        Self {
            taken: SharedBound::new(all),
            most_each,
            each: BTreeMap::new(),
            rows: BTreeMap::new(),
            last: 0,
        }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes a seat, from the account that has most if need be.
    fn take(&mut self, of: K, account: Account) -> Option<Taken> {
        if self.has_all(of) {
            return None;
        }
        let number = self.last + 1;
        for lost in self.taken.ask(number, account, 1).ok()? {
            if let Some(row) = self.rows.remove(&lost) {
                self.left(row.of);
                row.wanted.notify_one();
            }
        }
        self.last = number;
        *self.each.entry(of).or_default() += 1;
        let (wanted, used) = (Arc::<Notify>::default(), LastUse::now());
        let row = Row {
            of,
            wanted: Arc::clone(&wanted),
            used: used.clone(),
        };
        self.rows.insert(number, row);
        Some(Taken {
            number,
            wanted,
            used,
        })
    }

    /// Whether it has as many seats as any may have.
    fn has_all(&self, of: K) -> bool {
        self.each
            .get(&of)
            .is_some_and(|each| *each >= self.most_each)
    }

    fn give_back(&mut self, of: K, number: u64) {
        self.taken.give_back(number);
        // It may be another's by now.
        if self.rows.remove(&number).is_some() {
            self.left(of);
        }
    }

    fn left(&mut self, of: K) {
        if let Some(each) = self.each.get_mut(&of) {
            *each -= 1;
            if *each == 0 {
                self.each.remove(&of);
            }
        }
    }
}

impl LastUse {
    pub fn now() -> Self {
        Self {
            since: Instant::now(),
            millis: Arc::default(),
        }
    }

    /// The connection is of use at this moment.
    pub fn touch(&self) {
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    fn elapsed(&self) -> Duration {
        let last = Duration::from_millis(self.millis.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(last)
    }
}

impl Transfers {
    /// A seat for a member's connection, if there is one.
    pub(super) fn seat(&self, member: PeerId, account: Account) -> Option<Seat> {
        let taken = self.table().seats.take(member, account)?;
        Some(self.seated(Caller::Member(member), taken))
    }

    /// A seat for a client's connection, if there is one.
    pub(super) fn client_seat(&self, client: IpAddr) -> Option<Seat> {
        let taken = self.table().client_seats.take_or_replace(client)?;
        Some(self.seated(Caller::Client(client), taken))
    }

    fn seated(&self, of: Caller, taken: Taken) -> Seat {
        Seat {
            transfers: self.clone(),
            of,
            number: taken.number,
            wanted: taken.wanted,
            used: taken.used,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.transfers.table();
        match self.of {
            Caller::Member(member) => table.seats.give_back(member, self.number),
            Caller::Client(client) => table.client_seats.give_back(client, self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seventeen_members_that_hold_every_seat_make_room_for_one_that_has_none() {
        let id = |n: u8| PeerId::new([n; 32]);
        let mut seats = Seats::of_members();
        let mut take = |n: u8| seats.take(id(n), Account::Member(id(n)));
        let held: Vec<_> = (0..17)
            .flat_map(|n| [n; 16])
            .filter_map(&mut take)
            .collect();
        let keeps = |taken: &Taken| !is_told(&taken.wanted);
        let held: Vec<_> = held.into_iter().filter(keeps).collect();
        assert_eq!(held.len(), 256);
        for (at, honest) in (100..110).enumerate() {
            assert!(take(honest).is_some(), "{at}");
            assert!(take(honest).is_some(), "and one more");
        }
        // It is told, those first that came first.
        let told = held.iter().filter(|taken| is_told(&taken.wanted));
        assert_eq!(told.count(), 20);
        // Of their own seats none is taken for them: that would change nothing.
        assert!(take(16).is_none());
        assert_eq!(seats.taken.total(), 256);
    }

    #[test]
    fn an_idle_client_gives_way_to_another_from_its_address_and_a_busy_one_does_not() {
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut seats = Seats::of_clients();
        let held: Vec<_> = (0..16)
            .filter_map(|_| seats.take_or_replace(ip(1)))
            .collect();
        assert_eq!(held.len(), 16);
        assert!(
            seats.take_or_replace(ip(1)).is_none(),
            "none has been idle for long"
        );
        assert!(
            seats.take_or_replace(ip(2)).is_some(),
            "another address is not concerned"
        );
        let long_ago = Instant::now()
            .checked_sub(2 * IDLE)
            .expect("the system runs for longer");
        for (number, row) in &mut seats.rows {
            row.used.since = long_ago;
            if *number != 7 {
                row.used.touch();
            }
        }
        assert!(seats.take_or_replace(ip(1)).is_some());
        let told: Vec<_> = held.iter().filter(|taken| is_told(&taken.wanted)).collect();
        assert!(
            matches!(&told[..], [taken] if taken.number == 7),
            "{told:?}"
        );
        assert!(seats.take_or_replace(ip(1)).is_none());
        // It leaves without taking another's seat with it.
        seats.give_back(ip(1), 7);
        assert!(seats.has_all(ip(1)));
        assert_eq!(seats.taken.total(), 17);
    }

    /// Whether it was told by now.
    fn is_told(wanted: &Notify) -> bool {
        use std::task::{Context, Poll, Waker};
        let told = std::pin::pin!(wanted.notified());
        let mut context = Context::from_waker(Waker::noop());
        matches!(told.poll(&mut context), Poll::Ready(()))
    }
}
