//! Where the state directory is. Its content is owned by the node.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use thorp_node::api::ErrorKind;

use crate::exit::{Result, failure};
use crate::words;

/// Which node a state directory belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A peer, or a visitor.
    Peer,
    /// A tracker that runs alone.
    Tracker,
}

/// Returns the path given by `--state`, or the default in `$XDG_STATE_HOME/thorp`; always
/// absolute.
pub fn directory(asked: Option<&Path>, kind: NodeKind) -> Result<PathBuf> {
    let path = match asked {
        Some(path) => path.to_owned(),
        None => default(kind, |name| std::env::var_os(name)).ok_or_else(|| {
            let why = "there is no home directory to keep keys in: set HOME, or use --state DIR";
            failure(ErrorKind::Usage, why)
        })?,
    };
    std::path::absolute(&path).map_err(|e| {
        let why = format!("{}: {e}: use another --state DIR", path.display());
        failure(ErrorKind::Usage, why)
    })
}

/// Whether that is the directory without `--state`.
pub fn is_default(state: &Path, kind: NodeKind) -> bool {
    default(kind, |name| std::env::var_os(name)).is_some_and(|default| default == state)
}

/// Returns what a command ends with that is to be about this directory: nothing where it is that
/// without.
pub fn told(state: &Path, kind: NodeKind) -> String {
    if is_default(state, kind) {
        String::new()
    } else {
        format!(" {}", words::there(state))
    }
}

fn default(kind: NodeKind, env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| {
        env(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    // The XDG specification says that relative paths are to be ignored.
    let home = set("XDG_STATE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| Some(set("HOME")?.join(".local/state")))?;
    let kind = match kind {
        NodeKind::Peer => "peer",
        NodeKind::Tracker => "tracker",
    };
    Some(home.join("thorp").join(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory() {
        let home = |name: &str| (name == "HOME").then(|| "/home/oak".into());
        let peer = default(NodeKind::Peer, home);
        assert_eq!(peer, Some("/home/oak/.local/state/thorp/peer".into()));
        let both = |name: &str| match name {
            "HOME" => Some("/home/oak".into()),
            "XDG_STATE_HOME" => Some("/state".into()),
            _ => None,
        };
        let tracker = default(NodeKind::Tracker, both);
        assert_eq!(tracker, Some("/state/thorp/tracker".into()));
        assert_eq!(default(NodeKind::Peer, |_| None), None);
    }
}
