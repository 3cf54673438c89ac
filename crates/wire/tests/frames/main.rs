//! Which frames are accepted, and which are refused.
//!
//! Their exact bytes are in `goldens.rs`.

mod bounds;
mod content;
mod records;
mod strategies;
mod unknown;
mod values;

use std::collections::BTreeSet;

use minicbor::Encode;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use strategies::{any_body, frame};
use thorp_wire::frame::{MAX_FRAME, PREFIX, Update, announced_length};
use thorp_wire::{Body, Frame, FrameError, RequestId};
use values::leave;

proptest! {
    #[test]
    fn every_frame_reads_back(frame in frame()) {
        let bytes = encoded(&frame);
        prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
    }

    #[test]
    fn no_frame_can_be_cut_or_lengthened(frame in frame(), behind in any::<u8>()) {
        let mut bytes = encoded(&frame);
        for end in 0..bytes.len() {
            prop_assert!(malformed(&bytes[..end]).is_some(), "cut at {}", end);
        }
        bytes.push(behind);
        prop_assert!(malformed(&bytes).is_some());
    }

    #[test]
    fn a_frame_with_a_changed_byte_never_panics_and_has_one_form(
        frame in frame(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encoded(&frame);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Frame::decode(&bytes) {
            prop_assert_eq!(Frame::decode(&encoded(&read)), Ok(read));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..200), kind in 0u8..12) {
        let _ = Frame::decode(&bytes);
        // The same bytes again, with a start that passes the check of the envelope.
        bytes.splice(0..0, [0xa3, 0x00, kind, 0x02]);
        let _ = Frame::decode(&bytes);
    }
}

#[test]
fn frames_follow_one_another_in_one_buffer() {
    let mut out = Vec::new();
    let frames = [
        Frame::plain(Update::heartbeat(1)),
        Frame::with_request(RequestId(u32::MAX), leave("")),
    ];
    for frame in &frames {
        frame.encode(&mut out).expect("an encoded frame");
    }
    for frame in frames {
        let (prefix, rest) = out.split_first_chunk().expect("a prefix");
        let length = announced_length(*prefix, MAX_FRAME).expect("a short frame");
        assert_eq!(Frame::decode(&rest[..length]), Ok(frame));
        out.drain(..PREFIX + length);
    }
    assert_eq!(out, []);
}

#[test]
fn a_body_of_every_type_is_made_for_these_tests() {
    let mut runner = TestRunner::deterministic();
    let made = (0..500).map(|_| any_body().new_tree(&mut runner).expect("a body"));
    let made: BTreeSet<&str> = made.map(|body| body.current().name()).collect();
    let types = Body::TYPES.iter().map(|(_, name)| *name);
    assert_eq!(made, types.collect());
}

/// Encodes a frame, without the length prefix.
fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out).expect("an encoded frame");
    out.split_off(PREFIX)
}

/// Encodes a frame that [`Frame::encode`] refuses.
fn by_hand(kind: u8, body: &impl Encode<()>) -> Vec<u8> {
    let mut bytes = minicbor::to_vec(body).expect("an encoded body");
    bytes[0] += 1;
    bytes.splice(1..1, [0x00, kind]);
    bytes
}

fn malformed(bytes: &[u8]) -> Option<String> {
    match Frame::decode(bytes) {
        Err(FrameError::Malformed(why)) => Some(why),
        _ => None,
    }
}

/// Checks that `body` is accepted in both directions, or refused in both.
#[track_caller]
fn refused_unless(possible: bool, kind: u8, body: impl Into<Body> + Encode<()>) {
    let read = Frame::decode(&by_hand(kind, &body));
    let written = Frame::plain(body).encode(&mut Vec::new());
    if possible {
        assert_eq!((read.map(drop), written), (Ok(()), Ok(())));
    } else {
        assert!(matches!(read, Err(FrameError::Malformed(_))));
        assert_eq!(read.map(drop), written);
    }
}

/// Checks that a body of size `most` is accepted, and one larger is refused.
#[track_caller]
fn bounded<B: Into<Body> + Encode<()>>(kind: u8, most: usize, body: impl Fn(usize) -> B) {
    refused_unless(true, kind, body(most));
    refused_unless(false, kind, body(most + 1));
}
