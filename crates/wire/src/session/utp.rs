//! uTP (BEP 29), of which a peer says one thing only: that it does not speak it.
//!
//! Clients in wide use try uTP before TCP. One that is refused goes on over TCP at once; one that
//! hears nothing waits for seconds, or gives the peer up.

/// The length of a datagram's head, in bytes.
pub const HEAD: usize = 20;
const VERSION: u8 = 1;

mod kind {
    pub const RESET: u8 = 3;
    pub const SYN: u8 = 4;
}

/// Returns the answer to a datagram by which a client wants to connect; `None` for any other one.
/// The answer is a reset, is not longer than what it answers, and is itself not answered.
pub fn refusal(datagram: &[u8]) -> Option<[u8; HEAD]> {
    let head: &[u8; HEAD] = datagram.first_chunk()?;
    if head[0] != of_kind(kind::SYN) {
        return None;
    }
    let mut reset = [0; HEAD];
    reset[0] = of_kind(kind::RESET);
    // To which connection it belongs, and which datagram it answers. Times and windows are those of
    // a connection, which there is none.
    reset[2..4].copy_from_slice(&head[2..4]);
    reset[18..].copy_from_slice(&head[16..18]);
    Some(reset)
}

fn of_kind(kind: u8) -> u8 {
    kind << 4 | VERSION
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What libtorrent and Transmission begin with: the second has an extension.
    const SYNS: [&str; 2] = [
        "410010ea5b7fff520000000000000000424a0000",
        "410241f7702491f20000000000040000d640000000080000000000000000",
    ];

    #[test]
    fn a_client_that_wants_to_connect_is_told_that_its_connection_is_reset() {
        let refused = SYNS.map(|syn| {
            let syn = data_encoding::HEXLOWER.decode(syn.as_bytes());
            let reset = refusal(&syn.expect("hexadecimal digits")).expect("a refusal");
            data_encoding::HEXLOWER.encode(&reset)
        });
        assert_eq!(
            refused,
            [
                "310010ea0000000000000000000000000000424a",
                "310041f70000000000000000000000000000d640"
            ]
        );
    }

    proptest! {
        #[test]
        fn nothing_longer_than_the_question_is_answered_and_no_answer_is(
            mut datagram in proptest::collection::vec(any::<u8>(), 0..64),
            is_syn: bool,
        ) {
            if is_syn && let Some(first) = datagram.first_mut() {
                *first = 0x41;
            }
            let is_one = datagram.len() >= HEAD && datagram[0] == 0x41;
            let answer = refusal(&datagram);
            prop_assert_eq!(answer.is_some(), is_one);
            if let Some(reset) = answer {
                prop_assert!(reset.len() <= datagram.len());
                prop_assert_eq!(refusal(&reset), None);
            }
        }
    }
}
