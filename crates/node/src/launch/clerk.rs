//! Answers what callers ask a tracker on its own machine: over its local socket, or in its
//! process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thorp_disk::DiskThread;
use thorp_group::authority::Authority;
use thorp_group::clock::Clock;
use thorp_group::invite::Invite;
use tokio::sync::mpsc;

use super::desk::{Desk, send};
use crate::api::{Command, Done, Event, Failure, STOPPED_BY_USER};
use crate::local::{self, Answering, Listening, LocalError};
use crate::net::addresses::Reach;
use crate::page::PageSlot;
use crate::snapshot;
use crate::tracker::Tracker;

/// Answers what callers ask a tracker on its own machine.
pub struct Clerk {
    pub(super) tracker: Tracker,
    pub(super) clock: Clock,
    pub(super) reach: Reach,
    pub(super) authority: Arc<Authority>,
    pub(super) desk: Desk,
    pub(super) page: PageSlot,
}

impl Clerk {
    /// Answers callers over the tracker's local socket.
    pub(super) fn attend(self: &Arc<Self>, listening: Listening) -> Result<Answering, LocalError> {
        let clerk = Arc::clone(self);
        local::answer(listening, move |command| clerk.command(command))
    }

    /// Carries out a command. The answer ends with [`Event::Done`] or [`Event::Error`].
    pub fn command(self: &Arc<Self>, command: Command) -> mpsc::Receiver<Event> {
        let room = match command {
            // A watching caller gets more only when it has taken what was sent before.
            Command::Watch { .. } => 1,
            _ => 4,
        };
        let (events, receiver) = mpsc::channel(room);
        let clerk = Arc::clone(self);
        tokio::spawn(async move {
            let answer = clerk.answer(command, &events).await;
            send(answer, &events).await;
        });
        receiver
    }

    /// Returns the last events of an answer.
    async fn answer(
        self: Arc<Self>,
        command: Command,
        events: &mpsc::Sender<Event>,
    ) -> Result<Vec<Event>, Failure> {
        let tracker = &self.tracker;
        match command {
            Command::Status => {
                let status = tracker.status().await;
                let mut status = status.ok_or(Failure::TrackerStopping)?;
                (status.page, status.token_file) = self.page.shown();
                Ok(vec![Event::Tracker(status)])
            }
            Command::Page => {
                let done = tokio::select! {
                    done = self.page.link(events) => done?,
                    () = events.closed() => Done::default(),
                };
                Ok(vec![Event::Done(done)])
            }
            Command::Snapshot(ask) => {
                let stopping = Failure::TrackerStopping;
                let page = snapshot::page(tracker.viewer(), ask, stopping).await?;
                let done = page.done();
                Ok(vec![Event::Page(page), Event::Done(done)])
            }
            Command::Watch { since } => {
                let done = snapshot::watch(tracker.viewer(), since, events).await;
                Ok(vec![Event::Done(done)])
            }
            command @ (Command::Find { .. } | Command::Ls { .. } | Command::Peers) => {
                let since = Instant::now();
                let done = tracker.list(command, events).await?;
                let ms = since.elapsed().as_secs_f64() * 1000.0;
                Ok(vec![Event::Done(Done { ms, ..done })])
            }
            Command::Stop => {
                tracker.stop(STOPPED_BY_USER).await;
                Ok(vec![Event::Done(Done::default())])
            }
            command => {
                let present = match command {
                    Command::Members | Command::Remove { .. } => tracker.present().await,
                    _ => None,
                };
                let work = thorp_disk::spawn(move |disk| match command {
                    Command::Invite { uses, seconds } => {
                        let validity = Duration::from_secs(seconds);
                        let (authority, reach) = (&self.authority, &self.reach);
                        invite_line(disk, authority, uses, validity, reach, &self.clock)
                            .map(|invite| vec![Event::Invite { invite }])
                    }
                    command => self.desk.answer(disk, &command, present.as_ref()),
                });
                work.await.unwrap_or(Err(Failure::TrackerStopping))
            }
        }
    }
}

/// Makes an invite.
pub(super) fn invite_line(
    disk: DiskThread,
    authority: &Authority,
    uses: u32,
    validity: Duration,
    reach: &Reach,
    clock: &Clock,
) -> Result<String, Failure> {
    let invite = Invite {
        trackers: reach.named(),
        ca: authority.ca(),
        token: authority.invite(disk, uses, validity, clock.wall())?,
    };
    Ok(invite.to_string())
}
