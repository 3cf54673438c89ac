//! The datagrams of clients and trackers (BEP 15). Options behind an announce (BEP 41) are
//! ignored.
//!
//! A client first asks for a connection id, which proves that it gets what is sent to its address.
//! How the tracker makes and checks such ids is not decided here.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::compact::{self, addresses_v4, addresses_v6, runs_of};
use super::{Announce, AnnounceEvent, MOST_PEERS, MOST_SCRAPED, SwarmCounts};
use crate::{ClientId, InfoHash};

/// What a client that has no connection id yet sends in its place.
pub const PROTOCOL_ID: u64 = 0x0417_2710_1980;
/// The length of a connect request in bytes, and of the answer to it.
pub const CONNECT: usize = 16;
/// The least length of an announce, in bytes.
pub const ANNOUNCE: usize = 98;
/// The length in bytes of what precedes the peers in the answer to an announce.
pub const ANNOUNCED_HEAD: usize = 20;
/// The maximum length of an error's text, in bytes.
const LONGEST_TEXT: usize = 255;

mod action {
    pub const CONNECT: u32 = 0;
    pub const ANNOUNCE: u32 = 1;
    pub const SCRAPE: u32 = 2;
    pub const ERROR: u32 = 3;
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpRequest {
    /// Asks for a connection id.
    Connect {
        /// The client's number of this request, which the answer repeats.
        transaction: u32,
    },
    /// Announces the client.
    Announce {
        /// The connection id.
        connection: u64,
        /// The client's number of this request, which the answer repeats.
        transaction: u32,
        /// What it says.
        announce: Announce,
    },
    /// Asks how many clients have these torrents.
    Scrape {
        /// The connection id.
        connection: u64,
        /// The client's number of this request, which the answer repeats.
        transaction: u32,
        /// The torrents, at most [`MOST_SCRAPED`]: if there were more, the first ones.
        torrents: Vec<InfoHash>,
    },
}

impl UdpRequest {
    /// Reads a datagram of a client.
    pub fn decode(datagram: &[u8]) -> Result<Self, UdpRequestError> {
        let mut body = Fields(datagram);
        let head = (body.long(), body.number(), body.number());
        let (Some(connection), Some(action), Some(transaction)) = head else {
            return Err(UdpRequestError::Foreign);
        };
        let wrong = |why| UdpRequestError::Wrong {
            connection,
            transaction,
            why,
        };
        match action {
            action::CONNECT if connection == PROTOCOL_ID => Ok(Self::Connect { transaction }),
            action::CONNECT => Err(UdpRequestError::Foreign),
            action::ANNOUNCE => {
                let announce = body.announce().ok_or(wrong("an announce has 98 bytes"))?;
                if announce.port == 0 {
                    return Err(wrong("nobody can be reached on port 0"));
                }
                Ok(Self::Announce {
                    connection,
                    transaction,
                    announce,
                })
            }
            action::SCRAPE => {
                let (torrents, _) = body.0.as_chunks();
                let torrents = torrents.iter().take(MOST_SCRAPED);
                let torrents: Vec<_> = torrents.map(|bytes| InfoHash::new(*bytes)).collect();
                if torrents.is_empty() {
                    return Err(wrong("a scrape names a torrent"));
                }
                Ok(Self::Scrape {
                    connection,
                    transaction,
                    torrents,
                })
            }
            _ => Err(wrong("an action that is not known here")),
        }
    }

    /// Encodes the datagram.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Connect { transaction } => head(PROTOCOL_ID, action::CONNECT, *transaction),
            Self::Announce {
                connection,
                transaction,
                announce,
            } => {
                let mut out = head(*connection, action::ANNOUNCE, *transaction);
                encode_announce(announce, &mut out);
                out
            }
            Self::Scrape {
                connection,
                transaction,
                torrents,
            } => {
                let mut out = head(*connection, action::SCRAPE, *transaction);
                for torrent in torrents {
                    out.extend_from_slice(torrent.as_bytes());
                }
                out
            }
        }
    }
}

/// Why a datagram is no request; each variant says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UdpRequestError {
    /// It does not begin like a request. Answer nothing.
    #[error("a datagram that is no request of a tracker's client")]
    Foreign,
    /// It begins like a request. Answer [`UdpAnswer::Error`] if the connection id is right, and
    /// nothing otherwise.
    #[error("{why}")]
    Wrong {
        /// The connection id.
        connection: u64,
        /// The client's number of this request.
        transaction: u32,
        /// What is wrong, for the client's user.
        why: &'static str,
    },
}

/// Whether the peers in the answer to an announce have IPv4 or IPv6 addresses: those of the
/// family in which client and tracker talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stride {
    /// 6 bytes each.
    V4,
    /// 18 bytes each.
    V6,
}

impl Stride {
    /// Returns the stride of answers to this address. An IPv4 address that is mapped into IPv6 is
    /// an IPv4 address.
    pub fn of(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Returns the length of a peer's address, in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::V4 => compact::V4,
            Self::V6 => compact::V6,
        }
    }
}

/// What a tracker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpAnswer {
    /// The connection id that was asked for.
    Connected {
        /// The number of the request.
        transaction: u32,
        /// The connection id.
        connection: u64,
    },
    /// The answer to an announce.
    Announced {
        /// The number of the request.
        transaction: u32,
        /// Seconds until the client should announce itself again.
        interval: u32,
        /// Clients that have not all of the torrent.
        leechers: u32,
        /// Clients that have all of the torrent.
        seeders: u32,
        /// Other clients, at most [`MOST_PEERS`] when read. All are of the same family.
        peers: Vec<SocketAddr>,
    },
    /// The answer to a scrape.
    Scraped {
        /// The number of the request.
        transaction: u32,
        /// The counts of each torrent, in the order of the request.
        counts: Vec<SwarmCounts>,
    },
    /// A refusal.
    Error {
        /// The number of the request.
        transaction: u32,
        /// Why, for the client's user. It must be escaped before it is shown.
        text: String,
    },
}

/// Encodes what precedes the packed peers in the answer to an announce: a tracker puts them behind
/// it in a buffer of its own.
pub fn announced_head(
    transaction: u32,
    interval: u32,
    leechers: u32,
    seeders: u32,
) -> [u8; ANNOUNCED_HEAD] {
    let mut bytes = [0; ANNOUNCED_HEAD];
    let numbers = [action::ANNOUNCE, transaction, interval, leechers, seeders];
    for (place, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
        *place = number.to_be_bytes();
    }
    bytes
}

impl UdpAnswer {
    /// Encodes the datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Connected {
                transaction,
                connection,
            } => {
                numbers(&mut out, &[action::CONNECT, *transaction]);
                out.extend_from_slice(&connection.to_be_bytes());
            }
            Self::Announced {
                transaction,
                interval,
                leechers,
                seeders,
                peers,
            } => {
                let head = announced_head(*transaction, *interval, *leechers, *seeders);
                out.extend_from_slice(&head);
                let (v4, v6) = runs_of(peers);
                out.extend(v4);
                out.extend(v6);
            }
            Self::Scraped {
                transaction,
                counts,
            } => {
                numbers(&mut out, &[action::SCRAPE, *transaction]);
                for counts in counts {
                    let counts = [counts.seeders, counts.downloaded, counts.leechers];
                    numbers(&mut out, &counts);
                }
            }
            Self::Error { transaction, text } => {
                numbers(&mut out, &[action::ERROR, *transaction]);
                let end = text.floor_char_boundary(LONGEST_TEXT);
                out.extend_from_slice(&text.as_bytes()[..end]);
            }
        }
        out
    }

    /// Reads a datagram of a tracker with which the client talks in the family of `stride`.
    pub fn decode(datagram: &[u8], stride: Stride) -> Result<Self, UdpAnswerError> {
        let mut body = Fields(datagram);
        let action = body.number().ok_or(UdpAnswerError)?;
        let transaction = body.number().ok_or(UdpAnswerError)?;
        match action {
            action::CONNECT => Ok(Self::Connected {
                transaction,
                connection: body.long().ok_or(UdpAnswerError)?,
            }),
            action::ANNOUNCE => Ok(Self::Announced {
                transaction,
                interval: body.number().ok_or(UdpAnswerError)?,
                leechers: body.number().ok_or(UdpAnswerError)?,
                seeders: body.number().ok_or(UdpAnswerError)?,
                peers: match stride {
                    Stride::V4 => addresses_v4(body.0).take(MOST_PEERS).collect(),
                    Stride::V6 => addresses_v6(body.0).take(MOST_PEERS).collect(),
                },
            }),
            action::SCRAPE => {
                let mut counts = Vec::new();
                while counts.len() < MOST_SCRAPED
                    && let Some(of_one) = body.counts()
                {
                    counts.push(of_one);
                }
                Ok(Self::Scraped {
                    transaction,
                    counts,
                })
            }
            action::ERROR => {
                let text = &body.0[..body.0.len().min(LONGEST_TEXT)];
                let text = String::from_utf8_lossy(text).into_owned();
                Ok(Self::Error { transaction, text })
            }
            _ => Err(UdpAnswerError),
        }
    }

    /// Returns the number of the request that is answered.
    pub fn transaction(&self) -> u32 {
        match self {
            Self::Connected { transaction, .. }
            | Self::Announced { transaction, .. }
            | Self::Scraped { transaction, .. }
            | Self::Error { transaction, .. } => *transaction,
        }
    }
}

/// The datagram is no answer of a tracker. Ignore it, and go on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a datagram that is no answer of a tracker")]
pub struct UdpAnswerError;

fn head(connection: u64, action: u32, transaction: u32) -> Vec<u8> {
    let mut out = connection.to_be_bytes().to_vec();
    numbers(&mut out, &[action, transaction]);
    out
}

fn numbers(out: &mut Vec<u8>, numbers: &[u32]) {
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn encode_announce(announce: &Announce, out: &mut Vec<u8>) {
    out.extend_from_slice(announce.torrent.as_bytes());
    out.extend_from_slice(announce.client.as_bytes());
    for amount in [announce.downloaded, announce.left, announce.uploaded] {
        out.extend_from_slice(&amount.to_be_bytes());
    }
    let event = match announce.event {
        AnnounceEvent::None => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
    };
    let no_address = 0;
    let wanted = announce.wanted.unwrap_or(ANY_NUMBER);
    numbers(out, &[event, no_address, announce.key, wanted]);
    out.extend_from_slice(&announce.port.to_be_bytes());
}

/// The number of peers that a client wants if it leaves that to the tracker: -1.
const ANY_NUMBER: u32 = u32::MAX;

/// Returns an amount, or `None` if the client says that it is negative.
fn amount(number: u64) -> Option<u64> {
    (number <= Announce::NOT_KNOWN).then_some(number)
}

/// What has not been read yet of a datagram.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn counts(&mut self) -> Option<SwarmCounts> {
        Some(SwarmCounts {
            seeders: self.number()?,
            downloaded: self.number()?,
            leechers: self.number()?,
        })
    }

    fn announce(&mut self) -> Option<Announce> {
        let torrent = InfoHash::new(self.array()?);
        let client = ClientId::new(self.array()?);
        let (downloaded, left, uploaded) = (self.long()?, self.long()?, self.long()?);
        let event = match self.number()? {
            1 => AnnounceEvent::Completed,
            2 => AnnounceEvent::Started,
            3 => AnnounceEvent::Stopped,
            _ => AnnounceEvent::None,
        };
        let _address_is_ignored = self.number()?;
        let (key, wanted) = (self.number()?, self.number()?);
        Some(Announce {
            torrent,
            client,
            port: self.array().map(u16::from_be_bytes)?,
            uploaded: amount(uploaded).unwrap_or(0),
            downloaded: amount(downloaded).unwrap_or(0),
            left: amount(left).unwrap_or(Announce::NOT_KNOWN),
            event,
            wanted: (wanted.cast_signed() >= 0).then_some(wanted),
            key,
        })
    }
}
