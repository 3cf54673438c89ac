//! A port on loopback, its connections, and how many there may be.
//!
//! Other users of the machine can connect as well, so a connection is worth little: when all
//! seats are taken, the one of a stranger that has been silent longest is given to the next.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::io::Errno;
use thorp_node::if_any;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// The most connections at once.
const CONNECTIONS: usize = 64;
/// How long a client may take to send the head of a request, or to send another request.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// The most bytes of a request's head.
const LONGEST_HEAD: usize = 16 * 1024;
/// The most headers of a request.
const MOST_HEADERS: usize = 64;
/// A connection that was let in keeps its seat unless nothing has moved on it for this long.
const SILENT_FOR: Duration = Duration::from_mins(1);

/// A connection that takes nothing of what is sent for this long is closed: it keeps from others
/// the room for an answer that goes on for long. Who reads a film that was paused asks for the
/// rest.
const STUCK_FOR: Duration = Duration::from_mins(10);
/// How many free ports are tried, where another user has one of them for IPv6.
const TRIES: usize = 16;

/// A port on loopback, for IPv4 and, where the machine has it, for IPv6.
pub(crate) struct Port {
    number: u16,
    v4: TcpListener,
    v6: Option<TcpListener>,
}

/// Why there is no port.
#[derive(Debug)]
pub(crate) struct NoPort {
    /// At which address.
    pub at: SocketAddr,
    pub error: io::Error,
}

impl Port {
    /// Takes a port; 0 means any free one.
    ///
    /// `localhost` is either address, so a port that another user has at one of them is none: that
    /// user would be sent the secrets of programs.
    pub(crate) async fn bind(port: u16) -> Result<Self, NoPort> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::bind_both(port).await {
                Err(no) if port == 0 && is_taken(&no.error) && tries < TRIES => {}
                bound => return bound,
            }
        }
    }

    async fn bind_both(port: u16) -> Result<Self, NoPort> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let none = |error| NoPort { at, error };
        let v4 = TcpListener::bind(at).await.map_err(none)?;
        let number = v4.local_addr().map_err(none)?.port();
        let at = SocketAddr::from((Ipv6Addr::LOCALHOST, number));
        let v6 = match TcpListener::bind(at).await {
            Ok(v6) => Some(v6),
            Err(error) if is_without_v6(&error) => None,
            Err(error) => return Err(NoPort { at, error }),
        };
        Ok(Self { number, v4, v6 })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Serves connections until it is dropped, which ends them as well.
    pub(crate) async fn serve(self, app: Router) {
        let seats = Arc::new(Seats::default());
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.v4.accept() => accepted,
                accepted = if_any(self.v6.as_ref().map(TcpListener::accept)) => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) => {
                    if let Some(seat) = seats.take() {
                        connections.spawn(attend(stream, app.clone(), seat));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the page's port cannot accept");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// Whether the machine has no IPv6, so that nobody can have a port there.
fn is_without_v6(error: &io::Error) -> bool {
    let unknown = Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(unknown)
}

/// Answers the requests of a connection until it ends or has to give its seat to another.
async fn attend(stream: TcpStream, app: Router, seat: Taken) {
    // Answers are written whole, so waiting for more of them only delays a live page.
    let _ = stream.set_nodelay(true);
    let seat_of_requests = Arc::clone(&seat.seat);
    let app = app.layer(axum::Extension(seat_of_requests));
    let stream = TokioIo::new(Moving {
        stream,
        seat: Arc::clone(&seat.seat),
        begun: seat.seats.begun,
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(stream, TowerToHyperService::new(app));
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection to the page ended");
        },
        () = seat.seat.leave.notified() => {
            tracing::debug!("a connection to the page gave way to another");
        }
        () = seat.until_stuck() => {
            tracing::debug!("a connection to the page took nothing any more");
        }
    }
}

/// No time: what is sent is taken.
const TAKES: u64 = u64::MAX;

/// The seat of a connection.
#[derive(Debug)]
pub(crate) struct Seat {
    /// When bytes moved last, in milliseconds since the listener began.
    moved: AtomicU64,
    /// Since when the client takes nothing of what is sent, in the same milliseconds;
    /// [`TAKES`] where it does.
    stuck: AtomicU64,
    /// Whether a request on it had a good bearer, token or ticket.
    is_known: AtomicBool,
    leave: Notify,
}

impl Seat {
    fn new(now: u64) -> Self {
        Self {
            moved: AtomicU64::new(now),
            stuck: AtomicU64::new(TAKES),
            is_known: AtomicBool::new(false),
            leave: Notify::new(),
        }
    }

    /// Whether the client has taken nothing for so long that its answer ends.
    fn is_stuck(&self, now: u64) -> bool {
        let since = self.stuck.load(Ordering::Relaxed);
        since != TAKES && now.saturating_sub(since) > millis(STUCK_FOR)
    }

    fn on_taken(&self) {
        self.stuck.store(TAKES, Ordering::Relaxed);
    }

    fn on_not_taken(&self, now: u64) {
        // It may have been so before: the first time counts.
        let (old, new) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.stuck.compare_exchange(TAKES, now, old, new);
    }

    /// A request had a good bearer, token or ticket.
    pub(crate) fn on_known(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }
}

struct Seats {
    begun: Instant,
    taken: Mutex<Vec<Arc<Seat>>>,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            taken: Mutex::default(),
        }
    }
}

/// A seat that is given back when this is dropped.
struct Taken {
    seats: Arc<Seats>,
    seat: Arc<Seat>,
}

impl Seats {
    /// Takes a seat for a new connection, if there is one or another connection can be sent away.
    fn take(self: &Arc<Self>) -> Option<Taken> {
        let now = millis(self.begun.elapsed());
        let mut taken = self.lock();
        if taken.len() >= CONNECTIONS {
            let at = leaving(&taken, now)?;
            taken.swap_remove(at).leave.notify_one();
        }
        let seat = Arc::new(Seat::new(now));
        taken.push(Arc::clone(&seat));
        drop(taken);
        Some(Taken {
            seats: Arc::clone(self),
            seat,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Seat>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns which connection has to leave: the stranger that has been silent longest; without a
/// stranger, the one that has been silent longest, if that is long enough.
fn leaving(taken: &[Arc<Seat>], now: u64) -> Option<usize> {
    let order = |seat: &Seat| {
        let is_known = seat.is_known.load(Ordering::Relaxed);
        (is_known, seat.moved.load(Ordering::Relaxed))
    };
    let (at, seat) = taken
        .iter()
        .enumerate()
        .min_by_key(|(_, seat)| order(seat))?;
    let (is_known, moved) = order(seat);
    (!is_known || now.saturating_sub(moved) > millis(SILENT_FOR)).then_some(at)
}

impl Taken {
    /// Waits until the client has taken nothing for too long.
    async fn until_stuck(&self) {
        while !self.seat.is_stuck(millis(self.seats.begun.elapsed())) {
            sleep(STUCK_FOR / 10).await;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.seats
            .lock()
            .retain(|seat| !Arc::ptr_eq(seat, &self.seat));
    }
}

/// A connection that tells its seat when bytes move.
struct Moving {
    stream: TcpStream,
    seat: Arc<Seat>,
    begun: Instant,
}

impl Moving {
    fn on_moved(&self) {
        let now = millis(self.begun.elapsed());
        self.seat.moved.store(now, Ordering::Relaxed);
    }
}

impl AsyncRead for Moving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.on_moved();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Moving {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(cx, buf) else {
            self.seat.on_not_taken(millis(self.begun.elapsed()));
            return Poll::Pending;
        };
        let written = written?;
        self.seat.on_taken();
        self.on_moved();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(is_known: bool, moved: u64) -> Arc<Seat> {
        let seat = Seat::new(moved);
        if is_known {
            seat.on_known();
        }
        Arc::new(seat)
    }

    #[tokio::test]
    async fn a_port_that_another_has_for_either_address_is_none() {
        let Ok(other) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else {
            eprintln!("without IPv6 nobody can have a port there");
            return;
        };
        let at = other.local_addr().expect("an address");
        let port = at.port();
        let no = Port::bind(port).await.err().expect("it is taken");
        assert!(is_taken(&no.error) && no.at == at, "{no:?}");
        let any = Port::bind(0).await.expect("there are others");
        assert!(any.v6.is_some() && any.number() != port);
    }

    #[test]
    fn a_machine_without_ipv6_is_no_port_that_is_taken() {
        for none in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            assert!(is_without_v6(&none.into()), "{none}");
        }
        for other in [Errno::ADDRINUSE, Errno::ACCESS, Errno::MFILE] {
            assert!(!is_without_v6(&other.into()), "{other}");
        }
    }

    #[test]
    fn a_client_that_takes_nothing_is_stuck_from_the_first_time_on() {
        let (seat, long) = (Seat::new(0), millis(STUCK_FOR));
        assert!(!seat.is_stuck(10 * long), "nothing is sent");
        seat.on_not_taken(5);
        seat.on_not_taken(long);
        assert!(!seat.is_stuck(long + 5) && seat.is_stuck(long + 6));
        seat.on_taken();
        assert!(!seat.is_stuck(10 * long));
    }

    #[test]
    fn a_stranger_gives_way_before_a_page_and_the_most_silent_first() {
        let taken = [seat(true, 0), seat(false, 9), seat(false, 5), seat(true, 1)];
        assert_eq!(leaving(&taken, 10), Some(2));
    }

    #[test]
    fn a_page_gives_way_only_when_nothing_has_moved_for_a_minute() {
        let taken = [seat(true, 40_000), seat(true, 30_000)];
        assert_eq!(leaving(&taken, 90_000), None);
        assert_eq!(leaving(&taken, 90_001), Some(1));
    }

    #[test]
    fn there_are_never_more_connections_than_seats() {
        let seats = Arc::new(Seats::default());
        let all: Vec<_> = (0..3 * CONNECTIONS).filter_map(|_| seats.take()).collect();
        assert_eq!(all.len(), 3 * CONNECTIONS, "strangers give way");
        assert_eq!(seats.lock().len(), CONNECTIONS);
        drop(all);
        assert!(seats.lock().is_empty());
    }
}
