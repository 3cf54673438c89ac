//! A membership: how it is saved, and what a peer needs of it at its start.

use std::sync::Arc;

use thorp_disk::DiskThread;
use thorp_group::address::NetAddress;
use thorp_group::certificate::CaKey;
use thorp_group::clock::Clock;
use thorp_group::identity::{Identity, Membership};
use thorp_group::join::Admitted;
use thorp_group::record::Records;
use thorp_group::renewal::Renewal;
use thorp_group::state::StateDir;
use thorp_group::tls::MemberTls;
use tokio::sync::mpsc;

use super::LaunchError;
use crate::net::listener::{Inbound, Refusals, Service};

/// The maximum number of incoming connections that wait for the node.
pub(super) const INCOMING: usize = 256;

/// A peer's membership in use, and its renewal.
pub(super) struct Credentials {
    pub(super) tls: MemberTls,
    pub(super) trackers: Vec<NetAddress>,
    pub(super) ca: CaKey,
    pub(super) renewal: Renewal,
}

impl Credentials {
    pub(super) fn new(
        disk: DiskThread,
        state: &Arc<StateDir>,
        identity: Arc<Identity>,
        membership: Membership,
        clock: &Clock,
    ) -> Result<Self, LaunchError> {
        let tls = member_tls(disk, state, &identity, &membership, clock)?;
        let renewal = Renewal::new(identity, membership.clone(), state, tls.clone());
        Ok(Self {
            tls,
            trackers: membership.trackers,
            ca: membership.ca,
            renewal,
        })
    }

    /// Returns the peer's service on a port, and the members and clients that dial it there.
    pub(super) fn service(&self, for_clients: bool, refusals: Refusals) -> (Service, Inbound) {
        let (sink, members) = mpsc::channel(INCOMING);
        let (client_sink, clients) = mpsc::channel(INCOMING);
        let service = Service {
            tls: self.tls.clone(),
            join: None,
            sink,
            clients: for_clients.then_some(client_sink),
            face: None,
        };
        let inbound = Inbound {
            members,
            clients,
            refusals,
        };
        (service, inbound)
    }
}

/// Makes the configurations of a member, with the group record of its state directory.
pub(super) fn member_tls(
    disk: DiskThread,
    state: &StateDir,
    identity: &Identity,
    membership: &Membership,
    clock: &Clock,
) -> Result<MemberTls, LaunchError> {
    let records = Records::load(disk, state, membership.ca)?;
    let tls = MemberTls::new(identity, membership, clock.clone())?;
    Ok(tls.with_records(records))
}

/// Saves the membership and the record that a tracker gave.
pub(super) fn keep_admitted(
    disk: DiskThread,
    admitted: &Admitted,
    state: &StateDir,
) -> Result<(), LaunchError> {
    keep(disk, &admitted.membership, state)?;
    let records = Records::load(disk, state, admitted.membership.ca)?;
    if let Some(record) = admitted.record.clone() {
        // The record was verified when it arrived.
        let _ = records.adopt(record);
    }
    Ok(records.save(disk, state)?)
}

/// Saves a membership, and removes the record of any other group.
pub(super) fn keep(
    disk: DiskThread,
    membership: &Membership,
    state: &StateDir,
) -> Result<(), LaunchError> {
    let before = Membership::peek(disk, state.path())?;
    if before.is_none_or(|(ca, _)| ca != membership.ca) {
        Records::forget(disk, state)?;
    }
    Ok(membership.save(disk, state)?)
}
