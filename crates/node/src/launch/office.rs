//! A tracker's own: the group's CA, its certificate, and its local socket.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thorp_wire::MemberName;
use tokio::sync::mpsc;

use super::INCOMING;
use super::failure::other;
use crate::addresses::{self, NetAddress};
use crate::api::{Command, Done, ErrorKind, Event, Failure};
use crate::authority::Authority;
use crate::clock::Clock;
use crate::identity::{Identity, Membership};
use crate::invite::Invite;
use crate::join::JoinService;
use crate::listener::{Incoming, Service};
use crate::local::{self, Answering, LocalError};
use crate::state::StateDir;
use crate::tls::MemberTls;
use crate::tracker::Tracker;

/// The state directory of a tracker inside a peer, within the peer's own.
pub const EMBEDDED: &str = "tracker";
/// Makes an invite, in the first of these state directories that has a CA.
pub async fn invite(states: &[PathBuf], uses: u32, validity: Duration) -> Result<String, Failure> {
    let command = Command::Invite {
        uses,
        seconds: validity.as_secs(),
    };
    for state in states {
        let Some(mut events) = local::ask(state, &command).await else {
            continue;
        };
        while let Some(event) = events.recv().await {
            match event {
                Event::Invite { invite } => return Ok(invite),
                Event::Error(failure) => return Err(failure),
                _ => {}
            }
        }
    }
    let places: Vec<_> = states
        .iter()
        .map(|state| state.display().to_string())
        .collect();
    Err(Failure {
        kind: ErrorKind::Other,
        message: format!(
            "No tracker is running on {}. Invites are made on the tracker's machine while it runs: thorp tracker, or thorp share where the group was made",
            places.join(" or ")
        ),
    })
}

/// A tracker's state: the group's CA, and its own certificate.
pub(super) struct Office {
    pub(super) state: Arc<StateDir>,
    identity: Identity,
    membership: Membership,
    pub(super) authority: Arc<Authority>,
    /// Whether it was made just now.
    pub(super) is_new: bool,
    pub(super) tls: MemberTls,
}

impl Office {
    pub(super) fn open(path: PathBuf, name: &MemberName, clock: &Clock) -> Result<Self, Failure> {
        let is_new = !path.exists();
        let state = Arc::new(StateDir::open(path)?);
        let identity = Identity::load_or_create(&state)?;
        let authority = Arc::new(Authority::load_or_create(Arc::clone(&state)).map_err(other)?);
        let tracker_name = MemberName::nearest(&format!("{name}-tracker"));
        let certificate = authority.tracker_certificate(&identity, &tracker_name, clock.wall());
        let membership = Membership {
            certificate: certificate.map_err(other)?,
            ca: authority.ca(),
            trackers: Vec::new(),
        };
        let tls = MemberTls::new(&identity, &membership, clock.clone())?
            .with_records(authority.records().clone());
        Ok(Self {
            state,
            identity,
            membership,
            authority,
            is_new,
            tls,
        })
    }

    pub(super) fn service(
        &self,
        clock: &Clock,
    ) -> Result<(Service, mpsc::Receiver<Incoming>), Failure> {
        let authority = Arc::clone(&self.authority);
        let join = JoinService::new(&self.identity, &self.membership, authority, clock.clone())?;
        let (sink, incoming) = mpsc::channel(INCOMING);
        let service = Service {
            tls: self.tls.clone(),
            join: Some(join),
            sink,
        };
        Ok((service, incoming))
    }

    pub(super) fn invite(
        &self,
        uses: u32,
        validity: Duration,
        listen: SocketAddr,
        clock: &Clock,
    ) -> Result<String, Failure> {
        invite_line(&self.authority, uses, validity, listen, clock)
    }

    /// Answers those who ask this tracker from its own machine.
    pub(super) fn answer(
        &self,
        tracker: &Tracker,
        listen: SocketAddr,
        clock: &Clock,
    ) -> Result<Answering, LocalError> {
        let (tracker, clock) = (tracker.clone(), clock.clone());
        let authority = Arc::clone(&self.authority);
        local::answer(self.state.path(), move |command| {
            let (events, receiver) = mpsc::channel(4);
            let (tracker, clock, authority) =
                (tracker.clone(), clock.clone(), Arc::clone(&authority));
            tokio::spawn(async move {
                let end = match command {
                    Command::Status => tracker.status().await.map(Event::Tracker).ok_or_else(stopping),
                    Command::Invite { uses, seconds } => {
                        let validity = Duration::from_secs(seconds);
                        // It waits for the disk.
                        let made = tokio::task::spawn_blocking(move || {
                            invite_line(&authority, uses, validity, listen, &clock)
                        });
                        let made = made.await.unwrap_or_else(|_| Err(stopping()));
                        made.map(|invite| Event::Invite { invite })
                    }
                    Command::Stop => {
                        tracker.stop("stopped by its user").await;
                        Ok(Event::Done(Done::default()))
                    }
                    _ => Err(Failure {
                        kind: ErrorKind::Usage,
                        message: "A tracker runs on this state directory; it shares and fetches nothing. \
                                  Ask a peer: leave out --state, or name the peer's"
                            .to_owned(),
                    }),
                };
                for event in with_end(end) {
                    // Whoever asked may be gone.
                    let _ = events.send(event).await;
                }
            });
            receiver
        })
    }
}

/// An answer of one event, with the end that every answer has.
fn with_end(answer: Result<Event, Failure>) -> Vec<Event> {
    match answer {
        Ok(end @ Event::Done(_)) => vec![end],
        Ok(event) => vec![
            event,
            Event::Done(Done {
                count: 1,
                ..Done::default()
            }),
        ],
        Err(failure) => vec![Event::Error(failure)],
    }
}

fn invite_line(
    authority: &Authority,
    uses: u32,
    validity: Duration,
    listen: SocketAddr,
    clock: &Clock,
) -> Result<String, Failure> {
    let invite = Invite {
        trackers: addresses::own(listen)
            .into_iter()
            .map(NetAddress::Ip)
            .collect(),
        ca: authority.ca(),
        token: authority
            .invite(uses, validity, clock.wall())
            .map_err(other)?,
    };
    Ok(invite.to_string())
}

fn stopping() -> Failure {
    Failure {
        kind: ErrorKind::Unfinished,
        message: "The tracker is stopping. Start it again: thorp tracker".to_owned(),
    }
}
