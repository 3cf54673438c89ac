//! Fetching by name: look up, choose, fetch, store.
//!
//! Owns the order of these steps and what a person is told of each. Where files
//! are, and from whom to fetch next, is decided in the core; how bytes become a
//! file, in `store`. What several contents under one name mean is the person's
//! to say: here they are only shown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Instant;

use thorp_core::fetch::{Failure as FetchFailure, Wanted};
use thorp_core::lookup::{Answer, Only, TrackerUse};
use thorp_core::matching::{Pattern, looks_like_a_pattern};
use thorp_core::survey::Subject;
use thorp_files::store::{Destination, Replace, Store};
use thorp_wire::frame::{Holder, MAX_INLINE, Variant};
use thorp_wire::reserved::{changes_what_is_shared, is_reserved};
use thorp_wire::{Content, Name, PeerId};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::api::{
    AnswerSource, Done, ErrorKind, Event, Failure, Fetched, Get, Inquiry, Member, Miss, Note,
    Progress, Provenance,
};
use crate::rows;

use super::hashing;
use super::large::{self, Missed};
use super::pace::{Meter, Pace, TOLD_EVERY};
use super::telling::{Events, milliseconds, no_tracker, say_if_partial, tell};
use super::{Delivery, FetchError, Peer, Place};

pub(super) async fn run(peer: &Peer, get: Get, events: &Events) -> Result<Done, Failure> {
    let mut job = Job::new(peer, &get)?;
    for name in &get.names {
        if is_a_pattern(name) {
            job.find_matching(peer, &get, name, events).await?;
        }
    }
    let names: BTreeSet<&String> = get
        .names
        .iter()
        .filter(|name| !is_a_pattern(name))
        .collect();
    job.find_named(peer, &get, names.into_iter().cloned().collect(), events)
        .await?;
    job.fetch_all(peer, events).await
}

/// The files of one request.
struct Job {
    begun: Instant,
    place: Place,
    replace: Replace,
    rename: Option<Name>,
    set_aside: Option<String>,
    /// Whether equal content that is there already will do.
    equal_will_do: bool,
    /// Whether one file was asked for by its name, so that its failure is the whole failure.
    single: bool,
    planned: Vec<Planned>,
    failures: Vec<Failure>,
}

/// A file that is known where to get and where to put.
struct Planned {
    listed: Name,
    target: Name,
    mtime: i64,
    content: Content,
    holders: Vec<Holder>,
    answer: Provenance,
    /// Whether others may be looked for when none of these delivers.
    widen: bool,
}

impl Job {
    fn new(peer: &Peer, get: &Get) -> Result<Self, Failure> {
        let place = match &get.dir {
            Some(dir) => Place::Directory(Arc::new(directory(dir)?)),
            None => peer.place(),
        };
        let single = get.names.len() == 1 && !is_a_pattern(&get.names[0]);
        if (get.rename.is_some() || get.set_aside.is_some()) && !single {
            return Err(Failure::NotOneFile);
        }
        if get.names.is_empty() {
            return Err(Failure::NothingNamed);
        }
        let rename = get.rename.as_deref().map(|text| {
            text.parse::<Name>().map_err(|error| Failure::NotAName {
                name: text.to_owned(),
                why: error.to_string(),
            })
        });
        Ok(Self {
            begun: Instant::now(),
            place,
            replace: if get.overwrite {
                Replace::Yes
            } else {
                Replace::No
            },
            rename: rename.transpose()?,
            set_aside: get.set_aside.clone(),
            equal_will_do: get.dir.is_some(),
            single,
            planned: Vec::new(),
            failures: Vec::new(),
        })
    }

    /// Looks up files by their names.
    async fn find_named(
        &mut self,
        peer: &Peer,
        get: &Get,
        names: Vec<String>,
        events: &Events,
    ) -> Result<(), Failure> {
        let mut wanted = Vec::new();
        for name in names {
            match self.in_the_way(&name) {
                Some(failure) => self.fail(&name, failure, events).await,
                None => wanted.push(name),
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let outcome = hashing::look_up(peer, wanted, only(get), events).await;
        let outcome = outcome.ok_or(Failure::PeerStopping)?;
        for (name, answer) in outcome.names {
            let planned = match answer {
                Answer::Found(source, variants) => {
                    let via = match source {
                        thorp_core::lookup::Source::Neighbour(id) => peer.known(id).await,
                        _ => None,
                    };
                    let answer = rows::provenance(source, outcome.tracker, via.as_ref());
                    self.choose(&name, variants, get, answer, events).await
                }
                Answer::Alike(variants) => {
                    self.alike(&name, variants, get, outcome.tracker, events)
                        .await
                }
                Answer::Nobody => Err(nobody(peer, outcome.tracker, get)),
            };
            self.plan(&name, planned, events).await;
        }
        Ok(())
    }

    /// Looks up all files that match a pattern.
    async fn find_matching(
        &mut self,
        peer: &Peer,
        get: &Get,
        pattern: &str,
        events: &Events,
    ) -> Result<(), Failure> {
        let subject = Pattern::new(pattern).map_err(|error| Failure::NotAPattern {
            pattern: pattern.to_owned(),
            why: error.to_string(),
        })?;
        let findings = peer.survey(Subject::Files(subject), only(get), false).await;
        let findings = findings.ok_or(Failure::PeerStopping)?;
        let (source, tracker) = if findings.asked_tracker {
            (AnswerSource::Tracker, TrackerUse::Asked)
        } else {
            (AnswerSource::Memory, TrackerUse::Unreachable)
        };
        say_if_partial(peer, &findings, events).await?;
        if findings.files.is_empty() {
            let failure = nobody(peer, tracker, get);
            self.fail(pattern, failure, events).await;
        }
        let answer = Provenance {
            source,
            via: None,
            tracker_asked: tracker == TrackerUse::Asked,
        };
        let mut by_name: BTreeMap<Name, Vec<Variant>> = BTreeMap::new();
        for variant in findings.files {
            by_name
                .entry(variant.entry.name.clone())
                .or_default()
                .push(variant);
        }
        let mut unhashed = Vec::new();
        for (name, variants) in by_name {
            if changes_what_is_shared(&name) {
                let name = name.to_string();
                tell(events, Event::Note(Note::LeftOut { name })).await;
                continue;
            }
            if variants.iter().all(|variant| variant.entry.root.is_none()) {
                unhashed.push(name.to_string());
                continue;
            }
            let planned = self
                .choose(name.as_str(), variants, get, answer.clone(), events)
                .await;
            self.plan(name.as_str(), planned, events).await;
        }
        // Asked for by name they are hashed first.
        self.find_named(peer, get, unhashed, events).await
    }

    /// The one content that goes by a name, or the choice between several.
    async fn choose(
        &self,
        asked: &str,
        variants: Vec<Variant>,
        get: &Get,
        answer: Provenance,
        events: &Events,
    ) -> Result<Planned, Failure> {
        let hashed: Vec<Variant> = variants
            .iter()
            .filter(|v| v.entry.root.is_some())
            .cloned()
            .collect();
        let Some(first) = hashed
            .iter()
            .min_by_key(|variant| variant.entry.name.clone())
        else {
            let mut holders = variants.iter().flat_map(|v| &v.holders);
            let by = holders.next().map(rows::holder);
            return Err(Failure::Missed {
                name: asked.to_owned(),
                miss: Miss::StillHashing { by },
            });
        };
        let Some(content) = first.entry.content() else {
            return Err(Failure::PeerStopping);
        };
        if hashed
            .iter()
            .any(|variant| variant.entry.content() != Some(content))
        {
            return Err(ambiguous(asked, hashed, events, false).await);
        }
        let mut holders: Vec<Holder> = Vec::new();
        for holder in hashed.iter().flat_map(|variant| &variant.holders) {
            if !holders.iter().any(|known| known.id == holder.id) {
                holders.push(holder.clone());
            }
        }
        let listed = first.entry.name.clone();
        Ok(Planned {
            target: self.rename.clone().unwrap_or_else(|| listed.clone()),
            listed,
            mtime: first.entry.mtime,
            content,
            holders,
            answer,
            widen: get.from.is_none(),
        })
    }

    /// Names that differ in Unicode normalisation only are offered, not taken,
    /// unless the person has said by its root which one is meant.
    async fn alike(
        &self,
        asked: &str,
        variants: Vec<Variant>,
        get: &Get,
        tracker: TrackerUse,
        events: &Events,
    ) -> Result<Planned, Failure> {
        if get.root.is_some() {
            let answer = Provenance {
                source: AnswerSource::Tracker,
                via: None,
                tracker_asked: tracker == TrackerUse::Asked,
            };
            return self.choose(asked, variants, get, answer, events).await;
        }
        Err(ambiguous(asked, variants, events, true).await)
    }

    async fn plan(&mut self, asked: &str, planned: Result<Planned, Failure>, events: &Events) {
        let planned = planned.and_then(|planned| self.fits(planned));
        match planned {
            Ok(planned) => self.planned.push(planned),
            Err(failure) => self.fail(asked, failure, events).await,
        }
    }

    fn fits(&self, planned: Planned) -> Result<Planned, Failure> {
        let there = |target: &Name| {
            matches!(
                self.place.store().check(target),
                Ok(Destination::Exists { .. })
            )
        };
        if is_reserved(&planned.target) {
            return Err(Failure::Reserved {
                name: planned.target.to_string(),
            });
        }
        let keeps_it = self.replace == Replace::No && self.set_aside.is_none();
        if keeps_it && there(&planned.target) && !self.has(&planned) {
            return Err(Failure::Exists);
        }
        Ok(planned)
    }

    /// Whether equal content is there already, and will do.
    fn has(&self, planned: &Planned) -> bool {
        let will_do = self.equal_will_do || !self.single;
        will_do
            && matches!(
                self.place.store().holds(&planned.target, planned.content),
                Ok(true)
            )
    }

    /// Whether something goes by the name that was typed. Nobody is asked then.
    fn in_the_way(&self, typed: &str) -> Option<Failure> {
        let may_be_in_the_way =
            self.replace == Replace::No && self.set_aside.is_none() && !self.equal_will_do;
        let target = match &self.rename {
            Some(rename) => Some(rename.clone()),
            None => typed.parse().ok(),
        };
        if !may_be_in_the_way || !self.single {
            return None;
        }
        match self.place.store().check(&target?) {
            Ok(Destination::Free) => None,
            Ok(Destination::Exists { .. }) => Some(Failure::Exists),
            Err(error) => Some(error.into()),
        }
    }

    async fn fail(&mut self, name: &str, failure: Failure, events: &Events) {
        if !self.single {
            let event = Event::Failed {
                name: name.to_owned(),
                failure: failure.clone(),
            };
            tell(events, event).await;
        }
        self.failures.push(failure);
    }

    /// Fetches all that is planned, many at a time.
    async fn fetch_all(mut self, peer: &Peer, events: &Events) -> Result<Done, Failure> {
        let planned = std::mem::take(&mut self.planned);
        let failed_before = self.failures.len() as u64;
        let mut progress = Progress {
            files: failed_before,
            of_files: failed_before + planned.len() as u64,
            of_bytes: planned.iter().map(|file| file.content.length).sum(),
            ..Progress::default()
        };
        let mut done = Done::default();
        let mut under_way = JoinSet::new();
        let mut tally = Tally::default();
        for planned in planned {
            let one = One {
                events: events.clone(),
                meter: tally.meter(&planned),
                peer: peer.clone(),
                place: self.place.clone(),
                replace: self.replace,
                set_aside: self.set_aside.clone(),
                there: self.has(&planned),
                begun: self.begun,
                planned,
            };
            under_way.spawn(one.fetch());
        }
        let mut ticks = interval(TOLD_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let joined = tokio::select! {
                joined = under_way.join_next() => joined,
                _ = ticks.tick() => {
                    if tally.count(&mut progress) {
                        tell(events, Event::Progress(progress)).await;
                    }
                    continue;
                }
            };
            let Some(joined) = joined else { break };
            let Ok((name, bytes, result)) = joined else {
                self.failures.push(Failure::PeerStopping);
                continue;
            };
            progress.files += 1;
            tally.over.there += bytes.there;
            tally.over.received += bytes.received;
            match result {
                Ok(fetched) => {
                    done.count += 1;
                    done.bytes += bytes.there;
                    tell(events, Event::Fetched(fetched)).await;
                }
                Err(failure) => self.fail(name.as_str(), failure, events).await,
            }
        }
        tally.count(&mut progress);
        tell(events, Event::Progress(progress)).await;
        self.end(done, progress.of_files)
    }

    fn end(self, done: Done, of: u64) -> Result<Done, Failure> {
        let Some(first) = self.failures.first() else {
            return Ok(done);
        };
        if self.single || (done.count == 0 && self.failures.len() == 1) {
            return Err(first.clone());
        }
        let kind = if self
            .failures
            .iter()
            .all(|failure| failure.kind() == first.kind())
        {
            first.kind()
        } else {
            ErrorKind::Unfinished
        };
        Err(Failure::Several {
            failed: self.failures.len() as u64,
            of,
            kind,
        })
    }
}

/// How far all files of a request are.
#[derive(Default)]
struct Tally {
    /// Files that have arrived, and what there is of those that failed.
    over: Bytes,
    /// Large files, for as long as they are on their way.
    meters: Vec<Weak<Meter>>,
    pace: Pace,
}

#[derive(Clone, Copy, Default)]
struct Bytes {
    there: u64,
    /// Over the network: what was there before is not how fast it comes.
    received: u64,
}

impl Tally {
    /// What a file says how far it is with.
    fn meter(&mut self, planned: &Planned) -> Arc<Meter> {
        let meter = Arc::new(Meter::default());
        if planned.content.length > MAX_INLINE {
            self.meters.push(Arc::downgrade(&meter));
        }
        meter
    }

    /// Brings the figures up to date; whether they have changed.
    fn count(&mut self, progress: &mut Progress) -> bool {
        self.meters.retain(|meter| meter.strong_count() > 0);
        let meters: Vec<_> = self.meters.iter().filter_map(Weak::upgrade).collect();
        let under_way: u64 = meters.iter().map(|meter| meter.bytes()).sum();
        let coming: u64 = meters.iter().map(|meter| meter.received()).sum();
        let bytes = self.over.there + under_way;
        self.pace.see(Instant::now(), self.over.received + coming);
        let before = *progress;
        progress.bytes = bytes;
        progress.sources = meters.iter().map(|meter| meter.sources()).sum();
        progress.rate = self.pace.rate();
        let missing = progress.of_bytes.saturating_sub(bytes);
        progress.eta = missing.checked_div(progress.rate);
        before != *progress
    }
}

/// One file on its way.
struct One {
    events: Events,
    meter: Arc<Meter>,
    peer: Peer,
    place: Place,
    replace: Replace,
    set_aside: Option<String>,
    there: bool,
    begun: Instant,
    planned: Planned,
}

impl One {
    async fn fetch(self) -> (Name, Bytes, Result<Fetched, Failure>) {
        let (name, length) = (self.planned.listed.clone(), self.planned.content.length);
        let meter = Arc::clone(&self.meter);
        let result = self.deliver().await;
        let bytes = match &result {
            Ok(fetched) => Bytes {
                there: length,
                received: fetched.received,
            },
            // What there is of it stays for the next time.
            Err(_) => Bytes {
                there: meter.bytes(),
                received: meter.received(),
            },
        };
        (name, bytes, result)
    }

    async fn deliver(self) -> Result<Fetched, Failure> {
        let Self { peer, planned, .. } = &self;
        if self.there {
            let path = self.place.path_of(&planned.target);
            let answer = Provenance {
                source: AnswerSource::Local,
                ..planned.answer.clone()
            };
            return Ok(self.fetched(&[], 0, path, answer));
        }
        let delivery = Delivery {
            place: self.place.clone(),
            name: planned.target.clone(),
            mtime: planned.mtime,
            replace: self.replace,
            set_aside: self.set_aside.clone(),
        };
        if planned.content == Content::EMPTY {
            let made = tokio::task::spawn_blocking(move || delivery.put(Content::EMPTY, &[])).await;
            let stored = made.map_err(|_| Failure::PeerStopping)??;
            return Ok(self.fetched(&[], 0, stored.path, planned.answer.clone()));
        }
        let wanted = Wanted {
            content: planned.content,
            holders: planned.holders.clone(),
            widen: planned.widen,
        };
        if planned.content.length > MAX_INLINE {
            return self.large(wanted, delivery).await;
        }
        match peer.fetch(wanted, delivery).await {
            Ok((holder, stored)) => Ok(self.fetched(
                &[holder],
                planned.content.length,
                stored.path,
                planned.answer.clone(),
            )),
            Err(FetchError::Failure(failure)) => Err(self.failure(&failure)),
            Err(FetchError::Store(error)) => Err(error.into()),
            Err(FetchError::Stopping) => Err(Failure::PeerStopping),
        }
    }

    async fn large(&self, wanted: Wanted, delivery: Delivery) -> Result<Fetched, Failure> {
        let resumed = async |bytes| {
            let event = Event::Resumed {
                name: self.planned.listed.to_string(),
                bytes,
                of_bytes: self.planned.content.length,
            };
            tell(&self.events, event).await;
        };
        match large::fetch(&self.peer, wanted, delivery, &self.meter, resumed).await {
            Ok(large::Arrived {
                stored,
                sources,
                received,
            }) => Ok(self.fetched(&sources, received, stored.path, self.planned.answer.clone())),
            Err(missed) => Err(self.missed(missed)),
        }
    }

    fn missed(&self, missed: Missed) -> Failure {
        let miss = match missed {
            Missed::Store(error) => return error.into(),
            Missed::Stopping => return Failure::PeerStopping,
            Missed::NotHere => return self.failure(&FetchFailure::NotHere),
            Missed::Unreachable(why) => Miss::Unreachable { why },
            Missed::Lies(who) => Miss::Mismatch { by: self.by(who) },
            Missed::Unfinished { reason, there } => Miss::Unfinished {
                why: reason,
                there,
                of: self.planned.content.length,
            },
            Missed::Unfit(why) => Miss::Unfit { why },
        };
        let name = self.planned.listed.to_string();
        Failure::Missed { name, miss }
    }

    fn fetched(
        &self,
        sources: &[Holder],
        received: u64,
        path: std::path::PathBuf,
        answer: Provenance,
    ) -> Fetched {
        Fetched {
            name: self.planned.listed.to_string(),
            path,
            length: self.planned.content.length,
            root: self.planned.content.root.to_string(),
            from: sources.first().map(rows::holder),
            sources: sources.iter().map(rows::holder).collect(),
            received,
            answer,
            ms: milliseconds(self.begun),
        }
    }

    fn failure(&self, failure: &FetchFailure) -> Failure {
        let miss = match failure {
            FetchFailure::NotHere => {
                return Failure::NobodyShares {
                    from: None,
                    root: None,
                };
            }
            FetchFailure::Busy => Miss::Busy,
            FetchFailure::Unreadable => Miss::Unreadable,
            FetchFailure::TooLarge => Miss::TooLarge,
            FetchFailure::Unreachable(why) => Miss::Unreachable { why: why.clone() },
            FetchFailure::Silent(who) => Miss::Silent { by: self.by(*who) },
            FetchFailure::Mismatch(who) => Miss::Mismatch { by: self.by(*who) },
        };
        let name = self.planned.listed.to_string();
        Failure::Missed { name, miss }
    }

    fn by(&self, who: PeerId) -> Member {
        let mut holders = self.planned.holders.iter();
        let holder = holders.find(|holder| holder.id == who);
        holder.map_or_else(|| rows::stranger(who), rows::holder)
    }
}

fn only(get: &Get) -> Only {
    Only {
        from: get.from.clone(),
        root: get.root.clone(),
    }
}

/// Whether a text asks for whatever matches it. What looks like a pattern and is
/// none (`photo [1`) can still be a file's name.
fn is_a_pattern(text: &str) -> bool {
    looks_like_a_pattern(text) && Pattern::new(text).is_ok()
}

fn directory(path: &Path) -> Result<Store, Failure> {
    Ok(Store::open(path)?)
}

async fn ambiguous(
    asked: &str,
    variants: Vec<Variant>,
    events: &Events,
    look_alike: bool,
) -> Failure {
    let mut variants: Vec<_> = variants.iter().map(rows::file).collect();
    variants.sort_by_key(|variant| std::cmp::Reverse(variant.holders.len()));
    let choice = Event::Choice {
        name: asked.to_owned(),
        variants,
    };
    tell(events, choice).await;
    Failure::Ambiguous {
        name: asked.to_owned(),
        look_alike,
    }
}

fn nobody(peer: &Peer, tracker: TrackerUse, get: &Get) -> Failure {
    if tracker == TrackerUse::Unreachable {
        let inquiry = match peer.share() {
            Some(_) => Inquiry::Beyond,
            None => Inquiry::File,
        };
        return no_tracker(peer, inquiry);
    }
    Failure::NobodyShares {
        from: get.from.clone(),
        root: get.root.clone(),
    }
}
