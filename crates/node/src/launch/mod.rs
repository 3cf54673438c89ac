//! Assembles a node from its state directory: key, membership, share, port.
//!
//! ```text
//! mod       a peer or a tracker that keeps running
//! visit     a visitor, used if no peer runs
//! office    the tracker's part: the group's CA, its certificate, its socket
//! clerk     what a tracker answers callers on its own machine
//! desk      answers about members, invites and backups, where the CA is
//! owner     which process uses a state directory, and waiting for it to end
//! leaving   how a state directory forgets its group, or everything
//! leftover  what interrupted fetches have left in a directory
//! joining   how this machine becomes a member
//! member    how a membership is saved, and what a peer needs of it
//! running   a running node, and how it ends
//! common    what every node is started with
//! failure   why a node cannot be started, or a group not be left
//! ```
//!
//! This module owns the order in which the parts are assembled. Each part is a module of its own
//! and does not know that order.

mod clerk;
mod common;
mod desk;
mod failure;
mod joining;
mod leaving;
mod leftover;
mod member;
mod office;
mod owner;
mod running;
mod visit;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use thorp_disk::{DiskThread, LetGo};
use thorp_files::share::{self, Share, ShareEvent};
use thorp_group::address::{PEER_PORT, TRACKER_PORT};
use thorp_group::authority::Authority;
use thorp_group::clock::Clock;
use thorp_group::identity::{Identity, Membership};
use thorp_group::state::StateDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::{Notice, Warning};
use crate::config::Config;
use crate::local::{self, Listening};
use crate::net::addresses::Reach;
use crate::net::face::Face;
use crate::net::face::udp::{self, UdpThreads};
use crate::net::listener::{Listen, ListenError, Listener, Running, Service};
use crate::page::{self, PageSetup, PageSlot};
use crate::peer::{Memory, Peer, PeerSetup, Role};
use crate::tracker::Tracker;

pub use clerk::Clerk;
pub use common::Common;
pub use desk::{
    MeantMember, ask_keeper, ask_running, has_ca, invite, is_a_peers, is_by_invitation, meant,
    removable, restore, shared_by,
};
pub use failure::LaunchError;
use joining::join_group;
pub use joining::{Group, join};
pub use leaving::{Left, Standing, TOLD_WHERE, leave, membership, standing, was_removed};
pub use leftover::{leftovers, remove_leftovers};
use member::{Credentials, keep};
use office::Office;
use owner::free_state;
use running::Held;
pub use running::{Access, RunningPeer, RunningTracker};
pub use thorp_group::authority::{INVITE_VALIDITY, MAX_USES, Tracks};
pub use thorp_group::state::EMBEDDED;
pub use visit::{ask, ask_node};

/// Starts a peer that shares a directory. If the peer keeps its own group, or has no group yet,
/// the group's tracker runs inside: one process, one port.
pub async fn share(
    common: Common,
    dir: &Path,
    options: share::Options,
    group: Group,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningPeer, LaunchError> {
    // A wrong directory is the usual mistake, so it is checked before anything is joined or made.
    let (config, options) = configured(&common, dir, options).await?;
    let state = Arc::new(peers_state(&common.state).await?);
    let (dir, at) = (dir.to_owned(), Arc::clone(&state));
    let opened = on_disk(move |disk| Opened::new(disk, &at, &dir, &options)).await?;
    let office = own_office(&common, &config, &group, opened.remembered.as_ref());
    let office = Box::pin(office).await?;
    let (membership, announced, listener) = if let Some(office) = &office {
        // The port comes first, since it is part of the tracker's address in the membership.
        let usual = Listen::PortOrNext(TRACKER_PORT);
        let listener = common.listener(usual).await?;
        let membership = admitted(
            &common,
            office,
            &opened.identity,
            &state,
            listener.address(),
        );
        (membership.await?, true, listener)
    } else {
        // Boxed, because the future of a dial is large.
        let joined = join_group(
            &common,
            &state,
            &opened.identity,
            opened.remembered,
            group,
            &notices,
        );
        let (membership, announced) = Box::pin(joined).await?;
        let usual = Listen::PortOrNext(PEER_PORT);
        (membership, announced, common.listener(usual).await?)
    };
    let listen = listener.address();
    let reach = common.reach(listen).await;
    let member = (opened.identity, membership);
    let settling = Settling::new(&common, member, &state, office.as_ref(), &reach, &notices);
    let settled = on_disk(move |disk| settling.done(disk)).await?;
    let credentials = settled.credentials;
    if office.is_none() {
        warn_of_name(&common, &credentials, &notices);
    }

    let (service, inbound) = credentials.service(config.share_bittorrent, listener.refusals());
    let (port, udp, tracker) = match &office {
        Some(office) => {
            let by_tracker = (config.clone(), notices.clone());
            let (port, udp, tracker) =
                with_tracker(office, &common, listener, service, &reach, by_tracker)?;
            (port, udp, Some(tracker))
        }
        None => (listener.serve(vec![service]), None, None),
    };
    let slot = PageSlot::default();
    // Boxed, as above: the future of a start is large already.
    let page = Box::pin(page_setup(&config, &state, &slot, notices.clone())).await?;
    let setup = PeerSetup {
        tls: credentials.tls,
        trackers: credentials.trackers,
        config,
        clock: common.clock.clone(),
        role: Role::Sharing {
            share: opened.share,
            changes: opened.changes,
            reach: reach.clone(),
            inbound,
            memory: settled.memory,
        },
        announced,
        renewal: credentials.renewal,
        reading: state.file(page::CACHE),
        page: slot,
    };
    // From here on nothing is waited for: what the peer says comes after the word that it shares.
    let (peer, task) = Peer::start(setup, notices);

    let asked = peer.clone();
    let mut held = Held {
        sockets: vec![local::answer(settled.socket, move |command| {
            asked.command(command)
        })?],
        port: Some(port),
        udp,
        states: vec![state],
    };
    let mut clerk = None;
    if let (Some(office), Some((tracker, _)), Some(socket)) =
        (office, &tracker, settled.office_socket)
    {
        let inside = office.clerk(tracker, &reach, &common.clock);
        held.sockets.push(inside.attend(socket)?);
        held.states.push(Arc::clone(&office.state));
        clerk = Some(inside);
    }
    Ok(RunningPeer {
        peer,
        listen: Some(listen),
        access: settled.access,
        clerk,
        page,
        task,
        tracker,
        held: LetGo::new(held),
    })
}

/// Opens the tracker inside this peer, if the peer keeps its own group or has none yet.
async fn own_office(
    common: &Common,
    config: &Config,
    group: &Group,
    remembered: Option<&Membership>,
) -> Result<Option<Arc<Office>>, LaunchError> {
    let office = match group {
        Group::Remembered => Office::inside(common, remembered).await?,
        Group::Open(_) | Group::Invited(_) => None,
    };
    if let Some(office) = &office
        && config.share_bittorrent
        && !office.authority.tracks().is_on()
    {
        // Who shares here owns the group as well.
        let authority = Arc::clone(&office.authority);
        on_disk(move |disk| Ok(authority.set_tracks(disk, Tracks::Group)?)).await?;
    }
    Ok(office.map(Arc::new))
}

/// The port that a tracker inside a peer has with it, what answers there over UDP, and the tracker.
type TrackerInside = (Running, Option<UdpThreads>, (Tracker, JoinHandle<()>));

/// Starts the tracker inside a peer, on the same port as the peer's service.
fn with_tracker(
    office: &Office,
    common: &Common,
    listener: Listener,
    peer: Service,
    reach: &Reach,
    (config, notices): (Config, mpsc::Sender<Notice>),
) -> Result<TrackerInside, LaunchError> {
    let clock = &common.clock;
    let face = office.face(&config, reach, clock);
    let udp = answering_udp(listener.address(), face.as_ref())?;
    let (service, inbound) = office.service(clock, face.clone(), listener.refusals())?;
    let port = listener.serve(vec![service, peer]);
    let tracker = office.start(config, clock, reach.clone(), inbound, face, notices);
    Ok((port, udp, tracker))
}

/// Loads the settings, completes the options by them, and checks that the directory can be
/// shared.
async fn configured(
    common: &Common,
    dir: &Path,
    options: share::Options,
) -> Result<(Config, share::Options), LaunchError> {
    let (common, dir) = (common.clone(), dir.to_owned());
    on_disk(move |disk| {
        let config = common.config(disk)?;
        let options = share::Options {
            hidden: options.hidden || config.share_hidden,
            bittorrent: config.share_bittorrent,
            poll: config.share_look_again,
            ..options
        };
        Share::check(disk, &dir, &options)?;
        Ok((config, options))
    })
    .await
}

/// Makes the peer a member of the group whose tracker it contains.
async fn admitted(
    common: &Common,
    office: &Arc<Office>,
    identity: &Arc<Identity>,
    state: &Arc<StateDir>,
    listen: SocketAddr,
) -> Result<Membership, LaunchError> {
    let (common, office) = (common.clone(), Arc::clone(office));
    let (identity, state) = (Arc::clone(identity), Arc::clone(state));
    on_disk(move |disk| {
        let name = common.own_name();
        let membership = office.admit(disk, &identity, &name, listen, &common.clock)?;
        keep(disk, &membership, &state)?;
        Ok(membership)
    })
    .await
}

/// What a peer loads from the disk when it starts.
struct Opened {
    share: Share,
    changes: mpsc::Receiver<ShareEvent>,
    identity: Arc<Identity>,
    remembered: Option<Membership>,
}

impl Opened {
    fn new(
        disk: DiskThread,
        state: &StateDir,
        dir: &Path,
        options: &share::Options,
    ) -> Result<Self, LaunchError> {
        let options = share::Options {
            cache: Some(state.file(share::CACHE)),
            ..options.clone()
        };
        let (share, changes) = Share::open(disk, dir, options)?;
        let identity = Identity::load_or_create(disk, state)?;
        let remembered = Membership::load(disk, state, &identity)?;
        Ok(Self {
            share,
            changes,
            identity: Arc::new(identity),
            remembered,
        })
    }
}

/// The last steps on the disk of a peer that has become a member, before it runs.
struct Settling {
    identity: Arc<Identity>,
    membership: Membership,
    state: Arc<StateDir>,
    office: Option<Arc<Office>>,
    reach: Reach,
    clock: Clock,
    notices: mpsc::Sender<Notice>,
}

/// What these steps yield.
struct Settled {
    credentials: Credentials,
    memory: Memory,
    access: Option<Access>,
    socket: Listening,
    office_socket: Option<Listening>,
}

impl Settling {
    fn new(
        common: &Common,
        (identity, membership): (Arc<Identity>, Membership),
        state: &Arc<StateDir>,
        office: Option<&Arc<Office>>,
        reach: &Reach,
        notices: &mpsc::Sender<Notice>,
    ) -> Self {
        Self {
            identity,
            membership,
            state: Arc::clone(state),
            office: office.cloned(),
            reach: reach.clone(),
            clock: common.clock.clone(),
            notices: notices.clone(),
        }
    }

    fn done(self, disk: DiskThread) -> Result<Settled, LaunchError> {
        let (state, office) = (&self.state, self.office.as_ref());
        let credentials =
            Credentials::new(disk, state, self.identity, self.membership, &self.clock)?;
        let access = office.map(|office| office.first_access(disk, &self.reach, &self.clock));
        let socket = |state: &StateDir| local::listen(disk, state.path());
        Ok(Settled {
            memory: Memory::open(disk, Arc::clone(state), credentials.ca, &self.notices),
            credentials,
            access: access.transpose()?,
            socket: socket(state)?,
            office_socket: office.map(|office| socket(&office.state)).transpose()?,
        })
    }
}

/// What the owner of a group decides when its tracker starts. `None` keeps what was decided
/// before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// Whether the group admits every machine that asks.
    pub open: Option<bool>,
    /// Which torrents are tracked for ordinary BitTorrent clients.
    pub tracks: Option<Tracks>,
}

impl Decided {
    /// Opens the group to every machine that asks.
    pub fn opened() -> Self {
        Self {
            open: Some(true),
            tracks: None,
        }
    }

    fn write(self, disk: DiskThread, authority: &Authority) -> Result<(), LaunchError> {
        if let Some(open) = self.open {
            authority.set_open(disk, open)?;
        }
        if let Some(tracks) = self.tracks {
            authority.set_tracks(disk, tracks)?;
        }
        Ok(())
    }
}

/// The state directory of a peer that is to start. What a peer makes would take the place of what a
/// tracker that runs alone has in its own.
async fn peers_state(path: &Path) -> Result<StateDir, LaunchError> {
    if has_ca(path).await? {
        let state = path.to_owned();
        return Err(LaunchError::TrackersState { state });
    }
    free_state(path).await
}

/// Starts a tracker without a peer.
pub async fn tracker(
    common: Common,
    decided: Decided,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningTracker, LaunchError> {
    let config = {
        let common = common.clone();
        on_disk(move |disk| common.config(disk)).await?
    };
    if is_a_peers(&common.state).await? {
        let state = common.state;
        return Err(LaunchError::PeersState { state });
    }
    let office = Office::open(&common.state, &common.own_name(), &common.clock).await?;
    let socket = {
        let (authority, state) = (Arc::clone(&office.authority), Arc::clone(&office.state));
        on_disk(move |disk| {
            decided.write(disk, &authority)?;
            Ok(local::listen(disk, state.path())?)
        })
        .await?
    };
    let listener = common.listener(Listen::Port(TRACKER_PORT)).await?;
    let listen = listener.address();
    let reach = common.reach(listen).await;
    let face = office.face(&config, &reach, &common.clock);
    let udp = answering_udp(listen, face.as_ref())?;
    let (service, inbound) = office.service(&common.clock, face.clone(), listener.refusals())?;
    let port = listener.serve(vec![service]);
    let (clock, settings) = (&common.clock, config.clone());
    let warned = notices.clone();
    let (tracker, task) = office.start(config, clock, reach.clone(), inbound, face, notices);
    let clerk = office.clerk(&tracker, &reach, &common.clock);
    let socket = clerk.attend(socket)?;
    let page = page_setup(&settings, &office.state, &clerk.page, warned).await?;
    Ok(RunningTracker {
        tracker,
        listen,
        clerk,
        page,
        access: office.access(&reach),
        task,
        held: LetGo::new(Held {
            sockets: vec![socket],
            port: Some(port),
            udp,
            states: vec![office.state],
        }),
    })
}

/// Answers ordinary clients over UDP, if there is a face for them.
fn answering_udp(
    listen: SocketAddr,
    face: Option<&Face>,
) -> Result<Option<UdpThreads>, ListenError> {
    let serve = |face| udp::Bound::at(listen)?.serve(face);
    let answering = face.map(serve).transpose();
    answering.map_err(|error| ListenError::Udp {
        address: listen,
        error,
    })
}

/// Prepares the page of a node.
async fn page_setup(
    config: &Config,
    state: &Arc<StateDir>,
    slot: &PageSlot,
    notices: mpsc::Sender<Notice>,
) -> Result<Option<Box<PageSetup>>, LaunchError> {
    let (config, state, slot) = (config.clone(), Arc::clone(state), slot.clone());
    let made = move |disk| Ok(PageSetup::new(disk, &config, &state, &slot, &notices));
    Ok(on_disk(made).await?.map(Box::new))
}

/// Warns the user that the group knows this machine by another name than requested, since a
/// member keeps the name under which it joined.
fn warn_of_name(common: &Common, credentials: &Credentials, notices: &mpsc::Sender<Notice>) {
    if let (Some(wanted), Some(called)) = (&common.name, credentials.tls.member().name)
        && *wanted != called
    {
        let wanted = wanted.clone();
        let warning = Warning::CalledOtherwise { called, wanted };
        // A caller that does not read its notices misses some.
        let _ = notices.try_send(Notice::Warning(warning));
    }
}

/// Runs a step of a start or an end on a thread for the disk.
async fn on_disk<T: Send + 'static>(
    step: impl FnOnce(DiskThread) -> Result<T, LaunchError> + Send + 'static,
) -> Result<T, LaunchError> {
    thorp_disk::spawn(step).await?
}
