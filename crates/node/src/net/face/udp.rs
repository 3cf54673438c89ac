//! Announces and scrapes over UDP (BEP 15), on the port number of the node's listener. Clients that
//! try uTP there are refused.
//!
//! Threads of its own read many datagrams at once, ask the stores and send all answers at once.
//! An address that has not proved to get what it is sent gets nothing that is longer than what it
//! sent: a connection id of 16 bytes, for 16 bytes, or nothing.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
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
use thorp_wire::announce::{Stride, UdpAnswer, UdpRequest, UdpRequestError, udp};
use thorp_wire::session::utp;

use super::ids::ConnectionIds;
use super::{Face, wanted};

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
const MOST_THREADS: usize = 4;
const PROCESSORS: usize = 4;
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
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = (processors / PROCESSORS).clamp(1, MOST_THREADS);
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
            let thread = thread.spawn(move || serve(&socket.into(), &end, tracker))?;
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
fn serve(socket: &UdpSocket, end: &End, mut tracker: UdpTracker) {
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
        received.answer(socket, &mut tracker);
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
    fn answer(&mut self, socket: &UdpSocket, tracker: &mut UdpTracker) {
        let mut to = Vec::with_capacity(BATCH);
        for (buffer, (length, from)) in self.buffers.iter().zip(&self.datagrams) {
            let Some((storage, address)) = from.as_ref().and_then(|from| {
                let v4 = from.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
                let v6 = || {
                    from.as_sockaddr_in6()
                        .map(|v6| SocketAddr::V6((*v6).into()))
                };
                Some((*from, v4.or_else(v6)?))
            }) else {
                continue;
            };
            let answer = &mut self.answers[to.len()];
            tracker.answer(&buffer[..*length], address, answer);
            if !answer.is_empty() {
                to.push(Some(storage));
            }
        }
        let slices: Vec<_> = self.answers[..to.len()]
            .iter()
            .map(|answer| [IoSlice::new(answer)])
            .collect();
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

/// Answers datagrams, one at a time.
pub(crate) struct UdpTracker {
    face: Face,
    ids: ConnectionIds,
    handed: Handed,
}

impl UdpTracker {
    pub(crate) fn new(face: Face, key: [u8; 16]) -> Self {
        Self {
            ids: ConnectionIds::new(key, face.0.connection),
            handed: Handed::default(),
            face,
        }
    }

    /// Puts the answer to a datagram into `answer`, or nothing.
    pub(crate) fn answer(&mut self, datagram: &[u8], from: SocketAddr, answer: &mut Vec<u8>) {
        answer.clear();
        let now = self.face.0.clock.elapsed();
        let ip = from.ip();
        let request = match UdpRequest::decode(datagram) {
            Ok(request) => request,
            Err(UdpRequestError::Foreign) => {
                // A client of the peer that has this port, too.
                return answer.extend(utp::refusal(datagram).iter().flatten());
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
                let wanted = match Stride::of(from) {
                    Stride::V4 => Wanted {
                        v4: wanted(&announce, MOST_V4),
                        v6: 0,
                    },
                    Stride::V6 => Wanted {
                        v4: 0,
                        v6: wanted(&announce, MOST_V6),
                    },
                };
                self.handed.v4.clear();
                self.handed.v6.clear();
                let counts = self.face.announce(&announce, ip, wanted, &mut self.handed);
                let Ok(counts) = counts else {
                    return refuse(transaction, NOT_TRACKED, answer);
                };
                let interval = self.face.interval();
                let head =
                    udp::announced_head(transaction, interval, counts.leechers, counts.seeders);
                answer.extend_from_slice(&head);
                answer.extend_from_slice(&self.handed.v4);
                answer.extend_from_slice(&self.handed.v6);
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
}

fn refuse(transaction: u32, why: &str, answer: &mut Vec<u8>) {
    let text = why.to_owned();
    *answer = UdpAnswer::Error { transaction, text }.encode();
}

#[cfg(test)]
mod tests;
