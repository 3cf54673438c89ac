//! What happens to a peer besides links and time.

use thorp_core::get::{FetchId, Storage};
use thorp_core::links::LinkId;
use thorp_core::peer::Target;
use thorp_files::share::ShareEvent;
use thorp_group::join::Admitted;
use thorp_wire::{Name, PeerId};

use crate::api::Trouble;
use crate::net::dial::Connected;
use crate::net::join::NotJoined;
use crate::net::listener::Incoming;
use crate::snapshot::ViewRequest;

use super::own_addresses::Here;
use super::standing::Change;
use super::{Abandoned, Request};

/// Events of one kind that wait for the peer.
pub(super) const EVENTS: usize = 256;

/// Something that happens to a peer, or that was going on elsewhere and has come
/// to an end.
pub(super) enum Event {
    Request(Request),
    /// A reader asks for what the peer shows.
    Look(ViewRequest),
    /// The last handle is gone.
    Forgotten,
    /// No caller waits for this any more.
    Abandoned(Abandoned),
    /// Nothing is written to this large file any more.
    Released(FetchId),
    Called(Box<Incoming>),
    Dialled(Target, Result<Box<Connected>, Trouble>),
    /// The tracker has ended this link over a certificate, and this is why.
    TurnedAway(LinkId, Trouble),
    Standing(Change),
    Rejoined(Result<Admitted, NotJoined>),
    /// This machine is at these addresses now.
    Moved(Here),
    Share(ShareEvent),
    /// So much was read of a file that is hashed for a caller; nothing, at the end.
    Hashed(Name, Option<u64>),
    /// Files were sent over these links, each of so many bytes.
    Served(Vec<(LinkId, u64)>),
    /// There is a session with this member, or pieces of a file were sent to it.
    InUse(PeerId),
    /// What became of small files that were to be stored.
    Stored(Vec<(FetchId, Storage)>),
}
