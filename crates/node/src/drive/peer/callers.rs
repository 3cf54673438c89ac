//! Surveys and gets that callers wait for, and where the bytes of small files go.
//!
//! What there is to do for a get is decided in [`thorp_core::get`]; its caller
//! does it ([`get`](super::get)), but for small files, which are stored from here.

use std::collections::HashMap;

use thorp_core::get::{self, Claimed, FetchId, GetId, Output, Storage};
use thorp_core::lookup::Only;
use thorp_core::peer::{AskId, Input};
use thorp_core::survey::{Findings, Subject};
use thorp_files::disk::Disk;
use thorp_files::store::StoreError;
use thorp_wire::frame::Holder;
use tokio::sync::{mpsc, oneshot};

use crate::sessions::Writing;

use super::delivery::{Delivery, Terms};
use super::event::Event;
use super::get::ForGet;

pub(super) struct Callers {
    surveys: HashMap<AskId, oneshot::Sender<Findings>>,
    last_ask: u64,
    gets: HashMap<GetId, Ordered>,
    disk: Disk,
    events: mpsc::Sender<Event>,
    /// Large files that are not written to any more. As many as were begun, so
    /// the channel needs no bound of its own.
    released: (
        mpsc::UnboundedSender<FetchId>,
        mpsc::UnboundedReceiver<FetchId>,
    ),
}

/// A get that a caller waits for.
struct Ordered {
    terms: Terms,
    told: mpsc::UnboundedSender<ForGet>,
}

impl Callers {
    /// What is stored is told to `events`.
    pub(super) fn new(disk: Disk, events: mpsc::Sender<Event>) -> Self {
        Self {
            surveys: HashMap::new(),
            last_ask: 0,
            gets: HashMap::new(),
            disk,
            events,
            released: mpsc::unbounded_channel(),
        }
    }

    /// A survey, with this peer's own files where `itself` is given.
    pub(super) fn on_survey(
        &mut self,
        subject: Subject,
        only: Only,
        itself: Option<Holder>,
        reply: oneshot::Sender<Findings>,
    ) -> Input {
        self.last_ask += 1;
        let ask = AskId(self.last_ask);
        self.surveys.insert(ask, reply);
        Input::Survey {
            ask,
            subject,
            only,
            itself: itself.map(Box::new),
        }
    }

    pub(super) fn on_surveyed(&mut self, ask: AskId, findings: Findings) {
        if let Some(reply) = self.surveys.remove(&ask) {
            answer(reply, findings);
        }
    }

    /// Files are wanted. What is to be done for them, and what becomes of them,
    /// is told to the caller.
    pub(super) fn on_get(
        &mut self,
        get: GetId,
        request: get::Request,
        terms: Terms,
        told: mpsc::UnboundedSender<ForGet>,
    ) -> Input {
        self.gets.insert(get, Ordered { terms, told });
        Input::Get { get, request }
    }

    /// No caller waits for this any more.
    pub(super) fn abandon(&mut self, get: GetId) -> Input {
        self.gets.remove(&get);
        Input::AbandonGet { get }
    }

    /// Waits until nothing is written to a large file any more.
    pub(super) async fn released(&mut self) -> FetchId {
        match self.released.1.recv().await {
            Some(fetch) => fetch,
            None => std::future::pending().await,
        }
    }

    /// The machine wants something done for a get.
    pub(super) fn on_output(&mut self, get: GetId, output: Output) {
        let wanted = match output {
            Output::Make(fetch, item) => {
                let claimed = Claimed { fetch, get, item };
                return self.store(claimed, Vec::new());
            }
            Output::Begin(fetch, item) => {
                let writing = Writing::new(fetch, self.released.0.clone());
                ForGet::Begin(fetch, item, writing)
            }
            Output::Do(chore) => ForGet::Do(chore),
            Output::Tell(news) => ForGet::Tell(news),
            Output::Ended(end) => {
                if let Some(ordered) = self.gets.remove(&get) {
                    ordered.tell(ForGet::Ended(end));
                }
                return;
            }
        };
        if let Some(ordered) = self.gets.get(&get) {
            ordered.tell(wanted);
        }
    }

    /// Bytes of a small file have come, or it has none.
    pub(super) fn store(&self, claimed: Claimed, bytes: Vec<u8>) {
        let Claimed { fetch, get, item } = claimed;
        let Some(ordered) = self.gets.get(&get) else {
            return;
        };
        let delivery = Delivery::new(ordered.terms.clone(), item);
        let events = self.events.clone();
        self.disk.run(move || {
            let storage = match delivery.put(&bytes) {
                Ok(_) => Storage::Kept,
                // The next holder may send the right thing.
                Err(StoreError::Mismatch { .. }) => Storage::Mismatch,
                // The bytes were right; the place for them is not.
                Err(error) => Storage::Failed(delivery.note(error)),
            };
            // If the peer is gone, the file is there all the same.
            let _ = events.blocking_send(Event::Stored { fetch, storage });
        });
    }
}

impl Ordered {
    fn tell(&self, wanted: ForGet) {
        // A caller that waits no more will have it abandoned.
        let _ = self.told.send(wanted);
    }
}

/// Tells the caller, if it still waits.
pub(super) fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}
