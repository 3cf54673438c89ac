//! One large file: its partial file, its sessions, and its name at the end.
//!
//! Owns the order of these steps on the disk. What they mean for the get is
//! decided in [`thorp_core::get`], which is told what happens; which piece to ask
//! of which member, in [`thorp_core::swarm`]. The bytes are moved by
//! [`sessions`](crate::sessions), and become a file in
//! [`store`](thorp_files::store). Dropping it stops it; what is there stays.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thorp_core::get;
use thorp_core::get::FetchId;
use thorp_core::swarm::Unfit;
use thorp_disk::DiskThread;
use thorp_files::store::{Partial, StoreError};
use thorp_wire::frame::Holder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::announced::Seeking;
use super::delivery::Delivery;
use super::pace::{Meter, TOLD_EVERY};
use super::room::Promise;
use super::{Peer, Request};
use crate::sessions::{Fetching, Happening, Transfer, Writing};

/// How often members are said to be in use.
const IN_USE_EVERY: Duration = Duration::from_secs(20);

/// What is to be done for a large file that was begun.
pub(super) enum Order {
    /// These have it.
    Holders(Vec<Holder>),
    /// All of it is there: give it its name.
    Finish,
}

/// Why there is nothing more to be done.
enum Over {
    /// The disk does not take it.
    NotStored(StoreError),
    /// It cannot be fetched.
    Unfit(Unfit),
    /// No get waits for it any more.
    NotWanted,
}

/// Fetches a file and tells what becomes of it, until it is there or no more
/// orders come. `writing` is held for as long as anything may be written to it.
/// With `reading`, only what readers wait for is fetched.
pub(super) async fn fetch(
    peer: Peer,
    fetch: FetchId,
    delivery: Delivery,
    writing: Writing,
    meter: Arc<Meter>,
    orders: mpsc::UnboundedReceiver<Order>,
    reading: Option<oneshot::Sender<Arc<Transfer>>>,
) {
    let task = FileTask {
        peer: &peer,
        fetch,
        delivery: delivery.clone(),
        meter,
        orders,
        is_read: reading.is_some(),
        reading,
        promise: None,
    };
    let event = match task.run(writing).await {
        Ok(()) | Err(Over::NotWanted) => return,
        Err(Over::NotStored(error)) => get::LargeEvent::NotStored(delivery.note(error)),
        Err(Over::Unfit(why)) => get::LargeEvent::Unfit(why),
    };
    peer.tell(Request::Large(fetch, event)).await;
}

/// What is done for one file.
struct FileTask<'a> {
    peer: &'a Peer,
    fetch: FetchId,
    delivery: Delivery,
    meter: Arc<Meter>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// Told which transfer brings the file, if it comes for readers.
    reading: Option<oneshot::Sender<Arc<Transfer>>>,
    is_read: bool,
    /// Of the disk, once it is known how much is to come.
    promise: Option<Arc<Promise>>,
}

impl FileTask<'_> {
    async fn run(mut self, writing: Writing) -> Result<(), Over> {
        let place = self.delivery.clone();
        let partial = Arc::new(on_disk(move |disk| place.partial(disk)).await??);
        let fetching = self.peer.transfers.fetch(&partial, writing);
        let mut fetching = fetching.map_err(Over::Unfit)?;
        if self.reading.is_some() {
            fetching.transfer.fetch_on_demand();
        }
        let there = take_up(&fetching, &partial).await?;
        self.meter.set(&fetching.transfer.progress());
        if let Some(reading) = self.reading.take() {
            // If no reader is left, it is given up.
            let _ = reading.send(Arc::clone(&fetching.transfer));
        }
        let place = self.delivery.clone();
        let listed = on_disk(move |disk| place.arriving(disk)).await?;
        self.tell(get::LargeEvent::Begun { there }).await;
        let delivery = self.delivery.clone();
        let wanted = (delivery.name(), delivery.v1());
        let seeking = Seeking::start(self.peer, &fetching.transfer, wanted);
        match self.bring(&mut fetching, &partial, seeking).await {
            Err(Over::NotStored(error)) => {
                let here = fetching.transfer.progress().verified;
                let followed = on_disk(move |disk| partial.followed(disk, error, here));
                return Err(followed.await?.into());
            }
            brought => brought?,
        }
        drop((partial, listed));
        let received = fetching.transfer.progress().received;
        // Opening it anew is for the disk too.
        on_disk(move |disk| fetching.on_arrived(disk)).await?;
        self.tell(get::LargeEvent::Kept { received }).await;
        Ok(())
    }

    /// Until all of it has its name.
    async fn bring(
        &mut self,
        fetching: &mut Fetching,
        partial: &Arc<Partial>,
        seeking: Seeking,
    ) -> Result<(), Over> {
        let delivery = self.delivery.clone();
        tokio::select! {
            gathered = self.gather(fetching, partial, &seeking) => gathered?,
            error = delivery.closed(partial) => return Err(error.into()),
        }
        seeking.completed();
        let (layer, partial) = (fetching.transfer.layer(), Arc::clone(partial));
        on_disk(move |disk| delivery.finish(disk, &partial, &layer)).await??;
        Ok(())
    }

    /// Until all of it is verified, and is to be given its name.
    async fn gather(
        &mut self,
        fetching: &mut Fetching,
        partial: &Arc<Partial>,
        seeking: &Seeking,
    ) -> Result<(), Over> {
        let mut ticks = interval(TOLD_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut used = Instant::now();
        loop {
            let transfer = &fetching.transfer;
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Holders(holders)) => transfer.holders(holders),
                    Some(Order::Finish) => return Ok(()),
                    None => return Err(Over::NotWanted),
                },
                happening = fetching.happenings.recv() => match happening {
                    Some(Happening::Dial(source)) => self.peer.transfers.call(transfer, source),
                    Some(Happening::ToCome(bytes)) => {
                        self.promise = None;
                        let promise = self.find_room(transfer, partial, bytes).await?;
                        // What comes for readers comes as they read: no get has to wait for it.
                        self.promise = Some(promise).filter(|_| !self.is_read);
                    }
                    Some(Happening::WantsClients { has_none }) => seeking.wants_more(has_none),
                    Some(happening) => self.happened(fetching, happening).await?,
                    None => return Err(Over::NotWanted),
                },
                _ = ticks.tick() => {
                    self.meter.set(&transfer.progress());
                    self.meter.wait_for(transfer.awaited());
                    if used.elapsed() >= IN_USE_EVERY {
                        used = Instant::now();
                        transfer.say_who_is_in_use();
                    }
                }
            }
        }
    }

    /// Has it found out whether there is room for what is to come.
    async fn find_room(
        &self,
        transfer: &Arc<Transfer>,
        partial: &Arc<Partial>,
        bytes: u64,
    ) -> Result<Arc<Promise>, Over> {
        let (peer, transfer) = (self.peer.clone(), Arc::clone(transfer));
        let partial = Arc::clone(partial);
        let found = on_disk(move |disk| peer.find_room(disk, &partial, (bytes, 0), &transfer));
        Ok(found.await??)
    }

    async fn happened(&self, fetching: &Fetching, happening: Happening) -> Result<(), Over> {
        self.meter.set(&fetching.transfer.progress());
        let event = match happening {
            // That is for the sessions, the disk and the trackers.
            Happening::Dial(_) | Happening::ToCome(_) | Happening::WantsClients { .. } => {
                return Ok(());
            }
            Happening::Widen => get::LargeEvent::WantsHolders,
            Happening::Blame(liar) => get::LargeEvent::Lied(liar),
            Happening::Failed(error) => return Err(error.into()),
            Happening::Complete(sources) => get::LargeEvent::Complete { sources },
            Happening::Stuck(stuck) => get::LargeEvent::Stuck(stuck),
        };
        self.tell(event).await;
        Ok(())
    }

    async fn tell(&self, event: get::LargeEvent) {
        self.peer.tell(Request::Large(self.fetch, event)).await;
    }
}

/// Hashes what an earlier fetch has left; how many bytes of it there are.
async fn take_up(fetching: &Fetching, partial: &Arc<Partial>) -> Result<u64, Over> {
    let (transfer, partial) = (Arc::clone(&fetching.transfer), Arc::clone(partial));
    let hashed = on_disk(move |disk| {
        let (layout, mut there) = (transfer.layout(), 0);
        let read = partial.recheck(disk, |piece, leaves| {
            there += u64::from(layout.length_of(piece));
            transfer.on_piece_rechecked(piece, leaves);
            !transfer.is_over()
        });
        read.map(|()| there).map_err(|error| partial.failed(error))
    });
    Ok(hashed.await??)
}

impl From<StoreError> for Over {
    fn from(error: StoreError) -> Self {
        Self::NotStored(error)
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce(DiskThread) -> T + Send + 'static,
) -> Result<T, Over> {
    let done = thorp_disk::spawn(work).await;
    done.map_err(|error| {
        let source = io::Error::other(error);
        let path = PathBuf::new();
        Over::NotStored(StoreError::Io { path, source })
    })
}
