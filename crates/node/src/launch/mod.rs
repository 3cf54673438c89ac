//! A node put together from its state directory: key, membership, share, port.
//!
//! ```text
//! mod       a peer or a tracker that stays
//! visit     a peer for the moment, where none is running
//! joining   how this machine becomes a member
//! office    a tracker's own: the group's CA, its certificate, its socket
//! desk      what a person asks where the CA is: members, invites, a backup
//! leaving   how a state directory forgets its group, or everything
//! failure   why a node cannot be started, or a group not be left
//! ```
//!
//! Owns the order in which things are put together. Each part is a module of
//! its own.

mod desk;
mod failure;
mod joining;
mod leaving;
mod office;
mod visit;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thorp_files::share::{self, Share};
use thorp_group::address::{ListenAddress, NetAddress, PEER_PORT, TRACKER_PORT};
use thorp_group::authority::INVITE_VALIDITY;
use thorp_group::backup::{Backup, BackupError};
use thorp_group::certificate::CaKey;
use thorp_group::clock::Clock;
use thorp_group::identity::{Identity, Membership};
use thorp_group::invite::Invite;
use thorp_group::join::{Admitted, Ticket};
use thorp_group::record::Records;
use thorp_group::renewal::Renewal;
use thorp_group::state::StateDir;
use thorp_group::tls::MemberTls;
use thorp_wire::MemberName;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::{Notice, Warning};
use crate::config::{self, Config, Setting};
use crate::local::{self, Answering, LocalError};
use crate::net::addresses;
use crate::net::join;
use crate::net::listener::{Listen, ListenError, Listener, Running, Service};
use crate::peer::{Memory, Peer, PeerSetup, Role};
use crate::tracker::{Tracker, TrackerSetup};

pub use desk::{ask_keeper, ask_running, has_ca, invite, meant, removable, shared_by};
pub use failure::LaunchError;
use joining::join_group;
pub use leaving::{Left, Standing, leave, standing};
use office::Office;
pub use thorp_group::authority::is_by_invitation;
pub use thorp_group::state::EMBEDDED;
pub use visit::ask;

/// Members that have dialled and wait for the node.
const INCOMING: usize = 256;
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

/// What every node is started with.
#[derive(Clone, Debug)]
pub struct Common {
    /// The state directory.
    pub state: PathBuf,
    /// Settings that override `config.toml`, the last of a key counts.
    pub settings: Vec<Setting>,
    /// What to call this machine; its host name, if nothing is said.
    pub name: Option<MemberName>,
    /// Where to listen; at the role's own port everywhere, if nothing is said.
    pub listen: Option<ListenAddress>,
    /// What time it is.
    pub clock: Clock,
}

/// A peer that runs in this process, perhaps with its group's tracker.
pub struct RunningPeer {
    /// The peer.
    pub peer: Peer,
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// What to type on another machine, where this peer has made its own group.
    pub access: Option<Access>,
    tasks: Vec<JoinHandle<()>>,
    tracker: Option<Tracker>,
    held: Held,
}

/// A tracker that runs in this process.
pub struct RunningTracker {
    /// The tracker.
    pub tracker: Tracker,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How others get in.
    pub access: Access,
    task: JoinHandle<()>,
    held: Held,
}

/// How another machine gets into the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The tracker's addresses, as others see them, the best first.
    pub trackers: Vec<SocketAddr>,
    /// Whether an address is enough.
    pub open: bool,
    /// The key of the group's CA, for people to compare where it is.
    pub ca: CaKey,
    /// An invite for one machine, where an address is not enough and one was made.
    pub invite: Option<String>,
}

/// What must stay for as long as the node runs.
#[derive(Default)]
struct Held {
    // Dropped in this order: the directory is free only when its socket is gone.
    sockets: Vec<Answering>,
    port: Option<Running>,
    states: Vec<Arc<StateDir>>,
}

impl Held {
    /// Gives everything back, once those who have asked this node something
    /// (such as to stop) have their answer.
    async fn end(mut self) {
        for socket in self.sockets.drain(..) {
            socket.finish().await;
        }
    }
}

impl RunningPeer {
    /// Says goodbye to everybody, and waits until that is said.
    pub async fn stop(self, reason: &str) {
        self.peer.stop(reason).await;
        if let Some(tracker) = &self.tracker {
            tracker.stop(reason).await;
        }
        self.ended().await;
    }

    /// Waits until somebody else has stopped it.
    pub async fn ended(self) {
        let Self {
            tasks,
            held,
            tracker,
            ..
        } = self;
        let mut tasks = tasks.into_iter();
        if let Some(peer) = tasks.next() {
            // The peer is what was asked for; without it the tracker goes too.
            let _ = peer.await;
        }
        if let Some(tracker) = tracker {
            tracker.stop("its peer has stopped").await;
        }
        for task in tasks {
            let _ = task.await;
        }
        held.end().await;
    }
}

impl RunningTracker {
    /// Says goodbye to everybody, and waits until that is said.
    pub async fn stop(self, reason: &str) {
        self.tracker.stop(reason).await;
        self.ended().await;
    }

    /// Waits until somebody else has stopped it.
    pub async fn ended(self) {
        let Self { task, held, .. } = self;
        // A task that was cancelled has ended too.
        let _ = task.await;
        held.end().await;
    }
}

/// Starts a peer that shares a directory.
pub async fn share(
    common: Common,
    dir: &Path,
    options: share::Options,
    group: Group,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningPeer, LaunchError> {
    let config = settings(&common)?;
    // Before anything is joined or made: a wrong directory is the usual mistake.
    let options = share::Options {
        hidden: options.hidden || config.share_hidden,
        ..options
    };
    Share::check(dir, &options)?;
    let state = Arc::new(StateDir::open(&common.state)?);
    let options = share::Options {
        cache: Some(state.file(share::CACHE)),
        ..options
    };
    let (share, changes) = Share::open(dir, options)?;
    let identity = Identity::load_or_create(&state)?;
    let remembered = Membership::load(&state, &identity)?;
    let mut held = Held::default();
    held.states.push(Arc::clone(&state));
    if matches!(group, Group::Remembered)
        && let Some(office) = own_office(&common, remembered.as_ref())?
    {
        let offered = (share, changes);
        return share_with_tracker(common, config, identity, office, offered, held, notices).await;
    }
    let (membership, announced) =
        join_group(&common, &state, &identity, remembered, group, &notices).await?;
    let listener = listener(&common, Listen::PortOrNext(PEER_PORT)).await?;
    let listen = listener.address();
    let tls = member_tls(&state, &identity, &membership, &common.clock)?;
    let renewal = Renewal::new(identity, membership.clone(), &state, tls.clone());
    let called = tls.member().name;
    if let (Some(wanted), Some(called)) = (&common.name, called)
        && *wanted != called
    {
        let wanted = wanted.clone();
        let warning = Warning::CalledOtherwise { called, wanted };
        // Whoever does not read its notices misses some.
        let _ = notices.try_send(Notice::Warning(warning));
    }
    let (sink, incoming) = mpsc::channel(INCOMING);
    held.port = Some(listener.serve(vec![Service {
        tls: tls.clone(),
        join: None,
        sink,
    }]));
    let setup = PeerSetup {
        tls,
        trackers: membership.trackers,
        config,
        clock: common.clock,
        role: Role::Sharing {
            share,
            changes,
            listen,
            incoming,
            memory: Memory::open(state.clone(), membership.ca, &notices),
        },
        announced,
        renewal,
    };
    let (peer, task) = Peer::start(setup, notices);
    held.sockets.push(answer_for(&state, &peer)?);
    Ok(RunningPeer {
        peer,
        listen: Some(listen),
        access: None,
        tasks: vec![task],
        tracker: None,
        held,
    })
}

/// A peer and the tracker of its own group: one process, one port.
async fn share_with_tracker(
    common: Common,
    config: Config,
    identity: Identity,
    office: Office,
    (share, changes): (Share, mpsc::Receiver<share::ShareEvent>),
    mut held: Held,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningPeer, LaunchError> {
    let name = own_name(&common);
    let listener = listener(&common, Listen::PortOrNext(TRACKER_PORT)).await?;
    let listen = listener.address();
    let now = common.clock.wall();
    let membership = Membership {
        certificate: office.authority.local_certificate(&identity, &name, now)?,
        ca: office.authority.ca(),
        trackers: vec![NetAddress::Ip(nearby(listen))],
    };
    let state = held.states[0].clone();
    keep(&membership, &state)?;
    let tls = member_tls(&state, &identity, &membership, &common.clock)?;
    let renewal = Renewal::new(identity, membership.clone(), &state, tls.clone());
    let (peer_sink, peer_incoming) = mpsc::channel(INCOMING);
    let (tracker_service, tracker_incoming) = office.service(&common.clock)?;
    let peer_service = Service {
        tls: tls.clone(),
        join: None,
        sink: peer_sink,
    };
    held.port = Some(listener.serve(vec![tracker_service, peer_service]));
    let open = office.authority.is_open();
    let setup = TrackerSetup {
        tls: office.tls.clone(),
        config: config.clone(),
        clock: common.clock.clone(),
        listen,
        incoming: tracker_incoming,
        open,
        renewal: office.renewal(),
    };
    let (tracker, tracker_task) = Tracker::start(setup, notices.clone());
    let setup = PeerSetup {
        tls,
        trackers: membership.trackers,
        config,
        clock: common.clock.clone(),
        role: Role::Sharing {
            share,
            changes,
            listen,
            incoming: peer_incoming,
            memory: Memory::open(state.clone(), membership.ca, &notices),
        },
        announced: true,
        renewal,
    };
    let (peer, peer_task) = Peer::start(setup, notices);
    // A new group needs one. Later they are made when somebody asks for one: an
    // invite for each start would end up in a log.
    let invite = if open || !office.is_new {
        None
    } else {
        Some(office.invite(1, INVITE_VALIDITY, listen, &common.clock)?)
    };
    held.sockets.push(answer_for(&state, &peer)?);
    held.sockets
        .push(office.answer(&tracker, listen, &common.clock)?);
    held.states.push(office.state);
    Ok(RunningPeer {
        peer,
        listen: Some(listen),
        access: Some(Access {
            trackers: addresses::own(listen),
            open,
            ca: membership.ca,
            invite,
        }),
        tasks: vec![peer_task, tracker_task],
        tracker: Some(tracker),
        held,
    })
}

/// Starts a tracker alone. With `open` said, whoever asks is let in from now on,
/// or only who is invited; without, it is as it was.
pub async fn tracker(
    common: Common,
    open: Option<bool>,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningTracker, LaunchError> {
    let config = settings(&common)?;
    let name = own_name(&common);
    let office = Office::open(common.state.clone(), &name, &common.clock)?;
    if let Some(open) = open {
        office.authority.set_open(open)?;
    }
    let open = office.authority.is_open();
    let listener = listener(&common, Listen::Port(TRACKER_PORT)).await?;
    let listen = listener.address();
    let (service, incoming) = office.service(&common.clock)?;
    let port = listener.serve(vec![service]);
    let setup = TrackerSetup {
        tls: office.tls.clone(),
        config,
        clock: common.clock.clone(),
        listen,
        incoming,
        open,
        renewal: office.renewal(),
    };
    let (tracker, task) = Tracker::start(setup, notices);
    let socket = office.answer(&tracker, listen, &common.clock)?;
    Ok(RunningTracker {
        tracker,
        listen,
        access: Access {
            trackers: addresses::own(listen),
            open,
            ca: office.authority.ca(),
            invite: None,
        },
        task,
        held: Held {
            states: vec![office.state],
            port: Some(port),
            sockets: vec![socket],
        },
    })
}

/// Puts a backup into the state directory of a tracker, and says how many
/// members its group has. None of the `others` may keep that group.
pub async fn restore(
    state: PathBuf,
    backup: Backup,
    others: &[PathBuf],
) -> Result<usize, LaunchError> {
    if let Some(path) = backup.kept_in(others) {
        return Err(BackupError::twice(path).into());
    }
    // It waits for the disk.
    let work = tokio::task::spawn_blocking(move || backup.restore(&state));
    Ok(work.await??)
}

/// Becomes a member by an invite. Says as whom, and whether this machine was one
/// of that group before.
pub async fn join(common: Common, invite: Invite) -> Result<(MemberName, bool), LaunchError> {
    let state = StateDir::open(&common.state)?;
    let identity = Identity::load_or_create(&state)?;
    let wanted = Some(own_name(&common));
    let was_member = Membership::peek(state.path()).is_some_and(|(ca, _)| ca == invite.ca);
    let admitted = join::join(&Ticket::from(invite), &identity, wanted, &common.clock).await?;
    keep_admitted(&admitted, &state)?;
    let member = admitted.membership.member();
    let name = member.and_then(|member| member.name);
    Ok((name.unwrap_or_else(|| own_name(&common)), was_member))
}

/// The tracker inside this peer: where the group is its own, or there is none yet.
fn own_office(
    common: &Common,
    remembered: Option<&Membership>,
) -> Result<Option<Office>, LaunchError> {
    let path = common.state.join(EMBEDDED);
    if remembered.is_some() && !path.exists() {
        return Ok(None);
    }
    let office = Office::open(path, &own_name(common), &common.clock)?;
    let is_own = remembered.is_none_or(|group| group.ca == office.authority.ca());
    Ok(is_own.then_some(office))
}

/// Keeps what a tracker gave.
fn keep_admitted(admitted: &Admitted, state: &StateDir) -> Result<(), LaunchError> {
    keep(&admitted.membership, state)?;
    let records = Records::load(state, admitted.membership.ca)?;
    if let Some(record) = admitted.record.clone() {
        // It was verified when it came.
        let _ = records.adopt(record);
    }
    Ok(records.save(state)?)
}

/// Keeps a membership, and nothing of another group.
fn keep(membership: &Membership, state: &StateDir) -> Result<(), LaunchError> {
    let before = Membership::peek(state.path());
    if before.is_none_or(|(ca, _)| ca != membership.ca) {
        Records::forget(state)?;
    }
    Ok(membership.save(state)?)
}

/// What a member shows, and whom it lets in.
fn member_tls(
    state: &StateDir,
    identity: &Identity,
    membership: &Membership,
    clock: &Clock,
) -> Result<MemberTls, LaunchError> {
    let records = Records::load(state, membership.ca)?;
    let tls = MemberTls::new(identity, membership, clock.clone())?;
    Ok(tls.with_records(records))
}

fn answer_for(state: &StateDir, peer: &Peer) -> Result<Answering, LocalError> {
    let peer = peer.clone();
    local::answer(state.path(), move |command| peer.command(command))
}

fn settings(common: &Common) -> Result<Config, LaunchError> {
    let mut config = Config::load(&common.state.join(config::FILE))?;
    common
        .settings
        .iter()
        .for_each(|setting| config.set(setting));
    Ok(config)
}

/// Listens where it was asked to, or else where `usual` says.
async fn listener(common: &Common, usual: Listen) -> Result<Listener, ListenError> {
    Listener::bind(common.listen.map_or(usual, |asked| usual.unless(asked))).await
}

fn own_name(common: &Common) -> MemberName {
    let host = || MemberName::nearest(&gethostname::gethostname().to_string_lossy());
    common.name.clone().unwrap_or_else(host)
}

/// Where this machine itself reaches what listens there.
fn nearby(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        ip if !ip.is_unspecified() => listen,
        _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()),
    }
}
