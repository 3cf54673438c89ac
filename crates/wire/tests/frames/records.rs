//! The signed record of a group.

use thorp_wire::frame::{GroupRecord, Joined, Record, SignedRecord};
use thorp_wire::{Frame, PeerId, RequestId};

use super::encoded;
use super::values::signed;

#[test]
fn a_record_names_each_removed_key_once_and_in_order_and_has_a_number() {
    let [a, b] = [1, 2].map(|byte| PeerId::new([byte; 32]));
    let record = |number, removed: &[PeerId]| GroupRecord {
        number,
        open: false,
        bittorrent: false,
        removed: removed.to_vec(),
    };
    let by_hand = |record: &GroupRecord| {
        let bytes = minicbor::to_vec(record).expect("an encoded record");
        [&[7; 64][..], &bytes].concat()
    };
    for good in [record(1, &[]), record(u64::MAX, &[a, b])] {
        let bytes = by_hand(&good);
        let read = SignedRecord::read(&bytes).expect("is good");
        assert_eq!(read.record(), &good);
        assert_eq!(read.as_bytes(), bytes);
        assert_eq!(read, signed(good, Some([7; 64])));
    }
    for bad in [record(0, &[]), record(1, &[b, a]), record(1, &[a, a])] {
        assert!(SignedRecord::read(&by_hand(&bad)).is_err(), "{bad:?}");
        assert!(SignedRecord::sign(bad, |_| Some([7; 64])).is_err());
    }
    assert!(record(1, &[a, b]).removes(&b));
    assert!(!record(1, &[a]).removes(&b));
}

#[test]
fn a_full_record_fits_in_every_frame_that_carries_one() {
    let full = |count: usize| GroupRecord {
        number: u64::MAX,
        open: true,
        bittorrent: true,
        removed: (0..count)
            .map(|n| {
                let mut id = [0xff; 32];
                id[..8].copy_from_slice(&(n as u64).to_be_bytes());
                PeerId::new(id)
            })
            .collect(),
    };
    let record = signed(full(GroupRecord::MAX_REMOVED), Some([7; 64]));
    let joined = Joined {
        certificate: vec![7; 4096],
        record: Some(record.clone()),
        time: i64::MIN,
    };
    for frame in [
        Frame::plain(Record { record }),
        Frame::with_request(RequestId(u32::MAX), joined),
    ] {
        assert_eq!(Frame::decode(&encoded(&frame)), Ok(frame));
    }
    let over = SignedRecord::sign(full(GroupRecord::MAX_REMOVED + 1), |_| Some([7; 64]));
    assert!(over.is_err());
}

#[test]
fn what_is_signed_is_what_the_signer_wrote_also_where_this_version_does_not_know_it() {
    // A record with a key 9, as a later version may send it.
    let newer = [0xa4, 0x00, 0x05, 0x01, 0xf5, 0x02, 0xf4, 0x09, 0x61, b'?'];
    let bytes = [&[7; 64][..], &newer].concat();
    let read = SignedRecord::read(&bytes).expect("is readable");
    assert!(read.record().open && read.record().number == 5);
    let (signature, message) = read.signature_and_message();
    assert_eq!(signature, [7; 64]);
    assert_eq!(message, [SignedRecord::CONTEXT, &newer].concat());
    for end in 0..bytes.len() {
        assert!(SignedRecord::read(&bytes[..end]).is_err(), "{end}");
    }
    assert!(SignedRecord::read(&[&bytes[..], &[0]].concat()).is_err());
    let frame = Frame::plain(Record { record: read });
    assert_eq!(Frame::decode(&encoded(&frame)), Ok(frame));
}
