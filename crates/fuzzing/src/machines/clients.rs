//! What the clients of torrents are told of one another, as they come, go and say anything.
//!
//! Whatever they say, a client is told only of connected ones of its torrent that it can reach,
//! and no more is believed of one than of any.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use thorp_core::dialled::{HeardOver, may_be_dialled};
use thorp_core::exchange::ClientExchange;
use thorp_core::swarm::SessionId;
use thorp_core::time::Instant;
use thorp_wire::InfoHash;
use thorp_wire::session::exchange::MOST_EXCHANGED;
use thorp_wire::session::{ExchangedPeer, PeerExchange};

use crate::source::Source;

const MINUTE: Duration = Duration::from_mins(1);
const MOST_BELIEVED: usize = 50;

pub(crate) fn clients(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let mut play = Play {
        exchange: ClientExchange::default(),
        now: Duration::ZERO,
        next: 0,
        open: BTreeMap::new(),
    };
    while !source.is_empty() {
        play.step(&mut source);
        play.tell();
    }
    while let Some(at) = play.exchange.next_deadline() {
        play.now = play.now.max(at - Instant::default());
        play.tell();
    }
}

struct Play {
    exchange: ClientExchange,
    now: Duration,
    next: u64,
    open: BTreeMap<SessionId, Client>,
}

struct Client {
    torrent: InfoHash,
    remote: SocketAddr,
    told: Option<Duration>,
    /// When it has named others that were believed, and how many.
    named: Vec<(Duration, usize)>,
}

impl Play {
    fn step(&mut self, source: &mut Source<'_>) {
        let kind = source.byte() % 8;
        let session = SessionId(u64::from(source.byte()) % (self.next + 1));
        let now = Instant::after_start(self.now);
        match kind {
            0 => self.now += Duration::from_secs(source.byte().into()),
            1 | 2 => {
                self.next += 1;
                let session = SessionId(self.next);
                let client = Client {
                    torrent: InfoHash::new([source.byte() % 2; 20]),
                    remote: address(source),
                    told: None,
                    named: Vec::new(),
                };
                let (torrent, remote) = (client.torrent, client.remote);
                let dialled = source.flag();
                self.exchange.opened(now, session, torrent, remote, dialled);
                self.open.insert(session, client);
            }
            3 => {
                self.open.remove(&session);
                self.exchange.closed(session);
            }
            4 | 5 => {
                let number = source.flag().then(|| source.byte());
                let port = source.flag().then(|| u16::from(source.byte() % 4));
                self.exchange.on_handshake(session, number, port);
            }
            _ => {
                let named = (0..source.byte() % 64).map(|_| ExchangedPeer {
                    address: address(source),
                    flags: 0,
                });
                let said = PeerExchange {
                    added: named.collect(),
                    dropped: Vec::new(),
                };
                let heard = self.exchange.heard(now, session, &said);
                self.hear(session, &said, heard);
            }
        }
        self.exchange.check();
    }

    fn hear(
        &mut self,
        session: SessionId,
        said: &PeerExchange,
        heard: Option<(InfoHash, Vec<SocketAddr>)>,
    ) {
        let Some(client) = self.open.get_mut(&session) else {
            return assert_eq!(heard, None);
        };
        let (torrent, believed) = heard.expect("it is connected");
        assert_eq!(torrent, client.torrent);
        let over = HeardOver::of(client.remote.ip());
        for address in &believed {
            assert!(may_be_dialled(*address, over));
            assert!(said.added.iter().any(|peer| peer.address == *address));
        }
        client.named.push((self.now, believed.len()));
        // Of any minute, since two of its own may meet in one.
        let lately = client
            .named
            .iter()
            .filter(|(at, _)| *at + MINUTE > self.now);
        assert!(lately.map(|(_, number)| number).sum::<usize>() <= 2 * MOST_BELIEVED);
    }

    fn tell(&mut self) {
        let now = Instant::after_start(self.now);
        for telling in self
            .exchange
            .due(now, |session| session.0.is_multiple_of(2))
        {
            let addresses = telling.said.added.iter().map(|peer| peer.address);
            let addresses: Vec<SocketAddr> = addresses.collect();
            assert!(telling.number > 0 && addresses.len() <= MOST_EXCHANGED);
            assert!(telling.said.dropped.len() <= MOST_EXCHANGED);
            let torrent = self.open[&telling.session].torrent;
            let of_it = |address: &SocketAddr| {
                let mut others = self.open.iter().filter(|(id, _)| **id != telling.session);
                others.any(|(_, other)| {
                    other.torrent == torrent
                        && other.remote.ip().to_canonical() == address.ip().to_canonical()
                })
            };
            let client = &self.open[&telling.session];
            let over = HeardOver::of(client.remote.ip());
            for address in &addresses {
                assert!(may_be_dialled(*address, over) && of_it(address));
                assert_ne!(*address, client.remote, "it is told of itself");
            }
            assert!(client.told.is_none_or(|at| self.now >= at + MINUTE));
            if let Some(client) = self.open.get_mut(&telling.session) {
                client.told = Some(self.now);
            }
        }
        let later = self.exchange.next_deadline();
        assert!(later.is_none_or(|at| at > now), "what is due is told");
        self.exchange.check();
    }
}

fn address(source: &mut Source<'_>) -> SocketAddr {
    let last = source.byte() % 8;
    let ip: IpAddr = match source.byte() % 6 {
        0 => Ipv4Addr::LOCALHOST.into(),
        1 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last.into()).into(),
        2 => Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().into(),
        3 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into(),
        _ => Ipv4Addr::new(10, 0, 0, last).into(),
    };
    (ip, u16::from(source.byte() % 4)).into()
}
