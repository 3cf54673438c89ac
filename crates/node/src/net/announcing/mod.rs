//! Announces this peer to the trackers of a torrent, as a client does.
//!
//! ```text
//! http  over HTTP (BEP 3, 7, 23)
//! udp   by datagrams (BEP 15)
//! ```
//!
//! Owns the conversations with trackers and their time. When which tracker is asked, and which of
//! the addresses that it names are dialled, is decided in [`thorp_core::announces`].

mod http;
mod udp;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use thorp_core::announces::{Announces, Asking, Input, Output, TrackerAnswer};
use thorp_core::dialled::{HeardOver, may_be_dialled};
use thorp_core::time::Instant;
use thorp_wire::announce::http::AnswerHeadError;
use thorp_wire::announce::url::Transport;
use thorp_wire::announce::{Announce, Announced, AnswerError, TrackerUrl};
use thorp_wire::{ClientId, InfoHash};
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::system::sleep;

pub(crate) use udp::UdpConnections;

/// How long it may take to look up the name of a tracker.
const LOOKUP: Duration = Duration::from_secs(15);
/// How many addresses of a tracker's name are tried of each family, and how long after one the
/// next. Once one has answered, the other family has as long to answer, too.
const MOST_ADDRESSES: usize = 4;
const STAGGER: Duration = Duration::from_secs(2);
/// The port that is announced where this peer listens nowhere: that of `discard`.
const NOWHERE: u16 = 9;

/// What trackers are told of this peer, whatever happens.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    pub torrent: InfoHash,
    pub client: ClientId,
    pub key: u32,
    /// Where this peer listens, if it does.
    pub port: Option<u16>,
    /// The address to announce from, if not any.
    pub source: Option<IpAddr>,
    /// Conversations that go on from announce to announce.
    pub udp: UdpConnections,
}

/// How much of a torrent has gone and come, and how much is left, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub uploaded: u64,
    pub downloaded: u64,
    /// [`Announce::NOT_KNOWN`] as long as the torrent's length is not known.
    pub left: u64,
}

/// What has come of an announce.
#[derive(Debug)]
pub(crate) enum Told {
    /// These peers may be dialled.
    Peers(Vec<SocketAddr>),
    /// A tracker has answered, and has named peers that may be dialled, or has not.
    Answered(TrackerUrl, bool),
    /// A tracker has not, or has refused.
    Failed(TrackerUrl, AnnounceError),
}

/// Announces this peer until it is dropped: then the trackers are told that this peer goes.
#[derive(Debug)]
pub(crate) struct Announcing(mpsc::UnboundedSender<Input>);

impl Announcing {
    /// Starts. `amounts` is asked before each announce, and `told` hears what comes of it.
    pub fn start(
        announcer: Announcer,
        machine: impl FnOnce(Instant) -> Announces,
        amounts: impl Fn() -> Amounts + Send + 'static,
        told: impl FnMut(Told) + Send + 'static,
    ) -> Self {
        // An input is one word and is taken at once.
        let (inputs, inputs_in) = mpsc::unbounded_channel();
        let begun = tokio::time::Instant::now();
        let task = Task {
            begun,
            announcer,
            machine: machine(Instant::default()),
            amounts,
            told,
            asked: JoinSet::new(),
        };
        tokio::spawn(task.run(inputs_in));
        Self(inputs)
    }

    /// The fetch has too few sources, or none at all.
    pub fn wants_more(&self, has_none: bool) {
        self.say(Input::WantsMore { has_none });
    }

    /// The last piece has come.
    pub fn completed(&self) {
        self.say(Input::Completed);
    }

    fn say(&self, input: Input) {
        // It ends with this handle and not before.
        let _ = self.0.send(input);
    }
}

struct Task<A, T> {
    begun: tokio::time::Instant,
    announcer: Announcer,
    machine: Announces,
    amounts: A,
    told: T,
    asked: JoinSet<(Asking, Result<TrackerAnswer, AnnounceError>)>,
}

impl<A: Fn() -> Amounts, T: FnMut(Told)> Task<A, T> {
    async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) {
        let mut is_held = true;
        self.machine.handle(self.now(), Input::Tick);
        while self.carry_out() {
            let left = self.machine.next_deadline().map(|at| at - self.now());
            let input = tokio::select! {
                input = inputs.recv(), if is_held => input.unwrap_or_else(|| {
                    is_held = false;
                    Input::Stop
                }),
                Some(done) = self.asked.join_next() => match done {
                    Ok((asking, answer)) => self.ended(asking, answer),
                    // Such a task neither panics nor is aborted before this one ends.
                    Err(_) => continue,
                },
                () = sleep(left) => Input::Tick,
            };
            self.machine.handle(self.now(), input);
        }
    }

    /// Does what the machine wants. Returns whether there is more to come.
    fn carry_out(&mut self) -> bool {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Announce(asking) => {
                    let said = self.said(&asking);
                    let announcer = self.announcer.clone();
                    self.asked.spawn(async move {
                        let answer = announce(&asking, said, announcer).await;
                        (asking, answer)
                    });
                }
                Output::Peers(peers) => (self.told)(Told::Peers(peers)),
                Output::Over => return false,
            }
        }
        true
    }

    fn said(&self, asking: &Asking) -> Announce {
        let amounts = (self.amounts)();
        Announce {
            torrent: self.announcer.torrent,
            client: self.announcer.client,
            port: self.announcer.port.unwrap_or(NOWHERE),
            uploaded: amounts.uploaded,
            downloaded: amounts.downloaded,
            left: amounts.left,
            event: asking.event,
            wanted: Some(asking.wanted),
            key: self.announcer.key,
        }
    }

    fn ended(&mut self, asking: Asking, answer: Result<TrackerAnswer, AnnounceError>) -> Input {
        match answer {
            Ok(answer) => {
                let mut peers = answer.peers.iter();
                let names_peers = peers.any(|peer| may_be_dialled(*peer, answer.heard));
                (self.told)(Told::Answered(asking.url, names_peers));
                Input::Answered(asking.tracker, answer)
            }
            Err(why) => {
                (self.told)(Told::Failed(asking.url, why));
                Input::Failed(asking.tracker)
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::after_start(self.begun.elapsed())
    }
}

/// Why a tracker has given no answer.
#[derive(Debug, Error)]
pub(crate) enum AnnounceError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it does not answer")]
    Silent,
    #[error("its name has no address that can be reached from here")]
    NoAddress,
    /// A torrent could else have any program of this machine be asked for anything.
    #[error("on this machine only /announce is asked, and what is below it")]
    NotAnnounce,
    #[error("on this machine only the group's own tracker is asked by datagrams")]
    DatagramsHere,
    #[error("{0}")]
    Head(#[from] AnswerHeadError),
    #[error("{0}")]
    Answer(#[from] AnswerError),
}

/// Announces to a tracker.
async fn announce(
    asking: &Asking,
    said: Announce,
    announcer: Announcer,
) -> Result<TrackerAnswer, AnnounceError> {
    let url = &asking.url;
    let resolved = timeout(LOOKUP, lookup_host((url.host(), url.port())));
    let resolved = resolved.await.map_err(|_| AnnounceError::Silent)??;
    let is_reached = |address: &SocketAddr| {
        let source = announcer.source;
        source.is_none_or(|source| source.is_ipv4() == address.is_ipv4())
            // A torrent may come from anywhere: `0.0.0.0` would be this machine, too.
            && (asking.is_own || may_be_dialled(*address, HeardOver::Loopback))
    };
    let reached = resolved.filter(is_reached).collect();
    announce_to(reached, Arc::new((asking.clone(), said, announcer))).await
}

/// Announces to a tracker over both families of addresses (BEP 7): each lists this peer with one
/// address, and names clients of it.
async fn announce_to(
    addresses: Vec<SocketAddr>,
    asking: Arc<(Asking, Announce, Announcer)>,
) -> Result<TrackerAnswer, AnnounceError> {
    let (v4, v6) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    let mut v4 = std::pin::pin!(announce_to_first(v4, Arc::clone(&asking)));
    let mut v6 = std::pin::pin!(announce_to_first(v6, asking));
    let (first, other) = tokio::select! {
        biased;
        first = &mut v4 => (first, Other::V6),
        first = &mut v6 => (first, Other::V4),
    };
    let other = async {
        match other {
            Other::V4 => v4.await,
            Other::V6 => v6.await,
        }
    };
    match first {
        Ok(first) => Ok(match timeout(STAGGER, other).await {
            Ok(Ok(other)) => both(first, other),
            // What is silent over one family may have no way there.
            Ok(Err(_)) | Err(_) => first,
        }),
        Err(why) => other.await.map_err(|later| match later {
            AnnounceError::NoAddress => why,
            // It has got further.
            later => later,
        }),
    }
}

/// The family that has not answered yet.
enum Other {
    V4,
    V6,
}

/// What a tracker has answered over both families. It is asked again when both allow it.
fn both(one: TrackerAnswer, other: TrackerAnswer) -> TrackerAnswer {
    let answers = [&one, &other].into_iter();
    // Each names what may be dialled as far as it was heard itself.
    let peers = answers.flat_map(|answer| {
        let peers = answer.peers.iter().copied();
        peers.filter(|peer| may_be_dialled(*peer, answer.heard))
    });
    let peers: BTreeSet<SocketAddr> = peers.collect();
    let is_loopback = [one.heard, other.heard].contains(&HeardOver::Loopback);
    TrackerAnswer {
        interval: one.interval.max(other.interval),
        min_interval: one.min_interval.max(other.min_interval),
        tracker_id: one.tracker_id.or(other.tracker_id),
        peers: peers.into_iter().collect(),
        heard: if is_loopback {
            HeardOver::Loopback
        } else {
            HeardOver::Network
        },
    }
}

/// Announces to a tracker at the first of these addresses that answers.
async fn announce_to_first(
    mut waiting: Vec<SocketAddr>,
    asking: Arc<(Asking, Announce, Announcer)>,
) -> Result<TrackerAnswer, AnnounceError> {
    waiting.truncate(MOST_ADDRESSES);
    waiting.reverse();
    let (mut attempts, mut last) = (JoinSet::new(), AnnounceError::NoAddress);
    loop {
        if let Some(address) = waiting.pop() {
            attempts.spawn(announce_at(address, Arc::clone(&asking)));
        } else if attempts.is_empty() {
            return Err(last);
        }
        tokio::select! {
            Some(ended) = attempts.join_next() => match ended {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(why @ (AnnounceError::Io(_) | AnnounceError::Silent))) => last = why,
                // Another address of the same tracker would say no other thing.
                Ok(Err(why)) => return Err(why),
                Err(_) => {}
            },
            () = tokio::time::sleep(STAGGER), if !waiting.is_empty() => {}
        }
    }
}

async fn announce_at(
    address: SocketAddr,
    asking: Arc<(Asking, Announce, Announcer)>,
) -> Result<TrackerAnswer, AnnounceError> {
    let (asking, said, by) = &*asking;
    let heard = HeardOver::of(address.ip());
    let announced = match asking.url.transport() {
        Transport::Http => {
            if heard == HeardOver::Loopback && !is_announce(&asking.url.target("")) {
                return Err(AnnounceError::NotAnnounce);
            }
            http::announce(address, asking, said, by.source).await?
        }
        Transport::Udp if heard == HeardOver::Loopback && !asking.is_own => {
            return Err(AnnounceError::DatagramsHere);
        }
        Transport::Udp => {
            let said = (said, &asking.url.options()[..]);
            by.udp.announce(address, said, by.source).await?
        }
    };
    let Announced {
        interval,
        min_interval,
        tracker_id,
        peers,
        ..
    } = announced;
    Ok(TrackerAnswer {
        interval,
        min_interval,
        tracker_id,
        peers,
        heard,
    })
}

/// Whether the path of this target is that of a tracker alone, however a program reads it.
fn is_announce(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or(target);
    path.strip_prefix("/announce").is_some_and(|rest| {
        let is_below = rest.starts_with(['/', '.']) && !rest.contains("..") && !rest.contains('%');
        rest.is_empty() || is_below
    })
}

#[cfg(test)]
mod tests;
