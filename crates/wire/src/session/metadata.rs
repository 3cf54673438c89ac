//! The extended messages by which a client that knows only an info-hash gets the info dictionary
//! of the torrent (BEP 9, `ut_metadata`).
//!
//! The dictionary is sent in blocks of 16 KiB, which BEP 9 calls pieces. The code that puts
//! them together compares the info-hash: nothing before that says whether they are right.

use thiserror::Error;

use crate::bencode::{Dictionary, NotBencode, Value};

/// The length in bytes of each block but the last.
pub const METADATA_BLOCK: u32 = 16 * 1024;
/// The maximum length in bytes of an info dictionary that is got from other clients.
pub const LONGEST_METADATA: u32 = 8 * 1024 * 1024;

/// A message about a block of the info dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// Asks for the block of this number, which there may not be.
    Request(u32),
    /// A block.
    Block {
        /// The number of the block.
        number: u32,
        /// The length of the whole info dictionary in bytes, at most [`LONGEST_METADATA`].
        total: u32,
        /// As many bytes as a block of this number has.
        bytes: Vec<u8>,
    },
    /// The sender will not send the block of this number.
    Reject(u32),
}

impl MetadataMessage {
    /// The name of these messages in the extension handshake.
    pub const NAME: &str = "ut_metadata";
    /// The number that this program gives these messages, when others send them.
    pub const NUMBER: u8 = 1;

    /// Encodes the payload of the extended message.
    pub fn encode(&self) -> Vec<u8> {
        let head = |kind: u8, number: u32| {
            Dictionary::default()
                .integer("msg_type", kind)
                .integer("piece", number)
        };
        match self {
            Self::Request(number) => head(REQUEST, *number).encode(),
            Self::Block {
                number,
                total,
                bytes,
            } => {
                let mut out = head(DATA, *number).integer("total_size", *total).encode();
                out.extend_from_slice(bytes);
                out
            }
            Self::Reject(number) => head(REJECT, *number).encode(),
        }
    }

    /// Decodes the payload of the extended message.
    pub fn decode(payload: &[u8]) -> Result<Self, MetadataError> {
        let (head, bytes) = Value::first_of(payload)?;
        let number = |key| {
            let number = head.get(key).and_then(Value::integer);
            number.ok_or(MetadataError::Impossible(key))
        };
        let kind = number("msg_type")?;
        // Of which dictionary a block is asked for is not known here: whoever has it refuses.
        let block = u32::try_from(number("piece")?);
        let block = block.map_err(|_| MetadataError::Impossible("piece"))?;
        let (request, data, reject) = (REQUEST.into(), DATA.into(), REJECT.into());
        if kind == data {
            if block >= LONGEST_METADATA / METADATA_BLOCK {
                return Err(MetadataError::Impossible("piece"));
            }
            let total = u32::try_from(number("total_size")?)
                .ok()
                .filter(|total| (1..=LONGEST_METADATA).contains(total))
                .ok_or(MetadataError::Impossible("total_size"))?;
            let expected = metadata_block_length(total, block);
            if expected.is_none_or(|length| length as usize != bytes.len()) {
                return Err(MetadataError::Length(bytes.len()));
            }
            return Ok(Self::Block {
                number: block,
                total,
                bytes: bytes.to_vec(),
            });
        }
        if !bytes.is_empty() {
            return Err(MetadataError::Length(bytes.len()));
        }
        match kind {
            kind if kind == request => Ok(Self::Request(block)),
            kind if kind == reject => Ok(Self::Reject(block)),
            _ => Err(MetadataError::Unknown),
        }
    }
}

/// Returns the length in bytes of a block of an info dictionary of `total` bytes. `None` if there
/// is no block of this number.
pub fn metadata_block_length(total: u32, block: u32) -> Option<u32> {
    let begin = block.checked_mul(METADATA_BLOCK)?;
    let left = total.checked_sub(begin).filter(|left| *left > 0)?;
    Some(left.min(METADATA_BLOCK))
}

const REQUEST: u8 = 0;
const DATA: u8 = 1;
const REJECT: u8 = 2;

/// What is wrong with a message about metadata; each variant says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// The type is not known. Ignore the message, as BEP 9 demands.
    #[error("a message about metadata says what this version does not know")]
    Unknown,
    /// The payload does not begin with bencode. Close the session with this reason.
    #[error("a message about metadata is {0}")]
    Malformed(#[from] NotBencode),
    /// The value of a key is missing or impossible. Close the session with this reason.
    #[error("a message about metadata has no possible value under `{0}`")]
    Impossible(&'static str),
    /// The block has another length than its number demands. Close the session with this reason.
    #[error(
        "a message about metadata has {0} bytes behind its head, which is not what belongs there"
    )]
    Length(usize),
}
