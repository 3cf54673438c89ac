//! Announces by datagrams (BEP 15).
//!
//! A connection id is asked for first, and used for a minute. A tracker is believed only if an
//! answer comes from its address and repeats the random number of the request. Behind an announce
//! stand the options of the tracker's URL (BEP 41).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thorp_wire::announce::compact::V6;
use thorp_wire::announce::udp::ANNOUNCED_HEAD;
use thorp_wire::announce::{
    Announce, Announced, AnswerError, MOST_PEERS, Stride, UdpAnswer, UdpRequest,
};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::AnnounceError;

/// For how long a client may use a connection id (BEP 15).
const LIFETIME: Duration = Duration::from_mins(1);
/// How long the first request is waited for; each further one is waited for twice as long.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often a request is said again: less often than BEP 15 has it, for other trackers are asked
/// meanwhile, and this one later.
const AGAIN: u32 = 3;
/// How many connections are kept for the next announce.
const KEPT: usize = 32;
/// The longest datagram that is read.
const LONGEST: usize = ANNOUNCED_HEAD + MOST_PEERS * V6;

/// Connections with trackers whose id is good for another announce. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct UdpConnections(Arc<Mutex<BTreeMap<SocketAddr, Connection>>>);

#[derive(Debug)]
struct Connection {
    socket: UdpSocket,
    stride: Stride,
    /// The id, and when it came.
    id: Option<(u64, Instant)>,
}

impl UdpConnections {
    /// Announces to the tracker at this address, with these options.
    pub(super) async fn announce(
        &self,
        tracker: SocketAddr,
        said: (&Announce, &[u8]),
        source: Option<IpAddr>,
    ) -> Result<Announced, AnnounceError> {
        let mut connection = match self.take(tracker) {
            Some(connection) => connection,
            None => Connection::open(tracker, source).await?,
        };
        let announced = connection.announce(said).await?;
        self.keep(tracker, connection);
        Ok(announced)
    }

    /// Takes a connection out, so that no other announce uses it meanwhile.
    fn take(&self, tracker: SocketAddr) -> Option<Connection> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, connection| connection.fresh_id().is_some());
        all.remove(&tracker)
    }

    fn keep(&self, tracker: SocketAddr, connection: Connection) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < KEPT {
            all.insert(tracker, connection);
        }
    }
}

impl Connection {
    async fn open(tracker: SocketAddr, source: Option<IpAddr>) -> io::Result<Self> {
        let any: IpAddr = if tracker.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((source.unwrap_or(any), 0)).await?;
        // From now on the system drops what comes from elsewhere.
        socket.connect(tracker).await?;
        Ok(Self {
            socket,
            stride: Stride::of(tracker),
            id: None,
        })
    }

    async fn announce(
        &mut self,
        (said, options): (&Announce, &[u8]),
    ) -> Result<Announced, AnnounceError> {
        let mut is_kept = self.id.is_some();
        let mut again = 0;
        loop {
            let transaction = transaction();
            let (request, options) = match self.fresh_id() {
                Some(connection) => {
                    let announce = UdpRequest::Announce {
                        connection,
                        transaction,
                        announce: *said,
                    };
                    (announce, options)
                }
                None => (UdpRequest::Connect { transaction }, &[][..]),
            };
            let datagram = [&request.encode(), options].concat();
            let deadline = Instant::now() + PATIENCE * 2_u32.pow(again);
            match self.ask(&request, transaction, &datagram, deadline).await? {
                Some(UdpAnswer::Connected { connection, .. }) => {
                    self.id = Some((connection, Instant::now()));
                }
                Some(UdpAnswer::Announced {
                    interval,
                    leechers,
                    seeders,
                    peers,
                    ..
                }) => {
                    return Ok(Announced {
                        interval: Some(interval),
                        seeders: Some(seeders),
                        leechers: Some(leechers),
                        peers,
                        ..Announced::default()
                    });
                }
                // A tracker that was started again does not know the id.
                Some(UdpAnswer::Error { .. }) if is_kept => {
                    is_kept = false;
                    self.id = None;
                }
                Some(UdpAnswer::Error { text, .. }) => {
                    return Err(AnswerError::Refused(text.into()).into());
                }
                Some(UdpAnswer::Scraped { .. }) | None if again == AGAIN => {
                    return Err(AnnounceError::Silent);
                }
                Some(UdpAnswer::Scraped { .. }) | None => again += 1,
            }
        }
    }

    /// Returns what is answered to a request; `None` if nothing is in time.
    async fn ask(
        &self,
        request: &UdpRequest,
        transaction: u32,
        said: &[u8],
        deadline: Instant,
    ) -> io::Result<Option<UdpAnswer>> {
        self.socket.send(said).await?;
        let mut datagram = vec![0; LONGEST];
        loop {
            let received = timeout_at(deadline, self.socket.recv(&mut datagram)).await;
            let Ok(length) = received else {
                return Ok(None);
            };
            let answer = UdpAnswer::decode(&datagram[..length?], self.stride);
            if let Ok(answer) = answer
                && answer.transaction() == transaction
                && answers(&answer, request)
            {
                return Ok(Some(answer));
            }
        }
    }

    fn fresh_id(&self) -> Option<u64> {
        let (id, came) = self.id?;
        (came.elapsed() < LIFETIME).then_some(id)
    }
}

fn answers(answer: &UdpAnswer, request: &UdpRequest) -> bool {
    matches!(
        (answer, request),
        (UdpAnswer::Connected { .. }, UdpRequest::Connect { .. })
            | (UdpAnswer::Announced { .. }, UdpRequest::Announce { .. })
            | (UdpAnswer::Error { .. }, _)
    )
}

#[expect(clippy::cast_possible_truncation, reason = "half of it is random, too")]
fn transaction() -> u32 {
    crate::system::random() as u32
}
