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
use thorp_files::store::{Replace, Store, StoreError, Target};
use thorp_wire::frame::{Holder, MAX_INLINE, Variant};
use thorp_wire::reserved::{changes_what_is_shared, is_reserved};
use thorp_wire::{Content, Name};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::api::{
    AnswerSource, Done, ErrorKind, Event, Failure, Fetched, Get, Progress, Provenance,
};
use crate::{rows, units};

use super::hashing;
use super::large::{self, Missed};
use super::pace::{Meter, Pace, TOLD_EVERY};
use super::telling::{Events, milliseconds, no_tracker, say_if_partial, stopping, tell};
use super::{Delivery, FetchError, Peer, Place};

/// What `thorp` says when the name is taken already.
const EXISTS: &str = "File with same name exists in the same directory! Please rename it if you want to request this file.";
/// What it says when nobody has the file.
const NOBODY: &str = "No peer is sharing this file now. Try again later.";

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
            return Err(usage(
                "Another name can be given to one file only. Ask for one file by its name.",
            ));
        }
        if get.names.is_empty() {
            return Err(usage("Which file? Name one: thorp get NAME"));
        }
        let rename = get.rename.as_deref().map(|text| {
            text.parse::<Name>().map_err(|error| {
                usage(&format!(
                    "{text} is no name for a file: {error}. Choose another."
                ))
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
        let outcome = outcome.ok_or_else(stopping)?;
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
        let subject =
            Pattern::new(pattern).map_err(|error| usage(&format!("{pattern}: {error}")))?;
        let findings = peer.survey(Subject::Files(subject), only(get), false).await;
        let findings = findings.ok_or_else(stopping)?;
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
                let message = format!(
                    "{} would change what is shared from here, and is left out. Ask for it by its name if you want it.",
                    name.as_str().escape_debug()
                );
                tell(events, Event::Note { message }).await;
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
            let who = variants
                .iter()
                .flat_map(|v| &v.holders)
                .map(rows::called)
                .next()
                .unwrap_or_default();
            return Err(Failure {
                kind: ErrorKind::Unfinished,
                message: format!("{asked} is still being hashed by {who}. Try again in a while."),
            });
        };
        let Some(content) = first.entry.content() else {
            return Err(stopping());
        };
        if hashed
            .iter()
            .any(|variant| variant.entry.content() != Some(content))
        {
            return Err(ambiguous(asked, hashed, events, "Several files go by this name").await);
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
        let why = "No file is called exactly so, but this looks the same (it is written with other Unicode characters)";
        Err(ambiguous(asked, variants, events, why).await)
    }

    async fn plan(&mut self, asked: &str, planned: Result<Planned, Failure>, events: &Events) {
        let planned = planned.and_then(|planned| self.fits(planned));
        match planned {
            Ok(planned) => self.planned.push(planned),
            Err(failure) => self.fail(asked, failure, events).await,
        }
    }

    fn fits(&self, planned: Planned) -> Result<Planned, Failure> {
        let there =
            |target: &Name| matches!(self.place.store().check(target), Ok(Target::Exists { .. }));
        if is_reserved(&planned.target) {
            return Err(reserved(&planned.target));
        }
        let keeps_it = self.replace == Replace::No && self.set_aside.is_none();
        if keeps_it && there(&planned.target) && !self.has(&planned) {
            return Err(exists());
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
            Ok(Target::Free) => None,
            Ok(Target::Exists { .. }) => Some(exists()),
            Err(error) => Some(store_failure(&error)),
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
                self.failures.push(stopping());
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
            .all(|failure| failure.kind == first.kind)
        {
            first.kind
        } else {
            ErrorKind::Unfinished
        };
        Err(Failure {
            kind,
            message: format!(
                "{} of {of} files could not be fetched; the reasons are above.",
                self.failures.len()
            ),
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
            let stored = made
                .map_err(|_| stopping())?
                .map_err(|error| store_failure(&error))?;
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
            Err(FetchError::Store(error)) => Err(store_failure(&error)),
            Err(FetchError::Stopping) => Err(stopping()),
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
        let name = &self.planned.listed;
        match missed {
            Missed::Store(error) => store_failure(&error),
            Missed::Stopping => stopping(),
            Missed::NotHere => self.failure(&FetchFailure::NotHere),
            Missed::Unreachable(why) => self.failure(&FetchFailure::Unreachable(why)),
            Missed::Lies(who) => self.failure(&FetchFailure::Mismatch(who)),
            Missed::Unfinished { reason, there } => Failure {
                kind: ErrorKind::Unfinished,
                message: format!(
                    "Nobody is left to send the rest of {name} ({reason}). What has come ({} of {}) is kept: ask for it again when somebody shares it.",
                    units::size(there),
                    units::size(self.planned.content.length)
                ),
            },
            Missed::Unfit(why) => Failure {
                kind: ErrorKind::Other,
                message: format!("{name} cannot be fetched: {why}."),
            },
        }
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
        let name = &self.planned.listed;
        let called = |id: &thorp_wire::PeerId| {
            let holder = self.planned.holders.iter().find(|holder| holder.id == *id);
            holder.map_or_else(|| id.short(), rows::called)
        };
        let (kind, message) = match failure {
            FetchFailure::NotHere => (ErrorKind::NotFound, NOBODY.to_owned()),
            FetchFailure::Busy => (
                ErrorKind::Unfinished,
                format!("Whoever shares {name} has too much to do. Try again in a while."),
            ),
            FetchFailure::Unreadable => (
                ErrorKind::Other,
                format!(
                    "Whoever shares {name} cannot read it. Ask its owner to check the file's permissions."
                ),
            ),
            FetchFailure::TooLarge => (
                ErrorKind::Other,
                format!(
                    "{name} is too large for whoever shares it to send. Upgrade the older program."
                ),
            ),
            FetchFailure::Unreachable(why) => (
                ErrorKind::Network,
                format!(
                    "Nobody who shares {name} can be reached: {why}. Check that their machines are on and no firewall is between."
                ),
            ),
            FetchFailure::Silent(who) => (
                ErrorKind::Network,
                format!(
                    "{} shares {name} but did not answer. Try again later.",
                    called(who)
                ),
            ),
            FetchFailure::Mismatch(who) => (
                ErrorKind::Verification,
                format!(
                    "What {} sent is not the {name} it lists, and nobody else has it. Try again when somebody else shares it.",
                    called(who)
                ),
            ),
        };
        Failure { kind, message }
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
    Store::open(path).map_err(|error| store_failure(&error))
}

async fn ambiguous(asked: &str, variants: Vec<Variant>, events: &Events, why: &str) -> Failure {
    let mut variants: Vec<_> = variants.iter().map(rows::file).collect();
    variants.sort_by_key(|variant| std::cmp::Reverse(variant.holders.len()));
    let choice = Event::Choice {
        name: asked.to_owned(),
        variants,
    };
    tell(events, choice).await;
    Failure {
        kind: ErrorKind::Ambiguous,
        message: format!(
            "{why}: {asked}. Say which: --root PREFIX picks the content, --from PEER the peer."
        ),
    }
}

fn nobody(peer: &Peer, tracker: TrackerUse, get: &Get) -> Failure {
    if tracker == TrackerUse::Unreachable {
        let asked = match peer.share() {
            Some(_) => "No neighbour knows this file, and the tracker cannot be asked",
            None => "The tracker cannot be asked who has this file",
        };
        return no_tracker(peer, asked);
    }
    let message = match (&get.from, &get.root) {
        (None, None) => NOBODY.to_owned(),
        (Some(from), None) => {
            format!("{from} is not sharing this file now. See who does: thorp find")
        }
        (None, Some(root)) => {
            format!(
                "No peer is sharing this file with a root that starts with {root}. See which there are: thorp find"
            )
        }
        (Some(from), Some(root)) => format!(
            "{from} is not sharing this file with a root that starts with {root}. See which there are: thorp find"
        ),
    };
    Failure {
        kind: ErrorKind::NotFound,
        message,
    }
}

fn exists() -> Failure {
    Failure {
        kind: ErrorKind::Exists,
        message: EXISTS.to_owned(),
    }
}

/// Whoever lists such a name would have it be more than a file here.
fn reserved(name: &Name) -> Failure {
    Failure {
        kind: ErrorKind::Other,
        message: format!(
            "{} is a name that thorp keeps for its own files, so it is not fetched. Give it another one: --as NEWNAME",
            name.as_str().escape_debug()
        ),
    }
}

fn store_failure(error: &StoreError) -> Failure {
    match error {
        StoreError::Exists { .. } => exists(),
        StoreError::FileInTheWay { .. } | StoreError::FolderInTheWay { .. } => Failure {
            kind: ErrorKind::Exists,
            message: error.to_string(),
        },
        StoreError::Mismatch { .. } => Failure {
            kind: ErrorKind::Verification,
            message: error.to_string(),
        },
        _ => Failure {
            kind: ErrorKind::Other,
            message: error.to_string(),
        },
    }
}

fn usage(message: &str) -> Failure {
    Failure {
        kind: ErrorKind::Usage,
        message: message.to_owned(),
    }
}
