//! `POST /api/door`: a code for a bearer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::asked::Asked;
use crate::refusal::Refusal;
use crate::shared::Shared;

#[derive(Deserialize)]
pub(super) struct Entry {
    code: String,
}

pub(super) async fn enter(
    State(shared): State<Arc<Shared>>,
    Asked(entry): Asked<Entry>,
) -> Result<Json<Value>, Refusal> {
    let bearer = shared.door.exchange(&entry.code)?;
    Ok(Json(json!({ "bearer": bearer })))
}
