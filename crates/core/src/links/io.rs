//! The inputs of a node's links, their outputs, and the events that they leave
//! to the machine that has them.

use std::net::IpAddr;
use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::{
    Ack, Find, Found, Frame, Holder, Join, Joined, Refused, RequestId, SignedRecord,
};

use super::table::{Link, LinkId, Party};
use crate::spared::Lookups;

/// What happens on links, and what the shell has found out for them. The same
/// for a tracker and a peer.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A connection to a member is open, encrypted and authenticated.
    Connected {
        /// Its number from now on.
        link: LinkId,
        /// The member at the other end.
        member: Party,
        /// Whether this end dialled. A tracker never does.
        dialled: bool,
        /// The address the other end is seen at.
        remote: IpAddr,
    },
    /// A connection is gone.
    Disconnected {
        /// Which.
        link: LinkId,
        /// Why, for a person.
        reason: String,
    },
    /// A frame has arrived (any but `Content`, which the shell keeps).
    Frame {
        /// On this link.
        link: LinkId,
        /// The frame.
        frame: Frame,
    },
    /// Bytes have arrived that are no whole frame yet, or that the core does
    /// not see.
    Heard {
        /// On this link.
        link: LinkId,
        /// How many of them are of a file's content that is not whole yet.
        content: u32,
    },
    /// A link will end soon, since a certificate that it was made with ends.
    Expiring {
        /// Which.
        link: LinkId,
    },
    /// A group record was verified and is in force: one that came on a link, the
    /// one that was kept, or the authority's own.
    Adopted {
        /// The record.
        record: SignedRecord,
    },
    /// The group record that came on this link is not the group's.
    Forged {
        /// Which link.
        link: LinkId,
    },
    /// Say goodbye to all members.
    Stop {
        /// Why, for a person.
        reason: String,
    },
}

impl Input {
    /// Something has arrived that the core does not see.
    pub fn heard(link: LinkId) -> Self {
        Self::Heard { link, content: 0 }
    }
}

/// What is to be done on links. The same for a tracker and a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send(LinkId, Frame),
    /// Close a connection, after everything sent before.
    Close(LinkId, String),
    /// A group record that is newer than this node's has come on this link.
    /// Verify it, then say [`Input::Adopted`] or [`Input::Forged`].
    Verify(LinkId, SignedRecord),
}

/// What is offered to a member in the first hello.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Whether to be neighbours.
    pub willing: bool,
    /// What this node promises until another interval is granted.
    pub interval: Duration,
}

/// What has happened on the links that concerns the machine that has them.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection to this member was closed at once.
    TurnedAway {
        member: PeerId,
        reason: &'static str,
    },
    /// A link is up. `their_copy` is the state of the own listing that the
    /// other end has.
    Up {
        link: LinkId,
        their_copy: Option<u64>,
    },
    /// A member has other addresses.
    Moved { link: LinkId },
    /// A link is gone, whatever ended it.
    Down(Down),
    /// A member's listing has changed, or there was no room for its change.
    ListingChanged { member: PeerId },
    /// Another member has joined this listed one at its address, or has left it
    /// alone there.
    Regrouped { member: PeerId },
    /// A member's listing is over the bounds and is not kept.
    Unlisted(Holder),
    /// So many bytes of a file that is not whole yet have come from this member.
    Flowing { member: PeerId, bytes: u32 },
    /// A member tells of lookups of its own.
    LookedUp(Lookups),
    /// A member has this question. Answer it with [`super::Links::answer`].
    Asked {
        link: LinkId,
        request: RequestId,
        find: Find,
    },
    /// An answer.
    Found {
        link: LinkId,
        request: RequestId,
        found: Found,
    },
    /// A refusal instead of an answer.
    Refused {
        link: LinkId,
        request: RequestId,
        refused: Refused,
    },
    /// A member asks for a new certificate.
    RenewalAsked {
        link: LinkId,
        request: RequestId,
        member: PeerId,
        join: Join,
    },
    /// The tracker's answer to such a request.
    Joined {
        link: LinkId,
        request: RequestId,
        joined: Joined,
    },
    /// A member says what it made of this node's updates.
    Acknowledged { link: LinkId, ack: Ack },
    /// A newer group record is in force, which removes these members. Comes
    /// before the links to them go down.
    Adopted { removed: Vec<PeerId> },
    /// This node itself was removed. Comes after all that.
    Expelled,
    /// A link that this end has dialled will end with its certificate.
    Expiring { link: LinkId },
    /// A sign of life is due on this link.
    Silent { link: LinkId },
}

/// A link that is gone.
#[derive(Debug)]
pub(crate) struct Down {
    pub link: LinkId,
    /// As it was.
    pub was: Box<Link>,
    /// Whether it was the one in use for its member, which is gone then, too.
    pub was_in_use: bool,
    /// Whether one end has closed it on purpose; otherwise it broke or was
    /// silent.
    pub on_purpose: bool,
    /// Why, for a person.
    pub reason: String,
}
