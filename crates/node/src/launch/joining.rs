//! How this machine becomes a member, or is one already.

use std::time::Duration;

use thorp_group::address::NetAddress;
use thorp_group::clock::Clock;
use thorp_group::identity::{Identity, Membership};
use thorp_group::invite::Invite;
use thorp_group::join::Ticket;
use thorp_group::record::Records;
use thorp_group::state::StateDir;
use thorp_group::tls;
use thorp_wire::MemberName;
use tokio::sync::mpsc;

use super::LaunchError;
use super::common::Common;
use super::member::{keep_admitted, member_tls};
use super::owner::free_state;
use crate::api::{Note, Notice};
use crate::net::addresses;
use crate::net::dial::{self, DialError, Expected};
use crate::net::join::{self, NotJoined};
use crate::rows;

/// A certificate is renewed at a start this long before its end.
const RENEW_BEFORE: Duration = Duration::from_hours(20 * 24);

/// How to get into a group.
#[derive(Clone, Debug)]
pub enum Group {
    /// The one that the state directory remembers; without, a new one with a
    /// tracker inside this peer.
    Remembered,
    /// The open group of this tracker.
    Open(NetAddress),
    /// The one that this invite is for.
    Invited(Invite),
}

/// Becomes a member by an invite. Says under which name, and whether this
/// machine was a member of that group before.
pub async fn join(common: Common, invite: Invite) -> Result<(MemberName, bool), LaunchError> {
    let state = free_state(&common.state).await?;
    let identity = Identity::load_or_create(&state)?;
    let wanted = Some(common.own_name());
    let was_member = Membership::peek(state.path()).is_some_and(|(ca, _)| ca == invite.ca);
    let admitted = join::join(&Ticket::from(invite), &identity, wanted, &common.clock).await?;
    keep_admitted(&admitted, &state)?;
    let member = admitted.membership.member();
    let name = member.and_then(|member| member.name);
    Ok((name.unwrap_or_else(|| common.own_name()), was_member))
}

/// Sees to it that this machine is a member of the group that was asked for.
/// Says as well whether a notice has told the user that a tracker is dialled.
pub(super) async fn join_group(
    common: &Common,
    state: &StateDir,
    identity: &Identity,
    remembered: Option<Membership>,
    group: Group,
    notices: &mpsc::Sender<Notice>,
) -> Result<(Membership, bool), LaunchError> {
    if let Some(known) = &remembered
        && !matches!(group, Group::Invited(_))
        && !Records::load(state, known.ca)?.allows(&identity.id())
    {
        return Err(LaunchError::Removed);
    }
    let ticket = match (group, &remembered) {
        (Group::Remembered, Some(known)) => {
            if is_good(known, &common.clock) && !ends_soon(known, &common.clock) {
                return Ok((known.clone(), false));
            }
            Ticket::from(known)
        }
        (Group::Remembered, None) => {
            return Err(LaunchError::NotAMember);
        }
        (Group::Invited(invite), _) => Ticket::from(invite),
        (Group::Open(tracker), Some(known)) if is_good(known, &common.clock) => {
            let membership = follow(tracker, known, state, identity, &common.clock).await?;
            return Ok((membership, false));
        }
        (Group::Open(tracker), known) => Ticket {
            ca: known.as_ref().map(|known| known.ca),
            ..Ticket::open(vec![tracker])
        },
    };
    for tracker in &ticket.trackers {
        // A caller that does not read its notices misses some.
        let _ = notices.try_send(rows::connecting(tracker));
    }
    let joined = join::join(&ticket, identity, Some(common.own_name()), &common.clock).await;
    let is_first_contact = ticket.ca.is_none();
    let admitted = match (joined, remembered) {
        (Ok(admitted), _) => admitted,
        // It was only to be renewed, and there is still time for that.
        (Err(_), Some(known)) if ticket.token.is_none() && is_good(&known, &common.clock) => {
            return Ok((known, true));
        }
        (Err(error), _) => return Err(error.into()),
    };
    keep_admitted(&admitted, state)?;
    if is_first_contact {
        let ca = admitted.membership.ca.to_string();
        let _ = notices.try_send(Notice::Note(Note::TakenOnTrust { ca }));
    }
    Ok((admitted.membership, true))
}

/// Whether it is time to renew a certificate.
fn ends_soon(membership: &Membership, clock: &Clock) -> bool {
    let ends = membership.member().map(|member| member.ends);
    ends.is_some_and(|ends| ends < clock.wall() + RENEW_BEFORE)
}

/// Whether a certificate is believed now.
fn is_good(membership: &Membership, clock: &Clock) -> bool {
    tls::verify_member(&membership.certificate, membership.ca, clock.wall()).is_ok()
}

/// The user has said where a member's tracker is. That is remembered if the
/// tracker there is the group's; one of another group is refused.
async fn follow(
    tracker: NetAddress,
    known: &Membership,
    state: &StateDir,
    identity: &Identity,
    clock: &Clock,
) -> Result<Membership, LaunchError> {
    let moved = Membership {
        trackers: vec![tracker.clone()],
        ..known.clone()
    };
    if known.trackers == moved.trackers {
        return Ok(moved);
    }
    let tls = member_tls(state, identity, known, clock)?;
    let addresses = addresses::resolve(&moved.trackers)
        .await
        .unwrap_or_default();
    let why = match dial::dial(&addresses, Expected::Tracker, &tls, None).await {
        Ok(_) => {
            moved.save(state)?;
            return Ok(moved);
        }
        Err(why) => dial::explain(why, Some(known.ca), clock).await,
    };
    match why {
        DialError::Certificate { why, .. } => Err(LaunchError::OtherTracker { tracker, why }),
        DialError::Clock(_) => Err(NotJoined::Dial(why).into()),
        // It may be away for a while. Trying goes on.
        _ => Ok(moved),
    }
}
