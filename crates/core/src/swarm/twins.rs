//! Clients with which there are two connections: one that has called is dialled where it listens.
//!
//! Owns which of the two stays. The id of a client is what it says of itself: who says another's
//! ends no connection with another machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use thorp_wire::{ClientId, InfoHash};

use super::io::{SessionId, SourceId};
use super::sources::place_of;

/// A client, as its handshake and its connection show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GreetedClient {
    /// What it calls itself.
    pub client: ClientId,
    /// The torrent that its connection is for.
    pub torrent: InfoHash,
    /// Its end of the connection.
    pub at: SocketAddr,
    /// Whether this peer dialled.
    pub dialled: bool,
}

/// Which connections with a client stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// All that there are.
    All,
    /// The new one, instead of this one.
    New(SessionId),
    /// This one, and not the new one.
    Old(SessionId),
}

/// The clients that are connected.
#[derive(Debug, Default)]
pub struct Twins(BTreeMap<SessionId, GreetedClient>);

impl Twins {
    /// A client has greeted this peer, which has told it this id. The connection is remembered
    /// until it is [closed](Self::closed), if it stays.
    pub fn greeted(&mut self, session: SessionId, new: GreetedClient, ours: ClientId) -> Remains {
        let is_twin = |old: &GreetedClient| {
            // Connections that a client has made itself have bounds of their own.
            let is_ours = old.dialled || new.dialled;
            is_ours && old.is_of_client(&new) && place_of(old.at) == place_of(new.at)
        };
        let twin = self.0.iter().find(|(_, old)| is_twin(old));
        // As libtorrent decides, so that both ends let go of the same one.
        let by_the_greater = new.dialled == (ours > new.client);
        let remains = match twin {
            None => Remains::All,
            Some((old, _)) if by_the_greater => Remains::New(*old),
            Some((old, _)) => Remains::Old(*old),
        };
        if !matches!(remains, Remains::Old(_)) {
            self.0.insert(session, new);
        }
        remains
    }

    /// A connection is over. Returns the client, if it was one, and its other connection.
    pub fn closed(&mut self, session: SessionId) -> Option<(SourceId, Option<SessionId>)> {
        let gone = self.0.remove(&session)?;
        let other = self.0.iter().find(|(_, other)| other.is_of_client(&gone));
        Some((SourceId::Client(gone.at), other.map(|(other, _)| *other)))
    }
}

impl GreetedClient {
    fn is_of_client(&self, other: &Self) -> bool {
        self.client == other.client && self.torrent == other.torrent
    }
}
