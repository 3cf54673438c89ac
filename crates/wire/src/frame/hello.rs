//! `Hello`: the first frame on a link, sent by both sides at once.

use std::net::SocketAddr;

use minicbor::{Decode, Encode};

use super::body::{FrameBody, THING};
use super::{FrameError, addresses, at_most};

/// The version of the link protocol that this code speaks.
pub const VERSION: u16 = 1;

/// The first frame on a link. The link is up when it has arrived.
///
/// The sender's key, and whether the sender is a tracker, are in its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// The oldest version that the sender speaks.
    #[n(2)]
    pub oldest: u16,
    /// The newest version that the sender speaks. The newest version that both speak is used.
    #[n(3)]
    pub newest: u16,
    /// The port on which the sender accepts links, at the address that this link comes from.
    #[n(4)]
    pub port: Option<u16>,
    /// Further addresses of the sender, in other networks.
    #[n(5)]
    #[cbor(with = "addresses", default, skip_if = "Vec::is_empty")]
    pub claimed: Vec<SocketAddr>,
    /// Random at each start. A new epoch means that the sender has forgotten everything.
    #[n(6)]
    pub epoch: u64,
    /// The position up to which the sender knows the receiver's listing.
    #[n(7)]
    pub applied: Option<Position>,
    /// Whether the sender wants to keep this link and be a neighbour.
    #[n(8)]
    #[cbor(default)]
    pub neighbour: bool,
    /// Whether the sender is a visitor, which lists nothing and is shown nowhere.
    #[n(9)]
    #[cbor(default)]
    pub visitor: bool,
    /// The interval, in milliseconds, at which the sender promises to send at least something.
    #[n(10)]
    pub interval: u32,
    /// The number of the sender's group record, if it has one.
    #[n(11)]
    pub record: Option<u64>,
    /// Whether the sender serves its share to ordinary BitTorrent clients, where the group does.
    #[n(12)]
    #[cbor(default, skip_if = "core::ops::Not::not")]
    pub bittorrent: bool,
    /// How many of the claimed addresses, from the first on, the sender's user has named. They are
    /// better than the one that this link comes from.
    #[n(13)]
    #[cbor(default, skip_if = "is_zero")]
    pub advertised: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "minicbor calls it so")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl Hello {
    /// The maximum number of addresses that a member may claim.
    pub const MAX_CLAIMED: usize = 8;

    /// Returns the newest version that both ends speak. Without one, the receiver closes the
    /// link.
    pub fn common_version(&self) -> Option<u16> {
        (self.oldest <= VERSION && VERSION <= self.newest).then_some(VERSION)
    }
}

impl FrameBody for Hello {
    fn check(&self) -> Result<(), FrameError> {
        if self.oldest > self.newest {
            return Err(FrameError::malformed("an oldest version over the newest"));
        }
        at_most(Self::MAX_CLAIMED, &self.claimed, "claimed addresses")?;
        if usize::from(self.advertised) > self.claimed.len() {
            return Err(FrameError::malformed("more addresses named than claimed"));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        THING
    }
}

/// A position in the history of a peer's listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Position {
    /// The history: the peer's epoch.
    #[n(0)]
    pub epoch: u64,
    /// The seq of the last update in that history.
    #[n(1)]
    pub seq: u64,
}
