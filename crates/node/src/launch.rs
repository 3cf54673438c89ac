//! A node put together from its state directory: key, membership, share, port.
//!
//! Owns the order in which this is done, and what a person is told when a part
//! of it cannot be. Each part is a module of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thorp_wire::MemberName;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::addresses::{self, ListenAddress, NetAddress, PEER_PORT, TRACKER_PORT};
use crate::api::{Command, Done, ErrorKind, Event, Failure, Notice};
use crate::authority::Authority;
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError, Setting};
use crate::dial::DialError;
use crate::identity::{Identity, IdentityError, Membership};
use crate::invite::Invite;
use crate::join::{self, JoinError, JoinService, Ticket};
use crate::listener::{Listen, ListenError, Listener, Running, Service};
use crate::local::{self, Answering, LocalError};
use crate::peer::{Peer, Role, rows};
use crate::share::{self, Share, ShareError};
use crate::state::{StateDir, StateError};
use crate::store::{Store, StoreError};
use crate::tls::{self, MemberTls, TlsError};
use crate::tracker::Tracker;
use crate::{peer, tracker};

/// The state directory of a tracker inside a peer, within the peer's own.
pub const EMBEDDED: &str = "tracker";
/// Members that have dialled and wait for the node.
const INCOMING: usize = 256;
/// How long to wait for a state directory that another process is about to leave.
const STATE_WITHIN: Duration = Duration::from_secs(10);

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
    pub door: Option<Door>,
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
    pub door: Door,
    task: JoinHandle<()>,
    held: Held,
}

/// How another machine gets into the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The tracker's addresses, as others see them, the best first.
    pub trackers: Vec<SocketAddr>,
    /// Whether an address is enough.
    pub open: bool,
    /// An invite for one machine, where an address is not enough and one was made.
    pub invite: Option<String>,
}

/// What must stay for as long as the node runs.
#[derive(Default)]
struct Held {
    states: Vec<Arc<StateDir>>,
    port: Option<Running>,
    sockets: Vec<Answering>,
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
        drop(held);
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
        drop(held);
    }
}

/// Starts a peer that shares a directory.
pub async fn share(
    common: Common,
    dir: &Path,
    options: share::Options,
    group: Group,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningPeer, Failure> {
    let config = settings(&common)?;
    // Before anything is joined or made: a wrong directory is the usual mistake.
    let options = share::Options {
        hidden: options.hidden || config.share_hidden,
        ..options
    };
    let (share, changes) = Share::open(dir, options).map_err(Failure::from)?;
    let state = Arc::new(StateDir::open(&common.state)?);
    let identity = Identity::load_or_create(&state)?;
    let remembered = Membership::load(&state, &identity)?;
    let own_tracker = common.state.join(EMBEDDED);
    let mut held = Held::default();
    held.states.push(Arc::clone(&state));
    if matches!(group, Group::Remembered) && (remembered.is_none() || own_tracker.exists()) {
        return share_with_tracker(common, config, identity, (share, changes), held, notices).await;
    }
    let (membership, announced) =
        join_group(&common, &state, &identity, remembered, group, &notices).await?;
    let listener = listener(&common, Listen::PortOrNext(PEER_PORT)).await?;
    let listen = listener.address();
    let tls = MemberTls::new(&identity, &membership, common.clock.clone())?;
    let (sink, incoming) = mpsc::channel(INCOMING);
    held.port = Some(listener.serve(vec![Service {
        tls: tls.clone(),
        join: None,
        sink,
    }]));
    let setup = peer::Setup {
        tls,
        trackers: membership.trackers,
        config,
        clock: common.clock,
        role: Role::Sharing {
            share,
            changes,
            listen,
            incoming,
        },
        announced,
    };
    let (peer, task) = Peer::start(setup, notices);
    held.sockets.push(answer_for(&state, &peer)?);
    Ok(RunningPeer {
        peer,
        listen: Some(listen),
        door: None,
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
    (share, changes): (Share, mpsc::Receiver<share::ShareEvent>),
    mut held: Held,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningPeer, Failure> {
    let name = own_name(&common);
    let listener = listener(&common, Listen::PortOrNext(TRACKER_PORT)).await?;
    let listen = listener.address();
    let office = Office::open(common.state.join(EMBEDDED), &name, &common.clock)?;
    let now = common.clock.wall();
    let membership = Membership {
        certificate: office
            .authority
            .local_certificate(&identity, &name, now)
            .map_err(other)?,
        ca: office.authority.ca(),
        trackers: vec![NetAddress::Ip(nearby(listen))],
    };
    let state = held.states[0].clone();
    membership.save(&state)?;
    let tls = MemberTls::new(&identity, &membership, common.clock.clone())?;
    let (peer_sink, peer_incoming) = mpsc::channel(INCOMING);
    let (tracker_service, tracker_incoming) = office.service(&common.clock)?;
    let peer_service = Service {
        tls: tls.clone(),
        join: None,
        sink: peer_sink,
    };
    held.port = Some(listener.serve(vec![tracker_service, peer_service]));
    let open = office.authority.is_open();
    let setup = tracker::Setup {
        tls: office.tls.clone(),
        config: config.clone(),
        clock: common.clock.clone(),
        listen,
        incoming: tracker_incoming,
        open,
    };
    let (tracker, tracker_task) = Tracker::start(setup, notices.clone());
    let setup = peer::Setup {
        tls,
        trackers: membership.trackers,
        config,
        clock: common.clock.clone(),
        role: Role::Sharing {
            share,
            changes,
            listen,
            incoming: peer_incoming,
        },
        announced: true,
    };
    let (peer, peer_task) = Peer::start(setup, notices);
    let invite = if open {
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
        door: Some(Door {
            trackers: addresses::own(listen),
            open,
            invite,
        }),
        tasks: vec![peer_task, tracker_task],
        tracker: Some(tracker),
        held,
    })
}

/// How long an invite is good for unless somebody says otherwise.
pub const INVITE_VALIDITY: Duration = Duration::from_hours(24);

/// Starts a tracker alone. With `open`, whoever asks is let in from now on.
pub async fn tracker(
    common: Common,
    open: bool,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningTracker, Failure> {
    let config = settings(&common)?;
    let name = own_name(&common);
    let office = Office::open(common.state.clone(), &name, &common.clock)?;
    if open {
        office.authority.set_open(true).map_err(other)?;
    }
    let open = office.authority.is_open();
    let listener = listener(&common, Listen::Port(TRACKER_PORT)).await?;
    let listen = listener.address();
    let (service, incoming) = office.service(&common.clock)?;
    let port = listener.serve(vec![service]);
    let setup = tracker::Setup {
        tls: office.tls.clone(),
        config,
        clock: common.clock.clone(),
        listen,
        incoming,
        open,
    };
    let (tracker, task) = Tracker::start(setup, notices);
    let socket = office.answer(&tracker, listen, &common.clock)?;
    Ok(RunningTracker {
        tracker,
        listen,
        door: Door {
            trackers: addresses::own(listen),
            open,
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

/// Sends a command to the node that runs on the state directory. With none
/// running, joins for the moment, and puts what is fetched into `directory`.
pub async fn ask(
    common: Common,
    tracker: Option<NetAddress>,
    directory: &Path,
    command: Command,
) -> Result<mpsc::Receiver<Event>, Failure> {
    let state = match running_or_state(&common.state, &command).await? {
        Ok(events) => return Ok(events),
        Err(state) => Arc::new(state),
    };
    if matches!(
        command,
        Command::Neighbours | Command::Status | Command::Stop | Command::Invite { .. }
    ) {
        return Err(Failure {
            kind: ErrorKind::Other,
            message: format!(
                "No peer is running on the state directory {}. Start one: thorp share",
                common.state.display()
            ),
        });
    }
    let visitor = visit(common, state, tracker, directory).await?;
    let mut answer = visitor.peer.command(command);
    let (events, receiver) = mpsc::channel(256);
    tokio::spawn(async move {
        while let Some(event) = answer.recv().await {
            let last = matches!(event, Event::Done(_) | Event::Error(_));
            if last {
                // The goodbye first: once the last word is out, the program ends.
                visitor.stop("its visit is over").await;
                let _ = events.send(event).await;
                return;
            }
            if events.send(event).await.is_err() {
                break;
            }
        }
        visitor.stop("its visit is over").await;
    });
    Ok(receiver)
}

/// Becomes a member by an invite. Says as whom.
pub async fn join(common: Common, invite: Invite) -> Result<MemberName, Failure> {
    let state = StateDir::open(&common.state)?;
    let identity = Identity::load_or_create(&state)?;
    let wanted = Some(own_name(&common));
    let membership = join::join(&Ticket::from(invite), &identity, wanted, &common.clock).await?;
    membership.save(&state)?;
    let member = membership.member();
    Ok(member
        .and_then(|member| member.name)
        .unwrap_or_else(|| own_name(&common)))
}

/// Makes an invite, in the first of these state directories that has a CA.
pub async fn invite(states: &[PathBuf], uses: u32, validity: Duration) -> Result<String, Failure> {
    let command = Command::Invite {
        uses,
        seconds: validity.as_secs(),
    };
    for state in states {
        let Some(mut events) = local::ask(state, &command).await else {
            continue;
        };
        while let Some(event) = events.recv().await {
            match event {
                Event::Invite { invite } => return Ok(invite),
                Event::Error(failure) => return Err(failure),
                _ => {}
            }
        }
    }
    let places: Vec<_> = states
        .iter()
        .map(|state| state.display().to_string())
        .collect();
    Err(Failure {
        kind: ErrorKind::Other,
        message: format!(
            "No tracker is running on {}. Invites are made on the tracker's machine while it runs: thorp tracker, or thorp share where the group was made",
            places.join(" or ")
        ),
    })
}

/// A tracker's state: the group's CA, and its own certificate.
struct Office {
    state: Arc<StateDir>,
    identity: Identity,
    membership: Membership,
    authority: Arc<Authority>,
    tls: MemberTls,
}

impl Office {
    fn open(path: PathBuf, name: &MemberName, clock: &Clock) -> Result<Self, Failure> {
        let state = Arc::new(StateDir::open(path)?);
        let identity = Identity::load_or_create(&state)?;
        let authority = Arc::new(Authority::load_or_create(Arc::clone(&state)).map_err(other)?);
        let tracker_name = MemberName::nearest(&format!("{name}-tracker"));
        let certificate = authority.tracker_certificate(&identity, &tracker_name, clock.wall());
        let membership = Membership {
            certificate: certificate.map_err(other)?,
            ca: authority.ca(),
            trackers: Vec::new(),
        };
        let tls = MemberTls::new(&identity, &membership, clock.clone())?;
        Ok(Self {
            state,
            identity,
            membership,
            authority,
            tls,
        })
    }

    fn service(
        &self,
        clock: &Clock,
    ) -> Result<(Service, mpsc::Receiver<crate::listener::Incoming>), Failure> {
        let authority = Arc::clone(&self.authority);
        let join = JoinService::new(&self.identity, &self.membership, authority, clock.clone())?;
        let (sink, incoming) = mpsc::channel(INCOMING);
        let service = Service {
            tls: self.tls.clone(),
            join: Some(join),
            sink,
        };
        Ok((service, incoming))
    }

    fn invite(
        &self,
        uses: u32,
        validity: Duration,
        listen: SocketAddr,
        clock: &Clock,
    ) -> Result<String, Failure> {
        invite_line(&self.authority, uses, validity, listen, clock)
    }

    /// Answers those who ask this tracker from its own machine.
    fn answer(
        &self,
        tracker: &Tracker,
        listen: SocketAddr,
        clock: &Clock,
    ) -> Result<Answering, LocalError> {
        let (tracker, clock) = (tracker.clone(), clock.clone());
        let authority = Arc::clone(&self.authority);
        local::answer(self.state.path(), move |command| {
            let (events, receiver) = mpsc::channel(4);
            let (tracker, clock, authority) =
                (tracker.clone(), clock.clone(), Arc::clone(&authority));
            tokio::spawn(async move {
                let end = match command {
                    Command::Status => tracker.status().await.map(Event::Tracker).ok_or_else(stopping),
                    Command::Invite { uses, seconds } => {
                        let validity = Duration::from_secs(seconds);
                        invite_line(&authority, uses, validity, listen, &clock).map(|invite| Event::Invite { invite })
                    }
                    Command::Stop => {
                        tracker.stop("stopped by its user").await;
                        Ok(Event::Done(Done::default()))
                    }
                    _ => Err(Failure {
                        kind: ErrorKind::Usage,
                        message: "A tracker runs on this state directory; it shares and fetches nothing. \
                                  Ask a peer: leave out --state, or name the peer's"
                            .to_owned(),
                    }),
                };
                for event in with_end(end) {
                    // Whoever asked may be gone.
                    let _ = events.send(event).await;
                }
            });
            receiver
        })
    }
}

/// An answer of one event, with the end that every answer has.
fn with_end(answer: Result<Event, Failure>) -> Vec<Event> {
    match answer {
        Ok(end @ Event::Done(_)) => vec![end],
        Ok(event) => vec![
            event,
            Event::Done(Done {
                count: 1,
                ..Done::default()
            }),
        ],
        Err(failure) => vec![Event::Error(failure)],
    }
}

fn invite_line(
    authority: &Authority,
    uses: u32,
    validity: Duration,
    listen: SocketAddr,
    clock: &Clock,
) -> Result<String, Failure> {
    let invite = Invite {
        trackers: addresses::own(listen)
            .into_iter()
            .map(NetAddress::Ip)
            .collect(),
        ca: authority.ca(),
        token: authority
            .invite(uses, validity, clock.wall())
            .map_err(other)?,
    };
    Ok(invite.to_string())
}

/// The answer of the node that runs on a state directory, or else the directory.
async fn running_or_state(
    path: &Path,
    command: &Command,
) -> Result<Result<mpsc::Receiver<Event>, StateDir>, Failure> {
    let deadline = tokio::time::Instant::now() + STATE_WITHIN;
    loop {
        if let Some(events) = local::ask(path, command).await {
            return Ok(Ok(events));
        }
        match StateDir::open(path) {
            Ok(state) => return Ok(Err(state)),
            // A node that is starting or stopping, or another visitor.
            Err(StateError::InUse { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn visit(
    common: Common,
    state: Arc<StateDir>,
    tracker: Option<NetAddress>,
    directory: &Path,
) -> Result<RunningPeer, Failure> {
    let config = settings(&common)?;
    let identity = Identity::load_or_create(&state)?;
    let remembered = Membership::load(&state, &identity)?;
    let group = match tracker {
        Some(tracker) => Group::Open(tracker),
        None if remembered.is_some() => Group::Remembered,
        None => {
            return Err(Failure {
                kind: ErrorKind::NotAMember,
                message: "This machine is not a member of a group yet. Join one with an invite: thorp join; \
                          or, where the group is open, name its tracker: --tracker ADDR"
                    .to_owned(),
            });
        }
    };
    // A visitor's user waits for an answer and is told nothing else.
    let (notices, _) = mpsc::channel(1);
    let (membership, announced) =
        join_group(&common, &state, &identity, remembered, group, &notices).await?;
    let setup = peer::Setup {
        tls: MemberTls::new(&identity, &membership, common.clock.clone())?,
        trackers: membership.trackers,
        config,
        clock: common.clock,
        role: Role::Visiting(Arc::new(Store::open(directory)?)),
        announced,
    };
    let (peer, task) = Peer::start(setup, notices);
    let held = Held {
        states: vec![state],
        ..Held::default()
    };
    Ok(RunningPeer {
        peer,
        listen: None,
        door: None,
        tasks: vec![task],
        tracker: None,
        held,
    })
}

/// Sees to it that this machine is a member of the group that was asked for.
/// Says as well whether that was announced.
async fn join_group(
    common: &Common,
    state: &StateDir,
    identity: &Identity,
    remembered: Option<Membership>,
    group: Group,
    notices: &mpsc::Sender<Notice>,
) -> Result<(Membership, bool), Failure> {
    let ticket = match (group, &remembered) {
        (Group::Remembered, Some(known)) => {
            if is_good(known, &common.clock) {
                return Ok((known.clone(), false));
            }
            Ticket::from(known)
        }
        (Group::Remembered, None) => {
            return Err(Failure {
                kind: ErrorKind::NotAMember,
                message: "This machine is not a member of a group yet. Join one: thorp join"
                    .to_owned(),
            });
        }
        (Group::Invited(invite), _) => Ticket::from(invite),
        (Group::Open(tracker), Some(known)) if is_good(known, &common.clock) => {
            // A member already, perhaps of a tracker that has moved.
            let moved = Membership {
                trackers: vec![tracker],
                ..known.clone()
            };
            moved.save(state)?;
            return Ok((moved, false));
        }
        (Group::Open(tracker), known) => Ticket {
            ca: known.as_ref().map(|known| known.ca),
            ..Ticket::open(vec![tracker])
        },
    };
    for tracker in &ticket.trackers {
        // Whoever does not read its notices misses some.
        let _ = notices.try_send(rows::connecting(tracker));
    }
    let membership = join::join(&ticket, identity, Some(own_name(common)), &common.clock).await?;
    membership.save(state)?;
    Ok((membership, true))
}

/// Whether a certificate is believed now and for a while.
fn is_good(membership: &Membership, clock: &Clock) -> bool {
    tls::verify_member(&membership.certificate, membership.ca, clock.wall()).is_ok()
}

fn answer_for(state: &StateDir, peer: &Peer) -> Result<Answering, LocalError> {
    let peer = peer.clone();
    local::answer(state.path(), move |command| peer.command(command))
}

fn settings(common: &Common) -> Result<Config, Failure> {
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

fn stopping() -> Failure {
    Failure {
        kind: ErrorKind::Unfinished,
        message: "The tracker is stopping. Start it again: thorp tracker".to_owned(),
    }
}

fn other(error: impl std::error::Error) -> Failure {
    Failure {
        kind: ErrorKind::Other,
        message: error.to_string(),
    }
}

macro_rules! other_failures {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                other(error)
            }
        })*
    };
}
other_failures!(
    IdentityError,
    ListenError,
    LocalError,
    ShareError,
    StateError,
    StoreError,
    TlsError
);

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self {
            kind: ErrorKind::Usage,
            message: error.to_string(),
        }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let kind = match &error {
            JoinError::Refused { .. } => ErrorKind::NotAMember,
            JoinError::Dial(DialError::Certificate { .. }) | JoinError::Certificate(_) => {
                ErrorKind::NotAMember
            }
            JoinError::Dial(_)
            | JoinError::Address(_)
            | JoinError::Broken(..)
            | JoinError::Odd(..) => ErrorKind::Network,
            JoinError::Clock { .. } | JoinError::Identity(_) | JoinError::Tls(_) => {
                ErrorKind::Other
            }
        };
        let message = match &error {
            JoinError::Refused { text, .. } => {
                format!(
                    "the tracker refused: {}",
                    thorp_wire::printable::printable(text)
                )
            }
            JoinError::Dial(DialError::Unreachable { .. }) => format!(
                "the tracker is out of reach: {error}. Check its address and port, and that it is running there (thorp tracker, or thorp share where the group was made)"
            ),
            _ => error.to_string(),
        };
        Self { kind, message }
    }
}
