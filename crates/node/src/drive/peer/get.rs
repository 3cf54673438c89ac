//! A get: what the core wants done for it, and what a user is told of it.
//!
//! The caller's end of it: looks at places, has a task for each large file and makes
//! [`Event`]s of what happens. The other end, where the peer's task has it, is in
//! [`gets`](super::gets). Everything that decides is in [`thorp_core::get`], where files
//! are put in [`delivery`](super::delivery).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use thorp_core::get::{
    self, Answered, Chore, Ending, Existing, FetchId, GetId, Item, Look, News, NotStored,
    WithoutRoom,
};
use thorp_core::lookup::{Only, Source};
use thorp_files::store::{Replace, Store};
use thorp_wire::frame::{Holder, MAX_INLINE};
use thorp_wire::{Name, printable};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::api::{
    AnswerSource, Done, Event, Failure, Fetched, Get, Hashing, Member, NoRoom, Note, Obstacle,
    Progress, Provenance,
};
use crate::drive::caller::{Events, tell};
use crate::drive::talk::called;
use crate::rows;
use crate::sessions::Writing;
use crate::waiting::if_any;

use super::delivery::{Arrived, Delivery, Errors, Folder, Terms};
use super::gets::{Begun, ForGet, Waiting};
use super::large::{self, Order};
use super::pace::{Meter, Pace, TOLD_EVERY};
use super::silence::Silence;
use super::telling::{self, milliseconds, partial};
use super::{Peer, Request, missed};

pub(super) async fn run(peer: &Peer, get: Get, events: &Events) -> Result<Done, Failure> {
    let since = Instant::now();
    let folder = match &get.dir {
        Some(dir) => Folder::Directory(Arc::new(opened(dir.clone()).await?)),
        None => peer.folder(),
    };
    let terms = Terms {
        folder,
        replace: if get.overwrite {
            Replace::Yes
        } else {
            Replace::No
        },
        set_aside: get.set_aside.clone(),
        by_content: false,
        errors: Errors::default(),
        arrived: Arrived::default(),
    };
    let number = peer.next_get();
    // Dropped last: when the peer's task hears of it, it can see that no caller waits.
    let mut caller = Waiting::new(peer, number);
    let (sender, mut for_get) = mpsc::unbounded_channel();
    let wanted = request(get, peer.takes_executables());
    let begun = Begun::new(number, wanted, terms.clone(), sender);
    peer.tell(Request::Get(begun)).await;
    let mut job = Job {
        peer,
        events,
        number,
        terms,
        since,
        running: BTreeMap::new(),
        tasks: JoinSet::new(),
        progress: Progress::default(),
        over: ByteCount::default(),
        left: BTreeMap::new(),
        kept_without_room: 0,
        pace: Pace::default(),
        last_source: None,
        silence: Silence::new(since),
        ticks: None,
    };
    loop {
        let wanted = tokio::select! {
            wanted = for_get.recv() => wanted,
            _ = if_any(job.ticks.as_mut().map(Interval::tick)) => {
                job.tell_progress().await;
                continue;
            }
        };
        let end = match wanted {
            None => return Err(peer.ended()),
            Some(ForGet::Ended(end)) => end,
            Some(ForGet::Do(chore)) => {
                job.see_to(chore).await;
                continue;
            }
            Some(ForGet::Tell(news)) => {
                job.take(news).await;
                continue;
            }
            Some(ForGet::Awaited(awaited)) => {
                job.silence.small = awaited;
                continue;
            }
            Some(ForGet::Begin(fetch, item, writing)) => {
                job.begin(fetch, item, writing);
                continue;
            }
        };
        caller.was_served();
        return job.end(end).await;
    }
}

async fn opened(dir: PathBuf) -> Result<Store, Failure> {
    let opened = thorp_disk::spawn(move |disk| Store::open(disk, &dir)).await;
    Ok(opened.map_err(|_| Failure::PeerStopping)??)
}

/// A request in the core's words.
fn request(get: Get, executable: bool) -> get::Request {
    get::Request {
        names: get.names,
        exact: get.exact,
        only: Only {
            from: get.from,
            root: get.root,
        },
        rename: get.rename,
        existing: match get.set_aside {
            Some(_) => Existing::SetAside,
            None if get.overwrite => Existing::Replace,
            None => Existing::Keep,
        },
        elsewhere: get.dir.is_some(),
        patience: get.wait.into(),
        hidden: get.hidden,
        folders: get.folders,
        executable,
        is_read: false,
    }
}

struct Job<'a> {
    peer: &'a Peer,
    events: &'a Events,
    number: GetId,
    terms: Terms,
    since: Instant,
    /// Large files on their way.
    running: BTreeMap<FetchId, Running>,
    tasks: JoinSet<()>,
    progress: Progress,
    /// Files that have arrived.
    over: ByteCount,
    /// How many bytes are here of large files that were given up, until they are begun again.
    left: BTreeMap<Name, u64>,
    /// How many bytes are here of large files for which there is no room.
    kept_without_room: u64,
    pace: Pace,
    /// The last source of which the caller was told, as it was told of it.
    last_source: Option<(Holder, Member)>,
    silence: Silence,
    /// Once all is planned.
    ticks: Option<Interval>,
}

struct Running {
    name: Name,
    orders: mpsc::UnboundedSender<Order>,
    meter: Arc<Meter>,
}

#[derive(Clone, Copy, Default)]
struct ByteCount {
    there: u64,
    /// Over the network: what was there before is not how fast it comes.
    received: u64,
}

impl Job<'_> {
    async fn see_to(&mut self, chore: Chore) {
        match chore {
            Chore::Look(looks) => self.look(looks).await,
            Chore::Holders(fetch, holders) => self.order(fetch, Order::Holders(holders)),
            Chore::Finish(fetch) => self.order(fetch, Order::Finish),
            // Without orders it ends.
            Chore::GiveUp(fetch) => self.lost(fetch),
        }
    }

    async fn take(&mut self, news: News) {
        match news {
            News::Partial(coverage) => {
                if let Some(note) = partial(self.peer, coverage) {
                    self.tell(Event::Note(note)).await;
                }
            }
            News::LeftOut(name) => {
                let name = name.to_string();
                self.tell(Event::Note(Note::LeftOut { name })).await;
            }
            News::HiddenLeftOut(files) => {
                self.tell(Event::Note(Note::HiddenLeftOut { files })).await;
            }
            News::Hashing {
                name,
                length,
                hashed,
                by,
            } => {
                let hashing = Hashing {
                    name,
                    length,
                    hashed,
                    by: by.as_ref().map(rows::holder),
                };
                self.tell(Event::Hashing(hashing)).await;
            }
            News::Choice { name, variants } => {
                let variants = variants.iter().map(rows::file).collect();
                self.tell(Event::Choice { name, variants }).await;
            }
            News::Failed { name, why } => {
                let failure = self.failure(name.clone(), why.clone());
                if let get::Missed::NotStored(why) = why {
                    self.terms.errors.was_told(&why);
                    if matches!(why, NotStored::Full(_)) {
                        self.kept_without_room += self.here_of(&name);
                    }
                }
                self.tell(Event::Failed { name, failure }).await;
            }
            News::Planned {
                missed,
                files,
                bytes,
            } => self.on_planned(missed, files, bytes),
            News::Resumed { item, bytes } => {
                let resumed = Event::Resumed {
                    name: item.listed.to_string(),
                    bytes,
                    of_bytes: item.content.length,
                };
                self.tell(resumed).await;
            }
            News::Waiting { name, why } => {
                let failure = self.failure(name.clone(), why);
                self.tell(Event::Waiting { name, failure }).await;
            }
            // What there is of it is taken up when it is begun again.
            News::Postponed(fetch) => self.lost(fetch),
            // That is for readers.
            News::IsWanted(_) => {}
            News::Lost { fetch, over } => {
                self.lost(fetch);
                self.progress.files = over;
            }
            News::Fetched {
                fetch,
                item,
                sources,
                clients,
                received,
                answer,
                is_own,
                over,
            } => {
                self.on_fetched(fetch, &item, received, over);
                let mut answer = provenance(&answer);
                if fetch.is_none() {
                    answer.source = AnswerSource::Local;
                } else if is_own {
                    answer.source = AnswerSource::Own;
                }
                let mut fetched = self.fetched(&item, &sources, received, answer);
                fetched.clients = telling::clients(clients);
                self.tell(Event::Fetched(fetched)).await;
            }
        }
    }

    /// It is known how much is to come: from now on the caller is told how far it is.
    fn on_planned(&mut self, missed: u64, files: u64, bytes: u64) {
        self.progress.files = self.progress.files.max(missed);
        self.progress.of_files = missed + files;
        self.progress.of_bytes = bytes;
        let silence = &mut self.silence;
        self.ticks.get_or_insert_with(|| {
            *silence = Silence::new(Instant::now());
            let mut ticks = interval(TOLD_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
    }

    fn on_fetched(&mut self, fetch: Option<FetchId>, item: &Item, received: u64, over: u64) {
        if let Some(fetch) = fetch {
            self.running.remove(&fetch);
        }
        self.progress.files = over;
        self.left.remove(&item.listed);
        self.over.there += item.content.length;
        self.over.received += received;
        if received > 0 && item.content.length > MAX_INLINE {
            self.peer.transfers.on_fetched();
        }
    }

    /// Looks at places, on a thread for the disk.
    async fn look(&self, looks: Vec<Look>) {
        let folder = self.terms.folder.clone();
        let errors = self.terms.errors.clone();
        let events = self.events.clone();
        let looking = thorp_disk::spawn(move |disk| {
            let go_on = || !events.is_closed();
            folder.look_at_all(disk, &looks, &errors, go_on)
        });
        // It does not panic; should it, what is in the way is found out later.
        let looked = looking.await.unwrap_or_default();
        self.peer.tell(Request::Looked(self.number, looked)).await;
    }

    fn begin(&mut self, fetch: FetchId, item: Item, writing: Writing) {
        let (orders, to_do) = mpsc::unbounded_channel();
        let meter = Arc::new(Meter::default());
        let name = item.listed.clone();
        let delivery = Delivery::new(self.terms.clone(), item);
        let (peer, metered) = (self.peer.clone(), Arc::clone(&meter));
        self.tasks.spawn(large::fetch(
            peer, fetch, delivery, writing, metered, to_do, None,
        ));
        // Its meter counts what is here of it.
        self.left.remove(&name);
        let running = Running {
            name,
            orders,
            meter,
        };
        self.running.insert(fetch, running);
    }

    fn order(&self, fetch: FetchId, order: Order) {
        if let Some(running) = self.running.get(&fetch) {
            // One that is over follows no orders, and has said so.
            let _ = running.orders.send(order);
        }
    }

    /// A file is missed. What there is of it stays for the next time.
    fn lost(&mut self, fetch: FetchId) {
        if let Some(running) = self.running.remove(&fetch) {
            let here = running.meter.bytes();
            if here > 0 {
                self.left.insert(running.name, here);
            }
            self.over.received += running.meter.received();
        }
    }

    async fn end(mut self, end: Ending) -> Result<Done, Failure> {
        if self.ticks.is_some() {
            self.count();
            self.tell(Event::Progress(self.progress.clone())).await;
        }
        if let Some(note) = self.terms.folder.remark() {
            self.tell(Event::Note(note)).await;
        }
        match end {
            Ending::Done {
                files,
                bytes,
                left_out,
            } => Ok(Done {
                count: files,
                bytes,
                left_out,
                ..Done::default()
            }),
            Ending::Missed { name, why } => {
                let failure = self.failure(name, why);
                Err(self.with_room(failure).await)
            }
            Ending::SeveralMissed {
                kind,
                missed,
                of,
                without_room,
            } => Err(Failure::Several {
                failed: missed,
                of,
                kind: missed::kind(self.peer, kind),
                room: match without_room {
                    Some(without_room) => self.room_for(without_room).await,
                    None => None,
                },
            }),
        }
    }

    fn failure(&self, name: String, why: get::Missed) -> Failure {
        if let (get::Missed::NoRoomEither, Ok(name)) = (&why, name.parse()) {
            return Failure::Unstorable {
                path: self.terms.folder.path_of(&name),
                obstacle: Obstacle::Full,
                room: None,
            };
        }
        missed::failure(self.peer, &self.terms.errors, name, why)
    }

    /// Of a full disk, what is missing there.
    async fn with_room(&mut self, mut failure: Failure) -> Failure {
        if let Failure::Unstorable {
            path,
            obstacle: Obstacle::Full,
            room,
        } = &mut failure
        {
            let needed = self.progress.of_bytes.saturating_sub(self.progress.bytes);
            *room = self.room_at(path.clone(), needed).await;
        }
        failure
    }

    /// What is missing on the disk for several files.
    async fn room_for(&mut self, without_room: WithoutRoom) -> Option<NoRoom> {
        let path = match self.terms.errors.meant(&without_room.first) {
            Some(Failure::Unstorable { path, .. }) => path,
            _ => self.terms.folder.store().path().to_owned(),
        };
        let needed = without_room.bytes.saturating_sub(self.kept_without_room);
        self.room_at(path, needed).await
    }

    async fn room_at(&mut self, path: PathBuf, needed: u64) -> Option<NoRoom> {
        // What this get was promised it has given back then.
        self.tasks.shutdown().await;
        let promises = self.peer.promises.clone();
        let found = thorp_disk::spawn(move |disk| promises.left_at(disk, &path)).await;
        found.ok().flatten().map(|found| NoRoom {
            file_system: found.file_system,
            free: found.free,
            needed,
        })
    }

    /// How many bytes are here of a large file on its way.
    fn here_of(&self, name: &str) -> u64 {
        let mut running = self.running.values();
        let running = running.find(|running| running.name.as_str() == name);
        running.map_or(0, |running| running.meter.bytes())
    }

    async fn tell_progress(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        if self.silence.is_to_be_asked() {
            self.peer.tell(Request::Awaited(self.number)).await;
        }
        if self.count() {
            self.tell(Event::Progress(self.progress.clone())).await;
        }
    }

    /// Brings the figures up to date; whether they have changed.
    fn count(&mut self) -> bool {
        let meters = || self.running.values().map(|running| &running.meter);
        let under_way: u64 = meters().map(|meter| meter.bytes()).sum();
        let coming: u64 = meters().map(|meter| meter.received()).sum();
        let sources = meters().map(|meter| meter.sources()).sum();
        let busy = meters().map(|meter| meter.busy()).sum();
        let bytes = self.over.there + self.left.values().sum::<u64>() + under_way;
        let (now, received) = (Instant::now(), self.over.received + coming);
        self.pace.see(now, received);
        self.silence.see(now, received);
        let before = self.progress.clone();
        let said = self.silence.said(meters());
        let progress = &mut self.progress;
        (progress.silent, progress.waiting_for) = said;
        progress.bytes = bytes;
        progress.sources = sources;
        progress.busy = busy;
        progress.rate = self.pace.rate();
        let missing = progress.of_bytes.saturating_sub(bytes);
        progress.eta = missing.checked_div(progress.rate);
        before != *progress
    }

    fn fetched(
        &mut self,
        item: &Item,
        sources: &[Holder],
        received: u64,
        answer: Provenance,
    ) -> Fetched {
        let from = || {
            let from = sources.iter();
            let from = from.map(|holder| called(holder.name.as_ref(), holder.id));
            from.collect::<Vec<_>>().join(" ")
        };
        tracing::info!(
            name = %printable(item.listed.as_str()),
            stage = ?answer.source,
            via = answer.via.as_ref().and_then(|via| via.name.as_deref()),
            tracker_asked = answer.tracker_asked,
            from = from(),
            received,
            "is here"
        );
        let sources: Vec<Member> = sources.iter().map(|from| self.row_of(from)).collect();
        Fetched {
            name: item.listed.to_string(),
            path: self.terms.folder.path_of(&item.target),
            length: item.content.length,
            root: item.content.root.to_string(),
            from: sources.first().cloned(),
            sources,
            clients: Vec::new(),
            received,
            answer,
            ms: milliseconds(self.since),
        }
    }

    /// A source as a caller is told of it. Files by the thousand come from the same one.
    fn row_of(&mut self, source: &Holder) -> Member {
        if let Some((last, row)) = &self.last_source
            && last == source
        {
            return row.clone();
        }
        let row = rows::holder(source);
        self.last_source = Some((source.clone(), row.clone()));
        row
    }

    async fn tell(&self, event: Event) {
        tell(self.events, event).await;
    }
}

/// Who has said where a file is.
fn provenance(answer: &Answered) -> Provenance {
    Provenance {
        source: match answer.source {
            Source::Memory => AnswerSource::Memory,
            Source::Neighbour(_) => AnswerSource::Neighbour,
            Source::Tracker => AnswerSource::Tracker,
        },
        via: answer.via.as_ref().map(rows::holder),
        tracker_asked: answer.tracker_asked,
    }
}
