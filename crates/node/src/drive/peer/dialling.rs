//! Reaching members and the tracker, and finding out why the tracker is not
//! reached.
//!
//! When to dial which, and what the user is told of the trouble with it, is
//! decided in [`thorp_core::peer`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use thorp_core::links::LinkId;
use thorp_core::peer::{Cause, Target, Unreached};
use thorp_group::address::NetAddress;
use thorp_group::tls::MemberTls;
use tokio::sync::{Semaphore, mpsc};

use crate::api::Trouble;
use crate::net::addresses;
use crate::net::dial::{self, Connected, DialError, Expected};
use crate::net::link::LinkEnd;

use super::event::Event;

pub(super) struct Dialling {
    tls: MemberTls,
    /// Where the tracker is; nowhere, if there is none.
    trackers: Vec<NetAddress>,
    /// The address to dial from.
    source: Option<IpAddr>,
    /// Whether the user knows that the tracker is being dialled.
    announced: bool,
    /// Where the tracker was reached last: there it is dialled while its name is not found.
    reached: Option<SocketAddr>,
    /// Links that this peer has dialled to its tracker.
    to_tracker: HashMap<LinkId, SocketAddr>,
    /// What the last attempt to reach the tracker came to, since it was reached.
    trouble: Option<Trouble>,
    /// Members that may be dialled at the same time.
    places: Arc<Semaphore>,
    events: mpsc::Sender<Event>,
}

/// How many members are dialled at once. One that answers takes milliseconds; where none
/// does, for each a few addresses are tried within five seconds, so this is also the pace
/// at which members can make this one knock at doors.
const AT_ONCE: usize = 16;

impl Dialling {
    /// What comes of each attempt is told to `events`.
    pub(super) fn new(
        tls: MemberTls,
        trackers: Vec<NetAddress>,
        source: Option<IpAddr>,
        announced: bool,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            tls,
            trackers,
            source,
            announced,
            reached: None,
            to_tracker: HashMap::new(),
            trouble: None,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            events,
        }
    }

    pub(super) fn tracker(&self) -> Option<&NetAddress> {
        self.trackers.first()
    }

    /// Where the tracker is about to be dialled, if that is news: trying again is not.
    pub(super) fn announce(&mut self, target: &Target) -> &[NetAddress] {
        if *target != Target::Tracker || std::mem::replace(&mut self.announced, true) {
            return &[];
        }
        &self.trackers
    }

    pub(super) fn dial(&self, target: Target) {
        let tls = self.tls.clone();
        let trackers = (self.trackers.clone(), self.reached);
        let source = self.source;
        let events = self.events.clone();
        let places = Arc::clone(&self.places);
        tokio::spawn(async move {
            // The tracker's addresses are the user's: they wait for no member.
            let _place = match target {
                Target::Tracker => None,
                Target::Member { .. } => places.acquire_owned().await.ok(),
            };
            let result = reach(&target, trackers, &tls, source).await;
            // If the peer is gone, it need not know.
            let _ = events.send(Event::Dialled(target, result)).await;
        });
    }

    /// This link to the tracker was made.
    pub(super) fn on_tracker_reached(&mut self, link: LinkId, address: SocketAddr) {
        self.to_tracker.insert(link, address);
        self.reached = Some(address);
    }

    /// The tracker has accepted this peer.
    pub(super) fn on_tracker_up(&mut self) {
        self.announced = false;
        self.trouble = None;
    }

    /// An attempt has come to nothing. What the machine is told of it.
    pub(super) fn on_failed(&mut self, target: &Target, trouble: Trouble) -> Unreached {
        let told = unreached(&trouble);
        if *target == Target::Tracker {
            self.trouble = Some(trouble);
        }
        told
    }

    /// What the machine says of the tracker, in full: an attempt at it has come to
    /// that, or its link has broken.
    pub(super) fn meant(&self, why: Unreached) -> Trouble {
        let attempt = self.trouble.as_ref();
        let meant = attempt.filter(|trouble| unreached(trouble) == why);
        meant.cloned().unwrap_or(Trouble::Lost { why: why.reason })
    }

    /// A link has ended. Whether it is still to be found out why: where the tracker
    /// does not trust this machine's certificate, it is asked what it shows to
    /// newcomers, which may say more.
    pub(super) fn on_closed(&mut self, link: LinkId, end: &LinkEnd) -> bool {
        let (Some(address), LinkEnd::Certificate(why)) = (self.to_tracker.remove(&link), end)
        else {
            return false;
        };
        let why = DialError::Certificate {
            address,
            why: why.clone(),
        };
        let (tls, events) = (self.tls.clone(), self.events.clone());
        tokio::spawn(async move {
            let why = dial::explain(why, Some(tls.ca()), tls.clock()).await;
            // If the peer is gone, it need not know.
            let _ = events
                .send(Event::TurnedAway(link, Trouble::from(&why)))
                .await;
        });
        true
    }
}

async fn reach(
    target: &Target,
    (trackers, reached): (Vec<NetAddress>, Option<SocketAddr>),
    tls: &MemberTls,
    source: Option<IpAddr>,
) -> Result<Box<Connected>, Trouble> {
    let (addresses, expected) = match target {
        Target::Tracker => {
            let addresses = match (addresses::resolve(&trackers).await, reached) {
                (Ok(addresses), _) => addresses,
                (Err(_), Some(reached)) => vec![reached],
                (Err(error), None) => {
                    let why = error.to_string();
                    return Err(Trouble::Unreachable { why });
                }
            };
            (addresses, Expected::Tracker)
        }
        Target::Member { id, addresses } => (addresses.clone(), Expected::Peer(*id)),
    };
    let tried: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let who = match target {
        Target::Tracker => "the tracker".to_owned(),
        Target::Member { id, .. } => id.short(),
    };
    tracing::info!(%who, addresses = tried.join(" "), "is dialled");
    let dialled = dial::dial(&addresses, expected, tls, source).await;
    if let Err(why) = &dialled {
        tracing::info!(%who, %why, "is not reached");
    }
    match dialled {
        Ok(connected) => Ok(Box::new(connected)),
        Err(why) if *target == Target::Tracker => {
            let why = dial::explain(why, Some(tls.ca()), tls.clock()).await;
            Err(Trouble::from(&why))
        }
        Err(why) => Err(Trouble::from(&why)),
    }
}

/// What the machine is told of it.
fn unreached(trouble: &Trouble) -> Unreached {
    let cause = match trouble {
        Trouble::Lost { .. } | Trouble::Unreachable { .. } => Cause::Network,
        Trouble::ClocksApart(_) => Cause::Clocks,
        Trouble::ChangedCa { .. } | Trouble::Untrusted { .. } => Cause::Certificate,
    };
    Unreached {
        cause,
        reason: trouble.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use thorp_group::testing::Group;
    use thorp_wire::PeerId;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn many_members_that_do_not_answer_are_dialled_a_few_at_a_time_and_the_tracker_at_once() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = silent.local_addr().expect("has one");
        let tracker = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let trackers = vec![tracker.local_addr().expect("has one").into()];
        let (events, _events) = mpsc::channel(200);
        let dialling = Dialling::new(Group::new().member("elm"), trackers, None, true, events);
        for n in 0..100 {
            dialling.dial(Target::Member {
                id: PeerId::new([n; 32]),
                addresses: vec![at],
            });
        }
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(silent.accept().await.expect("is dialled"));
        }
        assert_eq!(dialling.places.available_permits(), 0, "the others wait");
        dialling.dial(Target::Tracker);
        tracker.accept().await.expect("is dialled");
    }
}
