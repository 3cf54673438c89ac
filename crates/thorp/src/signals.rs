//! Signals that mean goodbye: SIGINT, SIGTERM, SIGHUP.

use thorp_node::api::ErrorKind;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Result, failure};
use crate::node::Stop;

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// End what is under way; where nothing is, the program.
    Interrupt,
    /// End the program.
    End,
}

/// Listens from its making on; until then a signal ends the process at once.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> Result<Self> {
        let on = |kind| {
            signal(kind)
                .map_err(|e| failure(ErrorKind::Other, format!("listening to signals: {e}")))
        };
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) {
        self.which().await;
    }

    /// The same, and which it is.
    pub async fn which(&mut self) -> Means {
        tokio::select! {
            _ = self.interrupt.recv() => Means::Interrupt,
            _ = self.terminate.recv() => Means::End,
            _ = self.hangup.recv() => Means::End,
        }
    }

    /// Ends the node with its goodbyes; a second signal ends the process at once.
    pub async fn goodbye(&mut self, stop: Stop) -> Exit {
        tokio::select! {
            () = stop => Exit::DONE,
            () = self.next() => ErrorKind::Unfinished.into(),
        }
    }
}
