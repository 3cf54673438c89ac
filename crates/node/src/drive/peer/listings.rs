//! What there is, for a user who asks: files, members, and how this peer is.
//!
//! Both ends of a survey: the caller's, and what the peer's task remembers of it.
//! What an answer comes to is decided in [`thorp_core::survey`] and
//! [`thorp_core::peer`].

use std::collections::HashMap;

use thorp_core::matching::Pattern;
use thorp_core::peer::{AskId, Input, Unanswered, Wish};
use thorp_core::survey::Findings;
use thorp_wire::frame::Holder;
use tokio::sync::oneshot;

use super::telling::{Events, say_if_partial, tell};
use super::{Peer, Request};
use crate::api::{Done, Event, Failure, Note, PeerRow};
use crate::rows;
use crate::snapshot::{self, Ask, SnapshotRow};

/// A survey that a caller waits for.
pub(super) struct Survey {
    wish: Wish,
    /// Whether to add what this peer has itself.
    own_too: bool,
    reply: oneshot::Sender<Answer>,
}

type Answer = Result<Findings, Unanswered>;

/// The surveys that callers wait for.
#[derive(Default)]
pub(super) struct Surveys {
    waiting: HashMap<AskId, oneshot::Sender<Answer>>,
    last: u64,
}

impl Surveys {
    /// A caller waits for this. `itself` is this peer as others see it.
    pub(super) fn on_survey(&mut self, survey: Survey, itself: Option<Holder>) -> Input {
        let Survey {
            wish,
            own_too,
            reply,
        } = survey;
        self.last += 1;
        let ask = AskId(self.last);
        self.waiting.insert(ask, reply);
        let itself = itself.filter(|_| own_too).map(Box::new);
        Input::Survey { ask, wish, itself }
    }

    pub(super) fn on_surveyed(&mut self, ask: AskId, answer: Answer) {
        if let Some(reply) = self.waiting.remove(&ask) {
            // A caller that waits no more needs no answer.
            let _ = reply.send(answer);
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
    let findings = match survey(peer, wish, true).await? {
        Ok(findings) => findings,
        Err(no_files) => {
            tell(events, Event::Note(no_files)).await;
            return Ok(Done::default());
        }
    };
    say_if_partial(peer, &findings, events).await?;
    let mut done = Done::default();
    for variant in &findings.files {
        done.count += 1;
        done.bytes += variant.entry.length;
        tell(events, Event::File(rows::file(variant))).await;
    }
    Ok(done)
}

pub(super) async fn peers(peer: &Peer, events: &Events) -> Result<Done, Failure> {
    let findings = survey(peer, Wish::Members, false)
        .await?
        .unwrap_or_default();
    say_if_partial(peer, &findings, events).await?;
    let rows = rows::peers(findings.members, peer.itself().as_ref());
    Ok(list(rows, events).await)
}

pub(super) async fn neighbours(peer: &Peer, events: &Events) -> Result<Done, Failure> {
    let neighbours = peer.viewer.neighbours().await;
    let neighbours = neighbours.ok_or_else(|| peer.ended())?;
    Ok(list(neighbours, events).await)
}

pub(super) async fn status(peer: &Peer, events: &Events) -> Result<Done, Failure> {
    let Some(SnapshotRow::Node(status)) = peer.viewer.node().await else {
        return Err(peer.ended());
    };
    tell(events, Event::Status(status)).await;
    Ok(Done::default())
}

pub(super) async fn page(peer: &Peer, ask: Ask, events: &Events) -> Result<Done, Failure> {
    let page = snapshot::page(&peer.viewer, ask, Failure::PeerStopping).await?;
    let done = page.done();
    tell(events, Event::Page(page)).await;
    Ok(done)
}

/// What a wish comes to, or the remark that no peer shares anything.
async fn survey(peer: &Peer, wish: Wish, own_too: bool) -> Result<Result<Findings, Note>, Failure> {
    let (reply, answer) = oneshot::channel();
    let survey = Survey {
        wish,
        own_too,
        reply,
    };
    peer.tell(Request::Survey(survey)).await;
    // Without an answer the task has ended.
    let why = match answer.await.unwrap_or(Err(Unanswered::Stopping)) {
        Ok(findings) => return Ok(Ok(findings)),
        Err(why) => why,
    };
    Err(match why {
        Unanswered::NoFiles => return Ok(Err(Note::NoFiles)),
        Unanswered::NoPeerCalled(who) => Failure::NoPeerCalled { who },
        Unanswered::NoFolderCalled(folder) => Failure::NoFolderCalled { folder },
        Unanswered::NoPeerOrFolderCalled(called) => Failure::NoPeerOrFolderCalled { called },
        Unanswered::NoPattern { folder, why } => Failure::NotAPattern {
            pattern: folder,
            why: why.to_string(),
        },
        Unanswered::Removed => Failure::Removed,
        Unanswered::Stopping => peer.ended(),
    })
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
