use thorp_wire::PeerId;

use super::*;

const PIECES: u32 = 10;

fn at(seconds: u64) -> Instant {
    Instant::after_start(Duration::from_secs(seconds))
}

fn layout() -> Layout {
    Layout::of(u64::from(PIECES) * 256 * 1024)
}

fn offer(fast: bool, member: bool) -> Offer {
    Offer {
        fast,
        longest_request: 128 * 1024,
        most_requests: None,
        member,
        hashes: true,
    }
}

fn session(fast: bool, member: bool) -> Session {
    Session::new(
        at(0),
        PeerId::new([1; 32]).into(),
        true,
        offer(fast, member),
        PIECES,
    )
}

fn span(piece: u32, begin: u32, length: u32) -> Span {
    Span {
        piece,
        begin,
        length,
    }
}

fn block(piece: u32, leaf: u32, leaves: u32) -> Block {
    let (begin, length) = (leaf * LEAF_LENGTH, leaves * LEAF_LENGTH);
    layout().block(piece, begin, length).unwrap()
}

/// Lets a session handle a message while this peer has the even pieces.
fn take(session: &mut Session, message: Message) -> Result<Consequence, String> {
    take_of(128 * 1024, session, message)
}

/// The same, with requests of up to this length.
fn take_of(
    longest_request: u32,
    session: &mut Session,
    message: Message,
) -> Result<Consequence, String> {
    let layout = layout();
    let mut had = Bits::none(PIECES);
    for piece in (0..PIECES).step_by(2) {
        had.insert(piece);
    }
    let serving = Serving {
        layout: &layout,
        pieces: PIECES,
        had: &had,
        longest_request,
    };
    session.take(at(1), message, &serving)
}

fn rejected(span: Span) -> Consequence {
    Consequence::Answer(Message::Reject(span))
}

#[test]
fn members_are_unchoked_from_the_start_and_others_are_not() {
    let asked = span(0, 0, 16384);
    let request = Message::Request(asked);
    let upload = Consequence::Upload(block(0, 0, 1));
    assert_eq!(take(&mut session(true, true), request.clone()), Ok(upload));
    assert_eq!(
        take(&mut session(true, false), request.clone()),
        Ok(rejected(asked))
    );
    assert_eq!(
        take(&mut session(false, false), request),
        Ok(Consequence::Nothing)
    );
    assert!(session(true, true).may_ask() && !session(true, false).may_ask());
}

#[test]
fn the_bitfield_comes_once() {
    let mut session = session(true, true);
    assert_eq!(
        take(&mut session, Message::Bitfield(vec![0b0100_0000, 0])),
        Ok(Consequence::Has(vec![1]))
    );
    assert!(take(&mut session, Message::Bitfield(vec![0, 0])).is_err());
    assert!(take(&mut session, Message::HaveAll).is_err());
}

#[test]
fn the_bitfield_comes_before_any_have() {
    let mut session = session(true, true);
    assert_eq!(
        take(&mut session, Message::Have(3)),
        Ok(Consequence::Has(vec![3]))
    );
    assert_eq!(
        take(&mut session, Message::Have(3)),
        Ok(Consequence::Nothing)
    );
    assert!(take(&mut session, Message::HaveAll).is_err());
}

#[test]
fn pieces_beyond_the_end_are_a_fault_wherever_they_are_named() {
    for message in [
        Message::Have(PIECES),
        Message::Bitfield(vec![0xff, 0xff]),
        Message::Bitfield(vec![0]),
        Message::Request(span(PIECES, 0, 1)),
        Message::Request(span(0, 256 * 1024, 1)),
        Message::Request(span(0, u32::MAX, u32::MAX)),
        Message::Request(span(0, 0, 0)),
    ] {
        assert!(
            take(&mut session(true, true), message.clone()).is_err(),
            "{message:?}"
        );
    }
}

#[test]
fn a_request_for_a_missing_piece_or_of_too_many_bytes_is_refused() {
    for asked in [span(1, 0, 16384), span(0, 0, 256 * 1024)] {
        let told = take(&mut session(true, true), Message::Request(asked));
        assert_eq!(told, Ok(rejected(asked)));
    }
}

#[test]
fn a_peer_that_keeps_asking_for_refused_blocks_is_dropped() {
    let mut session = session(true, true);
    let asked = Message::Request(span(1, 0, 16384));
    let fault = (0..10_000).position(|_| take(&mut session, asked.clone()).is_err());
    assert_eq!(fault, Some(MOST_REFUSED as usize));
}

#[test]
fn the_number_of_waiting_requests_is_bounded() {
    let mut session = session(true, true);
    let long = 255 * 1024;
    let asked = |at: u32| Message::Request(span(0, at, long));
    let waiting = (0..1000).take_while(|at| {
        matches!(
            take_of(long, &mut session, asked(*at)),
            Ok(Consequence::Upload(_))
        )
    });
    assert_eq!(waiting.count() as u64, MOST_BYTES / u64::from(long));
    let mut session = self::session(true, true);
    let asked = |at: u32| Message::Request(span(0, at, 16));
    let waiting = (0..2000)
        .take_while(|at| matches!(take(&mut session, asked(*at)), Ok(Consequence::Upload(_))));
    assert_eq!(waiting.count(), MOST_REQUESTS);
}

#[test]
fn a_request_is_answered_once_served_or_rejected() {
    let mut session = session(true, true);
    let (asked, wanted) = (span(0, 0, 16384), block(0, 0, 1));
    take(&mut session, Message::Request(asked)).unwrap();
    assert_eq!(
        take(&mut session, Message::Cancel(asked)),
        Ok(Consequence::Withdraw(wanted))
    );
    assert_eq!(
        take(&mut session, Message::Cancel(asked)),
        Ok(Consequence::Nothing)
    );
    assert_eq!(session.not_served(wanted), rejected(asked));
    assert_eq!(session.not_served(wanted), Consequence::Nothing);
    take(&mut session, Message::Request(asked)).unwrap();
    session.served(wanted);
    assert_eq!(session.taken, 16384);
    assert_eq!(session.not_served(wanted), Consequence::Nothing);
}

#[test]
fn a_choke_cancels_all_requests_unless_each_is_rejected_by_itself() {
    let mut plain = session(false, true);
    plain.ask(at(0), block(0, 0, 2));
    let gone = Consequence::Choked(vec![block(0, 0, 2)]);
    assert_eq!(take(&mut plain, Message::Choke), Ok(gone));
    assert_eq!(plain.asked_number(), 0);

    let mut fast = session(true, true);
    fast.ask(at(0), block(0, 0, 2));
    assert_eq!(
        take(&mut fast, Message::Choke),
        Ok(Consequence::Choked(Vec::new()))
    );
    let told = take(&mut fast, Message::Reject(span(0, 0, 32768)));
    assert_eq!(told, Ok(Consequence::Rejected(block(0, 0, 2))));
    assert!(
        fast.denied.is_empty(),
        "to be choked says nothing of the piece"
    );
}

#[test]
fn a_refused_piece_is_not_requested_again_though_the_other_end_has_it() {
    let mut session = session(true, true);
    take(&mut session, Message::HaveAll).unwrap();
    session.ask(at(0), block(5, 0, 2));
    take(&mut session, Message::Reject(span(5, 0, 32768))).unwrap();
    assert!(!session.offers(5) && session.offers(7));
    // A refusal of a piece that has arrived in the meantime does not count.
    session.ask(at(0), block(4, 0, 2));
    take(&mut session, Message::Reject(span(4, 0, 32768))).unwrap();
    assert!(session.offers(4));
}

#[test]
fn repeated_messages_have_no_consequence() {
    let mut session = session(true, false);
    for (message, told) in [
        (Message::Unchoke, Consequence::Unchoked),
        (Message::Interested, Consequence::Wants),
        (Message::NotInterested, Consequence::Wants),
    ] {
        assert_eq!(take(&mut session, message.clone()), Ok(told));
        assert_eq!(take(&mut session, message), Ok(Consequence::Nothing));
    }
}

#[test]
fn a_reject_of_a_block_that_was_not_requested_is_ignored() {
    let mut session = session(true, true);
    session.ask(at(0), block(4, 0, 2));
    let told = take(&mut session, Message::Reject(span(4, 0, 16384)));
    assert_eq!(told, Ok(Consequence::Nothing));
    assert_eq!(session.asked_number(), 1);
}

#[test]
fn only_requested_blocks_are_expected() {
    let mut session = session(true, true);
    session.ask(at(0), block(4, 0, 2));
    assert_eq!(session.expects(span(4, 0, 32768)), Some(block(4, 0, 2)));
    assert_eq!(session.expects(span(4, 0, 16384)), None);
    assert_eq!(session.expects(span(3, 0, 32768)), None);
    assert_eq!(
        session.on_block_received(at(1), block(4, 0, 2)),
        Some(32768)
    );
    assert_eq!(session.on_block_received(at(1), block(4, 0, 2)), None);
}

#[test]
fn bytes_that_were_reported_as_flowing_are_not_counted_twice() {
    let mut session = session(true, true);
    session.ask(at(0), block(4, 0, 2));
    session.pipeline.flowing(10_000);
    assert_eq!(
        session.on_block_received(at(1), block(4, 0, 2)),
        Some(32768 - 10_000)
    );
}

#[test]
fn overlaps_with_outstanding_and_recently_cancelled_requests_are_found() {
    let mut session = session(true, true);
    session.ask(at(0), block(4, 2, 4));
    assert!(session.touches(block(4, 5, 1)) && session.touches(block(4, 0, 3)));
    assert!(!session.touches(block(4, 0, 2)) && !session.touches(block(4, 6, 2)));
    session.cancel(at(0), block(4, 2, 4));
    assert_eq!(session.asked_number(), 0);
    assert!(session.touches(block(4, 5, 1)));
    session.sweep(at(60));
    assert!(!session.touches(block(4, 5, 1)));
}

#[test]
fn hash_requests_are_limited_to_what_a_file_needs() {
    let mut session = session(true, true);
    let range = HashRange {
        root: thorp_wire::Root::EMPTY,
        base: 0,
        index: 0,
        length: 2,
        proofs: 0,
    };
    let answered = (0..1000).take_while(|_| {
        let told = take(&mut session, Message::HashRequest(range));
        told == Ok(Consequence::HashRequest(range))
    });
    assert_eq!(answered.count(), 66 + PIECES as usize);
}

#[test]
fn a_client_may_say_again_what_it_has_and_a_member_may_not() {
    let bits = |pieces: &[u32]| {
        let mut bits = Bits::none(PIECES);
        for piece in pieces {
            bits.insert(*piece);
        }
        Message::Bitfield(bits.to_bitfield())
    };
    let mut client = session(true, false);
    for (said, news) in [(bits(&[1, 2]), vec![1, 2]), (bits(&[2, 7]), vec![7])] {
        let told = take(&mut client, said);
        assert_eq!(told, Ok(Consequence::Has(news)));
    }
    assert!(client.has.has(1), "what it had before it still has");
    let none = take(&mut client, Message::HaveNone);
    assert_eq!(none, Ok(Consequence::Nothing));
    let missing = (0..PIECES).filter(|piece| ![1, 2, 7].contains(piece));
    let all = take(&mut client, Message::HaveAll);
    assert_eq!(all, Ok(Consequence::Has(missing.collect())));
    let again = take(&mut client, Message::HaveAll);
    assert_eq!(again, Ok(Consequence::Nothing), "it costs nothing");
    let mut member = session(true, true);
    assert!(take(&mut member, bits(&[1])).is_ok());
    assert!(take(&mut member, bits(&[2])).is_err());
}
