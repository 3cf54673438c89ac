//! Every sentence that a node's codes and values become, in one place.
//!
//! ```text
//! story    the sentences that are part of the behaviour
//! failure  what went wrong, over the local socket or here
//! launch   why a node cannot be started or asked
//! warning  what does not go as it should
//! note     remarks in an answer
//! ```
//!
//! Users and scripts know them by heart: `--json` prints them too. Changing one
//! is a change of the interface. A sentence is escaped by the caller, for the
//! place where it is shown.

mod failure;
mod launch;
mod note;
mod story;
#[cfg(test)]
mod tests;
mod warning;

use std::path::Path;

use thorp_node::api::Member;

pub use failure::{failure, trouble};
pub use launch::{invite, launch};
pub use note::note;
pub use story::{
    ESTABLISHED, FILE_NAME, LEAVE, NOBODY, REMOVED, REQUEST, SAME_NAME, WAITING, WHICH_TRACKER,
    WISH, connecting, listening, sharing,
};
pub use warning::warning;

/// A member as a user knows it: `oak (192.168.1.5)`.
fn called(member: &Member) -> String {
    let address = (member.port != 0).then_some(&*member.address);
    match (&member.name, address) {
        (Some(name), Some(address)) => format!("{name} ({address})"),
        (Some(name), None) => name.clone(),
        (None, Some(address)) => address.to_owned(),
        (None, None) => member.id.get(..8).unwrap_or(&member.id).to_owned(),
    }
}

/// A path that others may have chosen.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}
