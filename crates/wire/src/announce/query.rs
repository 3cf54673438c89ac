//! An announce or a scrape in the query of a URL: what stands between `?` and the end.
//!
//! Its values are bytes, not text: an info-hash is seldom UTF-8.

use std::fmt::Write as _;

use thiserror::Error;

use super::{Announce, AnnounceEvent, MOST_SCRAPED};
use crate::{ClientId, InfoHash, percent};

/// The maximum length of a query in bytes: enough for a scrape of 74 torrents whose info-hashes
/// are all escaped.
pub const LONGEST_QUERY: usize = 8 * 1024;

/// Reads the query of an announce.
pub fn read_announce(query: &[u8]) -> Result<Announce, QueryError> {
    let (mut torrent, mut client, mut port) = (None, None, None);
    let (mut uploaded, mut downloaded, mut left) = (0, 0, Announce::NOT_KNOWN);
    let (mut event, mut wanted, mut key) = (AnnounceEvent::None, None, 0);
    for pair in pairs(query)? {
        let (name, value) = pair?;
        match &name[..] {
            b"info_hash" if torrent.is_some() => return Err(QueryError::Repeated("info_hash")),
            b"info_hash" => torrent = Some(twenty(&value, "info_hash")?),
            b"peer_id" => client = Some(twenty(&value, "peer_id")?),
            b"port" => {
                let number = number(&value).and_then(|port| u16::try_from(port).ok());
                let number = number.filter(|port| *port != 0);
                port = Some(number.ok_or(QueryError::Impossible("port"))?);
            }
            b"uploaded" => uploaded = amount(&value, "uploaded")?.unwrap_or(0),
            b"downloaded" => downloaded = amount(&value, "downloaded")?.unwrap_or(0),
            b"left" => left = amount(&value, "left")?.unwrap_or(Announce::NOT_KNOWN),
            b"numwant" => {
                let number = amount(&value, "numwant")?;
                wanted = number.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
            }
            b"event" => {
                event = match &value[..] {
                    b"started" => AnnounceEvent::Started,
                    b"stopped" => AnnounceEvent::Stopped,
                    b"completed" => AnnounceEvent::Completed,
                    // Some clients send `empty`, an empty value, or events of their own.
                    _ => AnnounceEvent::None,
                };
            }
            // Any text may be a key, but clients write 32 bits as hexadecimal digits.
            b"key" => {
                let digits = std::str::from_utf8(&value).ok();
                key = digits
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                    .unwrap_or(0);
            }
            _ => {}
        }
    }
    Ok(Announce {
        torrent: InfoHash::new(torrent.ok_or(QueryError::Missing("info_hash"))?),
        client: ClientId::new(client.ok_or(QueryError::Missing("peer_id"))?),
        port: port.ok_or(QueryError::Missing("port"))?,
        uploaded,
        downloaded,
        left,
        event,
        wanted,
        key,
    })
}

/// Reads the query of a scrape: one torrent or more, at most [`MOST_SCRAPED`]. A scrape of all
/// torrents is refused: its answer has no bound.
pub fn read_scrape(query: &[u8]) -> Result<Vec<InfoHash>, QueryError> {
    let mut torrents = Vec::new();
    for pair in pairs(query)? {
        let (name, value) = pair?;
        if name == b"info_hash" {
            if torrents.len() == MOST_SCRAPED {
                return Err(QueryError::TooManyTorrents);
            }
            torrents.push(InfoHash::new(twenty(&value, "info_hash")?));
        }
    }
    match torrents[..] {
        [] => Err(QueryError::Missing("info_hash")),
        _ => Ok(torrents),
    }
}

/// Writes the query of an announce. `tracker_id` is what an earlier answer of this tracker said.
pub fn write_announce(announce: &Announce, tracker_id: Option<&[u8]>) -> String {
    let mut query = String::from("info_hash=");
    percent::encode(announce.torrent.as_bytes(), &mut query);
    query.push_str("&peer_id=");
    percent::encode(announce.client.as_bytes(), &mut query);
    let _ = write!(
        query,
        "&port={}&uploaded={}&downloaded={}&left={}&compact=1&no_peer_id=1&key={:08X}",
        announce.port, announce.uploaded, announce.downloaded, announce.left, announce.key,
    );
    match announce.event {
        AnnounceEvent::None => {}
        AnnounceEvent::Completed => query.push_str("&event=completed"),
        AnnounceEvent::Started => query.push_str("&event=started"),
        AnnounceEvent::Stopped => query.push_str("&event=stopped"),
    }
    if let Some(wanted) = announce.wanted {
        let _ = write!(query, "&numwant={wanted}");
    }
    if let Some(id) = tracker_id {
        query.push_str("&trackerid=");
        percent::encode(id, &mut query);
    }
    query
}

/// Writes the query of a scrape.
pub fn write_scrape(torrents: &[InfoHash]) -> String {
    let mut query = String::new();
    for torrent in torrents {
        query.push_str(if query.is_empty() { "" } else { "&" });
        query.push_str("info_hash=");
        percent::encode(torrent.as_bytes(), &mut query);
    }
    query
}

/// What is wrong with a query. Answer it as a failure reason; the connection can stay open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// It has more than [`LONGEST_QUERY`] bytes.
    #[error("a query has at most {LONGEST_QUERY} bytes")]
    TooLong,
    /// A `%` is not followed by two hexadecimal digits.
    #[error("a % in the query is not followed by two hexadecimal digits")]
    Escape,
    /// A key is missing.
    #[error("the query has no `{0}`")]
    Missing(&'static str),
    /// A key is there twice.
    #[error("the query has `{0}` twice")]
    Repeated(&'static str),
    /// The value of a key is impossible.
    #[error("the query has no possible value under `{0}`")]
    Impossible(&'static str),
    /// It asks for more than [`MOST_SCRAPED`] torrents.
    #[error("at most {MOST_SCRAPED} torrents can be scraped at once")]
    TooManyTorrents,
}

type Pair = (Vec<u8>, Vec<u8>);

fn pairs(query: &[u8]) -> Result<impl Iterator<Item = Result<Pair, QueryError>>, QueryError> {
    if query.len() > LONGEST_QUERY {
        return Err(QueryError::TooLong);
    }
    let pairs = query.split(|byte| *byte == b'&');
    Ok(pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = match at {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        let pair = percent::decode(name).zip(percent::decode(value));
        pair.ok_or(QueryError::Escape)
    }))
}

fn twenty(value: &[u8], name: &'static str) -> Result<[u8; 20], QueryError> {
    value.try_into().map_err(|_| QueryError::Impossible(name))
}

/// Reads an amount. `None` if it is negative: some clients say -1 for what they do not know.
fn amount(value: &[u8], name: &'static str) -> Result<Option<u64>, QueryError> {
    let amount = match value {
        [b'-', digits @ ..] => number(digits).map(|_| None),
        digits => number(digits).map(Some),
    };
    let amount = amount.map(|amount| amount.map(|amount| amount.min(Announce::NOT_KNOWN)));
    amount.ok_or(QueryError::Impossible(name))
}

fn number(digits: &[u8]) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(digits).ok()?;
    are_digits.then(|| digits.parse().ok())?
}
