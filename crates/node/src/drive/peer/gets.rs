//! The gets that callers wait for, as the peer's task has them, and what it tells a caller.
//!
//! Has small files stored, many at a time. What a caller does with what it is told is in
//! [`get`](super::get), and in [`reading`](super::reading) where nothing is to be stored.

use std::collections::HashMap;

use thorp_core::get::{self, Chore, Claimed, Ending, FetchId, GetId, Item, News, Output};
use thorp_core::peer::Input;
use thorp_core::swarm::Awaited;
use thorp_disk::Pile;
use thorp_files::share::Share;
use thorp_wire::merkle::Hashed;
use tokio::sync::mpsc;

use crate::sessions::Writing;

use super::delivery::{Delivery, Terms};
use super::event::Event;
use super::{Abandoned, Peer};

/// A get that a caller begins.
pub(super) struct Begun {
    get: GetId,
    request: get::Request,
    terms: Terms,
    /// As many as there are files, so the channel needs no bound of its own.
    told: mpsc::UnboundedSender<ForGet>,
}

impl Begun {
    /// What is to be done for it is told to `told`.
    pub(super) fn new(
        get: GetId,
        request: get::Request,
        terms: Terms,
        told: mpsc::UnboundedSender<ForGet>,
    ) -> Self {
        Self {
            get,
            request,
            terms,
            told,
        }
    }
}

/// What the peer's task passes on of what the core wants for a get.
pub(super) enum ForGet {
    Do(Chore),
    Tell(News),
    /// A large file is to be begun. When what is held here is dropped, the core
    /// learns that nothing is written to it any more.
    Begin(FetchId, Item, Writing),
    /// From which holders small files are awaited, if any are.
    Awaited(Option<Awaited>),
    Ended(Ending),
}

/// A get that a caller waits for. Dropped before it is served, it is abandoned.
pub(super) struct Waiting<'a> {
    peer: &'a Peer,
    get: Option<GetId>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(peer: &'a Peer, get: GetId) -> Self {
        Self {
            peer,
            get: Some(get),
        }
    }

    pub(super) fn was_served(&mut self) {
        self.get = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(get) = self.get {
            self.peer.abandon(Abandoned::Get(get));
        }
    }
}

/// The gets that callers wait for, as the peer's task has them.
pub(super) struct Gets {
    waiting: HashMap<GetId, Ordered>,
    /// Where this peer's own files are; a visitor has none.
    share: Option<Share>,
    /// Small files that have come and are to be stored.
    arrived: Pile<Arrived>,
    events: mpsc::Sender<Event>,
    /// Large files that are not written to any more. As many as were begun, so
    /// the channel needs no bound of its own.
    released: (
        mpsc::UnboundedSender<FetchId>,
        mpsc::UnboundedReceiver<FetchId>,
    ),
}

/// The bytes of a small file, and where they belong.
type Arrived = (FetchId, Delivery, Vec<u8>);

/// A get that a caller waits for.
struct Ordered {
    terms: Terms,
    told: mpsc::UnboundedSender<ForGet>,
}

impl Gets {
    /// What is stored is told to `events`.
    pub(super) fn new(share: Option<Share>, events: mpsc::Sender<Event>) -> Self {
        let told = events.clone();
        let arrived = Pile::new(move |disk, arrived| {
            let files = arrived.together(Hashed::TOGETHER);
            Delivery::store_all(disk, &files, |stored| {
                // If the peer is gone, the files are there all the same.
                let _ = told.blocking_send(Event::Stored(stored));
            });
        });
        Self {
            waiting: HashMap::new(),
            share,
            arrived,
            events,
            released: mpsc::unbounded_channel(),
        }
    }

    /// Files are wanted. What is to be done for them, and what becomes of them,
    /// is told to the caller; nothing is to be done where that has gone already.
    pub(super) fn on_begun(&mut self, begun: Begun) -> Option<Input> {
        let Begun {
            get,
            request,
            terms,
            told,
        } = begun;
        if told.is_closed() {
            return None;
        }
        self.waiting.insert(get, Ordered { terms, told });
        Some(Input::Get { get, request })
    }

    /// From which holders small files of a get are awaited.
    pub(super) fn on_awaited(&self, get: GetId, awaited: Option<Awaited>) {
        if let Some(ordered) = self.waiting.get(&get) {
            ordered.tell(ForGet::Awaited(awaited));
        }
    }

    /// No caller waits for this any more.
    pub(super) fn abandon(&mut self, get: GetId) -> Input {
        self.waiting.remove(&get);
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
            Output::Copy(fetch, item) => return self.copy(fetch, get, item),
            Output::Begin(fetch, item) => {
                let writing = Writing::new(fetch, self.released.0.clone());
                ForGet::Begin(fetch, item, writing)
            }
            Output::Do(chore) => ForGet::Do(chore),
            Output::Tell(news) => ForGet::Tell(news),
            Output::Ended(end) => {
                if let Some(ordered) = self.waiting.remove(&get) {
                    ordered.tell(ForGet::Ended(end));
                }
                return;
            }
        };
        if let Some(ordered) = self.waiting.get(&get) {
            ordered.tell(wanted);
        }
    }

    /// A file is copied from the share: on a thread of its own, for it may be large.
    fn copy(&self, fetch: FetchId, get: GetId, item: Item) {
        let (Some(ordered), Some(share)) = (self.waiting.get(&get), self.share.clone()) else {
            return;
        };
        let delivery = Delivery::new(ordered.terms.clone(), item);
        let events = self.events.clone();
        thorp_disk::spawn(move |disk| {
            let storage = delivery.copy(disk, &share);
            // If the peer is gone, the file is there all the same.
            let _ = events.blocking_send(Event::Stored(vec![(fetch, storage)]));
        });
    }

    /// Bytes of a small file have come, or it has none.
    pub(super) fn store(&self, claimed: Claimed, bytes: Vec<u8>) {
        let Claimed { fetch, get, item } = claimed;
        let Some(ordered) = self.waiting.get(&get) else {
            return;
        };
        let delivery = Delivery::new(ordered.terms.clone(), item);
        self.arrived.push((fetch, delivery, bytes));
    }
}

impl Ordered {
    fn tell(&self, wanted: ForGet) {
        // A caller that waits no more will have it abandoned.
        let _ = self.told.send(wanted);
    }
}
