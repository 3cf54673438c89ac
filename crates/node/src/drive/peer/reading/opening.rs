//! Which file a name means, and what brings it here.
//!
//! Owns the get of a file that is read: the core decides which content is meant, and asks what is
//! in the file's place. There the get waits until the caller wants its bytes, and most often they
//! never do: a question about a file costs no fetch. What is here already is read from where it
//! is; the rest comes into the cache.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thorp_core::get::{self, Chore, Existing, Folders, GetId, Item, Look, Looked, News, Patience};
use thorp_core::lookup::Only;
use thorp_disk::DiskThread;
use thorp_files::store::{Replace, Store};
use thorp_wire::{Content, Name};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::cache::Stored;
use super::coming::{Coming, Phase};
use super::{Meant, NotRead, Source};
use crate::api::{Failure, FileRow, NoRoom, Obstacle, Read};
use crate::drive::peer::delivery::{Arrived, Delivery, Errors, Folder, Terms};
use crate::drive::peer::gets::{Begun, ForGet, Waiting};
use crate::drive::peer::large::{self, Order};
use crate::drive::peer::pace::Meter;
use crate::drive::peer::{Peer, Request, missed};
use crate::rows;
use crate::sessions::{Transfer, TransferReader};
use crate::waiting::if_any;

/// How often a file that another get has begun is looked for.
const LOOKED_FOR_EVERY: Duration = Duration::from_millis(250);

pub(super) type Opened = Result<(Meant, Source), NotRead>;

/// How a file that is meant is opened.
pub(super) enum Way {
    /// It is here.
    Here(Source),
    /// Its get waits for this word, and answers it. Dropped, it ends.
    Word(oneshot::Sender<oneshot::Sender<Opened>>),
}

type Found = Result<(Meant, Way), NotRead>;

/// Finds the file that is meant. Nothing of it is fetched yet.
pub(super) async fn find(peer: &Peer, wanted: &Read) -> Found {
    if let Some((file, source)) = own(peer, wanted).await {
        return Ok((file, Way::Here(source)));
    }
    let cache = Arc::clone(&peer.readings.cache);
    let store = thorp_disk::spawn(move |disk| cache.store(disk)).await;
    let store = match store.map_err(|_| peer.ended())? {
        Ok(store) => store,
        Err(error) => return Err(of_state(peer, error.into(), None).await.into()),
    };
    let (told, found) = oneshot::channel();
    tokio::spawn(run(peer.clone(), wanted.clone(), store, told));
    found.await.unwrap_or_else(|_| Err(peer.ended().into()))
}

/// Opens a file that was found. What has to come for it is on its way then.
pub(super) async fn open(peer: &Peer, file: Meant, way: Way) -> Opened {
    match way {
        Way::Here(source) => Ok((file, source)),
        Way::Word(word) => {
            let (told, opened) = oneshot::channel();
            // A get that has ended in the meantime does not answer.
            let _ = word.send(told);
            opened.await.unwrap_or_else(|_| Err(peer.ended().into()))
        }
    }
}

/// A file of the own share that is called exactly so is the one, as it is for a get, which would
/// say that it is there.
async fn own(peer: &Peer, wanted: &Read) -> Option<(Meant, Source)> {
    let share = peer.share().filter(|_| wanted.from.is_none())?.clone();
    let name: Name = wanted.name.parse().ok()?;
    let root = wanted.root.clone();
    let found = thorp_disk::spawn(move |disk| {
        let entry = share.listed(&name).filter(|entry| !entry.partial)?;
        let content = entry.content()?;
        if root.is_some_and(|root| !content.root.has_hex_prefix(&root)) {
            return None;
        }
        let source = if content == Content::EMPTY {
            Source::Empty
        } else {
            Source::Shared(Arc::new(share.open_content(disk, content).ok()?))
        };
        let mtime = entry.mtime;
        let file = Meant {
            name,
            content,
            mtime,
        };
        Some((file, source))
    });
    found.await.ok()?
}

/// The get of one file that is read.
struct Job {
    peer: Peer,
    number: GetId,
    terms: Terms,
    caller: Caller,
    variants: Vec<FileRow>,
    /// The file that was looked for.
    looked_for: Option<Meant>,
    /// What was found in place of the file.
    found: Option<Source>,
    coming: Option<(Content, Arc<Coming>)>,
    orders: Option<mpsc::UnboundedSender<Order>>,
    has_begun: bool,
}

/// What the caller is told next.
enum Caller {
    /// Which file is meant, or that none is.
    Asks(oneshot::Sender<Found>),
    /// How it is opened, or why it cannot be.
    Opens(oneshot::Sender<Opened>),
    /// Nothing.
    Knows,
}

/// Why a get goes on no further.
enum Stop {
    Failed(Failure),
    /// Nobody waits for it.
    Left,
}

async fn run(peer: Peer, wanted: Read, store: Arc<Store>, told: oneshot::Sender<Found>) {
    let terms = Terms {
        folder: Folder::Directory(store),
        replace: Replace::Yes,
        set_aside: None,
        by_content: true,
        errors: Errors::default(),
        arrived: Arrived::default(),
    };
    let number = peer.next_get();
    // Dropped last: when the peer's task hears of it, it can see that no caller waits.
    let for_peer = peer.clone();
    let mut caller = Waiting::new(&for_peer, number);
    let (sender, mut for_get) = mpsc::unbounded_channel();
    let begun = Begun::new(number, request(wanted), terms.clone(), sender);
    peer.tell(Request::Get(begun)).await;
    let mut job = Job {
        peer,
        number,
        terms,
        caller: Caller::Asks(told),
        variants: Vec::new(),
        looked_for: None,
        found: None,
        coming: None,
        orders: None,
        has_begun: false,
    };
    // Says which transfer brings it.
    let mut transfer = None;
    let mut looks = interval(LOOKED_FOR_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let wanted = tokio::select! {
            wanted = for_get.recv() => wanted,
            begun = if_any(transfer.as_mut()) => {
                transfer = None;
                if let Ok(transfer) = begun {
                    job.begun(transfer);
                }
                continue;
            }
            () = job.is_left() => return job.over(),
            _ = looks.tick(), if job.waits_for_another() => {
                if job.joins() {
                    return job.forget();
                }
                continue;
            }
        };
        match wanted {
            None => {
                let ended = job.peer.ended();
                return job.fail(ended);
            }
            Some(ForGet::Ended(end)) => {
                caller.was_served();
                return job.end(end).await;
            }
            Some(ForGet::Do(Chore::Look(looks))) => match job.look(looks).await {
                Ok(()) => {}
                Err(Stop::Failed(failure)) => return job.fail(failure),
                Err(Stop::Left) => return job.over(),
            },
            Some(ForGet::Do(chore)) => job.see_to(chore),
            // Its readers look for it where the other get brings it.
            Some(ForGet::Tell(News::IsWanted(_))) => return job.over(),
            Some(ForGet::Tell(news)) => job.take(news).await,
            Some(ForGet::Begin(fetch, item, writing)) => {
                let (orders, to_do) = mpsc::unbounded_channel();
                let (sender, begun) = oneshot::channel();
                job.orders = Some(orders);
                job.has_begun = true;
                transfer = Some(begun);
                job.meant(&item);
                let delivery = Delivery::new(job.terms.clone(), item);
                let (peer, meter) = (job.peer.clone(), Arc::new(Meter::default()));
                let reading = Some(sender);
                let fetch = large::fetch(peer, fetch, delivery, writing, meter, to_do, reading);
                tokio::spawn(fetch);
            }
            Some(ForGet::Awaited(_)) => {}
        }
    }
}

/// A request in the core's words.
fn request(wanted: Read) -> get::Request {
    get::Request {
        names: vec![wanted.name],
        exact: true,
        only: Only {
            from: wanted.from,
            root: wanted.root,
        },
        rename: None,
        existing: Existing::Keep,
        elsewhere: true,
        patience: Patience::None,
        hidden: wanted.hidden,
        folders: Folders::No,
        executable: false,
        is_read: true,
    }
}

impl Job {
    /// Waits until nobody wants the file.
    async fn is_left(&mut self) {
        match (&mut self.caller, &self.coming) {
            (Caller::Asks(told), _) => told.closed().await,
            (Caller::Opens(told), _) => told.closed().await,
            (Caller::Knows, Some((_, coming))) => coming.is_left().await,
            (Caller::Knows, None) => {}
        }
    }

    /// Looks for the contents that may be meant where they may be already.
    async fn look(&mut self, looks: Vec<Look>) -> Result<(), Stop> {
        let mut looked = Vec::new();
        for look in looks {
            let Some(content) = look.content else {
                looked.push(Looked::Free);
                continue;
            };
            let file = Meant {
                name: look.target,
                content,
                mtime: look.mtime.unwrap_or_default(),
            };
            self.looked_for = Some(file.clone());
            self.is_opened(file).await?;
            self.found = self.find(content).await.map_err(Stop::Failed)?;
            looked.push(match self.found {
                Some(_) => Looked::Equal,
                None => Looked::Free,
            });
        }
        self.peer.tell(Request::Looked(self.number, looked)).await;
        Ok(())
    }

    /// Tells the caller which file is meant, and waits until its bytes are wanted.
    async fn is_opened(&mut self, file: Meant) -> Result<(), Stop> {
        let told = match std::mem::replace(&mut self.caller, Caller::Knows) {
            Caller::Asks(told) => told,
            caller => {
                self.caller = caller;
                return Ok(());
            }
        };
        let (word, is_wanted) = oneshot::channel();
        // If the caller is gone, its word does not come.
        let _ = told.send(Ok((file, Way::Word(word))));
        let opened = is_wanted.await.map_err(|_| Stop::Left)?;
        self.caller = Caller::Opens(opened);
        Ok(())
    }

    /// Where this content is, or is on its way to. If it is nowhere, room is made for it.
    async fn find(&mut self, content: Content) -> Result<Option<Source>, Failure> {
        if let Some((before, coming)) = &self.coming
            && *before != content
        {
            // Its name has this content by now: readers of the one before look for it elsewhere.
            coming.enter(Phase::Over);
            self.forget();
        }
        if content == Content::EMPTY {
            return Ok(Some(Source::Empty));
        }
        let readings = &self.peer.readings;
        let share = self.peer.share().cloned();
        let cache = Arc::clone(&readings.cache);
        let here = thorp_disk::spawn(move |disk: DiskThread| {
            let shared = share.and_then(|share| share.open_content(disk, content).ok());
            match shared {
                Some(opened) => Some(Source::Shared(Arc::new(opened))),
                None => cache
                    .open(disk, content)
                    .map(|stored| Source::Stored(Arc::new(stored))),
            }
        });
        if let Some(source) = here.await.map_err(|_| self.peer.ended())? {
            return Ok(Some(source));
        }
        let coming = {
            let mut all = self.peer.readings.coming();
            if let Some(coming) = all.get(&content) {
                return Ok(Some(Source::Coming(coming.handle(), None)));
            }
            if let Some(reader) = self.fetched(content) {
                return Ok(Some(Source::Fetched(reader)));
            }
            let coming = Arc::new(Coming::new());
            all.insert(content, Arc::clone(&coming));
            coming
        };
        self.coming = Some((content, Arc::clone(&coming)));
        loop {
            let cache = Arc::clone(&self.peer.readings.cache);
            let promises = self.peer.promises.clone();
            let room = thorp_disk::spawn(move |disk| {
                let free = |at: &Path| promises.left_at(disk, at).map(|left| left.free);
                cache.make_room(disk, content, free)
            });
            match room.await.map_err(|_| self.peer.ended())? {
                Ok(room) => {
                    coming.keep(room);
                    return Ok(None);
                }
                Err(Failure::ReadersInTheWay { .. }) if self.peer.readings.dismiss_one() => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    /// A fetch of it that is under way for another reason.
    fn fetched(&self, content: Content) -> Option<TransferReader> {
        let transfer = self.peer.transfers.fetch_of(content)?;
        Some(transfer.reader())
    }

    fn see_to(&mut self, chore: Chore) {
        match chore {
            Chore::Look(_) => {}
            Chore::Holders(_, holders) => self.order(Order::Holders(holders)),
            Chore::Finish(_) => self.order(Order::Finish),
            // Without orders it ends.
            Chore::GiveUp(_) => self.orders = None,
        }
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // One that is over follows no orders, and has said so.
            let _ = orders.send(order);
        }
    }

    async fn take(&mut self, news: News) {
        match news {
            News::Choice { variants, .. } => {
                self.variants = variants.iter().map(rows::file).collect();
            }
            News::Fetched {
                fetch: None, item, ..
            } => {
                if let Some(source) = self.found.take() {
                    self.tell(Ok((Meant::of(&item), source)));
                }
            }
            News::Fetched { item, .. } => self.is_here(&item).await,
            _ => {}
        }
    }

    /// Whether its turn has not come, since another get has its content.
    fn waits_for_another(&self) -> bool {
        self.coming.is_some() && !self.has_begun
    }

    /// Has it read from the fetch of another get, if that has begun. Returns whether it is.
    fn joins(&mut self) -> bool {
        let Some((content, coming)) = &self.coming else {
            return false;
        };
        let Some(transfer) = self.peer.transfers.fetch_of(*content) else {
            return false;
        };
        coming.enter(Phase::Joined(transfer));
        let source = Source::Coming(coming.handle(), None);
        if let Some(file) = self.looked_for.take() {
            self.tell(Ok((file, source)));
        }
        true
    }

    /// Its bytes come by this transfer.
    fn begun(&self, transfer: Arc<Transfer>) {
        if let Some((_, coming)) = &self.coming {
            coming.enter(Phase::Fetching(transfer));
        }
    }

    /// It is known which file comes.
    fn meant(&mut self, item: &Item) {
        if let Some((_, coming)) = &self.coming {
            let source = Source::Coming(coming.handle(), None);
            self.tell(Ok((Meant::of(item), source)));
        }
    }

    /// All of it is in the cache.
    async fn is_here(&mut self, item: &Item) {
        let (content, cache) = (item.content, Arc::clone(&self.peer.readings.cache));
        let opened = thorp_disk::spawn(move |disk| cache.open(disk, content));
        let stored: Option<Stored> = opened.await.ok().flatten();
        let Some((_, coming)) = &self.coming else {
            return;
        };
        coming.enter(match stored {
            Some(stored) => Phase::Stored(Arc::new(stored)),
            None => Phase::Over,
        });
        drop(coming.give_room());
        self.meant(item);
    }

    fn tell(&mut self, opened: Opened) {
        // If its caller is gone, nothing is read.
        match std::mem::replace(&mut self.caller, Caller::Knows) {
            Caller::Asks(told) => {
                let found = opened.map(|(file, source)| (file, Way::Here(source)));
                let _ = told.send(found);
            }
            Caller::Opens(told) => {
                let _ = told.send(opened);
            }
            Caller::Knows => {}
        }
    }

    async fn end(mut self, end: get::Ending) {
        match end {
            get::Ending::Missed { name, why } => {
                let failure = missed::failure(&self.peer, &self.terms.errors, name, why);
                let content = self.coming.as_ref().map(|(content, _)| *content);
                let failure = of_state(&self.peer, failure, content).await;
                self.fail(failure);
            }
            get::Ending::Done { .. } | get::Ending::SeveralMissed { .. } => {
                self.forget();
            }
        }
    }

    fn fail(mut self, failure: Failure) {
        if let Some((_, coming)) = &self.coming {
            coming.enter(Phase::Failed(failure.clone()));
        }
        self.forget();
        let variants = std::mem::take(&mut self.variants);
        let failure = Box::new(failure);
        self.tell(Err(NotRead { failure, variants }));
    }

    /// No reader wants it any more.
    fn over(mut self) {
        if let Some((_, coming)) = &self.coming {
            coming.enter(Phase::Over);
        }
        self.forget();
    }

    /// From now on another reader begins anew.
    fn forget(&mut self) {
        if let Some((content, coming)) = self.coming.take() {
            drop(coming.give_room());
            let mut all = self.peer.readings.coming();
            if all
                .get(&content)
                .is_some_and(|there| Arc::ptr_eq(there, &coming))
            {
                all.remove(&content);
            }
        }
    }
}

/// A disk that is full is the one with the state, in which a user knows no files. `content` is what
/// was to come, if that is known.
async fn of_state(peer: &Peer, failure: Failure, content: Option<Content>) -> Failure {
    let Failure::Unstorable {
        obstacle: Obstacle::Full,
        ..
    } = failure
    else {
        return failure;
    };
    let state = peer.readings.cache.state().to_owned();
    let (promises, at) = (peer.promises.clone(), state.clone());
    let left = thorp_disk::spawn(move |disk| promises.left_at(disk, &at));
    let left = left.await.ok().flatten();
    let room = left.zip(content).map(|(left, content)| NoRoom {
        file_system: left.file_system,
        free: left.free,
        needed: content.length,
    });
    Failure::NoDiskToRead { state, room }
}

impl Meant {
    fn of(item: &Item) -> Self {
        Self {
            name: item.listed.clone(),
            content: item.content,
            mtime: item.attributes.mtime,
        }
    }
}
