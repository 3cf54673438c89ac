//! Own questions: which members they go to, and what becomes of the answers.
//!
//! What to ask, in which order and for how long is decided by
//! [`Lookup`](crate::lookup::Lookup), [`Survey`](crate::survey::Survey) and
//! [`Fetches`](crate::get::small::Fetches); this turns their wishes into frames
//! and frames into their answers.

use std::time::Duration;

use thorp_wire::frame::{Find, Found, Frame, Get, Holder, Refused, RequestId, Variant};
use thorp_wire::{Content, PeerId};

use super::{AskId, Output, Peer};
use crate::catalogue::File;
use crate::changes::Row;
use crate::get::small::{self, NotSent};
use crate::get::{self, FetchId, Inquiry};
use crate::links::LinkId;
use crate::lookup::{self, LookupAction, Only, Source, Surroundings, TrackerState, TrackerUse};
use crate::matching::Pattern;
use crate::survey::{Subject, Survey, SurveyAction};
use crate::time::Instant;

/// How many neighbours are asked about a name that memory does not have.
pub(super) const ASKED_NEIGHBOURS: usize = 8;

/// What a link is wanted for.
#[derive(Debug)]
pub(super) enum Errand {
    Ask(Asker, Find),
    Get(FetchId, Content),
    /// Nothing but the link itself.
    Meet,
}

/// What a question is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    Lookup(Inquiry, u32),
    Survey(Surveyor),
    Widening(FetchId),
    Fetch(FetchId),
    Sources(FetchId),
    Nobody,
}

/// Who waits for all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Surveyor {
    Shell(AskId),
    Get(Inquiry),
}

/// Something asked on a link, without an answer yet.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) errand: Errand,
    asked: Instant,
}

impl Peer {
    /// Runs an errand on a link that is up, if it is still wanted.
    pub(super) fn run(&mut self, now: Instant, link: LinkId, errand: Errand) {
        let Some(who) = self.links.get(link).map(|link| link.member.id) else {
            return;
        };
        if !self.is_wanted(&errand, who) {
            return;
        }
        if matches!(errand, Errand::Meet) {
            return;
        }
        let request = self.links.next_request(link);
        match &errand {
            Errand::Meet => {}
            Errand::Ask(_, find) => {
                self.send(now, link, Frame::with_request(request, find.clone()));
            }
            Errand::Get(_, content) => {
                let get = Get { content: *content };
                self.send(now, link, Frame::with_request(request, get));
            }
        }
        let question = Question { errand, asked: now };
        self.questions.insert((link, request), question);
    }

    pub(super) fn found(&mut self, now: Instant, id: LinkId, request: RequestId, mut found: Found) {
        let Some(question) = self.questions.remove(&(id, request)) else {
            return;
        };
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        // What waited for a file to be hashed says nothing of the way.
        if !matches!(&question.errand, Errand::Ask(_, find) if find.hash_now) {
            link.answered_in(now - question.asked);
        }
        let who = link.member.id;
        let tracker = link.member.tracker;
        // A holder does not know by which address it is reached.
        let itself = link.holder();
        for holder in found
            .variants
            .iter_mut()
            .flat_map(|variant| &mut variant.holders)
        {
            if holder.id == who {
                *holder = Holder {
                    partial: holder.partial,
                    ..itself.clone()
                };
            }
        }
        let me = self.config.me.id;
        for variant in &mut found.variants {
            variant.holders.retain(|holder| holder.id != me);
        }
        let Errand::Ask(asker, find) = question.errand else {
            self.no_answer(question.errand.asker(), who, NotSent::NotHere);
            return;
        };
        let more = match asker {
            Asker::Lookup(ask, round) => self
                .lookups
                .get_mut(&ask)
                .filter(|lookup| lookup.round() == round)
                .and_then(|lookup| lookup.found(now, who, tracker, &find, found)),
            Asker::Survey(ask) => self
                .surveys
                .get_mut(&ask)
                .and_then(|survey| survey.found(now, who, &find, found)),
            Asker::Widening(fetch) => {
                self.fetches.widened(fetch, Some(found));
                None
            }
            Asker::Sources(fetch) => {
                self.named(now, fetch, found);
                None
            }
            Asker::Fetch(_) | Asker::Nobody => None,
        };
        if let Some(find) = more {
            self.run(now, id, Errand::Ask(asker, find));
        }
    }

    pub(super) fn refused(&mut self, id: LinkId, request: RequestId, refused: &Refused) {
        let Some(question) = self.questions.remove(&(id, request)) else {
            return;
        };
        let Some(who) = self.links.get(id).map(|link| link.member.id) else {
            return;
        };
        let failure = NotSent::of(refused.reason, who);
        self.no_answer(question.errand.asker(), who, failure);
    }

    pub(super) fn no_answer(&mut self, asker: Asker, who: PeerId, failure: NotSent) {
        match asker {
            Asker::Lookup(ask, round) => {
                if let Some(lookup) = self
                    .lookups
                    .get_mut(&ask)
                    .filter(|lookup| lookup.round() == round)
                {
                    lookup.no_answer(who);
                }
            }
            Asker::Survey(ask) => {
                if let Some(survey) = self.surveys.get_mut(&ask) {
                    survey.no_answer(who);
                }
            }
            Asker::Widening(fetch) => self.fetches.widened(fetch, None),
            Asker::Fetch(fetch) => self.fetches.failed(fetch, who, failure),
            // The swarm asks again in its time.
            Asker::Sources(_) | Asker::Nobody => {}
        }
    }

    /// Surveys what memory has and others know, and what this peer has itself
    /// where it says how others see it.
    pub(super) fn survey(
        &mut self,
        now: Instant,
        ask: Surveyor,
        subject: Subject,
        only: Only,
        itself: Option<&Holder>,
    ) {
        let me = self.config.me.id;
        let remembered = match &subject {
            Subject::Files(pattern) => {
                let among = |peer| peer != me;
                let library = self.links.library(me, &among);
                let files = self.links.catalogue().matching(pattern, None, &among);
                Found {
                    variants: files.map(|file| library.variant(file)).collect(),
                    ..Found::default()
                }
            }
            Subject::Members => Found {
                members: self.neighbours().collect(),
                ..Found::default()
            },
        };
        let own = match (&subject, itself) {
            (Subject::Files(pattern), Some(itself)) => self.own_files(pattern, itself),
            _ => Vec::new(),
        };
        let mut survey = Survey::new(now, subject, only, remembered).with_own(own.into_iter());
        if self.config.me.visitor {
            survey = survey.by_visitor();
        }
        self.surveys.insert(ask, survey);
    }

    fn own_files(&self, pattern: &Pattern, itself: &Holder) -> Vec<Variant> {
        let (catalogue, me) = (self.links.catalogue(), self.config.me.id);
        let own = |peer| peer == me;
        let files = catalogue.matching(pattern, None, &own);
        let variant = |file: File| Variant {
            holders: vec![Holder {
                partial: catalogue.has_a_part(me, &file.entry.name),
                ..itself.clone()
            }],
            entry: file.entry,
            hashed: None,
        };
        files.map(variant).collect()
    }

    /// The bytes of a file have come. For which fetch, if they are wanted.
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
            self.no_answer(question.errand.asker(), who, NotSent::NotHere);
            return None;
        };
        link.answered_in(now - question.asked);
        let holder = link.holder();
        self.publishing.release(id);
        self.fetches.arrived(now, fetch, holder).then_some(fetch)
    }

    pub(super) fn advance_lookups(&mut self, now: Instant) {
        if self.lookups.is_empty() {
            return;
        }
        for ask in self.lookups.keys().copied().collect::<Vec<_>>() {
            // Taken out while it looks around, for it is part of what it sees.
            while let Some(mut lookup) = self.lookups.remove(&ask) {
                let actions = lookup.advance(now, &Around { now, peer: self });
                let asker = Asker::Lookup(ask, lookup.round());
                self.lookups.insert(ask, lookup);
                if actions.is_empty() {
                    break;
                }
                for action in actions {
                    match action {
                        LookupAction::Ask(member, find) => {
                            self.send_to(now, member, Errand::Ask(asker, find));
                        }
                        LookupAction::Finish(outcome) => {
                            self.lookups.remove(&ask);
                            self.count(now, &outcome);
                            self.looked_up(now, ask, outcome);
                        }
                    }
                }
            }
        }
    }

    /// Whether what this errand would bring from there is still waited for.
    fn is_wanted(&self, errand: &Errand, who: PeerId) -> bool {
        match errand.asker() {
            Asker::Lookup(ask, round) => self
                .lookups
                .get(&ask)
                .is_some_and(|lookup| lookup.round() == round),
            Asker::Survey(ask) => self.surveys.contains_key(&ask),
            Asker::Widening(_) | Asker::Nobody => true,
            Asker::Sources(fetch) => self.sought.is_open(fetch),
            Asker::Fetch(fetch) => self.fetches.asked_of(fetch) == Some(who),
        }
    }

    fn count(&mut self, now: Instant, outcome: &lookup::Outcome) {
        self.out.push_back(Output::Changed(Row::Node));
        for (_, answer) in &outcome.names {
            match answer {
                lookup::Answer::Found(Source::Memory, _) => self.tally.neighbours += 1,
                lookup::Answer::Found(Source::Neighbour(via), _) => {
                    self.tally.neighbours += 1;
                    let rtt = self.links.to(*via).and_then(|(_, link)| link.rtt);
                    self.neighbours.was_useful(now, *via, rtt);
                }
                lookup::Answer::Found(Source::Tracker, _) => self.tally.tracker += 1,
                lookup::Answer::Alike(_) | lookup::Answer::Nobody => match outcome.tracker {
                    TrackerUse::Asked => self.tally.tracker += 1,
                    TrackerUse::Spared | TrackerUse::Unreachable => self.tally.nobody += 1,
                },
            }
        }
    }

    pub(super) fn advance_surveys(&mut self, now: Instant) {
        if self.surveys.is_empty() {
            return;
        }
        for ask in self.surveys.keys().copied().collect::<Vec<_>>() {
            loop {
                let tracker = self.home.tracker();
                let Some(survey) = self.surveys.get_mut(&ask) else {
                    break;
                };
                let actions = survey.advance(now, tracker, self.neighbours.ids());
                if actions.is_empty() {
                    break;
                }
                for action in actions {
                    match action {
                        SurveyAction::Ask(member, find) => match self.links.to(member) {
                            Some((link, _)) => {
                                self.run(now, link, Errand::Ask(Asker::Survey(ask), find));
                            }
                            None => self.no_answer(Asker::Survey(ask), member, NotSent::NotHere),
                        },
                        SurveyAction::Finish(findings) => {
                            self.surveys.remove(&ask);
                            match ask {
                                Surveyor::Shell(ask) => {
                                    self.out.push_back(Output::Surveyed(ask, findings));
                                }
                                Surveyor::Get(inquiry) => {
                                    let input = get::Input::Surveyed(inquiry, findings);
                                    self.gets.handle(now, input);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn advance_fetches(&mut self, now: Instant) {
        loop {
            let links = &self.links;
            let linked = |peer| links.to(peer).is_some();
            let heard = |peer| Some(links.to(peer)?.1.liveness.last_heard());
            let actions = self.fetches.advance(now, &linked, &heard);
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
                            self.run(now, tracker, Errand::Ask(Asker::Widening(fetch), find));
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
}

/// What a lookup sees of the peer.
struct Around<'a> {
    now: Instant,
    peer: &'a Peer,
}

impl Surroundings for Around<'_> {
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

    fn worth_asking(&self) -> Vec<(PeerId, Option<Duration>)> {
        let peer = self.peer;
        let best = peer.neighbours.best(self.now);
        let (listed, unlisted): (Vec<_>, Vec<_>) = best
            .into_iter()
            .partition(|id| peer.links.catalogue().position(*id).is_some());
        let listed = listed.into_iter().filter(|_| peer.config.hops > 0);
        let rtt = |id: PeerId| peer.links.to(id).map(|(_, link)| (id, link.rtt));
        unlisted
            .into_iter()
            .chain(listed)
            .take(ASKED_NEIGHBOURS)
            .filter_map(rtt)
            .collect()
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

impl Errand {
    pub(super) fn asker(&self) -> Asker {
        match self {
            Self::Ask(asker, _) => *asker,
            Self::Get(fetch, _) => Asker::Fetch(*fetch),
            Self::Meet => Asker::Nobody,
        }
    }
}
