//! Clients asked what a torrent is of which a magnet link names the info-hash alone.
//!
//! Owns which clients are asked, a few at a time. The first one that sends what the info-hash
//! proves ends it. The fetch goes on with these clients, and with what trackers were told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thorp_core::dialled::{HeardOver, may_be_dialled};
use thorp_core::swarm::{Contact, Stuck};
use thorp_core::torrent::{TorrentEvent, TorrentFetch};
use thorp_wire::InfoHash;
use thorp_wire::torrent::{Magnet, PieceProofs, PieceSpace, TorrentError};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::seeking::{Heard, Seeking, Seeks};
use super::{Described, Job, TOLD_EVERY, TorrentBytes, on_disk};
use crate::api::{Event, Failure, Note};
use crate::sessions::{Metadata, Sought};

/// How many clients are asked at a time.
const AT_ONCE: usize = 4;
/// How many are remembered, and how soon one is asked again.
const MOST_KNOWN: usize = 1024;
const AGAIN: Duration = Duration::from_secs(15);
/// How often more clients are wanted while none is asked. Trackers say how often they may be asked.
const WANTED_EVERY: Duration = Duration::from_secs(5);

/// The clients that are known, each with when it may be asked.
#[derive(Debug, Default)]
struct Known(BTreeMap<(SocketAddr, bool), Option<Instant>>);

impl Job<'_> {
    /// Asks until it is known what the torrent is.
    pub(super) async fn described_by(&self, magnet: &Magnet) -> Result<Described, Failure> {
        let tiers: Vec<Vec<String>> = magnet
            .trackers
            .iter()
            .map(|url| vec![url.clone()])
            .collect();
        let v1 = magnet.v1.map(Sought::V1);
        let v2 = magnet.v2.map(|v2| Sought::V2(v2.truncated()));
        let sought: Vec<Sought> = v1.into_iter().chain(v2).collect();
        let seeks = Seeks {
            tiers: &tiers,
            info_hashes: sought.iter().map(|sought| sought.info_hash()).collect(),
            is_private: false,
        };
        let mut seeking = Seeking::start(self.peer, &seeks);
        let mut fetch = TorrentFetch::new(self.now(), self.get.wait.into(), seeking.rows());
        let mut named = magnet.peers.clone();
        // A link may come from anywhere.
        named.retain(|client| may_be_dialled(*client, HeardOver::Network));
        let mut known = Known::default();
        for of in &sought {
            if known.add(named.iter().copied(), *of) {
                fetch.handle(self.now(), TorrentEvent::Clients);
            }
        }
        let name = self.name.clone();
        self.tell(Event::Note(Note::AsksWhatItIs { name })).await;
        let mut callers = self.peer.transfers.ask_callers(&sought);
        let mut asked = JoinSet::new();
        // Each that is asked for the first time has one of these: those that have not answered
        // before keep nobody waiting.
        let first = Arc::new(());
        let mut last = None;
        let mut wanted_at = Instant::now() + WANTED_EVERY;
        let mut ticks = interval(TOLD_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (metadata, by) = loop {
            while asked.len() < AT_ONCE
                && let Some(((client, is_v2), is_first)) = known.next()
            {
                let hope = is_first.then(|| Arc::clone(&first));
                let wanted = if is_v2 { v2 } else { v1 };
                let transfers = self.peer.transfers.clone();
                asked.spawn(async move {
                    let answer = match wanted {
                        Some(sought) => transfers.metadata_from(client, sought).await,
                        None => Err("it was not asked".to_owned()),
                    };
                    drop(hope);
                    let told = answer.map(|metadata| (metadata, Some((client, is_v2))));
                    told.map_err(|why| format!("{client}: {why}"))
                });
            }
            tokio::select! {
                heard = seeking.heard() => match heard {
                    Heard::Clients(torrent, clients) => {
                        let of = sought.iter().find(|sought| sought.info_hash() == torrent);
                        if let Some(of) = of && known.add(clients.into_iter(), *of) {
                            fetch.handle(self.now(), TorrentEvent::Clients);
                        }
                    }
                    Heard::Trackers(event) => fetch.handle(self.now(), event),
                },
                (metadata, of, listens) = callers.told() => {
                    let is_v2 = matches!(of, Sought::V2(_));
                    break (metadata, listens.map(|client| (client, is_v2)));
                }
                Some(answer) = asked.join_next() => match answer {
                    Ok(Ok(told)) => break told,
                    Ok(Err(why)) => {
                        tracing::debug!(%why, "a client does not say what a torrent is");
                        last = Some(why);
                    }
                    Err(_) => {}
                },
                _ = ticks.tick() => {
                    if asked.is_empty() && Instant::now() >= wanted_at {
                        wanted_at = Instant::now() + WANTED_EVERY;
                        seeking.wants_more(true);
                    }
                    let is_hopeful = Arc::strong_count(&first) > 1;
                    if !is_hopeful && let Some(reason) = &last {
                        fetch.handle(self.now(), TorrentEvent::Stuck(stuck(reason.clone())));
                    } else if is_hopeful {
                        fetch.handle(self.now(), TorrentEvent::GoesOn);
                    }
                    if let Some(missed) = fetch.verdict(self.now()) {
                        return Err(self.missed(missed, 0));
                    }
                }
            }
        };
        let mut described = on_disk(move |_| found(metadata, tiers)).await??;
        let info = &described.torrent.info;
        // A private torrent's clients are named by its own trackers alone.
        described.clients = if info.is_private() {
            let of = info.info_hashes().next();
            of.map(|of| (of, named)).into_iter().collect()
        } else {
            known.clients(by, &sought)
        };
        described.seeking = Some(seeking);
        Ok(described)
    }
}

/// What is known of a torrent now.
fn found(metadata: Metadata, tiers: Vec<Vec<String>>) -> Result<Described, Failure> {
    let Metadata { info, layers } = metadata;
    let bytes = || {
        let space = PieceSpace::of(&info)?;
        let proofs = PieceProofs::of(&info, |root| layers.get(root).map(Vec::as_slice))?;
        Ok(TorrentBytes::new(info.clone(), space, proofs))
    };
    let bytes: Result<TorrentBytes, TorrentError> = bytes();
    let bytes = bytes.map_err(|why| Failure::NotATorrent {
        why: why.to_string(),
    })?;
    Ok(Described {
        torrent: bytes.into(),
        tiers,
        clients: Vec::new(),
        seeking: None,
        layers,
    })
}

fn stuck(reason: String) -> Stuck {
    Stuck {
        reason,
        there: 0,
        contact: Contact::None,
        sources: Vec::new(),
        changed: None,
    }
}

impl Known {
    /// Adds clients; whether there is a new one among them. Where there are too many, each gets the
    /// place of the one that was asked longest ago, if any was.
    fn add(&mut self, clients: impl Iterator<Item = SocketAddr>, of: Sought) -> bool {
        let mut is_one_new = false;
        let is_v2 = matches!(of, Sought::V2(_));
        for client in clients {
            let key = (client, is_v2);
            let is_new = !self.0.contains_key(&key);
            if is_new && (self.0.len() < MOST_KNOWN || self.forget_one()) {
                self.0.insert(key, None);
                is_one_new = true;
            }
        }
        is_one_new
    }

    /// Forgets the client that was asked longest ago. Whether one was asked.
    fn forget_one(&mut self) -> bool {
        let asked = self
            .0
            .iter()
            .filter_map(|(key, at)| Some((*at.as_ref()?, *key)));
        let first = asked.min();
        first.is_some_and(|(_, key)| self.0.remove(&key).is_some())
    }

    /// All of them, by torrent: before the others the one that has told what the torrent is.
    fn clients(
        &self,
        told: Option<(SocketAddr, bool)>,
        sought: &[Sought],
    ) -> Vec<(InfoHash, Vec<SocketAddr>)> {
        let (mut first, mut others) = (Vec::new(), Vec::new());
        for of in sought {
            let is_v2 = matches!(of, Sought::V2(_));
            if let Some((client, _)) = told.filter(|told| told.1 == is_v2) {
                first.push((of.info_hash(), vec![client]));
            }
            let keys = self.0.keys().filter(|(_, of)| *of == is_v2);
            let alike = keys.map(|(client, _)| *client);
            let alike = alike.filter(|client| told.is_none_or(|told| told.0 != *client));
            others.push((of.info_hash(), alike.collect()));
        }
        first.into_iter().chain(others).collect()
    }

    /// One that may be asked now, and whether for the first time: those first that were not asked.
    fn next(&mut self) -> Option<((SocketAddr, bool), bool)> {
        let now = Instant::now();
        let mut due = self
            .0
            .iter_mut()
            .filter(|(_, at)| at.is_none_or(|at| at <= now));
        let (key, at) = due.by_ref().min_by_key(|(_, at)| **at)?;
        let is_first = at.replace(now + AGAIN).is_none();
        Some((*key, is_first))
    }
}

#[cfg(test)]
mod tests {
    use thorp_wire::InfoHash;

    use super::*;

    const OF: Sought = Sought::V1(InfoHash::new([1; 20]));

    fn clients(ip: u8, number: usize) -> impl Iterator<Item = SocketAddr> {
        let ports = (1..=u16::MAX).take(number);
        ports.map(move |port| SocketAddr::from(([10, 0, 0, ip], port)))
    }

    #[test]
    fn a_client_gets_the_place_of_the_one_asked_longest_ago_where_too_many_are_known() {
        let mut known = Known::default();
        assert!(known.add(clients(1, MOST_KNOWN), OF));
        assert!(!known.add(clients(2, 1), OF), "none was asked yet");
        let first = known.next().expect("one may be asked");
        let second = known.next().expect("another may be asked");
        assert!(known.add(clients(2, 1), OF));
        assert!(!known.add(clients(2, 1), OF), "it is known");
        assert_eq!(known.0.len(), MOST_KNOWN);
        assert!(!known.0.contains_key(&first.0) && known.0.contains_key(&second.0));
        // It has a turn of its own, and is asked for the first time.
        let asked: Vec<_> = std::iter::from_fn(|| known.next()).collect();
        let late = clients(2, 1).next().expect("there is one");
        assert!(asked.contains(&((late, false), true)));
    }
}
