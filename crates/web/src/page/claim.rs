//! `GET /api/claim`: which lookups did without the tracker, and what else was counted.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::shared::Shared;

pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Refusal> {
    let lookups = shared.count().await.ok_or(Refusal::Stopping)?;
    let (since_start, hour, day) = shared.counted();
    Ok(Json(json!({
        "since_start": since_start,
        "hour": { "every_s": 300, "steps": hour },
        "day": { "every_s": 3600, "steps": day },
        "spared": lookups,
    })))
}
