//! Announces and scrapes over UDP (BEP 15), on the port number of the node's listener. Clients that
//! try uTP there are refused.
//!
//! Threads of its own read many datagrams at once, ask the stores and send all answers at once.
//! An address that has not proved to get what it is sent gets nothing that is longer than what it
//! sent: a connection id of 16 bytes, for 16 bytes, or nothing.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZero;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use socket2::{Domain, Protocol, Socket, Type};
use thorp_core::swarms::{Handed, Wanted};
use thorp_core::time::Instant;
use thorp_wire::announce::{Stride, UdpAnswer, UdpRequest, UdpRequestError, udp};
use thorp_wire::session::utp;

use super::ids::ConnectionIds;
use super::{Asked, Face};

/// How many datagrams are read and sent at once.
const BATCH: usize = 64;
/// How many bytes of a datagram are read: a scrape of 74 torrents has 1496.
const LONGEST: usize = 2048;
/// How many bytes of datagrams the system keeps for us.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
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
        let sockets = (0..threads).map(|_| socket(address, threads > 1));
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

fn socket(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // One for each thread; another user's program cannot join them.
    socket.set_reuse_port(is_shared)?;
    // As much as the system allows.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Tells a thread to end.
struct End {
    has_come: Arc<AtomicBool>,
    /// Can be read from then on.
    wakes: OwnedFd,
}

/// Reads and answers until the end has come.
fn serve(socket: &UdpSocket, end: &End, tracker: &UdpTracker) {
    let mut received = Received::new();
    while !end.has_come.load(Ordering::Relaxed) {
        match received.read(socket) {
            Ok(()) => {}
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
        received.answer(socket, tracker);
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

/// Datagrams that were read at once, and room for their answers.
struct Received {
    headers: MultiHeaders<SockaddrStorage>,
    to_send: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; LONGEST]>,
    datagrams: Vec<(usize, Option<SockaddrStorage>)>,
    answers: Vec<Vec<u8>>,
}

impl Received {
    fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            to_send: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; LONGEST]; BATCH],
            datagrams: Vec::with_capacity(BATCH),
            answers: vec![Vec::new(); BATCH],
        }
    }

    fn read(&mut self, socket: &UdpSocket) -> nix::Result<()> {
        self.datagrams.clear();
        let buffers = self.buffers.iter_mut();
        let mut slices: Vec<_> = buffers
            .map(|buffer| [IoSliceMut::new(&mut buffer[..])])
            .collect();
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let read = recvmmsg(fd, &mut self.headers, slices.iter_mut(), flags, None)?;
        self.datagrams
            .extend(read.map(|datagram| (datagram.bytes, datagram.address)));
        Ok(())
    }

    /// Answers what was read. Answers that the system does not take are lost, as any datagram may
    /// be.
    fn answer(&mut self, socket: &UdpSocket, tracker: &UdpTracker) {
        let read = self.buffers.iter().zip(&self.datagrams);
        let questions = read.zip(&mut self.answers);
        let questions = questions.filter_map(|((buffer, (length, from)), answer)| {
            answer.clear();
            Some(Question {
                datagram: &buffer[..*length],
                from: address(from.as_ref()?)?,
                answer,
            })
        });
        tracker.answer(questions);
        let answers = self.answers.iter().zip(&self.datagrams);
        let answers = answers.filter(|(answer, _)| !answer.is_empty());
        let (slices, to): (Vec<_>, Vec<_>) = answers
            .map(|(answer, (_, from))| ([IoSlice::new(answer)], *from))
            .unzip();
        let mut sent = 0;
        while sent < to.len() {
            let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            let (slices, to) = (&slices[sent..], &to[sent..]);
            match sendmmsg(fd, &mut self.to_send, slices, to, [], flags) {
                Ok(more) => sent += more.count().max(1),
                Err(Errno::EINTR) => {}
                // The first of these cannot be sent.
                Err(_) => sent += 1,
            }
        }
    }
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = from.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    let v6 = from.as_sockaddr_in6()?;
    Some(SocketAddr::V6((*v6).into()))
}

/// A datagram, from whom it is, and where its answer goes: nothing is in there yet.
pub(crate) struct Question<'a> {
    pub(crate) datagram: &'a [u8],
    pub(crate) from: SocketAddr,
    pub(crate) answer: &'a mut Vec<u8>,
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
        let now = self.face.0.clock.elapsed();
        let mut all = Vec::with_capacity(BATCH);
        let mut waiting = Vec::with_capacity(BATCH);
        for question in questions {
            if let Some((asked, answer)) = self.begin(now, question) {
                all.push(asked);
                waiting.push(answer);
            }
        }
        self.face.announce_all(Instant::after_start(now), &mut all);
        for (asked, waiting) in all.into_iter().zip(waiting) {
            self.finish(asked, waiting);
        }
    }

    /// Answers a datagram, if it is no announce.
    fn begin<'a>(&self, now: Duration, question: Question<'a>) -> Option<(Asked, Waiting<'a>)> {
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
                return None;
            }
            Err(UdpRequestError::Wrong {
                connection,
                transaction,
                why,
            }) => {
                if self.ids.is_good(now, ip, connection) {
                    refuse(transaction, why, answer);
                }
                return None;
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
                None
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
                let asked = self.face.asked(announce, ip, wanted, handed);
                let waiting = Waiting {
                    transaction,
                    stride,
                    answer,
                };
                Some((asked, waiting))
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
                None
            }
            UdpRequest::Announce { .. } | UdpRequest::Scrape { .. } => None,
        }
    }

    /// Answers an announce that was taken.
    fn finish(&self, asked: Asked, waiting: Waiting<'_>) {
        let Waiting {
            transaction,
            stride,
            answer,
        } = waiting;
        *answer = match stride {
            Stride::V4 => asked.handed.v4,
            Stride::V6 => asked.handed.v6,
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
