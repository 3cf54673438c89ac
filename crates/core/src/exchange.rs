//! What the clients of a torrent are told of one another, and what is believed of what they say
//! (BEP 11).
//!
//! Owns who is told of whom, and how often. Only clients that are connected are told of, at the
//! addresses where they listen; sessions of private torrents (BEP 27) are never added here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use thorp_wire::InfoHash;
use thorp_wire::session::exchange::MOST_EXCHANGED;
use thorp_wire::session::extended::number_after;
use thorp_wire::session::{ExchangedPeer, PeerExchange};

use crate::dialled::{HeardOver, may_be_dialled};
use crate::swarm::SessionId;
use crate::time::Instant;

/// How often a client is told of others at most.
const EVERY: Duration = Duration::from_mins(1);
/// How many addresses are believed of one client in a minute.
const MOST_BELIEVED: usize = 50;
/// How often a client may say something else of itself.
const MOST_HANDSHAKES: u32 = 16;

/// The clients of one transfer that exchange addresses. Call [`due`](Self::due) after each change,
/// and at [`next_deadline`](Self::next_deadline).
#[derive(Debug, Default)]
pub struct ClientExchange {
    clients: BTreeMap<SessionId, Client>,
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct Client {
    torrent: InfoHash,
    /// The other end of the connection.
    remote: SocketAddr,
    /// Where the client listens, if that is known.
    listens: Option<SocketAddr>,
    /// The number by which the client wants to be told.
    number: Option<u8>,
    handshakes_left: u32,
    /// Of which addresses it has been told.
    told: BTreeSet<SocketAddr>,
    /// When it may be told again.
    not_before: Instant,
    /// Since when addresses of it are counted, and how many of them were believed.
    counted_since: Instant,
    believed: usize,
}

/// A message to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// The client's connection.
    pub session: SessionId,
    /// The number by which the client wants to be told.
    pub number: u8,
    /// What it is told.
    pub said: PeerExchange,
}

impl ClientExchange {
    /// A client has connected, or was dialled, for a torrent that is not private.
    pub fn opened(
        &mut self,
        now: Instant,
        session: SessionId,
        torrent: InfoHash,
        remote: SocketAddr,
        dialled: bool,
    ) {
        let client = Client {
            torrent,
            remote,
            listens: dialled.then_some(remote),
            number: None,
            handshakes_left: MOST_HANDSHAKES,
            told: BTreeSet::new(),
            not_before: now,
            counted_since: now,
            believed: 0,
        };
        self.clients.insert(session, client);
        self.changed();
    }

    /// A client has said by which number it wants to be told of others (0: not at all), and on
    /// which port it listens. It may say so again; what it does not say is as it was.
    pub fn on_handshake(&mut self, session: SessionId, number: Option<u8>, port: Option<u16>) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        let Some(left) = client.handshakes_left.checked_sub(1) else {
            return;
        };
        client.handshakes_left = left;
        client.number = number_after(client.number, number);
        if let Some(port) = port.filter(|port| *port != 0)
            && client.listens != Some(client.remote)
        {
            client.listens = Some(SocketAddr::new(client.remote.ip().to_canonical(), port));
        }
        self.changed();
    }

    /// A connection was closed.
    pub fn closed(&mut self, session: SessionId) {
        if self.clients.remove(&session).is_some() {
            self.changed();
        }
    }

    /// A client has told of others. Returns the torrent, and those that may be dialled for it.
    pub fn heard(
        &mut self,
        now: Instant,
        session: SessionId,
        said: &PeerExchange,
    ) -> Option<(InfoHash, Vec<SocketAddr>)> {
        let client = self.clients.get_mut(&session)?;
        if now - client.counted_since >= EVERY {
            (client.counted_since, client.believed) = (now, 0);
        }
        let heard = HeardOver::of(client.remote.ip());
        let named = said.added.iter().map(|peer| peer.address);
        let named = named.take(MOST_BELIEVED - client.believed);
        let named: Vec<SocketAddr> = named.collect();
        client.believed += named.len();
        let torrent = client.torrent;
        let of_it = self
            .clients
            .values()
            .filter(|other| other.torrent == torrent);
        let connected: BTreeSet<_> = of_it.filter_map(|other| other.listens).collect();
        let is_new =
            |address: &SocketAddr| may_be_dialled(*address, heard) && !connected.contains(address);
        Some((torrent, named.into_iter().filter(is_new).collect()))
    }

    /// Returns when there is something to tell, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns what clients are to be told now. `is_seeder` says whether one has all of the
    /// torrent.
    pub fn due(&mut self, now: Instant, is_seeder: impl Fn(SessionId) -> bool) -> Vec<Telling> {
        if self.deadline.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let sessions: Vec<SessionId> = self.clients.keys().copied().collect();
        let mut all = Vec::new();
        for session in sessions {
            let others = self.others_of(session);
            let Some(client) = self.clients.get_mut(&session) else {
                continue;
            };
            let Some(number) = client.number.filter(|_| now >= client.not_before) else {
                continue;
            };
            let news = others
                .iter()
                .filter(|(address, _)| !client.told.contains(*address));
            let added = news.map(|(address, session)| ExchangedPeer {
                address: *address,
                flags: if is_seeder(*session) {
                    ExchangedPeer::SEEDER
                } else {
                    0
                },
            });
            let gone = client
                .told
                .iter()
                .filter(|address| !others.contains_key(*address));
            let said = PeerExchange {
                added: added.take(MOST_EXCHANGED).collect(),
                dropped: gone.take(MOST_EXCHANGED).copied().collect(),
            };
            if said == PeerExchange::default() {
                continue;
            }
            client
                .told
                .retain(|address| !said.dropped.contains(address));
            client
                .told
                .extend(said.added.iter().map(|peer| peer.address));
            client.not_before = now + EVERY;
            all.push(Telling {
                session,
                number,
                said,
            });
        }
        self.changed();
        all
    }

    /// Returns the clients of which another one is told, by where they listen.
    fn others_of(&self, session: SessionId) -> BTreeMap<SocketAddr, SessionId> {
        let Some(client) = self.clients.get(&session) else {
            return BTreeMap::new();
        };
        // What means this machine or this link says nothing to a client elsewhere.
        let heard = HeardOver::of(client.remote.ip());
        let others = self.clients.iter().filter(|(other, _)| **other != session);
        others
            .filter(|(_, other)| other.torrent == client.torrent)
            .filter_map(|(id, other)| Some((other.listens?, *id)))
            .filter(|(address, _)| may_be_dialled(*address, heard))
            // A client may dial from where it listens, and be dialled there.
            .filter(|(address, _)| ![Some(client.remote), client.listens].contains(&Some(*address)))
            .collect()
    }

    /// Finds out when there is something to tell.
    fn changed(&mut self) {
        let sessions = self
            .clients
            .iter()
            .filter(|(_, client)| client.number.is_some());
        let waiting = sessions.filter(|(session, client)| {
            let others = self.others_of(**session);
            others.keys().any(|address| !client.told.contains(address))
                || client
                    .told
                    .iter()
                    .any(|address| !others.contains_key(address))
        });
        self.deadline = waiting.map(|(_, client)| client.not_before).min();
    }

    /// Asserts what must hold after every call.
    #[cfg(any(test, feature = "testing"))]
    pub fn check(&self) {
        for (session, client) in &self.clients {
            assert!(client.believed <= MOST_BELIEVED);
            assert!(
                !client.told.contains(&client.remote),
                "{session:?} is told of itself"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::cases;

    const ONE: InfoHash = InfoHash::new([1; 20]);
    const OTHER: InfoHash = InfoHash::new([2; 20]);

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn remote(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 50_000))
    }

    fn listens(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 6881))
    }

    /// A client that has dialled, listens at 6881 and wants to be told by its own number.
    fn comes(exchange: &mut ClientExchange, now: u64, n: u8, torrent: InfoHash) {
        let session = SessionId(n.into());
        exchange.opened(at(now), session, torrent, remote(n), false);
        exchange.on_handshake(session, Some(n), Some(6881));
    }

    fn told(
        exchange: &mut ClientExchange,
        now: u64,
    ) -> Vec<(u8, Vec<SocketAddr>, Vec<SocketAddr>)> {
        let all = exchange.due(at(now), |_| false).into_iter();
        all.map(|telling| {
            let added = telling.said.added.iter().map(|peer| peer.address);
            (telling.number, added.collect(), telling.said.dropped)
        })
        .collect()
    }

    #[test]
    fn clients_of_a_torrent_are_told_of_one_another_and_of_who_has_gone() {
        let mut exchange = ClientExchange::default();
        comes(&mut exchange, 0, 1, ONE);
        assert_eq!(told(&mut exchange, 0), []);
        comes(&mut exchange, 1, 2, ONE);
        comes(&mut exchange, 1, 3, OTHER);
        let both = [(1, vec![listens(2)], vec![]), (2, vec![listens(1)], vec![])];
        assert_eq!(told(&mut exchange, 1), both);
        assert_eq!(exchange.next_deadline(), None, "there is no more to tell");
        comes(&mut exchange, 2, 4, ONE);
        assert_eq!(
            told(&mut exchange, 2),
            [(4, vec![listens(1), listens(2)], vec![])]
        );
        exchange.closed(SessionId(1));
        assert_eq!(exchange.next_deadline(), Some(at(61)));
        assert_eq!(told(&mut exchange, 60), [], "a minute has not passed");
        assert_eq!(
            told(&mut exchange, 61),
            [(2, vec![listens(4)], vec![listens(1)])]
        );
        assert_eq!(told(&mut exchange, 62), [(4, vec![], vec![listens(1)])]);
    }

    #[test]
    fn only_who_wants_to_be_told_is_and_only_of_clients_that_listen() {
        let mut exchange = ClientExchange::default();
        comes(&mut exchange, 0, 1, ONE);
        exchange.opened(at(0), SessionId(2), ONE, remote(2), false);
        assert_eq!(told(&mut exchange, 0), [], "where it listens is not known");
        exchange.opened(at(0), SessionId(3), ONE, listens(3), true);
        assert_eq!(told(&mut exchange, 0), [(1, vec![listens(3)], vec![])]);
        // It takes its number back.
        exchange.on_handshake(SessionId(1), Some(0), Some(6881));
        exchange.closed(SessionId(3));
        assert_eq!(exchange.next_deadline(), None);
    }

    #[test]
    fn a_client_that_says_more_of_itself_is_told_of_others_as_before() {
        let mut exchange = ClientExchange::default();
        comes(&mut exchange, 0, 1, ONE);
        exchange.on_handshake(SessionId(1), None, None);
        comes(&mut exchange, 1, 2, ONE);
        let both = [(1, vec![listens(2)], vec![]), (2, vec![listens(1)], vec![])];
        assert_eq!(told(&mut exchange, 1), both);
    }

    #[test]
    fn a_client_elsewhere_is_not_told_of_one_on_this_machine() {
        let here: SocketAddr = "127.0.0.1:50000".parse().expect("an address");
        let mut exchange = ClientExchange::default();
        comes(&mut exchange, 0, 1, ONE);
        for n in [2, 3] {
            let session = SessionId(n);
            exchange.opened(at(0), session, ONE, here, false);
            let (number, port) = (u8::try_from(n).ok(), u16::try_from(n).ok());
            exchange.on_handshake(session, number, port);
        }
        let of_each: Vec<_> = told(&mut exchange, 0)
            .into_iter()
            .map(|(number, added, _)| (number, added.len()))
            .collect();
        assert_eq!(of_each, [(2, 2), (3, 2)]);
    }

    #[test]
    fn a_seeder_is_told_of_as_one() {
        let mut exchange = ClientExchange::default();
        comes(&mut exchange, 0, 1, ONE);
        comes(&mut exchange, 0, 2, ONE);
        let all = exchange.due(at(0), |session| session == SessionId(2));
        let flags: Vec<u8> = all
            .iter()
            .map(|telling| telling.said.added[0].flags)
            .collect();
        assert_eq!(flags, [ExchangedPeer::SEEDER, 0]);
    }

    #[test]
    fn fifty_addresses_a_minute_are_believed_of_a_client_if_they_may_be_dialled() {
        let peers = |ips: std::ops::Range<u8>| PeerExchange {
            added: ips
                .map(|n| ExchangedPeer {
                    address: SocketAddr::from(([10, 9, 0, n], 1)),
                    flags: 0,
                })
                .collect(),
            dropped: Vec::new(),
        };
        let mut exchange = ClientExchange::default();
        comes(&mut exchange, 0, 1, ONE);
        let mut heard = |now, said: &PeerExchange| {
            let (torrent, of) = exchange
                .heard(at(now), SessionId(1), said)
                .expect("is known");
            assert_eq!(torrent, ONE);
            of.len()
        };
        assert_eq!(heard(0, &peers(0..40)), 40);
        assert_eq!(heard(1, &peers(40..80)), 10);
        assert_eq!(heard(59, &peers(80..90)), 0);
        assert_eq!(heard(60, &peers(90..100)), 10);
        let bad = ["127.0.0.1:5", "169.254.0.1:5", "224.0.0.1:5", "10.0.0.1:0"];
        let added = bad.map(|address| ExchangedPeer {
            address: address.parse().expect("an address"),
            flags: 0,
        });
        let bad = PeerExchange {
            added: added.into(),
            dropped: Vec::new(),
        };
        assert_eq!(heard(61, &bad), 0);
        let mut exchange = ClientExchange::default();
        assert_eq!(
            exchange.heard(at(0), SessionId(1), &bad),
            None,
            "of a private torrent"
        );
    }

    /// A step of the model.
    #[derive(Clone, Debug)]
    enum Did {
        Waited(u64),
        Came(u8, bool),
        Said(u8, bool, bool),
        Went(u8),
    }

    fn did() -> impl Strategy<Value = Did> {
        prop_oneof![
            2 => (0..90_u64).prop_map(Did::Waited),
            3 => (1..90_u8, any::<bool>()).prop_map(|(n, dialled)| Did::Came(n, dialled)),
            3 => (1..90_u8, any::<bool>(), any::<bool>()).prop_map(|(n, wants, has_port)| Did::Said(n, wants, has_port)),
            1 => (1..90_u8).prop_map(Did::Went),
        ]
    }

    proptest! {
        #![proptest_config(cases(128))]

        #[test]
        fn what_clients_were_told_comes_to_who_is_there(all in vec(did(), 1..200)) {
            let (mut exchange, mut now) = (ClientExchange::default(), 0);
            let mut known: BTreeMap<SessionId, BTreeSet<SocketAddr>> = BTreeMap::new();
            let mut last: BTreeMap<SessionId, u64> = BTreeMap::new();
            let mut take = |exchange: &mut ClientExchange, now: u64| {
                for telling in exchange.due(at(now), |_| false) {
                    let before = last.insert(telling.session, now);
                    prop_assert!(before.is_none_or(|before| now - before >= 60));
                    let said = &telling.said;
                    prop_assert!(said.added.len() <= 50 && said.dropped.len() <= 50);
                    let of = known.entry(telling.session).or_default();
                    for gone in &said.dropped {
                        prop_assert!(of.remove(gone), "was told of");
                    }
                    for added in &said.added {
                        prop_assert!(of.insert(added.address), "is told of once");
                    }
                }
                exchange.check();
                Ok(())
            };
            let mut number = 0;
            let mut sessions: BTreeMap<u8, SessionId> = BTreeMap::new();
            for did in all {
                match did {
                    Did::Waited(seconds) => now += seconds,
                    Did::Came(n, dialled) => {
                        // A number is given once.
                        number += 1;
                        let session = SessionId(number);
                        if let Some(before) = sessions.insert(n, session) {
                            exchange.closed(before);
                        }
                        let from = if dialled { listens(n) } else { remote(n) };
                        exchange.opened(at(now), session, ONE, from, dialled);
                    }
                    Did::Said(n, wants, has_port) => {
                        if let Some(session) = sessions.get(&n) {
                            let port = has_port.then_some(6881);
                            exchange.on_handshake(*session, Some(wants.into()), port);
                        }
                    }
                    Did::Went(n) => {
                        if let Some(session) = sessions.remove(&n) {
                            exchange.closed(session);
                        }
                    }
                }
                take(&mut exchange, now)?;
            }
            while let Some(deadline) = exchange.next_deadline() {
                now = (deadline - at(0)).as_secs();
                take(&mut exchange, now)?;
            }
            for (session, client) in &exchange.clients {
                if client.number.is_some() {
                    let expected: BTreeSet<_> = exchange.others_of(*session).into_keys().collect();
                    prop_assert_eq!(&known.get(session).cloned().unwrap_or_default(), &expected);
                }
            }
        }
    }
}
