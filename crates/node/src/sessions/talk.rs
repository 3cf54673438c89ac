//! What is said with a client beside the messages of the swarm: extended messages (BEP 10).
//!
//! Owns what the client has said of itself, and the info dictionary, of which a client that
//! has only a magnet link asks for one block after the other (BEP 9). Of other clients (BEP 11)
//! nothing is said or heard where the torrent is private, or may be.

use std::net::IpAddr;
use std::sync::Arc;

use thorp_wire::InfoHash;
use thorp_wire::session::extended::number_after;
use thorp_wire::session::metadata::{METADATA_BLOCK, MetadataError, metadata_block_length};
use thorp_wire::session::{ExtendedHandshake, Message, MetadataMessage, PeerExchange};
use thorp_wire::torrent::is_private;

use super::line::Broken;

/// How many requests of a client are kept waiting.
const MOST_REQUESTS: u32 = 500;
/// How often a client may have the whole info dictionary.
const SENT_AGAIN: u32 = 4;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    torrent: InfoHash,
    /// `None` if this end has no info dictionary itself.
    info: Option<Arc<[u8]>>,
    /// The number by which the client wants to be sent blocks of the info dictionary.
    metadata: Option<u8>,
    /// Blocks that it may still ask for.
    left: u32,
    /// Whether the torrent is known not to be private.
    is_public: bool,
}

/// What follows from an extended message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    /// What the client says of itself.
    Handshake {
        /// So many requests may wait at it.
        most_requests: Option<u32>,
        /// By this number it wants to be told of other clients, if it says so; 0 ends that.
        exchange: Option<u8>,
        /// Where it listens.
        port: Option<u16>,
    },
    /// There are other clients.
    Exchange(PeerExchange),
    Answer(Message),
}

impl Talk {
    /// With a client of this torrent, which may ask for this info dictionary.
    pub fn new(torrent: InfoHash, info: Option<Arc<[u8]>>) -> Self {
        let blocks = info
            .as_deref()
            .map_or(0, length_of)
            .div_ceil(METADATA_BLOCK);
        Self {
            metadata: None,
            left: SENT_AGAIN.saturating_mul(blocks),
            is_public: info.as_deref().is_some_and(|info| !is_private(info)),
            torrent,
            info,
        }
    }

    /// The same, of a torrent that may be known not to be private though its info dictionary is
    /// not here.
    pub fn or_public(mut self, is_public: bool) -> Self {
        self.is_public |= is_public;
        self
    }

    /// The torrent, if its clients may be told of one another.
    pub fn exchanges(&self) -> Option<InfoHash> {
        self.is_public.then_some(self.torrent)
    }

    /// What this end says of itself first, to a client at this address.
    pub fn handshake(&self, port: Option<u16>, client: IpAddr) -> ExtendedHandshake {
        ExtendedHandshake {
            requests: Some(MOST_REQUESTS),
            client: Some(super::greeting::program()),
            port,
            metadata: Some(MetadataMessage::NUMBER),
            exchange: self.is_public.then_some(PeerExchange::NUMBER),
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
                // It may say so again, and change a number.
                self.metadata = number_after(self.metadata, said.metadata);
                Ok(Said::Handshake {
                    most_requests: said.requests,
                    exchange: said.exchange,
                    port: said.port,
                })
            }
            PeerExchange::NUMBER if self.is_public => {
                Ok(Said::Exchange(PeerExchange::decode(payload)?))
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
    use thorp_wire::merkle::content_of;
    use thorp_wire::torrent::build::{Privacy, v2_info};

    use super::*;

    const TORRENT: InfoHash = InfoHash::new([7; 20]);

    fn talk(length: usize) -> Talk {
        let info: Vec<u8> = (0..=250).cycle().take(length).collect();
        Talk::new(TORRENT, Some(info.into()))
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
        let heard = Said::Handshake {
            most_requests: Some(7),
            exchange: None,
            port: None,
        };
        assert_eq!(said, heard);
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
        for beyond in [512, u32::MAX] {
            let refused = MetadataMessage::Reject(beyond);
            assert_eq!(answer(ask(&mut talk, beyond)).1, refused);
        }
    }

    #[test]
    fn a_client_that_says_more_of_itself_keeps_the_number_that_it_has_named_before() {
        let mut talk = talk(100);
        with_number(&mut talk, Some(9));
        with_number(&mut talk, None);
        assert_eq!(answer(ask(&mut talk, 0)).0, 9, "it has only said more");
        with_number(&mut talk, Some(3));
        assert_eq!(answer(ask(&mut talk, 0)).0, 3);
        with_number(&mut talk, Some(0));
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

    #[test]
    fn clients_are_told_of_others_only_where_the_torrent_is_known_not_to_be_private() {
        let content = content_of(b"abc");
        let of = |privacy| Talk::new(TORRENT, Some(v2_info("f", content, privacy).into()));
        let other = PeerExchange {
            added: Vec::new(),
            dropped: vec!["10.0.0.1:5".parse().expect("an address")],
        };
        let said = other.encode();
        for (mut talk, exchanges) in [
            (of(Privacy::Public), true),
            (of(Privacy::Private), false),
            (Talk::new(TORRENT, None), false),
            (Talk::new(TORRENT, None).or_public(true), true),
        ] {
            let handshake = talk.handshake(None, [10, 0, 0, 2].into());
            assert_eq!(
                handshake.exchange,
                exchanges.then_some(PeerExchange::NUMBER)
            );
            assert_eq!(talk.exchanges(), exchanges.then_some(TORRENT));
            let heard = talk
                .on_message(PeerExchange::NUMBER, &said)
                .expect("is well said");
            let expected = if exchanges {
                Said::Exchange(other.clone())
            } else {
                Said::Nothing
            };
            assert_eq!(heard, expected);
            assert_eq!(
                talk.on_message(PeerExchange::NUMBER, b"x").is_err(),
                exchanges
            );
        }
    }
}
