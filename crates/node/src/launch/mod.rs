//! A node put together from its state directory: key, membership, share, port.
//!
//! ```text
//! mod       a peer or a tracker that stays
//! visit     a peer for the moment, where none is running
//! office    a tracker's own: the group's CA, its certificate, its socket
//! desk      what a user asks where the CA is: members, invites, a backup
//! owner     which process has a state directory, and waiting for it to let go
//! leaving   how a state directory forgets its group, or everything
//! joining   how this machine becomes a member
//! member    what is kept of a membership, and what a peer makes of it
//! running   what runs, and how it ends
//! common    what every node is started with
//! failure   why a node cannot be started, or a group not be left
//! ```
//!
//! Owns the order in which things are put together. Each part is a module of
//! its own, and none of them knows of that order.

mod common;
mod desk;
mod failure;
mod joining;
mod leaving;
mod member;
mod office;
mod owner;
mod running;
mod visit;

use std::path::Path;
use std::sync::Arc;

use thorp_files::share::{self, Share};
use thorp_group::address::{PEER_PORT, TRACKER_PORT};
use thorp_group::identity::{Identity, Membership};
use thorp_group::state::StateDir;
use tokio::sync::mpsc;

use crate::api::{Notice, Warning};
use crate::local::{self, Answering, LocalError};
use crate::net::listener::Listen;
use crate::peer::{Memory, Peer, PeerSetup, Role};

pub use common::Common;
pub use desk::{ask_keeper, ask_running, has_ca, invite, meant, removable, restore, shared_by};
pub use failure::LaunchError;
use joining::join_group;
pub use joining::{Group, join};
pub use leaving::{Left, Standing, leave, membership, standing};
use member::{Credentials, keep};
use office::Office;
use owner::free_state;
use running::Held;
pub use running::{Access, RunningPeer, RunningTracker};
pub use thorp_group::authority::is_by_invitation;
pub use thorp_group::state::EMBEDDED;
pub use visit::ask;

/// Starts a peer that shares a directory. Where the group is its own, or there
/// is none yet, the group's tracker is inside: one process, one port.
pub async fn share(
    common: Common,
    dir: &Path,
    options: share::Options,
    group: Group,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningPeer, LaunchError> {
    let config = common.config()?;
    // Before anything is joined or made: a wrong directory is the usual mistake.
    let options = share::Options {
        hidden: options.hidden || config.share_hidden,
        poll: config.share_look_again,
        ..options
    };
    Share::check(dir, &options)?;
    let state = Arc::new(free_state(&common.state).await?);
    let options = share::Options {
        cache: Some(state.file(share::CACHE)),
        ..options
    };
    let (share, changes) = Share::open(dir, options)?;

    let identity = Identity::load_or_create(&state)?;
    let remembered = Membership::load(&state, &identity)?;
    let office = match group {
        Group::Remembered => Office::inside(&common, remembered.as_ref()).await?,
        Group::Open(_) | Group::Invited(_) => None,
    };
    let (membership, announced, listener) = if let Some(office) = &office {
        // The port comes first: it says where this peer finds its tracker.
        let usual = Listen::PortOrNext(TRACKER_PORT);
        let listener = common.listener(usual).await?;
        let (name, listen) = (common.own_name(), listener.address());
        let membership = office.admit(&identity, &name, listen, &common.clock)?;
        keep(&membership, &state)?;
        (membership, true, listener)
    } else {
        // On the heap: a dialler that waits is large.
        let joined = join_group(&common, &state, &identity, remembered, group, &notices);
        let (membership, announced) = Box::pin(joined).await?;
        let usual = Listen::PortOrNext(PEER_PORT);
        (membership, announced, common.listener(usual).await?)
    };
    let listen = listener.address();
    let reach = common.reach(listen).await;
    let credentials = Credentials::new(&state, identity, membership, &common.clock)?;
    if office.is_none() {
        warn_of_name(&common, &credentials, &notices);
    }

    let (service, incoming) = credentials.service();
    let (port, tracker) = match &office {
        Some(office) => {
            let (tracker_service, tracker_incoming) = office.service(&common.clock)?;
            let port = listener.serve(vec![tracker_service, service]);
            let (config, notices) = (config.clone(), notices.clone());
            let tracker = office.start(
                config,
                &common.clock,
                reach.clone(),
                tracker_incoming,
                notices,
            );
            (port, Some(tracker))
        }
        None => (listener.serve(vec![service]), None),
    };
    let setup = PeerSetup {
        tls: credentials.tls,
        trackers: credentials.trackers,
        config,
        clock: common.clock.clone(),
        role: Role::Sharing {
            share,
            changes,
            reach: reach.clone(),
            incoming,
            memory: Memory::open(Arc::clone(&state), credentials.ca, &notices),
        },
        announced,
        renewal: credentials.renewal,
    };
    let (peer, task) = Peer::start(setup, notices);

    let access = office
        .as_ref()
        .map(|office| office.first_access(&reach, &common.clock))
        .transpose()?;
    let mut held = Held {
        sockets: vec![answer_for(&state, &peer)?],
        port: Some(port),
        states: vec![state],
    };
    if let Some((office, (tracker, _))) = office.zip(tracker.as_ref()) {
        let socket = office.answer(tracker, &reach, &common.clock)?;
        held.sockets.push(socket);
        held.states.push(office.state);
    }
    Ok(RunningPeer {
        peer,
        listen: Some(listen),
        access,
        task,
        tracker,
        held,
    })
}

/// Starts a tracker alone. With `open` said, it lets in any machine that asks
/// from now on, or only invited ones; without, it is as it was.
pub async fn tracker(
    common: Common,
    open: Option<bool>,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningTracker, LaunchError> {
    let config = common.config()?;
    let office = Office::open(&common.state, &common.own_name(), &common.clock).await?;
    if let Some(open) = open {
        office.authority.set_open(open)?;
    }
    let listener = common.listener(Listen::Port(TRACKER_PORT)).await?;
    let listen = listener.address();
    let reach = common.reach(listen).await;
    let (service, incoming) = office.service(&common.clock)?;
    let port = listener.serve(vec![service]);
    let (tracker, task) = office.start(config, &common.clock, reach.clone(), incoming, notices);
    let socket = office.answer(&tracker, &reach, &common.clock)?;
    Ok(RunningTracker {
        tracker,
        listen,
        access: office.access(&reach),
        task,
        held: Held {
            sockets: vec![socket],
            port: Some(port),
            states: vec![office.state],
        },
    })
}

/// The group keeps the name that this machine got when it joined.
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

fn answer_for(state: &StateDir, peer: &Peer) -> Result<Answering, LocalError> {
    let peer = peer.clone();
    local::answer(state.path(), move |command| peer.command(command))
}
