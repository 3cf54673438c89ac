//! What there is, for a user who asks: files, members, and how this peer is.
//!
//! Both ends of a survey: the caller's, and what the peer's task remembers of it.
//! What an answer comes to is decided in [`thorp_core::survey`] and
//! [`thorp_core::peer`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use thorp_core::matching::Pattern;
use thorp_core::peer::{Input, SurveyId, Unanswered, Wish};
use thorp_core::survey::{Coverage, Findings};
use thorp_files::leftovers::Leftovers;
use thorp_wire::frame::Holder;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::telling::say_if_partial;
use super::{Abandoned, Peer, Request};
use crate::api::{Done, Event, Failure, Note, PartialFiles, PeerRow};
use crate::drive::caller::{Events, tell};
use crate::rows;
use crate::snapshot::{self, Ask, SnapshotRow};

/// A survey that a caller begins.
pub(super) struct Survey {
    id: SurveyId,
    wish: Wish,
    /// Whether to add what this peer has itself.
    own_too: bool,
    told: mpsc::UnboundedSender<Told>,
}

/// What a caller is told: one part, and the next when it has taken that. So the
/// channel needs no bound of its own.
enum Told {
    Part(Findings),
    Over(Result<Coverage, Unanswered>),
}

/// The surveys that callers wait for.
#[derive(Default)]
pub(super) struct Surveys {
    waiting: HashMap<SurveyId, mpsc::UnboundedSender<Told>>,
}

impl Surveys {
    /// A caller waits for this. `itself` is this peer as others see it.
    pub(super) fn on_survey(&mut self, survey: Survey, itself: Option<Holder>) -> Input {
        let Survey {
            id,
            wish,
            own_too,
            told,
        } = survey;
        self.waiting.insert(id, told);
        let itself = itself.filter(|_| own_too).map(Box::new);
        Input::Survey {
            survey: id,
            wish,
            itself,
        }
    }

    /// Where its caller is gone, it is abandoned.
    pub(super) fn on_part(&mut self, id: SurveyId, part: Findings) -> Option<Input> {
        let told = self.waiting.get(&id)?.send(Told::Part(part));
        told.is_err().then(|| self.abandon(id))
    }

    pub(super) fn on_over(&mut self, id: SurveyId, end: Result<Coverage, Unanswered>) {
        if let Some(told) = self.waiting.remove(&id) {
            let _ = told.send(Told::Over(end));
        }
    }

    /// No caller waits for this any more.
    pub(super) fn abandon(&mut self, id: SurveyId) -> Input {
        self.waiting.remove(&id);
        Input::AbandonSurvey { survey: id }
    }
}

/// A survey from its caller's end. Dropped before it is over, it is abandoned.
struct Surveying<'a> {
    peer: &'a Peer,
    id: SurveyId,
    told: mpsc::UnboundedReceiver<Told>,
    /// Whether a part was told that was not said to be taken.
    has_part: bool,
    is_over: bool,
}

impl<'a> Surveying<'a> {
    async fn begin(peer: &'a Peer, wish: Wish, own_too: bool) -> Self {
        let id = peer.next_survey();
        let (sender, told) = mpsc::unbounded_channel();
        let survey = Survey {
            id,
            wish,
            own_too,
            told: sender,
        };
        peer.tell(Request::Survey(survey)).await;
        Self {
            peer,
            id,
            told,
            has_part: false,
            is_over: false,
        }
    }

    /// The next part, or how it has ended.
    async fn next(&mut self) -> Told {
        if std::mem::take(&mut self.has_part) {
            self.peer.tell(Request::Taken(self.id)).await;
        }
        // Without an answer the task has ended.
        let told = self.told.recv().await;
        let told = told.unwrap_or(Told::Over(Err(Unanswered::Stopping)));
        match &told {
            Told::Part(_) => self.has_part = true,
            Told::Over(_) => self.is_over = true,
        }
        told
    }
}

impl Drop for Surveying<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.peer.abandon(Abandoned::Survey(self.id));
        }
    }
}

/// The files that match a pattern.
pub(super) async fn find(peer: &Peer, pattern: &str, events: &Events) -> Result<Done, Failure> {
    let pattern = Pattern::new(pattern).map_err(|error| Failure::NotAPattern {
        pattern: pattern.to_owned(),
        why: error.to_string(),
    })?;
    files(peer, Wish::Files(pattern), events).await
}

/// All files: of a peer, of a folder, or both.
pub(super) async fn ls(
    peer: &Peer,
    whose: Option<String>,
    folder: Option<String>,
    events: &Events,
) -> Result<Done, Failure> {
    files(peer, Wish::Listing { whose, folder }, events).await
}

async fn files(peer: &Peer, wish: Wish, events: &Events) -> Result<Done, Failure> {
    let mut survey = Surveying::begin(peer, wish, true).await;
    let mut done = Done::default();
    loop {
        match survey.next().await {
            Told::Part(Findings::Files(files)) => {
                for variant in &files {
                    done.count += 1;
                    done.bytes = done.bytes.saturating_add(variant.entry.length);
                    tell(events, Event::File(rows::file(variant))).await;
                }
            }
            Told::Part(Findings::Members(_)) => {}
            Told::Over(Ok(coverage)) => {
                say_if_partial(peer, coverage, events).await?;
                return Ok(done);
            }
            Told::Over(Err(Unanswered::NoFiles)) => {
                tell(events, Event::Note(Note::NoFiles)).await;
                return Ok(done);
            }
            Told::Over(Err(why)) => return Err(unanswered(peer, why)),
        }
    }
}

pub(super) async fn peers(peer: &Peer, events: &Events) -> Result<Done, Failure> {
    let mut survey = Surveying::begin(peer, Wish::Members, false).await;
    let mut members = Vec::new();
    let coverage = loop {
        match survey.next().await {
            Told::Part(Findings::Members(rows)) => members.extend(rows),
            Told::Part(Findings::Files(_)) => {}
            Told::Over(Ok(coverage)) => break coverage,
            Told::Over(Err(why)) => return Err(unanswered(peer, why)),
        }
    };
    let rows = rows::peers(members, peer.itself().as_ref());
    let done = list(rows, events).await;
    say_if_partial(peer, coverage, events).await?;
    Ok(done)
}

pub(super) async fn neighbours(peer: &Peer, events: &Events) -> Result<Done, Failure> {
    let neighbours = peer.viewer.neighbours().await;
    let neighbours = neighbours.ok_or_else(|| peer.ended())?;
    Ok(list(neighbours, events).await)
}

pub(super) async fn status(peer: &Peer, events: &Events) -> Result<Done, Failure> {
    let Some(SnapshotRow::Node(mut status)) = peer.viewer.node().await else {
        return Err(peer.ended());
    };
    if let Some(share) = status.share.clone() {
        status.partial = partial_files(share).await;
    }
    (status.page, status.token_file) = peer.page.shown();
    tell(events, Event::Status(status)).await;
    Ok(Done::default())
}

/// Counted as long as a user waits gladly.
const COUNTED_WITHIN: Duration = Duration::from_millis(700);

async fn partial_files(share: PathBuf) -> Option<PartialFiles> {
    let deadline = Instant::now() + COUNTED_WITHIN;
    let work = thorp_disk::spawn(move |disk| Leftovers::find(disk, &share, Some(deadline)));
    // A disk that does not answer is not waited for.
    let found = timeout(2 * COUNTED_WITHIN, work).await.ok()?.ok()?.ok()?;
    Some(PartialFiles {
        files: found.files.len() as u64,
        bytes: found.bytes(),
        in_part: found.in_part,
    })
}

pub(super) async fn page(peer: &Peer, ask: Ask, events: &Events) -> Result<Done, Failure> {
    let page = snapshot::page(&peer.viewer, ask, Failure::PeerStopping).await?;
    let done = page.done();
    tell(events, Event::Page(page)).await;
    Ok(done)
}

fn unanswered(peer: &Peer, why: Unanswered) -> Failure {
    match why {
        Unanswered::NoPeerCalled(who) => Failure::NoPeerCalled { who },
        Unanswered::NoFolderCalled(folder) => Failure::NoFolderCalled { folder },
        Unanswered::NoPeerOrFolderCalled(called) => Failure::NoPeerOrFolderCalled { called },
        Unanswered::NoPattern { folder, why } => Failure::NotAPattern {
            pattern: folder,
            why: why.to_string(),
        },
        Unanswered::Removed => Failure::Removed,
        // That no peer shares anything is no failure, and said before.
        Unanswered::NoFiles | Unanswered::Stopping => peer.ended(),
    }
}

async fn list(peers: Vec<PeerRow>, events: &Events) -> Done {
    let count = peers.len() as u64;
    for row in peers {
        tell(events, Event::Peer(row)).await;
    }
    Done {
        count,
        ..Done::default()
    }
}
