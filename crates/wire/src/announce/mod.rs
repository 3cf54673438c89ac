//! What clients and trackers of BitTorrent say to one another (BEP 3, 7, 15, 23, 24, 41, 48).
//!
//! ```text
//! query    an announce or a scrape in the query of a URL, read and written
//! answer   what a tracker answers over HTTP: bencode
//! udp      the datagrams of BEP 15, both ways
//! compact  an address in 6 or 18 bytes
//! url      the URL of a tracker
//! http     the heads of requests and answers
//! ```
//!
//! Over HTTP and UDP a client says the same [`Announce`]. Connections and the URL's host
//! belong to the node; which peers a client is told, `thorp-core` decides.

pub mod answer;
pub mod compact;
pub mod http;
pub mod query;
pub mod udp;
pub mod url;

pub use answer::{AnnounceReply, Announced, AnswerError};
pub use compact::Compact;
pub use query::QueryError;
pub use udp::{Stride, UdpAnswer, UdpAnswerError, UdpRequest, UdpRequestError};
pub use url::{TrackerUrl, TrackerUrlError};

use crate::{ClientId, InfoHash};

/// The maximum number of torrents in one scrape: as many as BEP 15 has room for in a datagram.
pub const MOST_SCRAPED: usize = 74;
/// The maximum number of peers that are read of an answer; those beyond it are ignored.
pub const MOST_PEERS: usize = 1000;

/// What a client tells a tracker about one torrent.
///
/// The address that a client may give (`ip`, `ipv4`, `ipv6`) is ignored: else a client could send
/// others to any machine. `trackerid`, `compact` and unknown keys are ignored too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub torrent: InfoHash,
    /// The client.
    pub client: ClientId,
    /// The TCP port on which the client listens, never 0.
    pub port: u16,
    /// The number of bytes that the client has sent to others since it started.
    pub uploaded: u64,
    /// The number of bytes that the client has received since it started.
    pub downloaded: u64,
    /// The number of bytes that the client lacks; [`NOT_KNOWN`](Self::NOT_KNOWN) if it does not
    /// know.
    pub left: u64,
    /// What has happened.
    pub event: AnnounceEvent,
    /// How many peers the client wants to be told; `None` leaves that to the tracker.
    pub wanted: Option<u32>,
    /// A number that proves to the tracker that a client which comes from another address is still
    /// the same. 0 if the client has not given one.
    pub key: u32,
}

impl Announce {
    /// What is left for a client that does not know the torrent's length yet. As large as amounts
    /// can be: trackers of others read signed numbers.
    pub const NOT_KNOWN: u64 = i64::MAX.unsigned_abs();

    /// Whether the client has all of the torrent.
    pub fn is_of_seeder(&self) -> bool {
        self.left == 0
    }

    /// Whether the client has a use for seeders: also one with nothing left that begins, or that
    /// has sent and received nothing yet. aria2 and rqbit say that nothing is left while a magnet
    /// link is all that they have, and rqbit does not say that it begins.
    pub fn wants_seeders(&self) -> bool {
        let is_idle = self.uploaded == 0 && self.downloaded == 0;
        match self.event {
            AnnounceEvent::Started => true,
            AnnounceEvent::None => !self.is_of_seeder() || is_idle,
            AnnounceEvent::Completed | AnnounceEvent::Stopped => !self.is_of_seeder(),
        }
    }
}

/// Why a client announces itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// The interval is over.
    #[default]
    None,
    /// The client has just got the last piece.
    Completed,
    /// The client begins.
    Started,
    /// The client ends.
    Stopped,
}

/// How many clients have a torrent, as a scrape tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmCounts {
    /// Clients that have all of it.
    pub seeders: u32,
    /// How many times a client has said that it got the last piece.
    pub downloaded: u32,
    /// Clients that have not all of it.
    pub leechers: u32,
}
