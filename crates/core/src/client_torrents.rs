//! By which torrent each client is asked for a file of the group.
//!
//! Clients of one file are in several swarms: of its v1 torrent, and of its v2 torrent, private or
//! public. Owns for which of them each was named. Whether a client is dialled at all, and when, is
//! decided in the [swarm](crate::swarm).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use thorp_wire::InfoHash;

/// Of how many clients their torrents are remembered, beside those that may be dialled.
const MOST_CLIENTS: usize = 1024;

/// The torrents that a file is in, and its clients.
#[derive(Debug, Default)]
pub struct ClientTorrents {
    /// The torrent that is not private.
    public: Option<InfoHash>,
    /// The torrent of v1.
    v1: Option<InfoHash>,
    clients: BTreeMap<SocketAddr, InfoHash>,
}

/// How a client is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTorrent {
    /// Its torrent.
    pub torrent: InfoHash,
    /// Whether its clients may be told of one another (BEP 27).
    pub is_public: bool,
    /// Whether it is of v1: its clients know no hashes that the file could be verified by, so these
    /// come from others.
    pub is_v1: bool,
}

impl ClientTorrents {
    /// Says which of the file's torrents is public and which is of v1, if they are known.
    pub fn set(&mut self, public: Option<InfoHash>, v1: Option<InfoHash>) {
        (self.public, self.v1) = (public, v1);
    }

    /// Clients were named for this torrent. Of these and of those that were named before, only the
    /// ones that may be dialled are remembered, once they are many.
    pub fn named(
        &mut self,
        torrent: InfoHash,
        clients: &[SocketAddr],
        may_be_dialled: impl Fn(SocketAddr) -> bool,
    ) {
        if self.clients.len() + clients.len() > MOST_CLIENTS {
            self.clients.retain(|client, _| may_be_dialled(*client));
        }
        for client in clients.iter().filter(|client| may_be_dialled(**client)) {
            // One that has both is of more use with v2.
            if !self.clients.contains_key(client) || self.v1 != Some(torrent) {
                self.clients.insert(*client, torrent);
            }
        }
    }

    /// Returns how this client is asked, if it was named.
    pub fn of(&self, client: SocketAddr) -> Option<ClientTorrent> {
        let torrent = *self.clients.get(&client)?;
        Some(ClientTorrent {
            torrent,
            is_public: self.public == Some(torrent),
            is_v1: self.v1 == Some(torrent),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: InfoHash = InfoHash::new([1; 20]);
    const PUBLIC: InfoHash = InfoHash::new([2; 20]);
    const V1: InfoHash = InfoHash::new([3; 20]);

    fn client(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], number))
    }

    fn torrents() -> ClientTorrents {
        let mut torrents = ClientTorrents::default();
        torrents.set(Some(PUBLIC), Some(V1));
        torrents
    }

    #[test]
    fn a_client_is_asked_by_the_torrent_that_it_was_named_for() {
        let mut torrents = torrents();
        for (number, torrent) in [(1, PRIVATE), (2, PUBLIC), (3, V1)] {
            torrents.named(torrent, &[client(number)], |_| true);
            let asked = ClientTorrent {
                torrent,
                is_public: torrent == PUBLIC,
                is_v1: torrent == V1,
            };
            assert_eq!(torrents.of(client(number)), Some(asked));
        }
        assert_eq!(torrents.of(client(4)), None);
    }

    #[test]
    fn a_client_that_has_both_versions_is_asked_by_v2_whichever_was_named_first() {
        for order in [[V1, PRIVATE], [PRIVATE, V1]] {
            let mut torrents = torrents();
            for torrent in order {
                torrents.named(torrent, &[client(1)], |_| true);
            }
            let asked = torrents.of(client(1)).expect("it was named");
            assert_eq!(asked.torrent, PRIVATE);
        }
    }

    #[test]
    fn of_more_clients_than_are_remembered_those_stay_that_may_be_dialled() {
        let mut torrents = torrents();
        let first: Vec<SocketAddr> = (1..=1000).map(client).collect();
        torrents.named(V1, &first, |_| true);
        let more: Vec<SocketAddr> = (1001..=1100).map(client).collect();
        torrents.named(V1, &more, |client| client.port() % 2 == 0);
        assert_eq!(torrents.clients.len(), 550);
        assert!(torrents.clients.keys().all(|client| client.port() % 2 == 0));
    }
}
