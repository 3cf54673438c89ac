//! What a tracker answers over HTTP: a bencoded dictionary (BEP 3, 7, 23, 24, 48).
//!
//! Answers are written in the compact form only, as BEP 23 allows; both forms are read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::compact::{addresses_v4, addresses_v6};
use super::{MOST_PEERS, MOST_SCRAPED, SwarmCounts};
use crate::bencode::{Dictionary, NotBencode, Value};
use crate::{InfoHash, Remark};

/// The maximum length of an answer that is read, in bytes.
pub const LONGEST_ANSWER: usize = 256 * 1024;
/// The maximum length in bytes of a text or a tracker id that is kept of an answer.
const LONGEST_TEXT: usize = 255;

/// The answer to an announce, to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnnounceReply<'a> {
    /// Seconds until the client should announce itself again.
    pub interval: u32,
    /// Seconds until the client may announce itself again.
    pub min_interval: u32,
    /// How many clients have the torrent.
    pub counts: SwarmCounts,
    /// Peers with IPv4 addresses, packed.
    pub peers: &'a [u8],
    /// Peers with IPv6 addresses, packed.
    pub peers6: &'a [u8],
    /// The address from which the client announced itself (BEP 24).
    pub external_ip: Option<IpAddr>,
}

impl AnnounceReply<'_> {
    /// Appends the encoded answer. The keys are in order.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut number = |key: &str, number: u32| {
            out.extend_from_slice(format!("{key}i{number}e").as_bytes());
        };
        number("d8:complete", self.counts.seeders);
        number("10:downloaded", self.counts.downloaded);
        let ip = self.external_ip.map(|ip| ip.to_canonical());
        match ip {
            Some(IpAddr::V4(ip)) => {
                out.extend_from_slice(b"11:external ip4:");
                out.extend_from_slice(&ip.octets());
            }
            Some(IpAddr::V6(ip)) => {
                out.extend_from_slice(b"11:external ip16:");
                out.extend_from_slice(&ip.octets());
            }
            None => {}
        }
        let mut number = |key: &str, number: u32| {
            out.extend_from_slice(format!("{key}i{number}e").as_bytes());
        };
        number("10:incomplete", self.counts.leechers);
        number("8:interval", self.interval);
        number("12:min interval", self.min_interval);
        // `peers` is always there: some clients take an answer without it for a failure.
        let mut run = |key: &str, run: &[u8]| {
            out.extend_from_slice(format!("{key}{}:", run.len()).as_bytes());
            out.extend_from_slice(run);
        };
        run("5:peers", self.peers);
        if !self.peers6.is_empty() {
            run("6:peers6", self.peers6);
        }
        out.push(b'e');
    }
}

/// Encodes the answer to a scrape.
pub fn encode_scrape(torrents: &[(InfoHash, SwarmCounts)]) -> Vec<u8> {
    let mut files = Dictionary::default();
    for (torrent, counts) in torrents {
        let counts = Dictionary::default()
            .integer("complete", counts.seeders)
            .integer("downloaded", counts.downloaded)
            .integer("incomplete", counts.leechers);
        files = files.dictionary(torrent.as_bytes().to_vec(), &counts);
    }
    Dictionary::default().dictionary("files", &files).encode()
}

/// Encodes a refusal. The reason is shown to the client's user.
pub fn encode_failure(reason: &str) -> Vec<u8> {
    let reason = reason.as_bytes();
    Dictionary::default()
        .string("failure reason", reason)
        .encode()
}

/// A tracker's answer to an announce, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Seconds until the client should announce itself again. `None` if the tracker has not said.
    pub interval: Option<u32>,
    /// Seconds until the client may announce itself again.
    pub min_interval: Option<u32>,
    /// Clients that have all of the torrent.
    pub seeders: Option<u32>,
    /// Clients that have not all of the torrent.
    pub leechers: Option<u32>,
    /// Other clients, at most [`MOST_PEERS`]. Nothing is known about these addresses.
    pub peers: Vec<SocketAddr>,
    /// The own address, as the tracker sees it.
    pub external_ip: Option<IpAddr>,
    /// What the tracker wants to be told in the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// What the tracker wants its user to know. It must be escaped before it is shown.
    pub warning: Option<String>,
}

impl Announced {
    /// Reads an answer. Its peers may be packed, or be a list of dictionaries (BEP 3). What follows
    /// its dictionary is ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, AnswerError> {
        let answer = dictionary(bytes)?;
        let peers = answer.get("peers");
        let packed = peers.and_then(Value::string).unwrap_or_default();
        let listed = peers.into_iter().flat_map(Value::list).filter_map(listed);
        let packed6 = answer.get("peers6").and_then(Value::string);
        let packed6 = packed6.unwrap_or_default();
        Ok(Self {
            interval: number(answer, "interval"),
            min_interval: number(answer, "min interval"),
            seeders: number(answer, "complete"),
            leechers: number(answer, "incomplete"),
            peers: addresses_v4(packed)
                .chain(listed)
                .chain(addresses_v6(packed6))
                .take(MOST_PEERS)
                .collect(),
            external_ip: answer
                .get("external ip")
                .and_then(Value::string)
                .and_then(ip),
            tracker_id: answer
                .get("tracker id")
                .and_then(Value::string)
                .filter(|id| id.len() <= LONGEST_TEXT)
                .map(<[u8]>::to_vec),
            warning: text(answer, "warning message"),
        })
    }
}

/// Reads the answer to a scrape. Torrents beyond [`MOST_SCRAPED`] are ignored.
pub fn decode_scrape(bytes: &[u8]) -> Result<Vec<(InfoHash, SwarmCounts)>, AnswerError> {
    let answer = dictionary(bytes)?;
    let files = answer.get("files").ok_or(AnswerError::NoAnswer("files"))?;
    let files = files.dictionary().filter_map(|(torrent, counts)| {
        let count = |key| number(counts, key).unwrap_or(0);
        let counts = SwarmCounts {
            seeders: count("complete"),
            downloaded: count("downloaded"),
            leechers: count("incomplete"),
        };
        Some((InfoHash::new(torrent.try_into().ok()?), counts))
    });
    Ok(files.take(MOST_SCRAPED).collect())
}

/// Why an answer of a tracker is none. Ask another tracker, and this one later.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The tracker refuses, with this reason.
    #[error("the tracker refuses: {0}")]
    Refused(Remark),
    /// The answer has more than [`LONGEST_ANSWER`] bytes.
    #[error("the tracker's answer has {0} bytes, at most {LONGEST_ANSWER} are read")]
    TooLong(usize),
    /// The answer does not begin with bencode.
    #[error("the tracker's answer is {0}")]
    Malformed(#[from] NotBencode),
    /// The answer is bencode, but lacks what was asked for.
    #[error("the tracker's answer has no `{0}`")]
    NoAnswer(&'static str),
}

fn dictionary(bytes: &[u8]) -> Result<Value<'_>, AnswerError> {
    if bytes.len() > LONGEST_ANSWER {
        return Err(AnswerError::TooLong(bytes.len()));
    }
    // Trackers written in PHP often end an answer with a line's end.
    let (answer, _) = Value::first_of(bytes)?;
    if !answer.is_dictionary() {
        return Err(AnswerError::NoAnswer("dictionary"));
    }
    match text(answer, "failure reason") {
        Some(reason) => Err(AnswerError::Refused(reason.into())),
        None => Ok(answer),
    }
}

fn number(dictionary: Value<'_>, key: &str) -> Option<u32> {
    let number = dictionary.get(key)?.integer()?;
    u32::try_from(number).ok()
}

/// Returns the text under a key, truncated and with invalid UTF-8 replaced.
fn text(dictionary: Value<'_>, key: &str) -> Option<String> {
    let bytes = dictionary.get(key)?.string()?;
    let bytes = &bytes[..bytes.len().min(LONGEST_TEXT)];
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// Reads a peer of the form that is not compact. `None` if its address is a name: that would have
/// to be looked up.
fn listed(peer: Value<'_>) -> Option<SocketAddr> {
    let ip = std::str::from_utf8(peer.get("ip")?.string()?).ok()?;
    let ip: IpAddr = ip.parse().ok()?;
    let port = u16::try_from(peer.get("port")?.integer()?).ok()?;
    Some(SocketAddr::new(ip.to_canonical(), port))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|ip| Ipv4Addr::from(ip).into()),
        16 => <[u8; 16]>::try_from(bytes)
            .ok()
            .map(|ip| IpAddr::from(Ipv6Addr::from(ip)).to_canonical()),
        _ => None,
    }
}
