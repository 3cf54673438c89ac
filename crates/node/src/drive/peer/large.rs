//! One large file: from many, in pieces, taken up where it was left.
//!
//! Owns the order of the steps. Which piece to ask of whom is decided in
//! [`thorp_core::swarm`], who has the file in [`thorp_core::sources`]; the bytes
//! are moved by [`swarm`](crate::sessions), and become a file in
//! [`store`](thorp_files::store). Whoever drops it stops it; what is there stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thorp_core::fetch::Wanted;
use thorp_files::store::{Partial, StoreError, Stored};
use thorp_wire::PeerId;
use thorp_wire::frame::Holder;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::pace::{Meter, TOLD_EVERY};
use super::{Delivery, Peer, Request, Waiting};
use crate::sessions::{Contact, Fetching, Happening};

/// How often members are said to be in use.
const IN_USE_EVERY: Duration = Duration::from_secs(20);

/// A large file that has arrived.
pub(super) struct Arrived {
    pub stored: Stored,
    /// Who sent some of it, whoever sent most first.
    pub sources: Vec<Holder>,
    /// Bytes that came over the network for it.
    pub received: u64,
}

/// Why one has not.
#[derive(Debug)]
pub(super) enum Missed {
    /// It could not be put where it should be.
    Store(StoreError),
    /// Nobody who has it could be reached.
    Unreachable(String),
    /// Nobody has it any more.
    NotHere,
    /// What was sent is not what was listed, and nobody else has sent any of it.
    Lies(PeerId),
    /// Nobody is left who has the rest of it.
    Unfinished {
        /// Why the last ones are of no use.
        reason: String,
        /// Bytes that are there, and will not be fetched again.
        there: u64,
    },
    /// It cannot be fetched by anybody: too long.
    Unfit(String),
    /// The peer is stopping.
    Stopping,
}

/// Fetches a file. `resumed` is told how many bytes there are from before.
pub(super) async fn fetch(
    peer: &Peer,
    wanted: Wanted,
    delivery: Delivery,
    meter: &Meter,
    resumed: impl AsyncFnOnce(u64),
) -> Result<Arrived, Missed> {
    let content = wanted.content;
    let alone = peer.swarms.alone(content).await.ok_or(Missed::Stopping)?;
    let _turn = peer.swarms.turn().await.ok_or(Missed::Stopping)?;
    if delivery.is_blocked() {
        let path = delivery.place.path_of(&delivery.name);
        return Err(Missed::Store(StoreError::Exists { path }));
    }
    let place = delivery.clone();
    let partial = blocking(move || place.partial(content)).await?;
    let partial = Arc::new(partial.map_err(Missed::Store)?);
    let fetching = peer.swarms.fetch(&partial, alone);
    let mut fetching = fetching.map_err(|why| Missed::Unfit(why.to_string()))?;
    let there = take_up(&fetching, &partial).await?;
    if there > 0 {
        resumed(there).await;
    }
    let place = delivery.clone();
    let listed = blocking(move || place.arriving(content)).await?;
    let mut errand = Errand {
        peer,
        meter,
        known: BTreeMap::new(),
        liars: Vec::new(),
    };
    tokio::select! {
        gathered = errand.gather(&mut fetching, wanted) => gathered?,
        error = delivery.closed() => return Err(Missed::Store(error)),
    }
    let layer = fetching.transfer.layer();
    let stored = blocking(move || delivery.finish(&partial, &layer)).await?;
    let stored = stored.map_err(Missed::Store)?;
    drop(listed);
    let transfer = Arc::clone(&fetching.transfer);
    let received = transfer.progress().received;
    let sources = errand.sources(&transfer.sources());
    // Opening it anew is for the disk too.
    blocking(move || fetching.arrived()).await?;
    Ok(Arrived {
        stored,
        sources,
        received,
    })
}

/// Hashes what an earlier fetch has left; how many bytes of it there are.
async fn take_up(fetching: &Fetching, partial: &Arc<Partial>) -> Result<u64, Missed> {
    let (transfer, partial) = (Arc::clone(&fetching.transfer), Arc::clone(partial));
    let hashed = blocking(move || {
        let (layout, mut there) = (transfer.layout(), 0);
        let read = partial.recheck(|piece, leaves| {
            there += u64::from(layout.length_of(piece));
            transfer.on_piece_rechecked(piece, leaves);
            !transfer.is_over()
        });
        read.map(|()| there).map_err(|error| partial.failed(error))
    });
    hashed.await?.map_err(Missed::Store)
}

/// What is done for one file.
struct Errand<'a> {
    peer: &'a Peer,
    meter: &'a Meter,
    /// Everybody who was named as a holder.
    known: BTreeMap<PeerId, Holder>,
    liars: Vec<PeerId>,
}

impl Errand<'_> {
    /// Until all of it is verified.
    async fn gather(&mut self, fetching: &mut Fetching, wanted: Wanted) -> Result<(), Missed> {
        let fetch = self.peer.next_fetch();
        let mut waiting = Waiting {
            abandoned: &self.peer.abandoned,
            fetch: Some(fetch),
        };
        let (sender, mut holders) = mpsc::unbounded_channel();
        let seek = Request::Seek {
            fetch,
            wanted,
            holders: sender,
        };
        self.peer.tell(seek).await;
        let mut ticks = interval(TOLD_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut used = Instant::now();
        loop {
            let transfer = &fetching.transfer;
            tokio::select! {
                named = holders.recv() => match named {
                    Some(named) => {
                        for holder in &named {
                            self.known.insert(holder.id, holder.clone());
                        }
                        transfer.holders(named);
                    }
                    None => return Err(Missed::Stopping),
                },
                happening = fetching.happenings.recv() => match happening {
                    Some(Happening::Dial(holder)) => self.peer.swarms.call(transfer, holder),
                    Some(Happening::Widen) => self.peer.tell(Request::Widen(fetch)).await,
                    Some(Happening::Blame(liar)) => self.blame(liar).await,
                    Some(Happening::Failed(error)) => return Err(Missed::Store(error)),
                    Some(Happening::Stuck(reason)) => return Err(self.stuck(fetching, reason)),
                    Some(Happening::Complete) => break,
                    None => return Err(Missed::Stopping),
                },
                _ = ticks.tick() => {
                    let progress = transfer.progress();
                    self.meter.set(&progress);
                    if used.elapsed() >= IN_USE_EVERY {
                        used = Instant::now();
                        for member in transfer.members() {
                            self.peer.tell(Request::InUse(member)).await;
                        }
                    }
                }
            }
        }
        waiting.fetch = None;
        let sources = self.sources(&fetching.transfer.sources());
        self.peer.tell(Request::Gathered(fetch, sources)).await;
        Ok(())
    }

    async fn blame(&mut self, liar: PeerId) {
        self.liars.push(liar);
        let holder = self.holder(liar);
        self.peer.tell(Request::Lied(holder)).await;
    }

    fn stuck(&self, fetching: &Fetching, reason: String) -> Missed {
        let transfer = &fetching.transfer;
        let there = transfer.progress().verified;
        let only_liars = self.sources(&transfer.sources()).is_empty();
        match (self.liars.first(), transfer.contact()) {
            (Some(liar), _) if only_liars => Missed::Lies(*liar),
            _ if there > 0 => Missed::Unfinished { reason, there },
            (Some(liar), _) => Missed::Lies(*liar),
            (None, Contact::Session) => Missed::Unfinished { reason, there },
            (None, Contact::Reached) => Missed::NotHere,
            (None, Contact::None) if self.known.is_empty() => Missed::NotHere,
            (None, Contact::None) => Missed::Unreachable(reason),
        }
    }

    fn sources(&self, sources: &[(PeerId, u64)]) -> Vec<Holder> {
        let lied = |id: &PeerId| self.liars.contains(id);
        let honest = sources.iter().filter(|(id, _)| !lied(id));
        honest.map(|(id, _)| self.holder(*id)).collect()
    }

    /// Somebody who has connected by itself may never have been named.
    fn holder(&self, id: PeerId) -> Holder {
        self.known.get(&id).cloned().unwrap_or(Holder {
            id,
            name: None,
            addresses: Vec::new(),
            partial: false,
        })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Missed> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Missed::Stopping)
}
