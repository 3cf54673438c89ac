//! The sentences that are part of the behaviour.

use thorp_node::printable::printable;

use std::net::SocketAddr;
use std::path::Path;

/// A tracker without a peer.
pub const WAITING: &str = "Waiting for a connection...";
/// The tracker has accepted this peer.
pub const ESTABLISHED: &str = "Connection Established!";
/// `--tracker` without an address.
pub const WHICH_TRACKER: &str = "Please specify the tracker ip address.";
/// The head of the menu.
pub const WISH: &str = "What you wish to do?";
/// Its first line.
pub const REQUEST: &str = "1. Request a file.";
/// Its second line.
pub const LEAVE: &str = "2. Leave.";
/// Where this peer has the group's tracker inside, the third line.
pub const INVITE: &str = "3. Invite another machine.";
/// The last line.
pub const HELP: &str = "? for what else there is.";
/// Asking for a name.
pub const FILE_NAME: &str = "Please type the file name (with extension).";
/// The name is taken in this peer's own share.
pub const SAME_NAME: &str = "File with same name exists in the same directory! \
     Please rename it if you want to request this file.";
/// No peer lists the file.
pub const NOBODY: &str = "No peer is sharing this file now. Try again later.";

/// The group has removed this machine.
pub const REMOVED: &str = "this machine was removed from the group. To come back it needs a new key \
     and a new invite: thorp leave --purge, then thorp join";

/// A peer is ready.
pub fn sharing(directory: &Path, listen: Option<SocketAddr>) -> String {
    let directory = directory.to_string_lossy();
    let directory = printable(&directory);
    match listen {
        Some(listen) => format!("Sharing {directory} on {listen}"),
        None => format!("Sharing {directory}"),
    }
}

/// A tracker is ready.
pub fn listening(listen: SocketAddr) -> String {
    format!("Listening on {listen}")
}

/// Dialling the tracker.
pub fn connecting(address: &str, port: u16) -> String {
    format!("Connecting to {} on port {port}", printable(address))
}
