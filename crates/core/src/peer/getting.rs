//! Files that this peer's user wants: what [`get`](crate::get) asks of the rest
//! of the machine, and what it is told.

use std::collections::BTreeMap;

use thorp_wire::frame::{Holder, RequestId};

use super::asking::{Asker, Surveyor};
use super::{Output, Peer};
use crate::get::{Action, Claimed, FetchId, GetId, Input, Inquiry, Storage};
use crate::links::{self, LinkId};
use crate::lookup::{Answer, Lookup, Outcome, Source};
use crate::survey::Subject;
use crate::time::Instant;

impl Peer {
    /// The bytes of a file have come. Whether they are wanted, and as what: then
    /// check and store them, and say [`Input::Stored`](super::Input::Stored).
    /// Otherwise drop them. Drain [`poll_output`](Self::poll_output) after it, too.
    pub fn claim_content(
        &mut self,
        now: Instant,
        link: LinkId,
        request: RequestId,
    ) -> Option<Claimed> {
        self.on_link_input(now, links::Input::heard(link));
        let fetch = self.content_came(now, link, request);
        self.advance(now, false);
        self.gets.claimed(fetch?)
    }

    /// Does what the gets want done, until they want nothing more.
    pub(super) fn advance_gets(&mut self, now: Instant) {
        self.gets.handle(now, Input::Tick);
        loop {
            while let Some(action) = self.gets.poll_output() {
                self.do_for_get(now, action);
            }
            self.advance_lookups(now);
            self.advance_surveys(now);
            self.advance_fetches(now);
            self.look_for_sources(now);
            if !self.gets.has_output() {
                return;
            }
        }
    }

    fn do_for_get(&mut self, now: Instant, action: Action) {
        match action {
            Action::Tell(get, output) => self.out.push_back(Output::Get(get, output)),
            Action::LookUp(inquiry, names, only) => {
                let lookup = Lookup::new(now, names, only);
                self.lookups.insert(inquiry, lookup);
            }
            Action::Survey(inquiry, pattern, only) => {
                let subject = Subject::Files(pattern);
                self.survey(now, Surveyor::Get(inquiry), subject, only, None);
            }
            Action::Fetch(fetch, wanted) => self.fetches.want(fetch, wanted),
            Action::Seek(fetch, wanted) => self.seek(now, fetch, wanted),
            Action::Widen(fetch) => self.widen(now, fetch),
            Action::DoNotSeek(fetch) => self.sought.drop(fetch),
            Action::Gathered(fetch, sources) => self.gathered(now, fetch, sources),
            Action::Lied(liar) => self.lied(now, liar),
            Action::Forget(get, fetches) => self.forget(get, &fetches),
        }
    }

    /// A lookup of a get is done.
    pub(super) fn looked_up(&mut self, now: Instant, inquiry: Inquiry, outcome: Outcome) {
        let mut known = BTreeMap::new();
        for (_, answer) in &outcome.names {
            if let Answer::Found(Source::Neighbour(id), _) = answer
                && !known.contains_key(id)
                && let Some(holder) = self.member(*id)
            {
                known.insert(*id, holder);
            }
        }
        let input = Input::LookedUp {
            inquiry,
            outcome,
            known,
        };
        self.gets.handle(now, input);
    }

    /// What became of bytes that were claimed, or of an empty file.
    pub(super) fn stored(&mut self, now: Instant, fetch: FetchId, storage: Storage) {
        let is_mismatch = storage == Storage::Mismatch;
        let from = self.fetches.stored(fetch, !is_mismatch);
        match &from {
            Some(liar) if is_mismatch => self.lied(now, liar.clone()),
            Some(holder) => {
                let rtt = self.links.to(holder.id).and_then(|(_, link)| link.rtt);
                self.neighbours.was_useful(now, holder.id, rtt);
                self.neighbours.was_used(now, holder.id);
            }
            None => {}
        }
        self.gets.handle(now, Input::Stored(fetch, from, storage));
    }

    /// These have a large file.
    pub(super) fn name_holders(&mut self, now: Instant, fetch: FetchId, mut holders: Vec<Holder>) {
        let me = self.config.me.id;
        holders.retain(|holder| holder.id != me);
        if holders.is_empty() {
            return;
        }
        self.gets.handle(now, Input::Named(fetch, holders));
    }

    /// No caller waits for these any more, nor for an answer about them.
    fn forget(&mut self, get: GetId, fetches: &[FetchId]) {
        for fetch in fetches {
            self.fetches.drop(*fetch);
            self.sought.drop(*fetch);
        }
        let is_its = |inquiry: &Inquiry| inquiry.get == get;
        let surveys_for_it = |surveyor: &Surveyor| match surveyor {
            Surveyor::Get(inquiry) => is_its(inquiry),
            Surveyor::Shell(_) => false,
        };
        self.lookups.retain(|inquiry, _| !is_its(inquiry));
        self.surveys.retain(|surveyor, _| !surveys_for_it(surveyor));
        self.questions
            .retain(|_, question| match question.errand.asker() {
                Asker::Lookup(inquiry, _) => !is_its(&inquiry),
                Asker::Survey(surveyor) => !surveys_for_it(&surveyor),
                Asker::Fetch(fetch) | Asker::Widening(fetch) | Asker::Sources(fetch) => {
                    fetches.binary_search(&fetch).is_err()
                }
                Asker::Nobody => true,
            });
    }
}
