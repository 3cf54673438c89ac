//! Getting files by name: which, from which holders, and how it ends.
//!
//! A request goes in: names and patterns. Out come files, one after the other,
//! or why they are missed. Where files are is asked by the peer's machine, for
//! which [`Gets`] is a part; disk and sessions are the shell's.
//!
//! ```text
//! io        requests, what is told of them, and the reasons for failure
//! doing     what a get is doing, as values
//! typed     what a user means who types a name
//! plan      what names and patterns come to, up to the first byte
//! listing   what patterns and folders come to, part by part
//! wait      what is still being hashed
//! again     what did not come, and when it is asked for again
//! missing   what is missed: who is told, and what is counted
//! small     small files: from which holder next
//! large     large files: turns, holders, and what it means to be stuck
//! sought    who has a large file
//! ```
//!
//! A request is served in this order: each pattern, part by part, then the names; what
//! was found is looked for on the disk, once; then all of it is fetched at the same
//! time. So what is missed is known first. But no more than so many files are found and
//! not fetched yet: of a million, the first are here before the last are known, and a
//! get takes no more memory than for a thousand.

mod again;
mod doing;
mod io;
mod large;
mod listing;
mod missing;
mod plan;
pub(crate) mod small;
pub(crate) mod sought;
mod typed;
mod wait;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thorp_wire::frame::{Holder, MAX_INLINE, Variant};
use thorp_wire::{Content, Entry, Name, PeerId};

use crate::lookup::{Only, Outcome};
use crate::matching::Pattern;
use crate::survey::Coverage;
use crate::time::Instant;

pub use io::{
    Answered, Chore, Claimed, DiskError, Doubt, Ending, Existing, FetchId, Folders, GetId, Item,
    Look, Looked, Missed, MissedKind, News, NotStored, Output, Patience, Request, Storage,
    WithoutRoom,
};
pub use large::LargeEvent;

use again::Postponed;
use doing::{AskedAs, Candidate, Folder, Listed, OnItsWay, Planned, Step, Task};
use large::{Arrived, LargeFiles};
use missing::Misses;
use plan::Terms;
use small::{NotSent, WantedFile};

/// Files of one get that are found and not over, before more are found.
pub(crate) const AT_ONCE: usize = 1024;
/// Names that are looked up in one go.
const NAMES_AT_ONCE: usize = 1024;

/// One question of a get, which numbers them: an answer to an earlier one is known
/// for what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inquiry {
    pub get: GetId,
    number: u32,
}

/// What is told to the gets.
#[derive(Debug)]
pub(crate) enum Input {
    /// Time has passed.
    Tick,
    /// Files are wanted.
    Begin(GetId, Request),
    /// The answer to [`Action::LookUp`]; with the neighbours that gave some of it, and
    /// with what this peer shares itself under names that no other member has.
    LookedUp {
        inquiry: Inquiry,
        outcome: Outcome,
        known: BTreeMap<PeerId, Holder>,
        own: BTreeMap<String, Entry>,
    },
    /// Some of the answer to [`Action::Survey`], as far as the survey has come. A file without a
    /// holder is this peer's own. More comes after [`Action::GoOn`].
    Surveyed(Inquiry, Vec<Variant>, Coverage),
    /// All of it has come.
    SurveyOver(Inquiry, Coverage),
    /// The answer to [`Chore::Look`].
    Looked(GetId, Vec<Looked>),
    /// What became of a file's bytes, and which holder sent them; none, if it was made here.
    Stored(FetchId, Option<Holder>, Storage),
    /// A small file cannot be fetched.
    Failed(FetchId, NotSent),
    /// A small file of [`Action::NoRoomFor`] has not come yet, and comes no more.
    NoRoomFor(FetchId),
    /// These have a large file.
    Named(FetchId, Vec<Holder>),
    /// A neighbour has come to list a name that is waited for.
    Listed(GetId, String),
    /// What became of a large file.
    Large(FetchId, LargeEvent),
    /// The caller does not wait for these files any more.
    Abandon(GetId),
    /// This peer stops, or the group has removed it: nothing is fetched any more.
    Stop(Missed),
}

/// What is to be done for gets.
#[derive(Debug)]
pub(crate) enum Action {
    /// Tell the shell.
    Tell(GetId, Output),
    /// Look these names up. A get asks one question at a time.
    LookUp(Inquiry, Vec<String>, Only),
    /// The same for names that were looked up in vain before: what resembles them is known.
    LookUpAgain(Inquiry, Vec<String>, Only),
    /// List all that matches.
    Survey(Inquiry, Pattern, Only),
    /// What was told of a survey was taken: more of it is wanted.
    GoOn(Inquiry),
    /// No more of it is wanted.
    Enough(Inquiry),
    /// Fetch a small file.
    Fetch(FetchId, WantedFile),
    /// Do not fetch those of these small files that have not come yet.
    NoRoomFor(Vec<FetchId>),
    /// Look for holders of a large file.
    Seek(FetchId, WantedFile),
    /// Look for more of them.
    Widen(FetchId),
    /// It is fetched no more, or has come.
    DoNotSeek(FetchId),
    /// A large file has come from these.
    Gathered(FetchId, Vec<Holder>),
    /// A member sent what is not of the file it lists.
    Lied(Holder),
    /// A get is over before its time: so are its questions and these fetches.
    Forget(GetId, Vec<FetchId>),
}

/// All gets of a peer.
#[derive(Debug, Default)]
pub(crate) struct Gets {
    requests: BTreeMap<GetId, Get>,
    /// Files on their way.
    fetches: BTreeMap<FetchId, OnItsWay>,
    large: LargeFiles,
    last_fetch: u64,
    /// Why nothing is fetched any more.
    stopped: Option<Missed>,
    out: VecDeque<Action>,
}

/// One request.
#[derive(Debug)]
struct Get {
    only: Only,
    terms: Terms,
    /// What is still to be found, in this order.
    agenda: VecDeque<Task>,
    step: Step,
    /// How many questions it has asked.
    asked: u32,
    /// The pattern whose files are being found.
    listed: Option<Listed>,
    /// Patterns whose files were found.
    done: Vec<Pattern>,
    planned: Vec<Planned>,
    /// Where nothing was a moment ago.
    free: Option<Name>,
    /// Names here that files were planned for which were asked for by name.
    targets: BTreeSet<Name>,
    /// Files that are on their way.
    coming: BTreeSet<FetchId>,
    misses: Misses,
    /// What did not come, and is asked for again.
    postponed: Postponed,
    /// Why there may be more that match a pattern.
    in_part: Option<(String, Missed)>,
    /// Whether its caller knows how much is to come.
    is_planning_told: bool,
    /// Files that were planned, and bytes in them.
    found: u64,
    found_bytes: u64,
    /// Names that came to no file.
    unplanned: u64,
    /// Files of the pattern that is being found that may act by lying there.
    hidden: u64,
    /// Files that match a pattern and are left out. `hidden` is added once all of its are found.
    left_out: u64,
    /// How many of these come if hidden files are asked for.
    hidden_left_out: u64,
    /// The first pattern of which some were left out, as it was asked for.
    left_out_of: Option<String>,
    files: u64,
    bytes: u64,
}

impl Gets {
    /// Takes an input. Then drain [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Tick => self.ask_again(now),
            Input::Begin(get, request) => self.begin(now, get, &request),
            Input::LookedUp {
                inquiry,
                outcome,
                known,
                own,
            } => self.on_looked_up(now, inquiry, outcome, known, &own),
            Input::Surveyed(inquiry, files, so_far) => {
                self.on_surveyed(now, inquiry, files, so_far);
            }
            Input::SurveyOver(inquiry, coverage) => self.on_survey_over(now, inquiry, coverage),
            Input::Looked(get, looked) => self.on_looked(now, get, looked),
            Input::Stored(fetch, from, storage) => self.on_stored(now, fetch, from, storage),
            Input::Failed(fetch, failure) => self.on_failed(now, fetch, failure),
            Input::NoRoomFor(fetch) => self.on_no_room_for(now, fetch),
            Input::Listed(get, name) => {
                if let Some(get) = self.requests.get_mut(&get) {
                    get.postponed.on_listed(now, &name);
                }
            }
            Input::Named(fetch, holders) => self.large.on_named(fetch, holders, &mut self.out),
            Input::Large(fetch, event) => self.on_large(now, fetch, event),
            Input::Abandon(get) => self.abandon(get),
            Input::Stop(why) => self.stop(now, &why),
        }
        // Patience may have ended while a name was looked up.
        self.give_up_the_late(now);
        self.find_more(now);
        self.large.begin_next(&mut self.out);
    }

    /// What is to be done next, in order.
    pub fn poll_output(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    /// When to come back, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let waits = self.requests.values().filter_map(|get| match &get.step {
            Step::LookUp { wait, .. } => wait.as_ref()?.deadline(),
            Step::Files | Step::Room => get.postponed.deadline(),
            _ => None,
        });
        waits.min()
    }

    /// What the bytes are that have come for a fetch.
    pub fn claimed(&self, fetch: FetchId) -> Option<Claimed> {
        self.fetches.get(&fetch).map(|coming| Claimed {
            fetch,
            get: coming.get,
            item: coming.item.clone(),
        })
    }

    /// Whether a caller waits for this one.
    #[cfg(any(test, feature = "testing"))]
    pub fn is_wanted(&self, get: GetId) -> bool {
        self.requests.contains_key(&get)
    }

    /// Files of a get that are on their way.
    pub fn coming(&self, get: GetId) -> impl Iterator<Item = FetchId> {
        let get = self.requests.get(&get);
        get.into_iter().flat_map(|get| get.coming.iter().copied())
    }

    /// Whether anything is to be done.
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Whether there is nothing left of any get.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.fetches.is_empty() && self.large.is_idle()
    }

    /// Ends the search: fetches what is planned, and ends the get if nothing is on its way.
    fn fetch_the_rest(&mut self, id: GetId) {
        if let Some(get) = self.requests.get_mut(&id) {
            get.step = Step::Files;
            get.targets.clear();
        }
        self.fetch_planned(id);
        self.end_if_over(id);
    }

    /// Fetches what is planned, all of it at once, but for what is there already.
    fn fetch_planned(&mut self, id: GetId) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let planned = std::mem::take(&mut get.planned);
        if planned.is_empty() && std::mem::replace(&mut get.is_planning_told, true) {
            return;
        }
        get.is_planning_told = true;
        let lengths = planned.iter().map(|file| file.item.content.length);
        get.found += planned.len() as u64;
        get.found_bytes = lengths.fold(get.found_bytes, u64::saturating_add);
        let planning = News::Planned {
            missed: get.unplanned,
            files: get.found,
            bytes: get.found_bytes,
        };
        self.tell(id, planning);
        for file in planned {
            self.fetch(id, file);
        }
    }

    /// Goes on to find files, where there is room again, or some did not come before.
    fn find_more(&mut self, now: Instant) {
        let has_more = |get: &Get| match get.step {
            Step::Room => get.has_room() || get.postponed.is_due(now),
            Step::Files => get.postponed.is_due(now),
            _ => false,
        };
        let waiting = self.requests.iter().filter(|(_, get)| has_more(get));
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.go_on(now, id);
        }
    }

    /// Whether this peer's own files are copied for a get where no other member has one.
    pub fn copies(&self, id: GetId) -> bool {
        self.requests.get(&id).is_some_and(|get| get.terms.copies)
    }

    /// Names that are waited for, and by which get.
    pub fn waited_for(&self) -> impl Iterator<Item = (GetId, &str)> {
        let gets = self.requests.iter();
        gets.flat_map(|(id, get)| get.postponed.names().map(|name| (*id, name)))
    }

    fn fetch(&mut self, id: GetId, file: Planned) {
        let Planned {
            item,
            holders,
            answer,
            widen,
            is_there,
            late,
            is_own,
        } = file;
        if is_there {
            self.arrived(id, item.content.length);
            let over = self.over(id);
            let fetched = News::Fetched {
                fetch: None,
                item,
                sources: Vec::new(),
                clients: Vec::new(),
                received: 0,
                answer,
                is_own: false,
                over,
            };
            return self.tell(id, fetched);
        }
        self.last_fetch += 1;
        let fetch = FetchId(self.last_fetch);
        let content = item.content;
        let misses = self.requests.get(&id).map(|get| &get.misses);
        if misses.is_some_and(|misses| misses.leave_no_room_for(content.length)) {
            self.count_without_room(id, content.length);
            self.miss(id, item.listed.to_string(), Missed::NoRoomEither);
            let over = self.over(id);
            return self.tell(id, News::Lost { fetch, over });
        }
        let wanted = WantedFile {
            content,
            holders: holders.clone(),
            widen,
        };
        let is_made = is_own || content == Content::EMPTY;
        if is_own {
            self.tell(id, Output::Copy(fetch, item.clone()));
        } else if is_made {
            self.tell(id, Output::Make(fetch, item.clone()));
        } else if content.length > MAX_INLINE {
            let is_read = self.requests.get(&id).is_some_and(|get| get.terms.is_read);
            let out = &mut self.out;
            self.large
                .want(fetch, (id, is_read), item.clone(), wanted, out);
        } else {
            self.out.push_back(Action::Fetch(fetch, wanted));
        }
        if let Some(get) = self.requests.get_mut(&id) {
            get.coming.insert(fetch);
        }
        let coming = OnItsWay {
            get: id,
            item,
            holders,
            answer,
            is_made,
            is_own,
            late,
        };
        self.fetches.insert(fetch, coming);
    }

    fn on_stored(&mut self, now: Instant, fetch: FetchId, from: Option<Holder>, storage: Storage) {
        let Some(coming) = self.fetches.get(&fetch) else {
            return;
        };
        if from.is_none() && !coming.is_made {
            return;
        }
        let length = coming.item.content.length;
        match storage {
            Storage::Kept => {
                let arrived = Arrived {
                    sources: Vec::from_iter(from),
                    clients: Vec::new(),
                    received: if coming.is_made { 0 } else { length },
                };
                self.on_fetched(fetch, arrived);
            }
            Storage::Failed(why) => self.on_lost(now, fetch, Missed::NotStored(why)),
            Storage::NotNow => self.on_lost(now, fetch, Missed::Busy),
            Storage::Mismatch if coming.is_made => self.on_lost(now, fetch, Missed::not_here()),
            // Another holder is asked for it.
            Storage::Mismatch => {}
        }
    }

    fn on_failed(&mut self, now: Instant, fetch: FetchId, failure: NotSent) {
        if let Some(coming) = self.fetches.get(&fetch) {
            let why = failure.missed(&coming.holders);
            self.on_lost(now, fetch, why);
        }
    }

    fn on_large(&mut self, now: Instant, fetch: FetchId, event: LargeEvent) {
        match self.large.on_event(fetch, event, &mut self.out) {
            Some(Ok(arrived)) => self.on_fetched(fetch, arrived),
            Some(Err(why)) => self.on_lost(now, fetch, why),
            None => {}
        }
    }

    fn on_fetched(&mut self, fetch: FetchId, arrived: Arrived) {
        let Some(coming) = self.fetches.remove(&fetch) else {
            return;
        };
        let OnItsWay {
            get,
            item,
            answer,
            is_own,
            ..
        } = coming;
        self.arrived(get, item.content.length);
        if let Some(get) = self.requests.get_mut(&get) {
            get.coming.remove(&fetch);
        }
        let fetched = News::Fetched {
            fetch: Some(fetch),
            item,
            sources: arrived.sources,
            clients: arrived.clients,
            received: arrived.received,
            answer,
            is_own,
            over: self.over(get),
        };
        self.tell(get, fetched);
        self.end_if_over(get);
    }

    /// Files of a get that are there or missed by now.
    fn over(&self, id: GetId) -> u64 {
        let get = self.requests.get(&id);
        get.map_or(0, |get| get.files + get.misses.number)
    }

    fn arrived(&mut self, id: GetId, length: u64) {
        if let Some(get) = self.requests.get_mut(&id) {
            get.files += 1;
            get.bytes = get.bytes.saturating_add(length);
        }
    }

    fn end_if_over(&mut self, id: GetId) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let is_waiting = !get.coming.is_empty() || !get.postponed.is_empty();
        if is_waiting || !matches!(get.step, Step::Files) {
            return;
        }
        if let Some((name, why)) = get.in_part.take() {
            if get.misses.first.is_none() {
                return self.end(id, Ending::Missed { name, why });
            }
            let kind = get.misses.kind.map(|known| known.and(why.kind()));
            get.misses.kind = kind;
            self.tell(id, News::Failed { name, why });
        }
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let Misses {
            first,
            number,
            kind,
            without_room,
            ..
        } = std::mem::take(&mut get.misses);
        let end = match (first, kind) {
            (Some((name, why)), _) if get.terms.is_single || (get.files == 0 && number == 1) => {
                Ending::Missed { name, why }
            }
            (Some(_), Some(kind)) => Ending::SeveralMissed {
                kind,
                missed: number,
                of: get.unplanned + get.found,
                without_room,
            },
            _ if get.files == 0 && get.left_out > 0 => Ending::Missed {
                name: get.left_out_of.take().unwrap_or_default(),
                why: Missed::AllLeftOut {
                    files: get.left_out,
                    hidden: get.hidden_left_out,
                },
            },
            _ => Ending::Done {
                files: get.files,
                bytes: get.bytes,
                left_out: get.left_out,
            },
        };
        self.end(id, end);
    }

    fn end(&mut self, id: GetId, end: Ending) {
        if self.requests.remove(&id).is_some() {
            self.tell(id, Output::Ended(end));
        }
    }

    fn abandon(&mut self, id: GetId) {
        let Some(get) = self.requests.remove(&id) else {
            return;
        };
        for fetch in &get.coming {
            self.fetches.remove(fetch);
            self.large.drop(*fetch);
        }
        let fetches = get.coming.into_iter().collect();
        self.out.push_back(Action::Forget(id, fetches));
    }

    fn tell(&mut self, id: GetId, output: impl Into<Output>) {
        self.out.push_back(Action::Tell(id, output.into()));
    }
}

impl Get {
    fn new(only: Only, terms: Terms, agenda: VecDeque<Task>, postponed: Postponed) -> Self {
        Self {
            only,
            terms,
            agenda,
            step: Step::Files,
            asked: 0,
            listed: None,
            done: Vec::new(),
            planned: Vec::new(),
            free: None,
            targets: BTreeSet::new(),
            coming: BTreeSet::new(),
            misses: Misses::default(),
            postponed,
            in_part: None,
            is_planning_told: false,
            found: 0,
            found_bytes: 0,
            unplanned: 0,
            hidden: 0,
            left_out: 0,
            hidden_left_out: 0,
            left_out_of: None,
            files: 0,
            bytes: 0,
        }
    }

    /// Whether more files may be found before others are over.
    fn has_room(&self) -> bool {
        self.planned.len() + self.coming.len() + self.postponed.begun() < AT_ONCE / 2
    }

    /// The names to look up again now.
    fn due_again(&mut self, now: Instant) -> Option<Vec<String>> {
        match &mut self.step {
            Step::LookUp { wait, .. } => wait.as_mut()?.ask_again(now),
            _ => None,
        }
    }

    /// Its next question.
    fn ask(&mut self, get: GetId) -> Inquiry {
        self.asked += 1;
        let number = self.asked;
        Inquiry { get, number }
    }
}

#[cfg(test)]
mod tests;
