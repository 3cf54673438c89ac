//! The node that a page is of, as the program hands it over.

use std::fmt;
use std::sync::Arc;

use thorp_node::api::{Command, Event};
use thorp_node::peer::Peer;
use thorp_node::snapshot::Viewer;
use tokio::sync::mpsc;

use crate::refusal::Saying;

/// Sends a command to a node; the receiver has the events of the answer.
pub type AskNode = Arc<dyn Fn(Command) -> mpsc::Receiver<Event> + Send + Sync>;

/// Which kind of node a page is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOf {
    /// A peer, perhaps with its group's tracker inside.
    Peer,
    /// A tracker alone.
    Tracker,
}

/// The node that a page is of.
#[derive(Clone)]
pub struct ServedNode {
    /// Which kind of node it is.
    pub kind: PageOf,
    /// The view of its state.
    pub viewer: Viewer,
    /// Sends it a command.
    pub ask: AskNode,
    /// The peer whose files are read, if it is one.
    pub peer: Option<Peer>,
    /// Sends a command to the keeper of the group's CA, if that is in this process.
    pub ask_keeper: Option<AskNode>,
    /// How its events are said.
    pub say: Saying,
}

impl fmt::Debug for ServedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServedNode({:?})", self.kind)
    }
}
