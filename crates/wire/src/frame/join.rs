//! `Join` and `Joined`: how a key becomes a member over the ALPN of joining, and how a member
//! renews its certificate over its link to the tracker.

use std::fmt;

use minicbor::{Decode, Encode};

use super::body::{FrameBody, THING};
use super::{FrameError, MAX_JOIN_FRAME, SignedRecord};
use crate::MemberName;

/// Asks a tracker for a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Join {
    /// The token of an invite. It is not needed in an open group, nor by a member that renews its
    /// certificate.
    #[n(2)]
    pub token: Option<Token>,
    /// A PKCS #10 request, DER. The tracker checks its signature and takes only the key from it.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub request: Vec<u8>,
    /// The human name that the machine asks for.
    #[n(4)]
    pub name: Option<MemberName>,
}

impl FrameBody for Join {
    const MAX_LENGTH: usize = MAX_JOIN_FRAME;

    fn check(&self) -> Result<(), FrameError> {
        Ok(())
    }

    fn size(&self) -> usize {
        THING
    }
}

/// The tracker's answer, which makes the key a member's.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Joined {
    /// The certificate, X.509 DER.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub certificate: Vec<u8>,
    /// The signed group record, if the group has one.
    #[n(3)]
    pub record: Option<SignedRecord>,
    /// The tracker's wall clock, in seconds since 1970 (UTC).
    #[n(4)]
    pub time: i64,
}

impl FrameBody for Joined {
    fn check(&self) -> Result<(), FrameError> {
        Ok(())
    }

    fn size(&self) -> usize {
        THING
    }
}

/// The secret in an invite.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Token(#[cbor(with = "minicbor::bytes")] pub [u8; 16]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}
