//! Why a node cannot be started or asked. The parts' own errors say what is
//! wrong; what to type is added here.

use thorp_node::address::NetAddress;
use thorp_node::api::{Obstacle, Trouble};
use thorp_node::backup::BackupError;
use thorp_node::certificate::CertificateError;
use thorp_node::identity::IdentityError;
use thorp_node::invite::InviteError;
use thorp_node::join::JoinError;
use thorp_node::launch::LaunchError;
use thorp_node::net::dial::DialError;
use thorp_node::net::join::NotJoined;
use thorp_node::net::listener::ListenError;
use thorp_node::state::StateError;

use super::failure::{changed_ca, disk_failed};
use super::{REMOVED, escaped, failure, there, trouble};

/// Why a node cannot be started or asked, in a sentence.
pub fn launch(error: &LaunchError) -> String {
    match error {
        LaunchError::NotAMember => {
            "This machine is not a member of a group yet. Join one with an invite: thorp join; \
             or, where the group is open, name its tracker: --tracker ADDR"
                .into()
        }
        LaunchError::NoGroupHere => "This machine is not a member of a group, and keeps none. \
             Make one: thorp share DIR, or thorp tracker; or join one: thorp join"
            .into(),
        LaunchError::Removed => REMOVED.into(),
        LaunchError::CaElsewhere { trackers } => elsewhere(trackers),
        LaunchError::NoTrackerRuns { state } => format!(
            "No tracker is running on {}. Invites are made while it runs: start it as before, by \
             thorp tracker, or by thorp share where the group was made",
            state.display()
        ),
        LaunchError::NoPeerRuns { state } => format!(
            "No peer is running on the state directory {}. Start one: thorp share DIR {}",
            state.display(),
            there(state)
        ),
        LaunchError::PeersState { state } => format!(
            "{} is the state directory of a peer: if it has a tracker, that runs inside the peer \
             (thorp share DIR {}). A tracker that runs alone needs a directory of its own: leave \
             out --state, or name a new one",
            state.display(),
            there(state)
        ),
        LaunchError::TrackersState { state } => format!(
            "{} is the state directory of a tracker, and a peer needs one of its own: leave out \
             --state, or name a new one. The tracker starts again by: thorp tracker {}",
            state.display(),
            there(state)
        ),
        LaunchError::OtherTracker { tracker, why } => format!(
            "{tracker} is not the tracker of the group that this machine is a member of: {}. \
             To be in another group as well, use another state directory: --state DIR",
            certificate(why)
        ),
        LaunchError::NothingToLeave { state } => format!(
            "This machine is not a member of a group: there is nothing to leave in {}.",
            state.display()
        ),
        LaunchError::KeepsTheGroup { state } => format!(
            "This machine keeps the CA of its own group, in {}: without it the group ends. \
             Save it first: thorp tracker --backup FILE {at}; then end it: \
             thorp leave --purge {at}",
            state.display(),
            at = there(state)
        ),
        LaunchError::Failure(why) => failure(why),
        LaunchError::Join(error) => not_joined(error),
        LaunchError::State(error) => state(error),
        LaunchError::Identity(error) => identity(error),
        LaunchError::Listen(error) => listen(error),
        LaunchError::Local(error) => {
            format!("{error}; check the directory's permissions, or choose another with --state")
        }
        LaunchError::Backup(error) => backup(error),
        LaunchError::Tls(_)
        | LaunchError::Share(_)
        | LaunchError::Config(_)
        | LaunchError::Io(_)
        | LaunchError::Task(_) => error.to_string(),
    }
}

/// What is wrong with what was pasted.
pub fn invite(error: InviteError) -> String {
    match error {
        InviteError::NotAnInvite => format!("{error}, as `thorp invite` prints it"),
        InviteError::Garbled | InviteError::Newer => error.to_string(),
    }
}

fn elsewhere(trackers: &[NetAddress]) -> String {
    let trackers: Vec<_> = trackers.iter().map(ToString::to_string).collect();
    let place = match trackers.as_slice() {
        [] => String::new(),
        trackers => format!(", {}", trackers.join(" or ")),
    };
    format!("The group's CA is not on this machine but on its tracker's{place}: type this there")
}

fn not_joined(error: &NotJoined) -> String {
    match error {
        NotJoined::Address(error) => error.to_string(),
        NotJoined::Dial(DialError::Unreachable { .. }) => format!(
            "the tracker is out of reach: {error}. Check its address and port, and that it is \
             running there (thorp tracker, or thorp share where the group was made)"
        ),
        NotJoined::Dial(DialError::NoAddress) => {
            "the tracker's address is not known. Name it: --tracker ADDR[:PORT]".into()
        }
        NotJoined::Dial(DialError::HungUp { .. } | DialError::Mute { .. }) => {
            format!("{error}. Check the address and the port, and try again in a minute")
        }
        NotJoined::Dial(why) => trouble(&Trouble::from(why)),
        NotJoined::Join(error) => join(error),
    }
}

fn join(error: &JoinError) -> String {
    match error {
        JoinError::Refused { text, .. } => format!("the tracker refused: {text}"),
        JoinError::Certificate(why) => {
            format!("the tracker is not trusted: {}", certificate(why))
        }
        JoinError::Identity(error) => identity(error),
        JoinError::Clock(_)
        | JoinError::Broken(..)
        | JoinError::Odd(..)
        | JoinError::Record(_)
        | JoinError::Tls(_) => error.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::ChangedCa { pinned, shown } => {
            changed_ca(&pinned.to_string(), &shown.to_string())
        }
        other => other.to_string(),
    }
}

fn identity(error: &IdentityError) -> String {
    match error {
        IdentityError::State(error) => state(error),
        IdentityError::NoKey => format!("{error}; try again when the system has started up"),
    }
}

fn state(error: &StateError) -> String {
    let advice = match error {
        StateError::InUse { path, .. } => {
            let at = there(path);
            return format!(
                "{error}: end that one first (thorp stop {at}), or choose another \
                 directory with --state"
            );
        }
        StateError::Newer { .. } => {
            ": use the newer program, or choose another directory with --state"
        }
        StateError::Foreign { .. } => "; name an empty or new directory with --state",
        StateError::OtherUser { .. } => "; type this as that user, or choose another with --state",
        StateError::NotPlain { .. } => "; remove it, if you know how it came there",
        StateError::Corrupt { .. } => {
            "; restore it from a backup, or move it away to start without it"
        }
        StateError::Io {
            action,
            path,
            error,
        } => return disk_failed(action, &escaped(path), &Obstacle::from_io(error)),
    };
    format!("{error}{advice}")
}

fn listen(error: &ListenError) -> String {
    let advice = match error {
        ListenError::Taken { .. } => {
            "stop the program that listens there, or choose another with --listen"
        }
        ListenError::Udp { .. } => {
            "BitTorrent clients need it beside the TCP port of that number: stop the program that \
             has it, choose another port with --listen, or serve none: thorp tracker --no-bittorrent"
        }
        ListenError::AllTaken { .. } => "choose another with --listen",
        ListenError::Other { .. } => "choose another address or port with --listen",
    };
    format!("{error}; {advice}")
}

fn backup(error: &BackupError) -> String {
    match error {
        BackupError::NotEmpty { path, .. } => format!(
            "{error}: choose another directory with --state, or end that group first \
             (thorp leave --purge {})",
            there(path)
        ),
        BackupError::Twice { owner, .. } => format!(
            "{error}: use that one, or first end it there: thorp leave --purge {}",
            there(owner)
        ),
        BackupError::File {
            action,
            path,
            error,
        } => disk_failed(action, &escaped(path), &Obstacle::from_io(error)),
        BackupError::State(error) => state(error),
        BackupError::Exists(_)
        | BackupError::Newer(_)
        | BackupError::Damaged(_)
        | BackupError::Authority(_) => error.to_string(),
    }
}
