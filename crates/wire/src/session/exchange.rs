//! The extended message by which clients tell one another of further clients (BEP 11, `ut_pex`).
//!
//! Nothing in it is known to be true. How often it is sent, and which of the addresses are dialled,
//! is not decided here; in private torrents (BEP 27) it is neither sent nor heard.

use std::net::SocketAddr;

use thiserror::Error;

use crate::announce::Compact;
use crate::announce::compact::{addresses_v4, addresses_v6, runs_of};
use crate::bencode::{Dictionary, NotBencode, Value};

/// The maximum number of clients that a message adds, and of those that it drops (BEP 11).
pub const MOST_EXCHANGED: usize = 50;

/// Which clients the sender is connected to since its last message, and which no longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerExchange {
    /// New ones, at most [`MOST_EXCHANGED`].
    pub added: Vec<ExchangedPeer>,
    /// Those that it is no longer connected to, at most [`MOST_EXCHANGED`].
    pub dropped: Vec<SocketAddr>,
}

/// A client of which another one tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangedPeer {
    /// Where it listens.
    pub address: SocketAddr,
    /// What is said of it: a sum of [`Self::SEEDER`] and bits that are not used here.
    pub flags: u8,
}

impl ExchangedPeer {
    /// The client has all of the torrent and takes nothing.
    pub const SEEDER: u8 = 0x02;
}

impl PeerExchange {
    /// The name of this message in the extension handshake.
    pub const NAME: &str = "ut_pex";
    /// The number that this program gives this message, when others send it.
    pub const NUMBER: u8 = 2;

    /// Encodes the payload of the extended message. Clients beyond [`MOST_EXCHANGED`] are left
    /// out.
    pub fn encode(&self) -> Vec<u8> {
        let added = self.added.iter().take(MOST_EXCHANGED);
        let (v4, v6): (Vec<_>, Vec<_>) =
            added.partition(|peer| matches!(Compact::of(peer.address), Compact::V4(_)));
        let flags =
            |peers: &[&ExchangedPeer]| -> Vec<u8> { peers.iter().map(|peer| peer.flags).collect() };
        let run = |peers: &[&ExchangedPeer]| -> Vec<u8> {
            let packed = peers.iter().map(|peer| Compact::of(peer.address));
            packed
                .flat_map(|packed| packed.as_bytes().to_vec())
                .collect()
        };
        let dropped = self.dropped.len().min(MOST_EXCHANGED);
        let (dropped, dropped6) = runs_of(&self.dropped[..dropped]);
        Dictionary::default()
            .string("added", &run(&v4))
            .string("added.f", &flags(&v4))
            .string("added6", &run(&v6))
            .string("added6.f", &flags(&v6))
            .string("dropped", &dropped)
            .string("dropped6", &dropped6)
            .encode()
    }

    /// Decodes the payload of the extended message. Clients beyond [`MOST_EXCHANGED`] are
    /// ignored.
    pub fn decode(payload: &[u8]) -> Result<Self, ExchangeError> {
        let said = Value::parse_in_any_order(payload)?;
        if !said.is_dictionary() {
            return Err(ExchangeError::NotADictionary);
        }
        let string = |key: &str| said.get(key).and_then(Value::string).unwrap_or_default();
        let v4 = addresses_v4(string("added")).zip(flags(string("added.f")));
        let v6 = addresses_v6(string("added6")).zip(flags(string("added6.f")));
        let added = v4.chain(v6);
        let dropped = addresses_v4(string("dropped")).chain(addresses_v6(string("dropped6")));
        Ok(Self {
            added: added
                .map(|(address, flags)| ExchangedPeer { address, flags })
                .take(MOST_EXCHANGED)
                .collect(),
            dropped: dropped.take(MOST_EXCHANGED).collect(),
        })
    }
}

/// Returns the flags of each client; missing ones are 0.
fn flags(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().copied().chain(std::iter::repeat(0))
}

/// Why a payload tells of no clients. Close the session with this reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExchangeError {
    /// It is not bencode.
    #[error("a message about other clients is {0}")]
    Malformed(#[from] NotBencode),
    /// It is bencode, but not a dictionary.
    #[error("a message about other clients is no dictionary")]
    NotADictionary,
}
