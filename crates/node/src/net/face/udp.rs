//! Announces and scrapes over UDP (BEP 15), on the port number of the node's listener. Clients that
//! try uTP there are refused.
//!
//! Threads of its own read many datagrams at once, ask the stores and send all answers at once.
//! An address that has not proved to get what it is sent gets nothing that is longer than what it
//! sent: a connection id of 16 bytes, for 16 bytes, or nothing.

use std::io;
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;
use thorp_core::swarms::{Handed, Wanted};
use thorp_core::time::Instant;
use thorp_wire::announce::{Stride, UdpAnswer, UdpRequest, UdpRequestError, udp};
use thorp_wire::session::utp;

use super::ids::ConnectionIds;
use super::{Asked, Face, Origins};
use crate::net::datagrams::{BATCH, Datagrams, Question, bind};

/// How many bytes of a datagram are read: a scrape of 74 torrents has 1496.
const LONGEST: usize = 1500;
/// How many bytes of datagrams the system keeps meanwhile.
const KEPT: usize = 4 * 1024 * 1024;
/// The most peers in an answer, so that it fits in a packet of any network.
const MOST_V4: usize = 200;
/// The same for IPv6.
const MOST_V6: usize = 65;
/// How many threads there are at most, and for how many processors one.
const MOST_THREADS: u32 = 4;
const PROCESSORS: u32 = 4;
/// What a client is told whose torrent is not tracked.
pub(super) const NOT_TRACKED: &str = "this tracker serves only what its group shares";

/// Sockets that are bound, without threads yet.
pub(crate) struct Bound(Vec<Socket>);

/// Threads that answer until this is dropped.
#[derive(Debug)]
pub struct UdpThreads {
    ended: Arc<AtomicBool>,
    /// Closing it wakes the threads.
    stop: Option<OwnedFd>,
    threads: Vec<JoinHandle<()>>,
}

impl Bound {
    /// Binds the port number of a listener, at its address.
    pub(crate) fn at(address: SocketAddr) -> io::Result<Self> {
        let threads = threads();
        // One for each thread; another user's program cannot join them.
        let sockets = (0..threads).map(|_| bind(address, threads > 1, KEPT));
        sockets.collect::<io::Result<_>>().map(Self)
    }

    /// Begins to answer.
    pub(crate) fn serve(self, face: &Face) -> io::Result<UdpThreads> {
        let (wakes, stop) = nix::unistd::pipe()?;
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let mut answering = UdpThreads {
            ended: Arc::default(),
            stop: Some(stop),
            threads: Vec::new(),
        };
        for socket in self.0 {
            let end = End {
                has_come: Arc::clone(&answering.ended),
                wakes: wakes.try_clone()?,
            };
            let tracker = UdpTracker::new(face.clone(), key);
            let thread = thread::Builder::new().name("udp".into());
            let thread = thread.spawn(move || serve(&socket.into(), &end, &tracker))?;
            answering.threads.push(thread);
        }
        Ok(answering)
    }
}

impl Drop for UdpThreads {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.stop = None;
        // They wait for nothing else, and the port is free only afterwards.
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Returns how many threads answer.
pub(super) fn threads() -> u32 {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let processors = u32::try_from(processors).unwrap_or(u32::MAX);
    (processors / PROCESSORS).clamp(1, MOST_THREADS)
}

/// Tells a thread to end.
struct End {
    has_come: Arc<AtomicBool>,
    /// Can be read from then on.
    wakes: OwnedFd,
}

/// Reads and answers until the end has come.
fn serve(socket: &UdpSocket, end: &End, tracker: &UdpTracker) {
    let mut datagrams = Datagrams::new(LONGEST);
    while !end.has_come.load(Ordering::Relaxed) {
        match datagrams.read(socket) {
            Ok(_) => {}
            Err(Errno::EAGAIN) => match wait(socket, end) {
                Ok(()) => continue,
                Err(error) => return tracing::error!(%error, "UDP is not answered any more"),
            },
            // What earlier answers met on their way, such as a port that is closed.
            Err(Errno::EINTR | Errno::ECONNREFUSED) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot read datagrams now");
                thread::sleep(Duration::from_millis(200));
                continue;
            }
        }
        tracker.answer(datagrams.questions());
        datagrams.send_answers(socket);
    }
}

/// Waits for a datagram, or for the end.
fn wait(socket: &UdpSocket, end: &End) -> nix::Result<()> {
    let mut both = [
        PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        PollFd::new(end.wakes.as_fd(), PollFlags::POLLIN),
    ];
    match poll(&mut both, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Answers datagrams.
pub(crate) struct UdpTracker {
    face: Face,
    ids: ConnectionIds,
}

impl UdpTracker {
    pub(crate) fn new(face: Face, key: [u8; 16]) -> Self {
        Self {
            ids: ConnectionIds::new(key, face.0.connection),
            face,
        }
    }

    /// Answers datagrams that have come together, or leaves them without an answer.
    pub(crate) fn answer<'a>(&self, questions: impl Iterator<Item = Question<'a>>) {
        let mut batch = Batch {
            now: self.face.0.clock.elapsed(),
            origins: self.face.origins(),
            asked: Vec::with_capacity(BATCH),
            waiting: Vec::with_capacity(BATCH),
        };
        for question in questions {
            self.begin(&mut batch, question);
        }
        let Batch {
            now,
            mut asked,
            waiting,
            ..
        } = batch;
        self.face
            .announce_all(Instant::after_start(now), &mut asked);
        for (asked, waiting) in asked.iter_mut().zip(waiting) {
            self.finish(asked, waiting);
        }
    }

    /// Answers a datagram, or puts it into the batch if it is an announce.
    fn begin<'a>(&self, batch: &mut Batch<'_, 'a>, question: Question<'a>) {
        let now = batch.now;
        let Question {
            datagram,
            from,
            answer,
        } = question;
        let ip = from.ip();
        let request = match UdpRequest::decode(datagram) {
            Ok(request) => request,
            Err(UdpRequestError::Foreign) => {
                // A client of the peer that has this port, too.
                answer.extend(utp::refusal(datagram).iter().flatten());
                return;
            }
            Err(UdpRequestError::Wrong {
                connection,
                transaction,
                why,
            }) => {
                if self.ids.is_good(now, ip, connection) {
                    refuse(transaction, why, answer);
                }
                return;
            }
        };
        match request {
            UdpRequest::Connect { transaction } => {
                let connection = self.ids.issue(now, ip);
                *answer = UdpAnswer::Connected {
                    transaction,
                    connection,
                }
                .encode();
            }
            UdpRequest::Announce {
                connection,
                transaction,
                announce,
            } if self.ids.is_good(now, ip, connection) => {
                let stride = Stride::of(from);
                let (mut wanted, mut handed) = (Wanted::default(), Handed::default());
                // The peers go behind the head in the answer itself.
                answer.resize(udp::ANNOUNCED_HEAD, 0);
                let behind = mem::take(answer);
                match stride {
                    Stride::V4 => {
                        wanted.v4 = super::wanted(&announce, MOST_V4);
                        handed.v4 = behind;
                    }
                    Stride::V6 => {
                        wanted.v6 = super::wanted(&announce, MOST_V6);
                        handed.v6 = behind;
                    }
                }
                let from = batch.origins.of(ip);
                batch
                    .asked
                    .push(self.face.asked(announce, from, wanted, handed));
                batch.waiting.push(Waiting {
                    transaction,
                    stride,
                    answer,
                });
            }
            UdpRequest::Scrape {
                connection,
                transaction,
                torrents,
            } if self.ids.is_good(now, ip, connection) => {
                let counts = torrents.iter().map(|torrent| self.face.scrape(torrent));
                let counts = counts.collect();
                *answer = UdpAnswer::Scraped {
                    transaction,
                    counts,
                }
                .encode();
            }
            UdpRequest::Announce { .. } | UdpRequest::Scrape { .. } => {}
        }
    }

    /// Answers an announce that was taken.
    fn finish(&self, asked: &mut Asked, waiting: Waiting<'_>) {
        let Waiting {
            transaction,
            stride,
            answer,
        } = waiting;
        *answer = match stride {
            Stride::V4 => mem::take(&mut asked.handed.v4),
            Stride::V6 => mem::take(&mut asked.handed.v6),
        };
        let Ok(counts) = asked.counts else {
            return refuse(transaction, NOT_TRACKED, answer);
        };
        let interval = self.face.interval();
        let head = udp::announced_head(transaction, interval, counts.leechers, counts.seeders);
        if let Some(place) = answer.first_chunk_mut() {
            *place = head;
        }
    }
}

/// Datagrams that have come together.
struct Batch<'f, 'a> {
    now: Duration,
    origins: Origins<'f>,
    asked: Vec<Asked>,
    waiting: Vec<Waiting<'a>>,
}

/// An announce that is answered together with others.
struct Waiting<'a> {
    transaction: u32,
    stride: Stride,
    answer: &'a mut Vec<u8>,
}

fn refuse(transaction: u32, why: &str, answer: &mut Vec<u8>) {
    let text = why.to_owned();
    *answer = UdpAnswer::Error { transaction, text }.encode();
}

#[cfg(test)]
mod tests;
