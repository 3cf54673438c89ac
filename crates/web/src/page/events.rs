//! `GET /api/events`: what changes, as lines of JSON.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;
use serde_json::json;
use thorp_node::api::{Command, Event};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::door::ByBearer;
use crate::refusal::Refusal;
use crate::shared::Shared;

/// How often a stream says that it is still there.
const BEAT: Duration = Duration::from_secs(15);
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
    let room = shared.stream()?;
    let elsewhere = shared.readers.begin(bearer);
    let (sender, body) = Channel::<Bytes>::new(1);
    tokio::spawn(async move {
        tell(&shared, since, elsewhere, sender).await;
        drop(room);
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
    loop {
        let line = tokio::select! {
            event = events.recv() => match event {
                Some(event @ (Event::Changes { .. } | Event::StartAgain { .. })) => {
                    serde_json::to_string(&event).unwrap_or_default()
                }
                Some(Event::Done(_) | Event::Error(_)) | None => return,
                Some(_) => continue,
            },
            Ok(()) = village.changed() => {
                json!({ "event": "village", "village": shared.village.account() }).to_string()
            }
            _ = beats.tick() => json!({ "event": "beat" }).to_string(),
            _ = &mut elsewhere => {
                let line = json!({ "event": "elsewhere" }).to_string() + "\n";
                let _ = timeout(LAST_WORD, sender.send_data(line.into())).await;
                return;
            }
        };
        // A reader that does not read is sent nothing more: nothing is collected for it.
        let sent = tokio::select! {
            sent = sender.send_data((line + "\n").into()) => sent,
            _ = &mut elsewhere => return,
        };
        if sent.is_err() {
            return;
        }
    }
}
