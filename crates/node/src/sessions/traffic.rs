//! How many bytes of large files have gone, and to which members some go now.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thorp_core::swarm::SourceId;
use thorp_wire::PeerId;
use tokio::sync::mpsc;

/// How often it is said that bytes go to a member.
const TOLD_EVERY: Duration = Duration::from_secs(20);

/// See the module: since the start, of all transfers.
#[derive(Debug)]
pub(super) struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
    files_sent: AtomicU64,
    files_received: AtomicU64,
    in_use: mpsc::Sender<PeerId>,
}

/// When it was last said of one session that bytes go there.
#[derive(Debug, Default)]
pub(super) struct LastTold {
    at: Option<Instant>,
    /// Whether bytes have gone there.
    has_begun: bool,
}

impl Traffic {
    pub fn new(in_use: mpsc::Sender<PeerId>) -> Self {
        Self {
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            files_sent: AtomicU64::new(0),
            files_received: AtomicU64::new(0),
            in_use,
        }
    }

    /// Bytes that were sent, and that were received.
    pub fn bytes(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.sent), read(&self.received))
    }

    /// Files of which bytes were sent, one for each session, and files that were fetched.
    pub fn files(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.files_sent), read(&self.files_received))
    }

    /// A file has been fetched.
    pub fn fetched(&self) {
        self.files_received.fetch_add(1, Ordering::Relaxed);
    }

    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn sent(&self, bytes: u64, to: SourceId, told: &mut LastTold) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        if !std::mem::replace(&mut told.has_begun, true) {
            self.files_sent.fetch_add(1, Ordering::Relaxed);
        }
        let Some(member) = to.member() else {
            return;
        };
        if told.at.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            told.at = Some(Instant::now());
            self.on_use(member);
        }
    }

    /// There is something between this member and this peer.
    pub fn on_use(&self, member: PeerId) {
        // If the peer has too much to do to hear it, it will hear it later.
        let _ = self.in_use.try_send(member);
    }
}
