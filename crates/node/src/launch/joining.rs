//! How this machine becomes a member, or finds that it is one.

use std::sync::Arc;
use std::time::Duration;

use thorp_disk::DiskThread;
use thorp_group::address::NetAddress;
use thorp_group::certificate::CaKey;
use thorp_group::clock::Clock;
use thorp_group::identity::{Identity, Membership};
use thorp_group::invite::Invite;
use thorp_group::join::{Admitted, Ticket};
use thorp_group::record::Records;
use thorp_group::state::StateDir;
use thorp_group::tls;
use thorp_wire::MemberName;
use tokio::sync::mpsc;

use super::common::Common;
use super::leaving::{Standing, standing_of};
use super::member::{keep_admitted, member_tls};
use super::owner::free_state;
use super::{LaunchError, on_disk};
use crate::api::{Note, Notice};
use crate::net::addresses;
use crate::net::dial::{self, DialError, Expected};
use crate::net::join::{self, NotJoined};
use crate::rows;

/// How long before its end a certificate is renewed when a node starts.
const RENEW_BEFORE: Duration = Duration::from_hours(20 * 24);

/// Which group to be a member of.
#[derive(Clone, Debug)]
pub enum Group {
    /// The group that the state directory remembers. If there is none, a peer makes a new one,
    /// with a tracker inside.
    Remembered,
    /// The open group of this tracker.
    Open(NetAddress),
    /// The group that issued this invite.
    Invited(Invite),
}

/// Becomes a member by an invite. Returns the name in the group, and whether this machine was a
/// member of that group before. `note` is told if this machine has to wait for its turn because
/// too many are joining, and of the group that it has left.
pub async fn join(
    common: Common,
    invite: Invite,
    mut note: impl FnMut(Note),
) -> Result<(MemberName, bool), LaunchError> {
    let state = Arc::new(free_state(&common.state).await?);
    let (opened, ca) = (Arc::clone(&state), invite.ca);
    let (identity, was_member, former) = on_disk(move |disk| {
        let identity = Identity::load_or_create(disk, &opened)?;
        let member_of = Membership::peek(disk, opened.path())?;
        let was_member = member_of.is_some_and(|(known, _)| known == ca);
        Ok((identity, was_member, former_group(disk, &opened, ca)?))
    })
    .await?;
    let wanted = Some(common.own_name());
    let (ticket, clock) = (Ticket::from(invite), &common.clock);
    let on_wait = || note(Note::WaitsToJoin);
    let admitted = join::join_in_turn(&ticket, &identity, wanted, clock, on_wait).await?;
    let admitted = saved(admitted, &state).await?;
    if let Some(former) = former {
        note(former);
    }
    let member = admitted.membership.member();
    let name = member.and_then(|member| member.name);
    Ok((name.unwrap_or_else(|| common.own_name()), was_member))
}

/// Ensures that this machine is a member of the requested group. Also returns whether the user
/// has been told that a tracker is dialled.
pub(super) async fn join_group(
    common: &Common,
    state: &Arc<StateDir>,
    identity: &Arc<Identity>,
    remembered: Option<Membership>,
    group: Group,
    notices: &mpsc::Sender<Notice>,
) -> Result<(Membership, bool), LaunchError> {
    if let Some(known) = &remembered
        && !matches!(group, Group::Invited(_))
        && !records(state, known.ca).await?.allows(&identity.id())
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
    let name = Some(common.own_name());
    let on_wait = || {
        let _ = notices.try_send(Notice::Note(Note::WaitsToJoin));
    };
    let joined = join::join_in_turn(&ticket, identity, name, &common.clock, on_wait).await;
    let is_first_contact = ticket.ca.is_none();
    let admitted = match (joined, remembered) {
        (Ok(admitted), _) => admitted,
        // The certificate was only to be renewed, and that can wait.
        (Err(_), Some(known)) if ticket.token.is_none() && is_good(&known, &common.clock) => {
            return Ok((known, true));
        }
        (Err(error), _) => return Err(error.into()),
    };
    let (joined, opened) = (admitted.membership.ca, Arc::clone(state));
    let former = on_disk(move |disk| former_group(disk, &opened, joined)).await?;
    let admitted = saved(admitted, state).await?;
    if let Some(former) = former {
        let _ = notices.try_send(Notice::Note(former));
    }
    if is_first_contact {
        let ca = admitted.membership.ca.to_string();
        let _ = notices.try_send(Notice::Note(Note::TakenOnTrust { ca }));
    }
    Ok((admitted.membership, true))
}

/// The group that this machine leaves if it joins the one with this CA.
fn former_group(
    disk: DiskThread,
    state: &StateDir,
    joined: CaKey,
) -> Result<Option<Note>, LaunchError> {
    let member_of = Membership::peek(disk, state.path())?;
    let Some((_, trackers)) = member_of.filter(|(ca, _)| *ca != joined) else {
        return Ok(None);
    };
    Ok(Some(Note::LeftGroup {
        trackers: trackers.iter().map(ToString::to_string).collect(),
        keeps: standing_of(disk, state.path())? == Standing::Keeper,
    }))
}

async fn records(state: &Arc<StateDir>, ca: CaKey) -> Result<Records, LaunchError> {
    let state = Arc::clone(state);
    on_disk(move |disk| Ok(Records::load(disk, &state, ca)?)).await
}

/// Saves what a tracker gave, and returns it.
async fn saved(admitted: Admitted, state: &Arc<StateDir>) -> Result<Admitted, LaunchError> {
    let state = Arc::clone(state);
    on_disk(move |disk| {
        keep_admitted(disk, &admitted, &state)?;
        Ok(admitted)
    })
    .await
}

/// Whether a certificate has to be renewed at a start.
fn ends_soon(membership: &Membership, clock: &Clock) -> bool {
    let ends = membership.member().map(|member| member.ends);
    ends.is_some_and(|ends| ends < clock.wall() + RENEW_BEFORE)
}

/// Whether a certificate is valid now.
fn is_good(membership: &Membership, clock: &Clock) -> bool {
    tls::verify_member(&membership.certificate, membership.ca, clock.wall()).is_ok()
}

/// Adopts a new address of the group's tracker that the user has given. Saves it if the tracker
/// there is the group's, and fails if it is another group's.
async fn follow(
    tracker: NetAddress,
    known: &Membership,
    state: &Arc<StateDir>,
    identity: &Arc<Identity>,
    clock: &Clock,
) -> Result<Membership, LaunchError> {
    let moved = Membership {
        trackers: vec![tracker.clone()],
        ..known.clone()
    };
    if known.trackers == moved.trackers {
        return Ok(moved);
    }
    let tls = {
        let (state, identity) = (Arc::clone(state), Arc::clone(identity));
        let (known, clock) = (known.clone(), clock.clone());
        on_disk(move |disk| member_tls(disk, &state, &identity, &known, &clock)).await?
    };
    let addresses = addresses::resolve(&moved.trackers)
        .await
        .unwrap_or_default();
    let why = match dial::dial(&addresses, Expected::Tracker, &tls, None).await {
        Ok(_) => {
            let state = Arc::clone(state);
            let save = move |disk| {
                moved.save(disk, &state)?;
                Ok(moved)
            };
            return on_disk(save).await;
        }
        Err(why) => dial::explain(why, Some(known.ca), clock).await,
    };
    match why {
        DialError::Certificate { why, .. } => Err(LaunchError::OtherTracker { tracker, why }),
        DialError::Clock(_) => Err(NotJoined::Dial(why).into()),
        // The tracker may be unreachable for a while, and the peer will keep trying.
        _ => Ok(moved),
    }
}
