use thorp_wire::PeerId;

use super::*;

const A: SessionId = SessionId(1);
const B: SessionId = SessionId(2);
const LONG: u32 = 128 * 1024;

/// Any bytes may be asked for.
fn any(_: Block) -> bool {
    true
}

fn source(number: u8) -> SourceId {
    PeerId::new([number; 32]).into()
}

fn leaf(number: u8) -> [u8; 32] {
    [number; 32]
}

/// A file of two pieces; the second has one leaf and one more byte.
fn pieces() -> Pieces {
    let layout = Layout::of(256 * 1024 + u64::from(LEAF_LENGTH) + 1);
    Pieces::new(layout, 2, false)
}

fn begin(pieces: &mut Pieces, piece: u32) -> Piece {
    let piece = pieces.layout.piece(piece).unwrap();
    pieces.begin(piece, A);
    piece
}

/// Requests a whole piece and lets all of it arrive, the leaves in `wrong` from peer 2.
fn come(pieces: &mut Pieces, piece: u32, wrong: &[u8]) {
    while let Some(block) = pieces.ask_next(piece, LEAF_LENGTH, any) {
        let number = u8::try_from(block.begin() / LEAF_LENGTH).unwrap();
        let (from, hash) = if wrong.contains(&number) {
            (source(2), leaf(200 + number))
        } else {
            (source(1), leaf(number))
        };
        assert!(pieces.claim(block));
        pieces.release(block);
        pieces.on_block_written(block, &[hash], from);
    }
}

#[test]
fn no_byte_of_a_piece_is_asked_for_twice_and_none_is_left_out() {
    let mut pieces = pieces();
    begin(&mut pieces, 0);
    let blocks: Vec<Block> = std::iter::from_fn(|| pieces.ask_next(0, LONG, any)).collect();
    let places: Vec<_> = blocks
        .iter()
        .map(|block| (block.begin(), block.length()))
        .collect();
    assert_eq!(places, [(0, LONG), (LONG, LONG)]);
}

#[test]
fn what_may_not_be_asked_for_is_passed_over_and_the_rest_of_the_piece_is_asked_for() {
    let mut pieces = pieces();
    begin(&mut pieces, 0);
    let is_free =
        |block: Block| block.begin() >= LONG || block.begin() + block.length() <= LEAF_LENGTH;
    let blocks = std::iter::from_fn(|| pieces.ask_next(0, LONG, is_free));
    let places: Vec<_> = blocks
        .map(|block| (block.begin(), block.length()))
        .collect();
    assert_eq!(places, [(0, LEAF_LENGTH), (LONG, LONG)]);
    let rest = pieces.ask_next(0, LONG, any).expect("is left");
    assert_eq!(
        (rest.begin(), rest.length()),
        (LEAF_LENGTH, LONG - LEAF_LENGTH)
    );
}

#[test]
fn of_a_verified_piece_each_peer_gave_the_leaves_that_came_from_it() {
    let mut pieces = pieces();
    let piece = begin(&mut pieces, 0);
    come(&mut pieces, 0, &[3, 9]);
    let given = vec![(source(1), 14 * LEAF_LENGTH), (source(2), 2 * LEAF_LENGTH)];
    assert_eq!(pieces.judge(piece, true), Verdict::Good(given));
}

#[test]
fn the_last_block_of_a_file_is_as_short_as_the_file() {
    let mut pieces = pieces();
    begin(&mut pieces, 1);
    let block = pieces.ask_next(1, LONG, any).unwrap();
    assert_eq!(block.length(), LEAF_LENGTH + 1);
    assert_eq!(pieces.ask_next(1, LONG, any), None);
}

#[test]
fn released_bytes_are_asked_for_again_unless_another_session_is_asked_for_them() {
    let mut pieces = pieces();
    begin(&mut pieces, 1);
    let block = pieces.ask_next(1, LONG, any).unwrap();
    pieces.ask(block);
    pieces.release(block);
    assert_eq!(pieces.ask_next(1, LONG, any), None);
    pieces.release(block);
    assert_eq!(pieces.ask_next(1, LONG, any), Some(block));
}

#[test]
fn when_two_sessions_bring_the_same_bytes_one_writes_them() {
    let mut pieces = pieces();
    begin(&mut pieces, 1);
    let block = pieces.ask_next(1, LONG, any).unwrap();
    assert!(pieces.claim(block));
    assert!(!pieces.claim(block), "the first is still writing");
    assert!(pieces.on_block_written(block, &[leaf(0), leaf(1)], source(1)));
    assert!(!pieces.claim(block), "they are there");
}

#[test]
fn bytes_that_were_claimed_and_not_written_are_wanted_again() {
    let mut pieces = pieces();
    begin(&mut pieces, 1);
    let block = pieces.ask_next(1, LONG, any).unwrap();
    pieces.claim(block);
    pieces.release(block);
    assert_eq!(pieces.ask_next(1, LONG, any), None);
    pieces.unclaim(block);
    assert_eq!(pieces.ask_next(1, LONG, any), Some(block));
}

#[test]
fn a_block_with_the_wrong_number_of_leaf_hashes_is_not_taken() {
    let mut pieces = pieces();
    begin(&mut pieces, 1);
    let block = pieces.ask_next(1, LONG, any).unwrap();
    pieces.claim(block);
    pieces.release(block);
    assert!(!pieces.on_block_written(block, &[leaf(0)], source(1)));
    assert_eq!(pieces.ask_next(1, LONG, any), Some(block));
}

#[test]
fn a_right_piece_is_verified_and_counted() {
    let mut pieces = pieces();
    let piece = begin(&mut pieces, 1);
    come(&mut pieces, 1, &[]);
    assert_eq!(pieces.hashes(1), Some(vec![leaf(0), leaf(1)]));
    let given = vec![(source(1), LEAF_LENGTH + 1)];
    assert_eq!(pieces.judge(piece, true), Verdict::Good(given));
    assert!(pieces.had().has(1) && !pieces.is_complete());
    assert_eq!(pieces.verified(), u64::from(LEAF_LENGTH) + 1);
}

#[test]
fn a_wrong_piece_from_one_alone_is_asked_for_again_as_a_whole() {
    let mut pieces = pieces();
    let piece = begin(&mut pieces, 1);
    come(&mut pieces, 1, &[0, 1]);
    assert_eq!(pieces.judge(piece, false), Verdict::Bad(vec![source(2)]));
    assert!(pieces.ask_next(1, LONG, any).is_some());
}

#[test]
fn the_good_leaves_of_a_wrong_piece_from_several_sources_stay_and_the_liar_is_found() {
    let mut pieces = pieces();
    let piece = begin(&mut pieces, 0);
    come(&mut pieces, 0, &[3, 9]);
    assert_eq!(
        pieces.judge(piece, false),
        Verdict::Bad(vec![source(1), source(2)])
    );
    assert_eq!(pieces.ask_next(0, LONG, any), None, "it is being found out");
    let right: Vec<_> = (0..16).map(leaf).collect();
    assert_eq!(pieces.sort_out(0, &right), [source(2)].into());
    let again: Vec<Block> = std::iter::from_fn(|| pieces.ask_next(0, LONG, any)).collect();
    let leaves: Vec<_> = again
        .iter()
        .map(|block| block.begin() / LEAF_LENGTH)
        .collect();
    assert_eq!(leaves, [3, 9]);
}

#[test]
fn a_piece_fetched_from_one_session_alone_is_not_shared() {
    let mut pieces = pieces();
    let piece = begin(&mut pieces, 0);
    come(&mut pieces, 0, &[3]);
    pieces.judge(piece, false);
    pieces.start_alone(0);
    assert!(pieces.adopt(Instant::default(), 0, A));
    assert!(!pieces.adopt(Instant::default(), 0, B) && !pieces.may_share(0, B));
    let block = pieces.ask_next(0, LONG, any).unwrap();
    pieces.claim(block);
    pieces.release(block);
    pieces.on_block_written(block, &[leaf(0); 8], source(1));
    pieces.abandon_all(A);
    assert!(pieces.adopt(Instant::default(), 0, B));
    assert_eq!(
        pieces.ask_next(0, LONG, any),
        Some(block),
        "what A sent is dropped"
    );
}
