//! Files for this peer's user: carries the questions of gets to other members, and their answers
//! back.
//!
//! What to ask, in which order and for how long is decided by [`Gets`](crate::get::Gets),
//! [`Lookup`](crate::lookup::Lookup) and [`Fetches`](crate::get::small::Fetches); this module
//! turns their requests into frames, and frames into their answers. Surveys are in
//! [`surveying`](super::surveying), links are made in [`linking`](super::linking).

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::{Body, Find, Found, Frame, Get, Holder, Refused, RequestId, Variant};

use super::wanted::{Asker, Errand, Surveyor};
use super::{Exchange, Output, Peer, hearing};
use crate::changes::Row;
use crate::get::small::{self, LinkTo, NotSent};
use crate::get::{self, Action, Claimed, FetchId, GetId, Inquiry, Storage};
use crate::links::{self, LinkId};
use crate::lookup::{
    Answer, Lookup, LookupAction, Outcome, Source, Surroundings, TrackerState, TrackerUse, Witness,
};
use crate::matching::Pattern;
use crate::spared::Lookups;
use crate::survey::Subject;
use crate::swarm::Awaited;
use crate::time::Instant;

/// How many neighbours are asked about a name that is not in memory.
pub(super) const ASKED_NEIGHBOURS: usize = 8;

/// A question or request on a link that has no answer yet.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) errand: Errand,
    asked: Instant,
}

impl Peer {
    /// Reports that the bytes of files have arrived together. Returns of each, if it is wanted,
    /// for which fetch and as what content: check and store it, then send
    /// [`Input::Stored`](super::Input::Stored). Otherwise drop it. Drain
    /// [`poll_output`](Self::poll_output) afterwards.
    pub fn claim_contents(
        &mut self,
        now: Instant,
        came: &[(LinkId, RequestId)],
    ) -> Vec<Option<Claimed>> {
        let fetches = came.iter().map(|(link, request)| {
            self.on_link_input(now, links::Input::heard(*link));
            self.content_came(now, *link, *request)
        });
        let fetches: Vec<Option<FetchId>> = fetches.collect();
        self.advance(now, false);
        let fetches = fetches.into_iter();
        fetches.map(|fetch| self.gets.claimed(fetch?)).collect()
    }

    /// From which holders small files of a get are awaited, if any is.
    pub fn awaited(&self, now: Instant, get: GetId) -> Option<Awaited> {
        self.fetches.awaited(now, self.gets.coming(get))
    }

    /// Carries out the requests of the gets until there are none left.
    pub(super) fn advance_gets(&mut self, now: Instant) {
        self.tell_what_is_listed(now);
        self.gets.handle(now, get::Input::Tick);
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

    /// Tells the gets that neighbours may list files now that the gets wait for.
    fn tell_what_is_listed(&mut self, now: Instant) {
        let (catalogue, me) = (self.links.catalogue(), self.config.me.id);
        let state = catalogue.holder_changes();
        if self.listings_seen.replace(state) == Some(state) {
            return;
        }
        let among = |peer| peer != me;
        let is_listed = |name: &str| catalogue.named(name, &among).is_some();
        let waited_for = self.gets.waited_for();
        let listed = waited_for.filter(|(_, name)| is_listed(name));
        let listed: Vec<_> = listed.map(|(get, name)| (get, name.to_owned())).collect();
        for (get, name) in listed {
            self.gets.handle(now, get::Input::Listed(get, name));
        }
    }

    fn do_for_get(&mut self, now: Instant, action: Action) {
        match action {
            Action::Tell(get, output) => self.out.push_back(Output::Get(get, output)),
            Action::LookUp(inquiry, names, only) => {
                let lookup = Lookup::new(now, names, only);
                self.lookups.insert(inquiry, lookup);
            }
            Action::LookUpAgain(inquiry, names, only) => {
                let lookup = Lookup::new(now, names, only).again();
                self.lookups.insert(inquiry, lookup);
            }
            Action::Survey(inquiry, pattern, only) => {
                let subject = Subject::Files(pattern);
                self.survey(now, Surveyor::Get(inquiry), subject, only);
            }
            Action::GoOn(inquiry) => self.on_taken(Surveyor::Get(inquiry)),
            Action::Fetch(fetch, wanted) => self.fetches.want(fetch, wanted),
            Action::NoRoomFor(fetches) => {
                for fetch in fetches {
                    if self.fetches.drop_unless_it_came(fetch) {
                        self.gets.handle(now, get::Input::NoRoomFor(fetch));
                    }
                }
            }
            Action::Seek(fetch, wanted) => self.seek(now, fetch, wanted),
            Action::Widen(fetch) => self.widen(now, fetch),
            Action::DoNotSeek(fetch) => self.sought.drop(fetch),
            Action::Gathered(fetch, sources) => self.gathered(now, fetch, sources),
            Action::Lied(liar) => self.lied(now, liar),
            // A get asks one question at a time.
            Action::Enough(inquiry) => self.forget(inquiry.get, &[]),
            Action::Forget(get, fetches) => self.forget(get, &fetches),
        }
    }

    pub(super) fn advance_lookups(&mut self, now: Instant) {
        if self.lookups.is_empty() {
            return;
        }
        for inquiry in self.lookups.keys().copied().collect::<Vec<_>>() {
            // Taken out of the map, because `LookupView` borrows the whole peer.
            while let Some(mut lookup) = self.lookups.remove(&inquiry) {
                let actions = lookup.advance(now, &LookupView { now, peer: self });
                let asker = Asker::Lookup(inquiry, lookup.round());
                self.lookups.insert(inquiry, lookup);
                if actions.is_empty() {
                    break;
                }
                for action in actions {
                    match action {
                        LookupAction::Ask(member, find) => self.ask(now, member, asker, find),
                        LookupAction::Finish(outcome) => {
                            self.lookups.remove(&inquiry);
                            self.count(now, &outcome);
                            self.looked_up(now, inquiry, outcome);
                        }
                    }
                }
            }
        }
    }

    /// A lookup of a get is done.
    pub(super) fn looked_up(&mut self, now: Instant, inquiry: Inquiry, mut outcome: Outcome) {
        if self.gets.copies(inquiry.get) {
            for (name, answer) in &mut outcome.names {
                if matches!(answer, Answer::Nobody) && self.has_folder(name) {
                    *answer = Answer::Folder;
                }
            }
        }
        let mut known = BTreeMap::new();
        for (_, answer) in &outcome.names {
            if let Answer::Found(Source::Neighbour(id), _) = answer
                && !known.contains_key(id)
                && let Some(holder) = self.member(*id)
            {
                known.insert(*id, holder);
            }
        }
        let is_missed = |answer: &Answer| !matches!(answer, Answer::Found(..));
        let missed = outcome.names.iter().filter(|(_, answer)| is_missed(answer));
        let own = missed.filter_map(|(name, _)| Some((name.clone(), self.own_named(name)?)));
        let own = own.collect();
        let input = get::Input::LookedUp {
            inquiry,
            outcome,
            known,
            own,
        };
        self.gets.handle(now, input);
    }

    fn count(&mut self, now: Instant, outcome: &Outcome) {
        self.out.push_back(Output::Changed(Row::Node));
        let lookups = Lookups {
            lookups: outcome.names.len() as u64,
            spared: outcome.spared as u64,
        };
        self.spared.count(now, lookups);
        self.untold.add(lookups);
        for (_, answer) in &outcome.names {
            match answer {
                Answer::Found(Source::Memory, _) => {
                    self.tally.neighbours += 1;
                    self.tally.memory += 1;
                }
                Answer::Found(Source::Neighbour(via), _) => {
                    self.tally.neighbours += 1;
                    let rtt = self.links.to(*via).and_then(|(_, link)| link.rtt);
                    self.neighbours.was_useful(now, *via, rtt);
                }
                Answer::Found(Source::Tracker, _) => self.tally.tracker += 1,
                Answer::Alike(_) | Answer::OtherCase(_) | Answer::Folder | Answer::Nobody => {
                    match outcome.tracker {
                        TrackerUse::Asked | TrackerUse::AskedWithoutUnlisted => {
                            self.tally.tracker += 1;
                        }
                        TrackerUse::Spared | TrackerUse::InPart | TrackerUse::Unreachable => {
                            self.tally.nobody += 1;
                        }
                    }
                }
            }
        }
    }

    pub(super) fn advance_fetches(&mut self, now: Instant) {
        loop {
            let links = &self.links;
            let link_to = |peer| match links.to(peer) {
                Some((_, link)) => LinkTo::Linked(link.rtt),
                None => LinkTo::Unlinked,
            };
            let heard = |peer| Some(links.to(peer)?.1.liveness.last_heard());
            let actions = self.fetches.advance(now, &link_to, &heard);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    small::Action::Get(fetch, member, content) => {
                        self.send_to(now, member, Errand::Get(fetch, content));
                    }
                    small::Action::Widen(fetch, find) => match self.home.link() {
                        Some(tracker) => {
                            self.run(
                                now,
                                tracker,
                                Errand::Ask(Asker::HoldersOfSmall(fetch), find),
                            );
                        }
                        None => self.fetches.widened(fetch, None),
                    },
                    small::Action::Fail(fetch, failure) => {
                        self.gets.handle(now, get::Input::Failed(fetch, failure));
                    }
                }
            }
        }
    }

    /// Claimed bytes, or an empty file, were stored or could not be.
    pub(super) fn stored(&mut self, now: Instant, fetch: FetchId, storage: Storage) {
        let from = self.fetches.stored(fetch, storage);
        match &from {
            Some(liar) if storage == Storage::Mismatch => self.lied(now, liar.clone()),
            Some(holder) => {
                self.on_delivered(now, holder.id);
                if storage == Storage::Kept {
                    self.remembered.chose(now, holder.id);
                }
            }
            None => {}
        }
        self.gets
            .handle(now, get::Input::Stored(fetch, from, storage));
    }

    /// Takes the arrived bytes of a file. Returns for which fetch, if they are wanted.
    pub(super) fn content_came(
        &mut self,
        now: Instant,
        id: LinkId,
        request: RequestId,
    ) -> Option<FetchId> {
        let question = self.questions.remove(&(id, request))?;
        let link = self.links.get_mut(id)?;
        let Errand::Get(fetch, _) = question.errand else {
            let who = link.member.id;
            self.no_answer(now, question.errand.asker(), who, NotSent::NotHere);
            return None;
        };
        link.answered_in(now - question.asked);
        let holder = link.holder();
        self.publishing.release(id);
        self.fetches.arrived(now, fetch, holder).then_some(fetch)
    }

    /// Asks a member, over a new link if there is none. A member that cannot be dialled, as no
    /// address of it is known that is worth it, does not answer.
    pub(super) fn ask(&mut self, now: Instant, member: Holder, asker: Asker, find: Find) {
        let id = member.id;
        let is_on_its_way = self.links.is_opening(id) || self.wanted.is_dialling(id);
        if self.links.to(id).is_some() || is_on_its_way || !member.addresses.is_empty() {
            self.send_to(now, member, Errand::Ask(asker, find));
        } else {
            self.no_answer(now, asker, id, NotSent::NotHere);
        }
    }

    /// Runs an errand at a member, over a new link if there is none.
    pub(super) fn send_to(&mut self, now: Instant, member: Holder, errand: Errand) {
        if let Some((link, _)) = self.links.to(member.id) {
            self.run(now, link, errand);
            return;
        }
        self.wanted.add(member.id, errand);
        self.reach(member);
    }

    /// Runs an errand on a link that is up, if its result is still wanted.
    pub(super) fn run(&mut self, now: Instant, link: LinkId, errand: Errand) {
        let Some(who) = self.links.get(link).map(|link| link.member.id) else {
            return;
        };
        if !self.is_wanted(&errand, who) {
            return;
        }
        let body: Body = match &errand {
            Errand::Meet => return,
            Errand::Ask(_, find) => find.clone().into(),
            Errand::Get(_, content) => Get { content: *content }.into(),
        };
        let request = self.links.next_request(link);
        self.send(now, link, Frame::with_request(request, body));
        let question = Question { errand, asked: now };
        self.questions.insert((link, request), question);
    }

    /// Whether the result of this errand at this member is still wanted.
    fn is_wanted(&self, errand: &Errand, who: PeerId) -> bool {
        match errand.asker() {
            Asker::Lookup(inquiry, round) => self
                .lookups
                .get(&inquiry)
                .is_some_and(|lookup| lookup.round() == round),
            Asker::Survey(surveyor) => self.surveys.contains_key(&surveyor),
            Asker::HoldersOfSmall(_) | Asker::Hearsay | Asker::Nobody => true,
            Asker::HoldersOfLarge(fetch) => self.sought.is_open(fetch),
            Asker::Fetch(fetch) => self.fetches.asked_of(fetch) == Some(who),
        }
    }

    pub(super) fn found(&mut self, now: Instant, id: LinkId, request: RequestId, found: Found) {
        let Some(question) = self.questions.remove(&(id, request)) else {
            return;
        };
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        // The time of an answer that waited for a file to be hashed says nothing about the
        // connection.
        if !matches!(&question.errand, Errand::Ask(_, find) if find.hash_now) {
            link.answered_in(now - question.asked);
        }
        let who = link.member.id;
        let is_tracker = link.member.tracker;
        let itself = link.holder();
        let found = self.as_seen_here(&itself, found);
        let of = if is_tracker {
            Witness::Tracker
        } else {
            let is_chosen = self.remembered.has_chosen(who);
            Witness::Neighbour { is_chosen }
        };
        let Errand::Ask(asker, find) = question.errand else {
            self.no_answer(now, question.errand.asker(), who, NotSent::NotHere);
            return;
        };
        let more = match asker {
            Asker::Lookup(inquiry, round) => self
                .lookups
                .get_mut(&inquiry)
                .filter(|lookup| lookup.round() == round)
                .and_then(|lookup| lookup.found(now, who, of, &find, found)),
            Asker::Survey(surveyor) => {
                if let Some(survey) = self.surveys.get_mut(&surveyor) {
                    survey.found(now, who, &find, found);
                }
                None
            }
            Asker::HoldersOfSmall(fetch) => {
                self.fetches.widened(fetch, Some(found));
                None
            }
            Asker::HoldersOfLarge(fetch) => {
                self.named(now, fetch, found);
                None
            }
            Asker::Hearsay => {
                match &found.told {
                    Some(told) => self.hearsay.learn_told(now, self.config.me.id, who, told),
                    None => self.hearsay.learn(now, who, &found.variants),
                }
                None
            }
            Asker::Fetch(_) | Asker::Nobody => None,
        };
        if let Some(find) = more {
            self.run(now, id, Errand::Ask(asker, find));
        }
    }

    /// Takes an answer as it is to be read here: the member that gave it, which does not know at
    /// which address it is reached, is named with that, and this peer is not named.
    fn as_seen_here(&self, itself: &Holder, mut found: Found) -> Found {
        let me = self.config.me.id;
        for variant in &mut found.variants {
            variant.holders.retain(|holder| holder.id != me);
            for holder in &mut variant.holders {
                if holder.id == itself.id {
                    *holder = Holder {
                        partial: holder.partial,
                        ..itself.clone()
                    };
                }
            }
        }
        found
    }

    pub(super) fn refused(
        &mut self,
        now: Instant,
        id: LinkId,
        request: RequestId,
        refused: &Refused,
    ) {
        let Some(question) = self.questions.remove(&(id, request)) else {
            return;
        };
        let Some(who) = self.links.get(id).map(|link| link.member.id) else {
            return;
        };
        let failure = NotSent::of(refused.reason, who);
        if let (NotSent::Busy, Errand::Ask(Asker::Lookup(inquiry, round), find)) =
            (&failure, &question.errand)
        {
            let asked = self.lookups.get_mut(inquiry);
            if let Some(lookup) = asked.filter(|lookup| lookup.round() == *round) {
                lookup.on_busy(now, who, find.clone());
            }
            return;
        }
        self.no_answer(now, question.errand.asker(), who, failure);
    }

    pub(super) fn no_answer(&mut self, now: Instant, asker: Asker, who: PeerId, failure: NotSent) {
        match asker {
            Asker::Lookup(inquiry, round) => {
                if let Some(lookup) = self
                    .lookups
                    .get_mut(&inquiry)
                    .filter(|lookup| lookup.round() == round)
                {
                    lookup.no_answer(who);
                }
            }
            Asker::Survey(surveyor) => {
                if let Some(survey) = self.surveys.get_mut(&surveyor) {
                    match failure {
                        NotSent::Busy => survey.on_busy(now, who),
                        _ => survey.no_answer(who),
                    }
                }
            }
            Asker::HoldersOfSmall(fetch) => self.fetches.widened(fetch, None),
            Asker::Fetch(fetch) => self.fetches.failed(fetch, who, failure),
            Asker::Hearsay => {
                if !matches!(failure, NotSent::Busy | NotSent::Unreachable(_)) {
                    self.hearsay.on_refused(who);
                }
            }
            // The swarm asks again when it needs to.
            Asker::HoldersOfLarge(_) | Asker::Nobody => {}
        }
    }

    /// Forgets these fetches, and the questions of a get: no caller waits for them any more.
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
                Asker::Fetch(fetch)
                | Asker::HoldersOfSmall(fetch)
                | Asker::HoldersOfLarge(fetch) => fetches.binary_search(&fetch).is_err(),
                Asker::Hearsay | Asker::Nobody => true,
            });
    }
}

/// What a lookup sees of the peer.
struct LookupView<'a> {
    now: Instant,
    peer: &'a Peer,
}

impl Surroundings for LookupView<'_> {
    fn is_me(&self, id: PeerId) -> bool {
        id == self.peer.config.me.id
    }

    fn remembered(&self, typed: &str) -> Vec<Variant> {
        let me = self.peer.config.me.id;
        let among = |peer| peer != me;
        let library = self.peer.links.library(me, &among);
        let files = self
            .peer
            .links
            .catalogue()
            .named(typed, &among)
            .map(|(_, files)| files);
        files
            .into_iter()
            .flatten()
            .map(|file| library.variant(file))
            .collect()
    }

    fn matching(&self, pattern: &Pattern, most: usize) -> Vec<Variant> {
        let me = self.peer.config.me.id;
        let among = |peer| peer != me;
        let library = self.peer.links.library(me, &among);
        let files = self.peer.links.catalogue().matching(pattern, None, &among);
        files.take(most).map(|file| library.variant(file)).collect()
    }

    fn has_chosen(&self, neighbour: PeerId) -> bool {
        self.peer.remembered.has_chosen(neighbour)
    }

    fn said(&self, typed: &str) -> Vec<(PeerId, Variant)> {
        let counts = |teller, holder| hearing::counts(self.peer, teller, holder);
        self.peer.hearsay.said(self.now, typed, &counts)
    }

    fn worth_asking(&self) -> Vec<(PeerId, Option<Duration>)> {
        let peer = self.peer;
        let best = peer.neighbours.best(self.now);
        let rtt = |id: PeerId| peer.links.to(id).map(|(_, link)| (id, link.rtt));
        if self.asks_in_turn() {
            return best.into_iter().filter_map(rtt).collect();
        }
        let (listed, unlisted): (Vec<_>, Vec<_>) = best
            .into_iter()
            .partition(|id| peer.links.catalogue().position(*id).is_some());
        // What listed ones know of others they were asked in advance, and the tracker knows more.
        let is_up = matches!(self.tracker(), TrackerState::Up(_));
        let is_asked =
            |id: &PeerId| peer.config.hops > 0 && !(is_up && peer.hearsay.need_not_be_asked(*id));
        let listed = listed.into_iter().filter(is_asked);
        unlisted
            .into_iter()
            .chain(listed)
            .take(ASKED_NEIGHBOURS)
            .filter_map(rtt)
            .collect()
    }

    fn asks_in_turn(&self) -> bool {
        self.peer.config.rules.exchange == Exchange::Nothing
    }

    fn counts_hearsay(&self) -> bool {
        self.peer.config.rules.counts_hearsay
    }

    fn hops(&self) -> u8 {
        self.peer.config.hops
    }

    fn tracker(&self) -> TrackerState {
        self.peer.home.tracker()
    }

    fn expects_neighbours(&self) -> bool {
        self.peer.remembered.is_dialling_first()
    }
}
