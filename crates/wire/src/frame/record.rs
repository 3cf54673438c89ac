//! `Record`: what the group has decided. The CA signs it, and every member passes it on.
//!
//! This module owns the encoding and the signed message. `thorp-group` checks the signature, and
//! `thorp-core` decides which members a record is sent to.

use std::fmt;
use std::sync::Arc;

use minicbor::{Decode, Decoder, Encode, Encoder, encode};

use super::body::FrameBody;
use super::{FrameError, at_most, shape};
use crate::PeerId;

/// What the group has decided. Of two records, the one with the higher number is in force.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GroupRecord {
    /// The number of the record, counted from 1.
    #[n(0)]
    pub number: u64,
    /// Whether every machine that asks becomes a member.
    #[n(1)]
    #[cbor(default)]
    pub open: bool,
    /// Whether ordinary BitTorrent clients are served.
    #[n(2)]
    #[cbor(default)]
    pub bittorrent: bool,
    /// The keys of removed members, ascending.
    #[n(3)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub removed: Vec<PeerId>,
}

impl GroupRecord {
    /// The maximum number of removed keys: about as many as fit in one frame.
    pub const MAX_REMOVED: usize = 30_000;

    /// Whether the member with this key was removed.
    pub fn removes(&self, id: &PeerId) -> bool {
        self.removed.binary_search(id).is_ok()
    }

    /// Whether this record removes all members that the other one removes.
    pub fn removes_all_of(&self, other: &Self) -> bool {
        other.removed.iter().all(|id| self.removes(id))
    }

    fn check(&self) -> Result<(), FrameError> {
        if self.number == 0 {
            return Err(FrameError::malformed("a group record with the number 0"));
        }
        if !self.removed.is_sorted_by(|a, b| a < b) {
            return Err(FrameError::malformed(
                "a removed key that is repeated or out of order",
            ));
        }
        at_most(Self::MAX_REMOVED, &self.removed, "removed keys")
    }
}

/// A group record with a signature that is not yet verified: the 64 bytes of an Ed25519
/// signature, then the record in CBOR.
///
/// Cheap to clone, so that one record can be queued for ten thousand links.
#[derive(Clone)]
pub struct SignedRecord {
    bytes: Arc<[u8]>,
    record: Arc<GroupRecord>,
}

impl SignedRecord {
    /// The prefix of the signed message. It ensures that a signature of the same key over
    /// something else, such as a certificate, is never taken for that of a record.
    pub const CONTEXT: &[u8] = b"thorp group record 1\0";
    /// The length of a signature in bytes.
    pub const SIGNATURE: usize = 64;

    /// Makes a record signed by `sign`, which is given the message. Returns `None` if `sign`
    /// does.
    pub fn sign(
        record: GroupRecord,
        sign: impl FnOnce(&[u8]) -> Option<[u8; Self::SIGNATURE]>,
    ) -> Result<Option<Self>, FrameError> {
        record.check()?;
        let mut message = Self::CONTEXT.to_vec();
        // Writing to memory cannot fail.
        let _ = record.encode(&mut Encoder::new(&mut message), &mut ());
        let signed = sign(&message).map(|signature| Self {
            bytes: [&signature[..], &message[Self::CONTEXT.len()..]]
                .concat()
                .into(),
            record: Arc::new(record),
        });
        Ok(signed)
    }

    /// Decodes the bytes of [`as_bytes`](Self::as_bytes), without checking the signature.
    pub fn read(bytes: &[u8]) -> Result<Self, FrameError> {
        let (_, record) = bytes
            .split_first_chunk::<{ Self::SIGNATURE }>()
            .ok_or_else(|| FrameError::malformed("a group record without a signature"))?;
        shape::check(record)?;
        let record: GroupRecord = minicbor::decode(record).map_err(FrameError::malformed)?;
        record.check()?;
        Ok(Self {
            bytes: bytes.into(),
            record: Arc::new(record),
        })
    }

    /// Returns the record.
    pub fn record(&self) -> &GroupRecord {
        &self.record
    }

    /// Returns the signature and the encoded record.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the signature and the message that it has to match. The message includes fields
    /// that this version does not know, as the signer wrote them.
    pub fn signature_and_message(&self) -> (&[u8], Vec<u8>) {
        let (signature, record) = self.bytes.split_at(Self::SIGNATURE);
        (signature, [Self::CONTEXT, record].concat())
    }
}

impl PartialEq for SignedRecord {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for SignedRecord {}

impl fmt::Debug for SignedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GroupRecord {
            number, removed, ..
        } = &*self.record;
        write!(f, "SignedRecord({number}, {} removed)", removed.len())
    }
}

impl<C> Encode<C> for SignedRecord {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SignedRecord {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::read(d.bytes()?).map_err(minicbor::decode::Error::message)
    }
}

/// Carries a newer group record than the receiver's. It depends on no other frame, so it may even
/// precede `Hello`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Record {
    /// The record, to be verified by the receiver.
    #[n(2)]
    pub record: SignedRecord,
}

impl FrameBody for Record {
    /// The record was checked when it was made or decoded.
    fn check(&self) -> Result<(), FrameError> {
        Ok(())
    }

    fn size(&self) -> usize {
        self.record.as_bytes().len()
    }
}
