//! The tracker's part: the group's CA, its own certificate, and its local socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use thorp_disk::DiskThread;
use thorp_group::address::NetAddress;
use thorp_group::authority::{Authority, INVITE_VALIDITY, Tracks};
use thorp_group::clock::Clock;
use thorp_group::identity::{Identity, Membership};
use thorp_group::join::JoinService;
use thorp_group::renewal::OwnRenewal;
use thorp_group::sightings::Sightings;
use thorp_group::state::{EMBEDDED, StateDir};
use thorp_group::tls::MemberTls;
use thorp_wire::MemberName;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::clerk::{Clerk, invite_line};
use super::common::Common;
use super::desk::Desk;
use super::member::INCOMING;
use super::owner::free_state;
use super::running::Access;
use super::{LaunchError, on_disk};
use crate::api::{Failure, Notice};
use crate::config::Config;
use crate::net::addresses::Reach;
use crate::net::face::Face;
use crate::net::listener::{Inbound, Refusals, Service};
use crate::page::PageSlot;
use crate::tracker::{Tracker, TrackerSetup};

/// A tracker's state: the group's CA, and its own certificate.
pub(super) struct Office {
    pub(super) state: Arc<StateDir>,
    identity: Arc<Identity>,
    membership: Membership,
    pub(super) authority: Arc<Authority>,
    seen: Arc<Sightings>,
    /// Whether its state directory was made just now.
    is_new: bool,
    tls: MemberTls,
    desk: Desk,
}

impl Office {
    pub(super) async fn open(
        path: &Path,
        name: &MemberName,
        clock: &Clock,
    ) -> Result<Self, LaunchError> {
        let is_new = !is_there(path).await?;
        let opened = Arc::new(free_state(path).await?);
        let (name, clock) = (name.clone(), clock.clone());
        on_disk(move |disk| Self::of(disk, opened, &name, &clock, is_new)).await
    }

    fn of(
        disk: DiskThread,
        state: Arc<StateDir>,
        name: &MemberName,
        clock: &Clock,
        is_new: bool,
    ) -> Result<Self, LaunchError> {
        let identity = Identity::load_or_create(disk, &state)?;
        let authority = Arc::new(Authority::load_or_create(disk, Arc::clone(&state))?);
        let tracker_name = MemberName::nearest(&format!("{name}-tracker"));
        let certificate =
            authority.tracker_certificate(disk, &identity, &tracker_name, clock.wall());
        let membership = Membership {
            certificate: certificate?,
            ca: authority.ca(),
            trackers: Vec::new(),
        };
        let records = authority.records().clone();
        let tls = MemberTls::new(&identity, &membership, clock.clone())?.with_records(records);
        let seen = Arc::new(Sightings::load(disk, Arc::clone(&state)));
        let (at, ca) = (Arc::clone(&state), Arc::clone(&authority));
        Ok(Self {
            desk: Desk::new(disk, at, ca, Arc::clone(&seen))?,
            seen,
            state,
            identity: Arc::new(identity),
            membership,
            authority,
            is_new,
            tls,
        })
    }

    /// Opens the tracker inside a peer. `None` if the peer is a member of another tracker's
    /// group.
    pub(super) async fn inside(
        common: &Common,
        remembered: Option<&Membership>,
    ) -> Result<Option<Self>, LaunchError> {
        let path = common.state.join(EMBEDDED);
        if remembered.is_some() && !is_there(&path).await? {
            return Ok(None);
        }
        let office = Self::open(&path, &common.own_name(), &common.clock).await?;
        let is_own = remembered.is_none_or(|group| group.ca == office.authority.ca());
        Ok(is_own.then_some(office))
    }

    /// Makes a membership for the peer that contains this tracker.
    pub(super) fn admit(
        &self,
        disk: DiskThread,
        peer: &Identity,
        name: &MemberName,
        listen: SocketAddr,
        clock: &Clock,
    ) -> Result<Membership, LaunchError> {
        Ok(Membership {
            certificate: self
                .authority
                .local_certificate(disk, peer, name, clock.wall())?,
            ca: self.authority.ca(),
            trackers: vec![NetAddress::Ip(nearby(listen))],
        })
    }

    /// Returns the face for ordinary clients, if the group's owner has turned it on.
    pub(super) fn face(&self, config: &Config, reach: &Reach, clock: &Clock) -> Option<Face> {
        let is_any = match self.authority.tracks() {
            Tracks::Off => return None,
            Tracks::Group => false,
            Tracks::Any => true,
        };
        Some(Face::new(is_any, config, reach.clone(), clock.clone()))
    }

    /// Returns the tracker's service on a port, and the members that dial it there.
    pub(super) fn service(
        &self,
        clock: &Clock,
        face: Option<Face>,
        refusals: Refusals,
    ) -> Result<(Service, Inbound), LaunchError> {
        let authority = Arc::clone(&self.authority);
        let join = JoinService::new(&self.identity, &self.membership, authority, clock.clone())?;
        let (sink, members) = mpsc::channel(INCOMING);
        let service = Service {
            tls: self.tls.clone(),
            join: Some(join),
            sink,
            clients: None,
            face,
        };
        let inbound = Inbound {
            members,
            // They are served by its face.
            clients: mpsc::channel(1).1,
            refusals,
        };
        Ok((service, inbound))
    }

    pub(super) fn start(
        &self,
        config: Config,
        clock: &Clock,
        reach: Reach,
        inbound: Inbound,
        face: Option<Face>,
        notices: mpsc::Sender<Notice>,
    ) -> (Tracker, JoinHandle<()>) {
        let setup = TrackerSetup {
            tls: self.tls.clone(),
            config,
            clock: clock.clone(),
            reach,
            inbound,
            open: self.authority.is_open(),
            tracks: self.authority.tracks(),
            face,
            seen: Arc::clone(&self.seen),
            renewal: OwnRenewal {
                authority: Arc::clone(&self.authority),
                identity: Arc::clone(&self.identity),
                tls: self.tls.clone(),
            },
        };
        Tracker::start(setup, notices)
    }

    /// Returns how other machines get in. It includes an invite only if the group is new and
    /// needs one: if every start made an invite, they would end up in logs.
    pub(super) fn first_access(
        &self,
        disk: DiskThread,
        reach: &Reach,
        clock: &Clock,
    ) -> Result<Access, Failure> {
        let mut access = self.access(reach);
        if !access.open && self.is_new {
            let invite = invite_line(disk, &self.authority, 1, INVITE_VALIDITY, reach, clock)?;
            access.invite = Some(invite);
        }
        Ok(access)
    }

    /// Returns how other machines get in, without an invite.
    pub(super) fn access(&self, reach: &Reach) -> Access {
        Access {
            trackers: reach.named(),
            open: self.authority.is_open(),
            ca: self.authority.ca(),
            invite: None,
        }
    }

    /// Returns what answers callers on this tracker's own machine.
    pub(super) fn clerk(&self, tracker: &Tracker, reach: &Reach, clock: &Clock) -> Arc<Clerk> {
        Arc::new(Clerk {
            tracker: tracker.clone(),
            clock: clock.clone(),
            reach: reach.clone(),
            authority: Arc::clone(&self.authority),
            desk: self.desk.clone(),
            page: PageSlot::default(),
        })
    }
}

pub(super) async fn is_there(state: &Path) -> Result<bool, LaunchError> {
    let state = state.to_owned();
    on_disk(move |disk| Ok(StateDir::is_there(disk, &state)?)).await
}

/// Returns the address at which this machine itself reaches a socket that listens on `listen`.
fn nearby(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        ip if !ip.is_unspecified() => listen,
        _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()),
    }
}
