//! The handshake of the extension protocol (BEP 10): a dictionary of what the
//! two ends should know of one another. It is extended message 0, and follows
//! each [handshake](super::handshake).
//!
//! It offers no extended messages so far. Three keys are thorp's own, and begin
//! with `thorp`; `sessions.md` has them in words. Unknown keys are passed over,
//! and a missing key means that its value is not known.

use thiserror::Error;

use super::bencode::{Dictionary, NotBencode, Value};
use super::message::Message;

/// What one end says of itself and of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// How many requests it keeps waiting, at most (`reqq`).
    pub requests: Option<u32>,
    /// What program it is, for a person (`v`); escaped before it is shown.
    pub client: Option<String>,
    /// The port that it listens on (`p`).
    pub port: Option<u16>,
    /// The longest request that it answers, in bytes (`thorp_request`).
    pub longest_request: Option<u32>,
    /// Bytes in the file (`thorp_length`): the root alone, even the whole of it,
    /// does not say which file it is.
    pub length: Option<u64>,
    /// It has no place for a session now, and hangs up (`thorp_busy`): it may have the
    /// file all the same.
    pub busy: bool,
}

impl ExtendedHandshake {
    /// The number of this extended message.
    pub const NUMBER: u8 = 0;
    /// The longest name of a program, in bytes.
    pub const MAX_CLIENT: usize = 255;

    /// As a message.
    pub fn message(&self) -> Message {
        Message::Extended {
            number: Self::NUMBER,
            payload: self.encode(),
        }
    }

    /// As it is sent, behind the number.
    pub fn encode(&self) -> Vec<u8> {
        // Always there: some clients take a handshake without it for none.
        let mut said = Dictionary::default().dictionary("m", &Dictionary::default());
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

    /// Reads the payload of extended message 0.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtendedError> {
        let said = Value::parse(payload)?;
        if !said.is_dictionary() {
            return Err(ExtendedError::NotADictionary);
        }
        Ok(Self {
            requests: number(said, "reqq")?,
            client: client(said)?,
            port: number(said, "p")?,
            longest_request: number(said, "thorp_request")?,
            length: number(said, "thorp_length")?,
            busy: number::<i64>(said, "thorp_busy")?.is_some_and(|busy| busy != 0),
        })
    }
}

/// What is wrong with an extension handshake. Close the session with this reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExtendedError {
    /// It is no bencode.
    #[error("the extension handshake is {0}")]
    Malformed(#[from] NotBencode),
    /// It is something else.
    #[error("the extension handshake is no dictionary")]
    NotADictionary,
    /// A key that is known has a value that it cannot have.
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

/// Cut if it is too long, and mended where it is no UTF-8: it is only shown to
/// people.
fn client(said: Value<'_>) -> Result<Option<String>, ExtendedError> {
    let Some(value) = said.get("v") else {
        return Ok(None);
    };
    let name = value.string().ok_or(ExtendedError::Impossible("v"))?;
    let mut name = String::from_utf8_lossy(name).into_owned();
    name.truncate(name.floor_char_boundary(ExtendedHandshake::MAX_CLIENT));
    Ok(Some(name))
}
