//! What is said with a client beside the messages of the swarm: extended messages (BEP 10).
//!
//! Owns what the client has said of itself, and the info dictionary, of which a client that
//! has only a magnet link asks for one block after the other (BEP 9).

use std::net::IpAddr;
use std::sync::Arc;

use thorp_wire::session::metadata::{METADATA_BLOCK, MetadataError, metadata_block_length};
use thorp_wire::session::{ExtendedHandshake, Message, MetadataMessage};

use super::line::Broken;

/// How many requests of a client are kept waiting.
const MOST_REQUESTS: u32 = 500;
/// How often a client may have the whole info dictionary.
const SENT_AGAIN: u32 = 4;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    /// `None` if this end has no info dictionary itself.
    info: Option<Arc<[u8]>>,
    /// The number by which the client wants to be sent blocks of the info dictionary.
    metadata: Option<u8>,
    /// Blocks that it may still ask for.
    left: u32,
}

/// What follows from an extended message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    /// So many requests may wait at the client.
    MostRequests(u32),
    Answer(Message),
}

impl Talk {
    /// With a client that may ask for this info dictionary.
    pub fn new(info: Option<Arc<[u8]>>) -> Self {
        let blocks = info
            .as_deref()
            .map_or(0, length_of)
            .div_ceil(METADATA_BLOCK);
        Self {
            info,
            metadata: None,
            left: SENT_AGAIN.saturating_mul(blocks),
        }
    }

    /// What this end says of itself first, to a client at this address.
    pub fn handshake(&self, port: Option<u16>, client: IpAddr) -> ExtendedHandshake {
        ExtendedHandshake {
            requests: Some(MOST_REQUESTS),
            client: Some(super::greeting::program()),
            port,
            metadata: Some(MetadataMessage::NUMBER),
            metadata_length: self.info.as_deref().map(length_of),
            your_ip: Some(client),
            ..ExtendedHandshake::default()
        }
    }

    /// Handles an extended message. An error is a fault of the client.
    pub fn on_message(&mut self, number: u8, payload: &[u8]) -> Result<Said, Broken> {
        match number {
            ExtendedHandshake::NUMBER => {
                let said = ExtendedHandshake::decode(payload)?;
                // It may say so again, and turns off what it does not name any more.
                self.metadata = said.metadata;
                Ok(said.requests.map_or(Said::Nothing, Said::MostRequests))
            }
            MetadataMessage::NUMBER => match MetadataMessage::decode(payload) {
                Ok(MetadataMessage::Request(block)) => Ok(self.on_request(block)),
                Ok(_) | Err(MetadataError::Unknown) => Ok(Said::Nothing),
                Err(error) => Err(error.into()),
            },
            _ => Ok(Said::Nothing),
        }
    }

    fn on_request(&mut self, block: u32) -> Said {
        let Some(number) = self.metadata else {
            return Said::Nothing;
        };
        let info = self.info.as_deref().unwrap_or_default();
        let total = length_of(info);
        let bytes = metadata_block_length(total, block).and_then(|length| {
            self.left = self.left.checked_sub(1)?;
            let begin = (block * METADATA_BLOCK) as usize;
            info.get(begin..begin + length as usize)
        });
        let answer = match bytes {
            Some(bytes) => MetadataMessage::Block {
                number: block,
                total,
                bytes: bytes.to_vec(),
            },
            None => MetadataMessage::Reject(block),
        };
        Said::Answer(Message::Extended {
            number,
            payload: answer.encode(),
        })
    }
}

fn length_of(info: &[u8]) -> u32 {
    u32::try_from(info.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(length: usize) -> Talk {
        let info: Vec<u8> = (0..=250).cycle().take(length).collect();
        Talk::new(Some(info.into()))
    }

    fn with_number(talk: &mut Talk, number: Option<u8>) {
        let handshake = ExtendedHandshake {
            metadata: number,
            requests: Some(7),
            ..ExtendedHandshake::default()
        };
        let said = talk
            .on_message(0, &handshake.encode())
            .expect("is well said");
        assert_eq!(said, Said::MostRequests(7));
    }

    fn ask(talk: &mut Talk, block: u32) -> Said {
        let request = MetadataMessage::Request(block).encode();
        talk.on_message(MetadataMessage::NUMBER, &request)
            .expect("is well said")
    }

    fn answer(said: Said) -> (u8, MetadataMessage) {
        let Said::Answer(Message::Extended { number, payload }) = said else {
            panic!("no answer: {said:?}");
        };
        (
            number,
            MetadataMessage::decode(&payload).expect("is well said"),
        )
    }

    #[test]
    fn a_client_gets_the_info_dictionary_block_by_block_under_the_number_that_it_has_named() {
        let mut talk = talk(40_000);
        assert_eq!(ask(&mut talk, 0), Said::Nothing, "it has named none");
        with_number(&mut talk, Some(9));
        let mut whole = Vec::new();
        for block in 0..3 {
            let (number, said) = answer(ask(&mut talk, block));
            let MetadataMessage::Block {
                number: at,
                total,
                bytes,
            } = said
            else {
                panic!("no block: {said:?}");
            };
            assert_eq!((number, at, total), (9, block, 40_000));
            whole.extend(bytes);
        }
        assert_eq!(Some(&whole[..]), talk.info.as_deref());
        assert_eq!(answer(ask(&mut talk, 3)).1, MetadataMessage::Reject(3));
        with_number(&mut talk, None);
        assert_eq!(
            ask(&mut talk, 0),
            Said::Nothing,
            "it has taken its number back"
        );
    }

    #[test]
    fn a_client_that_asks_for_the_same_block_without_end_is_refused() {
        let mut talk = talk(100);
        with_number(&mut talk, Some(1));
        for _ in 0..SENT_AGAIN {
            assert!(matches!(
                answer(ask(&mut talk, 0)).1,
                MetadataMessage::Block { .. }
            ));
        }
        assert_eq!(answer(ask(&mut talk, 0)).1, MetadataMessage::Reject(0));
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_is_malformed_ends_the_session() {
        let mut talk = talk(100);
        assert_eq!(
            talk.on_message(77, b"anything").expect("is passed over"),
            Said::Nothing
        );
        assert!(talk.on_message(0, b"i7e").is_err());
        assert!(
            talk.on_message(MetadataMessage::NUMBER, b"no bencode")
                .is_err()
        );
    }
}
