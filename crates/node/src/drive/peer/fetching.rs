//! What is asked for here: lookups, surveys and files that callers wait for,
//! and where the bytes go that come for them.
//!
//! Makes inputs of the callers' requests, and answers of the machine's outputs.
//! Whom to ask and from whom to fetch is decided in [`thorp_core::peer`].

use std::collections::HashMap;

use thorp_core::fetch::{Failure, FetchId};
use thorp_core::links::LinkId;
use thorp_core::lookup::{Only, Outcome, merge};
use thorp_core::peer::{AskId, Input};
use thorp_core::survey::{Findings, Subject};
use thorp_files::disk::Disk;
use thorp_files::store::{StoreError, Stored};
use thorp_wire::Content;
use thorp_wire::frame::{Bytes, Holder, RequestId, Variant};
use tokio::sync::{mpsc, oneshot};

use super::event::Event;
use super::{Delivery, FetchError, Request};

pub(super) struct Fetching {
    lookups: HashMap<AskId, oneshot::Sender<Outcome>>,
    /// With what this peer has itself of it.
    surveys: HashMap<AskId, (oneshot::Sender<Findings>, Vec<Variant>)>,
    last_ask: u64,
    fetches: HashMap<FetchId, Pending>,
    /// Callers that want to know who has a large file.
    sought: HashMap<FetchId, mpsc::UnboundedSender<Vec<Holder>>>,
    /// Questions that are answered with a file.
    expected: HashMap<(LinkId, RequestId), Content>,
    /// The file that has just come, while the machine is asked what of it.
    in_hand: Option<(Content, Bytes)>,
    disk: Disk,
    events: mpsc::Sender<Event>,
}

/// A file that a caller waits for.
struct Pending {
    delivery: Delivery,
    reply: oneshot::Sender<Result<(Holder, Stored), FetchError>>,
    stored: Option<Stored>,
}

impl Fetching {
    /// What is stored is told to `events`.
    pub(super) fn new(disk: Disk, events: mpsc::Sender<Event>) -> Self {
        Self {
            lookups: HashMap::new(),
            surveys: HashMap::new(),
            last_ask: 0,
            fetches: HashMap::new(),
            sought: HashMap::new(),
            expected: HashMap::new(),
            in_hand: None,
            disk,
            events,
        }
    }

    /// What the machine is told of a request; the other ones are not for here.
    pub(super) fn on_request(&mut self, request: Request) -> Option<Input> {
        let input = match request {
            Request::LookUp { names, only, reply } => {
                let ask = self.next_ask();
                self.lookups.insert(ask, reply);
                Input::LookUp { ask, names, only }
            }
            Request::Fetch {
                fetch,
                wanted,
                delivery,
                reply,
            } => {
                let pending = Pending {
                    delivery,
                    reply,
                    stored: None,
                };
                self.fetches.insert(fetch, pending);
                Input::Fetch { fetch, wanted }
            }
            Request::Seek {
                fetch,
                wanted,
                holders,
            } => {
                self.sought.insert(fetch, holders);
                Input::Seek { fetch, wanted }
            }
            Request::Widen(fetch) => Input::Widen { fetch },
            Request::Gathered(fetch, sources) => {
                self.sought.remove(&fetch);
                Input::Gathered { fetch, sources }
            }
            Request::Lied(holder) => Input::Lied(holder),
            Request::InUse(member) => Input::InUse(member),
            Request::Survey { .. }
            | Request::Member(..)
            | Request::Neighbours(_)
            | Request::Status(_)
            | Request::Stop(_) => return None,
        };
        Some(input)
    }

    /// A survey, to which this peer adds its `own`.
    pub(super) fn on_survey(
        &mut self,
        subject: Subject,
        only: Only,
        own: Vec<Variant>,
        reply: oneshot::Sender<Findings>,
    ) -> Input {
        let ask = self.next_ask();
        self.surveys.insert(ask, (reply, own));
        Input::Survey { ask, subject, only }
    }

    /// No caller waits for this any more.
    pub(super) fn abandon(&mut self, fetch: FetchId) -> Input {
        self.fetches.remove(&fetch);
        self.sought.remove(&fetch);
        Input::Abandon { fetch }
    }

    /// The machine asks for a file on a link.
    pub(super) fn on_asked(&mut self, link: LinkId, request: RequestId, content: Content) {
        self.expected.insert((link, request), content);
    }

    /// Bytes of a file have come. What was not asked for is dropped.
    pub(super) fn on_content(
        &mut self,
        link: LinkId,
        request: RequestId,
        bytes: Bytes,
    ) -> Option<Input> {
        let content = self.expected.remove(&(link, request))?;
        self.in_hand = Some((content, bytes));
        Some(Input::Arrived { link, request })
    }

    /// The machine has been asked what of the bytes that have come.
    pub(super) fn drop_content(&mut self) {
        self.in_hand = None;
    }

    /// No bytes will come in answer to this.
    pub(super) fn on_refused(&mut self, link: LinkId, request: RequestId) {
        self.expected.remove(&(link, request));
    }

    /// Nothing more comes on this link.
    pub(super) fn on_link_closed(&mut self, link: LinkId) {
        self.expected.retain(|(on, _), _| *on != link);
    }

    /// The bytes that have come are wanted.
    pub(super) fn store(&mut self, fetch: FetchId) -> Option<Input> {
        let wanted = self
            .fetches
            .get(&fetch)
            .filter(|pending| !pending.reply.is_closed());
        let Some(delivery) = wanted.map(|pending| pending.delivery.clone()) else {
            // The caller that wanted it has gone.
            return Some(self.abandon(fetch));
        };
        let (content, bytes) = self.in_hand.take()?;
        let events = self.events.clone();
        self.disk.run(move || {
            let result = delivery.put(content, &bytes.bytes);
            // Nobody to tell: the peer is gone, the file is there.
            let _ = events.blocking_send(Event::Stored { fetch, result });
        });
        None
    }

    pub(super) fn on_stored(
        &mut self,
        fetch: FetchId,
        result: Result<Stored, StoreError>,
    ) -> Input {
        let verified = !matches!(result, Err(StoreError::Mismatch { .. }));
        match result {
            Ok(stored) => {
                if let Some(pending) = self.fetches.get_mut(&fetch) {
                    pending.stored = Some(stored);
                }
            }
            // The next holder may send the right thing.
            Err(StoreError::Mismatch { .. }) => {}
            // The bytes were right; the place for them is not.
            Err(error) => self.fail(fetch, FetchError::Store(error)),
        }
        Input::Stored { fetch, verified }
    }

    pub(super) fn on_looked_up(&mut self, ask: AskId, outcome: Outcome) {
        answer(self.lookups.remove(&ask), outcome);
    }

    pub(super) fn on_surveyed(&mut self, ask: AskId, mut findings: Findings) {
        let Some((reply, own)) = self.surveys.remove(&ask) else {
            return;
        };
        for variant in own {
            merge(&mut findings.files, variant);
        }
        findings
            .files
            .sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
        answer(Some(reply), findings);
    }

    pub(super) fn on_fetched(&mut self, fetch: FetchId, holder: Holder) {
        if let Some(Pending { reply, stored, .. }) = self.fetches.remove(&fetch) {
            let result = stored.map(|stored| (holder, stored));
            answer(Some(reply), result.ok_or(FetchError::Stopping));
        }
    }

    pub(super) fn on_fetch_failed(&mut self, fetch: FetchId, failure: Failure) {
        self.fail(fetch, FetchError::Failure(failure));
    }

    pub(super) fn on_holders(&self, fetch: FetchId, holders: Vec<Holder>) {
        if let Some(sought) = self.sought.get(&fetch) {
            // The caller that wanted to know will say that it does no more.
            let _ = sought.send(holders);
        }
    }

    fn fail(&mut self, fetch: FetchId, error: FetchError) {
        let reply = self.fetches.remove(&fetch).map(|pending| pending.reply);
        answer(reply, Err(error));
    }

    /// A number that was not used before.
    fn next_ask(&mut self) -> AskId {
        self.last_ask += 1;
        AskId(self.last_ask)
    }
}

/// Tells the caller, if it still waits.
pub(super) fn answer<T>(reply: Option<oneshot::Sender<T>>, value: T) {
    if let Some(reply) = reply {
        let _ = reply.send(value);
    }
}
