//! The handshake of the extension protocol (BEP 10): a dictionary of what the two ends should
//! know of one another. It is extended message 0 and follows each [handshake](super::handshake).
//!
//! thorp's own three keys begin with `thorp` and are described in `sessions.md`. Unknown keys are
//! ignored, and a missing key means that the value is unknown. Between members there are no
//! extended messages but this one.

use std::net::IpAddr;

use thiserror::Error;

use super::exchange::PeerExchange;
use super::message::Message;
use super::metadata::MetadataMessage;
use crate::bencode::{Dictionary, NotBencode, Value};

/// What one end says of itself and of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// The maximum number of requests that the sender keeps waiting (`reqq`).
    pub requests: Option<u32>,
    /// The sender's program, for a user (`v`). It must be escaped before it is shown.
    pub client: Option<String>,
    /// The port on which the sender listens (`p`).
    pub port: Option<u16>,
    /// The number by which the sender wants to be sent messages about the info dictionary
    /// (`ut_metadata` in `m`). `None` if it does not say: see [`number_after`].
    pub metadata: Option<u8>,
    /// The number by which the sender wants to be told of other clients (`ut_pex` in `m`). `None`
    /// if it does not say.
    pub exchange: Option<u8>,
    /// The length in bytes of the info dictionary, if the sender has it (`metadata_size`).
    pub metadata_length: Option<u32>,
    /// The receiver's address, as the sender sees it (`yourip`).
    pub your_ip: Option<IpAddr>,
    /// The longest request that the sender answers, in bytes (`thorp_request`).
    pub longest_request: Option<u32>,
    /// The length of the file in bytes (`thorp_length`): even a whole root does not identify a
    /// file without it.
    pub length: Option<u64>,
    /// The sender has no room for another session now and will close this one (`thorp_busy`). It
    /// may have the file all the same.
    pub busy: bool,
}

impl ExtendedHandshake {
    /// The number of this extended message.
    pub const NUMBER: u8 = 0;
    /// The maximum length of a program's name, in bytes.
    pub const MAX_CLIENT: usize = 255;

    /// Makes a message of it.
    pub fn message(&self) -> Message {
        Message::Extended {
            number: Self::NUMBER,
            payload: self.encode(),
        }
    }

    /// Encodes the payload of the message.
    pub fn encode(&self) -> Vec<u8> {
        // `m` is always there: some clients do not accept a handshake without it.
        let mut messages = Dictionary::default();
        let numbers = [self.metadata, self.exchange];
        for (name, number) in MESSAGES.into_iter().zip(numbers) {
            if let Some(number) = number {
                messages = messages.integer(name, number);
            }
        }
        let mut said = Dictionary::default().dictionary("m", &messages);
        if let Some(length) = self.metadata_length {
            said = said.integer("metadata_size", length);
        }
        match self.your_ip.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => said = said.string("yourip", &ip.octets()),
            Some(IpAddr::V6(ip)) => said = said.string("yourip", &ip.octets()),
            None => {}
        }
        if let Some(requests) = self.requests {
            said = said.integer("reqq", requests);
        }
        if let Some(client) = &self.client {
            let end = client.floor_char_boundary(Self::MAX_CLIENT);
            said = said.string("v", &client.as_bytes()[..end]);
        }
        if let Some(port) = self.port {
            said = said.integer("p", port);
        }
        if let Some(longest) = self.longest_request {
            said = said.integer("thorp_request", longest);
        }
        if let Some(length) = self.length {
            // No file is longer than 2^63 bytes.
            said = said.integer("thorp_length", i64::try_from(length).unwrap_or(i64::MAX));
        }
        if self.busy {
            said = said.integer("thorp_busy", 1);
        }
        said.encode()
    }

    /// Decodes the payload of extended message 0.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtendedError> {
        let said = Value::parse_in_any_order(payload)?;
        if !said.is_dictionary() {
            return Err(ExtendedError::NotADictionary);
        }
        let [metadata, exchange] = MESSAGES.map(|name| {
            let number = said.get("m")?.get(name)?.integer()?;
            u8::try_from(number).ok()
        });
        Ok(Self {
            metadata,
            exchange,
            metadata_length: number(said, "metadata_size")?,
            your_ip: your_ip(said),
            requests: number(said, "reqq")?,
            client: client(said)?,
            port: number(said, "p")?,
            longest_request: number(said, "thorp_request")?,
            length: number(said, "thorp_length")?,
            busy: number::<i64>(said, "thorp_busy")?.is_some_and(|busy| busy != 0),
        })
    }
}

/// Returns by which number an end wants messages of a kind after a handshake in which it has said
/// this of them, if it wanted them by the number `known` before. A handshake changes what it names
/// and nothing else, and the number 0 means that there are to be none (BEP 10).
pub fn number_after(known: Option<u8>, said: Option<u8>) -> Option<u8> {
    said.or(known).filter(|number| *number != 0)
}

/// What is wrong with an extension handshake. Close the session with this reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExtendedError {
    /// The payload is not bencode.
    #[error("the extension handshake is {0}")]
    Malformed(#[from] NotBencode),
    /// The payload is bencode, but not a dictionary.
    #[error("the extension handshake is no dictionary")]
    NotADictionary,
    /// The value of a known key is impossible.
    #[error("the extension handshake has no possible value under `{0}`")]
    Impossible(&'static str),
}

fn number<N: TryFrom<i64>>(said: Value<'_>, key: &'static str) -> Result<Option<N>, ExtendedError> {
    let Some(value) = said.get(key) else {
        return Ok(None);
    };
    let number = value.integer().and_then(|number| number.try_into().ok());
    number.ok_or(ExtendedError::Impossible(key)).map(Some)
}

/// The extended messages that are understood: about the info dictionary, and about other clients.
const MESSAGES: [&str; 2] = [MetadataMessage::NAME, PeerExchange::NAME];

/// Returns the receiver's address. `None` if the sender has not given one, or nonsense: nothing
/// depends on it.
fn your_ip(said: Value<'_>) -> Option<IpAddr> {
    let bytes = said.get("yourip")?.string()?;
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let ip = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    ip.ok().map(|ip| ip.to_canonical())
}

/// Returns the program's name, truncated and with invalid UTF-8 replaced: it is only shown to
/// users.
fn client(said: Value<'_>) -> Result<Option<String>, ExtendedError> {
    let Some(value) = said.get("v") else {
        return Ok(None);
    };
    let name = value.string().ok_or(ExtendedError::Impossible("v"))?;
    let mut name = String::from_utf8_lossy(name).into_owned();
    name.truncate(name.floor_char_boundary(ExtendedHandshake::MAX_CLIENT));
    Ok(Some(name))
}
