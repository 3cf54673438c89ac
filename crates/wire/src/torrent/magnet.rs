//! Magnet links (BEP 9, 53): `magnet:?xt=urn:btih:...`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use data_encoding::{BASE32, HEXLOWER_PERMISSIVE};
use thiserror::Error;

use super::MOST_TRACKERS;
use crate::announce::TrackerUrl;
use crate::percent;
use crate::{InfoHash, InfoHashV2};

/// A magnet link. At least one of the info-hashes is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Magnet {
    /// The info-hash of v1 (`xt=urn:btih:`).
    pub v1: Option<InfoHash>,
    /// The info-hash of v2 (`xt=urn:btmh:`).
    pub v2: Option<InfoHashV2>,
    /// How the torrent is called, for a user (`dn`). It must be escaped before it is shown.
    pub name: Option<String>,
    /// The URLs of trackers (`tr`), at most [`MOST_TRACKERS`]. They may be such as
    /// [`TrackerUrl`] refuses.
    pub trackers: Vec<String>,
    /// Clients that have the torrent (`x.pe`), at most [`MOST_PEERS`](Self::MOST_PEERS). Those
    /// that are given by name are left out: a name would have to be looked up.
    pub peers: Vec<SocketAddr>,
}

impl Magnet {
    /// The maximum length of a link, in bytes.
    pub const MAX: usize = 16 * 1024;
    /// The maximum number of clients that are read of a link.
    pub const MOST_PEERS: usize = 50;
    /// How a link begins, in any case.
    pub const SCHEME: &str = "magnet:?";
    /// The maximum length of a torrent's name, in bytes.
    const LONGEST_NAME: usize = 255;

    /// Whether a text is meant to be a magnet link.
    pub fn is_meant_by(text: &str) -> bool {
        text.get(..7)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("magnet:"))
    }
}

impl FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(link: &str) -> Result<Self, MagnetError> {
        if link.len() > Self::MAX {
            return Err(MagnetError::TooLong);
        }
        if !Self::is_meant_by(link) {
            return Err(MagnetError::NoMagnet);
        }
        let query = link[7..].strip_prefix('?').ok_or(MagnetError::NoMagnet)?;
        let mut magnet = Self::default();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent::decode_leniently(value.as_bytes());
            // Names in other encodings are shown as well as they can be.
            let value = String::from_utf8_lossy(&value).into_owned();
            // Several values may be numbered: `xt.1`.
            let key = match key.split_once('.') {
                Some((key, number)) if number.bytes().all(|b| b.is_ascii_digit()) => key,
                _ => key,
            };
            match key {
                "xt" => magnet.add_topic(&value)?,
                "dn" => {
                    let end = value.floor_char_boundary(Self::LONGEST_NAME);
                    magnet.name = Some(value[..end].to_owned());
                }
                "tr" if value.len() <= TrackerUrl::MAX && magnet.trackers.len() < MOST_TRACKERS => {
                    magnet.trackers.push(value);
                }
                "x.pe" if magnet.peers.len() < Self::MOST_PEERS => {
                    magnet.peers.extend(value.parse::<SocketAddr>());
                }
                _ => {}
            }
        }
        if magnet.v1.is_none() && magnet.v2.is_none() {
            return Err(MagnetError::NoTopic);
        }
        Ok(magnet)
    }
}

impl Magnet {
    fn add_topic(&mut self, topic: &str) -> Result<(), MagnetError> {
        if let Some(hash) = topic.strip_prefix("urn:btih:") {
            let bytes = match hash.len() {
                40 => HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).ok(),
                32 => BASE32.decode(hash.to_ascii_uppercase().as_bytes()).ok(),
                _ => None,
            };
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            self.v1 = Some(InfoHash::new(bytes.ok_or(MagnetError::InfoHash)?));
        } else if let Some(hash) = topic.strip_prefix("urn:btmh:") {
            // A multihash: 12 is SHA-256, 20 its length of 32 bytes.
            let hash = hash.strip_prefix("1220").ok_or(MagnetError::InfoHash)?;
            let bytes = HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).ok();
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            self.v2 = Some(InfoHashV2::new(bytes.ok_or(MagnetError::InfoHash)?));
        }
        Ok(())
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut link = String::from("magnet:");
        let mut add = |key: &str, value: &str| {
            link.push(if link.ends_with(':') { '?' } else { '&' });
            link.push_str(key);
            link.push('=');
            link.push_str(value);
        };
        if let Some(v1) = &self.v1 {
            add("xt", &format!("urn:btih:{v1}"));
        }
        if let Some(v2) = &self.v2 {
            add("xt", &format!("urn:btmh:1220{v2}"));
        }
        let escaped = |text: &str| {
            let mut out = String::new();
            percent::encode(text.as_bytes(), &mut out);
            out
        };
        if let Some(name) = &self.name {
            add("dn", &escaped(name));
        }
        for tracker in &self.trackers {
            add("tr", &escaped(tracker));
        }
        // Brackets and colons are understood by all clients as they are, but not escaped.
        for peer in &self.peers {
            add("x.pe", &peer.to_string());
        }
        f.write_str(&link)
    }
}

/// Why a text is no magnet link of a torrent. Refuse it with this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MagnetError {
    /// It has more than [`Magnet::MAX`] bytes.
    #[error("a magnet link has at most 16384 bytes")]
    TooLong,
    /// It does not begin like one.
    #[error("a magnet link begins with magnet:?")]
    NoMagnet,
    /// An info-hash has the wrong length or form.
    #[error(
        "an info-hash has 40 hexadecimal digits or 32 letters of base32 (xt=urn:btih:), \
         or 1220 and 64 hexadecimal digits (xt=urn:btmh:)"
    )]
    InfoHash,
    /// It has no info-hash.
    #[error("the magnet link names no torrent: it has no xt=urn:btih: or xt=urn:btmh:")]
    NoTopic,
}
