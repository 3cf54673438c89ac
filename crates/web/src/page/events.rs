//! `GET /api/events`: what changes, as lines of JSON.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde::{Deserialize, Serialize};
use serde_json::json;
use thorp_node::api::{Command, Event};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::door::ByBearer;
use crate::refusal::Refusal;
use crate::shared::Shared;

/// How often a stream says that it is still there.
const BEAT: Duration = Duration::from_secs(15);
/// The shortest time between two lines about jobs.
const JOBS_EVERY: Duration = Duration::from_millis(250);
/// How long the last line of a stream may take.
const LAST_WORD: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
pub(super) struct Since {
    since: u64,
}

pub(super) async fn follow(
    State(shared): State<Arc<Shared>>,
    Extension(bearer): ByBearer,
    since: Result<Query<Since>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(Since { since }) = since.map_err(|_| Refusal::BadRequest)?;
    let elsewhere = shared.readers.begin(bearer);
    let (sender, body) = Channel::<Bytes>::new(1);
    tokio::spawn(async move {
        tell(&shared, since, elsewhere, sender).await;
    });
    let lines = HeaderValue::from_static("application/x-ndjson");
    Ok(([(header::CONTENT_TYPE, lines)], Body::new(body)).into_response())
}

/// Writes lines until the reader hangs up, the node ends, or the same page reads elsewhere.
async fn tell(
    shared: &Shared,
    since: u64,
    mut elsewhere: oneshot::Receiver<()>,
    mut sender: Sender<Bytes>,
) {
    let mut events = (shared.node.ask)(Command::Watch { since });
    let mut village = shared.village.news();
    // What was known before the first change is told as well.
    village.mark_changed();
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut jobs = TellJobs::of(shared);
    loop {
        let lines = tokio::select! {
            event = events.recv() => match event {
                Some(event @ (Event::Changes { .. } | Event::StartAgain { .. })) => {
                    line(&event)
                }
                Some(event) if !event.is_last() => continue,
                Some(_) | None => return,
            },
            Ok(()) = village.changed() => {
                line(&json!({ "event": "village", "village": shared.village.account() }))
            }
            lines = jobs.next(shared) => match lines {
                Some(lines) => lines,
                None => return,
            },
            _ = beats.tick() => line(&json!({ "event": "beat" })),
            _ = &mut elsewhere => {
                let line = line(&json!({ "event": "elsewhere" }));
                let _ = timeout(LAST_WORD, sender.send_data(line.into())).await;
                return;
            }
        };
        // A reader that does not read is sent nothing more: nothing is collected for it.
        let sent = tokio::select! {
            sent = sender.send_data(lines.into()) => sent,
            _ = &mut elsewhere => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

/// What a reader knows of the jobs.
struct TellJobs {
    news: watch::Receiver<u64>,
    /// The latest change that it knows.
    change: u64,
    told: BTreeSet<u64>,
    /// Whether it has been told of all of them, so that it can forget those of an earlier stream.
    has_all: bool,
    /// Whether something has changed since.
    is_due: bool,
    next: Instant,
}

impl TellJobs {
    fn of(shared: &Shared) -> Self {
        Self {
            news: shared.jobs.news(),
            change: 0,
            told: BTreeSet::new(),
            has_all: false,
            is_due: true,
            next: Instant::now(),
        }
    }

    /// Waits until jobs have changed, and returns what is told of that; `None` at the end. Nothing
    /// is lost where it is dropped while it waits.
    async fn next(&mut self, shared: &Shared) -> Option<String> {
        if !self.is_due {
            self.news.changed().await.ok()?;
            self.is_due = true;
        }
        // Progress comes several times a second from each job.
        sleep_until(self.next).await;
        self.is_due = false;
        self.next = Instant::now() + JOBS_EVERY;
        self.news.borrow_and_update();
        let (jobs, all, change) = shared.jobs.since(self.change);
        self.change = change;
        let all: BTreeSet<u64> = all.into_iter().collect();
        let gone = self.told.difference(&all);
        let gone = gone.map(|id| line(&json!({ "event": "job-gone", "id": id })));
        let mut lines: String = gone.collect();
        let is_first = !mem::replace(&mut self.has_all, true);
        lines.push_str(&line(
            &json!({ "event": "jobs", "all": is_first, "jobs": jobs }),
        ));
        self.told = all;
        Some(lines)
    }
}
