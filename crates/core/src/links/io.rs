//! The inputs and outputs of a node's links, and the events that the tracker or peer handles.

use std::net::IpAddr;
use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::{
    Ack, Find, Found, Frame, Holder, Join, Joined, Refused, RequestId, SignedRecord,
};

use super::closing::Closing;
use super::table::{Link, LinkId, Party};
use crate::spared::Lookups;

/// What happened on the links, and what the shell found out for them. The same for tracker and
/// peer.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A connection to a member is open, encrypted and authenticated.
    Connected {
        /// The id of the link from now on.
        link: LinkId,
        /// The member at the other end.
        member: Party,
        /// Whether this node dialled. A tracker never does.
        dialled: bool,
        /// The address from which the member is connected.
        remote: IpAddr,
    },
    /// A connection was closed.
    Disconnected {
        /// The link.
        link: LinkId,
        /// Why, for the user.
        reason: String,
    },
    /// A frame has arrived; any type but `Content`, which the shell handles.
    Frame {
        /// The link.
        link: LinkId,
        /// The frame.
        frame: Frame,
    },
    /// Bytes have arrived that are not a whole frame yet, or that do not pass through the core.
    Heard {
        /// The link.
        link: LinkId,
        /// How many of them belong to the content of a file that is still arriving.
        content: u32,
    },
    /// A link will end soon, because a certificate that it was made with expires.
    Expiring {
        /// The link.
        link: LinkId,
    },
    /// Most of the updates that were sent on this link are written: the answer to
    /// [`Output::AwaitRoom`].
    Room {
        /// The link.
        link: LinkId,
    },
    /// The other end reads: bytes of a long update have found room in the connection, which they do
    /// only as earlier ones are read. A sign of life, like bytes that arrive.
    Reads {
        /// The link.
        link: LinkId,
    },
    /// A group record was verified and is in force: it came on a link, was stored earlier, or was
    /// made by the CA of this node.
    Adopted {
        /// The record.
        record: SignedRecord,
    },
    /// The group record that came on this link is not signed by the group's CA.
    Forged {
        /// The link.
        link: LinkId,
    },
    /// Say goodbye to all members and stop.
    Stop {
        /// Why, for the user.
        reason: String,
    },
}

impl Input {
    /// Reports bytes that do not pass through the core.
    pub fn heard(link: LinkId) -> Self {
        Self::Heard { link, content: 0 }
    }
}

/// What the shell is to do with the links. The same for tracker and peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send(LinkId, Frame),
    /// Send [`Input::Room`] as soon as few bytes of updates wait to be written on this link.
    AwaitRoom(LinkId),
    /// Close a connection, after sending everything that was sent before.
    Close(LinkId, Closing),
    /// Verify a group record that came on this link and is newer than this node's, then send
    /// [`Input::Adopted`] or [`Input::Forged`].
    Verify(LinkId, SignedRecord),
}

/// What this node offers a member in its first hello.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Whether it offers to be neighbours.
    pub willing: bool,
    /// The interval that this node promises until another one is granted.
    pub interval: Duration,
}

/// Something happened on the links that the tracker or peer has to handle.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection to this member was closed before it was up.
    TurnedAway {
        member: PeerId,
        reason: &'static str,
    },
    /// A link is up. `their_copy` is the state of this node's listing that the member has.
    Up {
        link: LinkId,
        their_copy: Option<u64>,
    },
    /// A member's addresses have changed.
    Moved { link: LinkId },
    /// A link is gone, for any reason.
    Down(Down),
    /// A member's listing has changed, or a change did not fit into the bounds.
    ListingChanged { member: PeerId },
    /// The number of members at this listed member's address has become more than one, or one
    /// again.
    Regrouped { member: PeerId },
    /// A member's listing exceeds the bounds and is not kept.
    Unlisted(Holder),
    /// Bytes of a file that is still arriving have come from this member.
    Flowing { member: PeerId, bytes: u32 },
    /// A member has reported its own lookups.
    LookedUp(Lookups),
    /// A member asks a question. Answer with [`super::Links::answer`].
    Asked {
        link: LinkId,
        request: RequestId,
        find: Find,
    },
    /// An answer has arrived.
    Found {
        link: LinkId,
        request: RequestId,
        found: Found,
    },
    /// A question was refused.
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
    /// The tracker has answered such a request.
    Joined {
        link: LinkId,
        request: RequestId,
        joined: Joined,
    },
    /// A member has acknowledged an update of this node.
    Acknowledged { link: LinkId, ack: Ack },
    /// A newer group record is in force, which removes these members. Comes before the events
    /// about their links.
    Adopted { removed: Vec<PeerId> },
    /// This node itself was removed. Comes after the events about other members.
    Expelled,
    /// A link that this node dialled will end with its certificate.
    Expiring { link: LinkId },
    /// A sign of life is due on this link.
    Silent { link: LinkId },
}

/// A link that has ended.
#[derive(Debug)]
pub(crate) struct Down {
    pub link: LinkId,
    /// The link as it was.
    pub was: Box<Link>,
    /// Whether it was the link in use for its member, which is thus not connected any more.
    pub was_in_use: bool,
    /// Whether one end closed it on purpose; otherwise it broke or was silent.
    pub on_purpose: bool,
    /// Why, for the user.
    pub reason: String,
}
