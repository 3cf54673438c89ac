//! `POST /api/pages`: pages of the snapshot, all from the same moment.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use thorp_node::snapshot::{Ask, Page};

use super::asked::Asked;
use crate::refusal::Refusal;
use crate::shared::Shared;

/// The most rows of a page, and names in a row.
pub(super) const MOST_ROWS: usize = 1000;
/// The most pages of one request.
const MOST_PAGES: usize = 8;

#[derive(Deserialize)]
pub(super) struct Wanted {
    asks: Vec<Ask>,
}

#[derive(Serialize)]
pub(super) struct Pages {
    pages: Vec<Page>,
}

pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<Pages>, Refusal> {
    if wanted.asks.len() > MOST_PAGES || !wanted.asks.iter().all(Ask::is_possible) {
        return Err(Refusal::BadRequest);
    }
    let asks = wanted.asks.into_iter().map(|ask| Ask {
        limit: ask.limit.clamp(1, MOST_ROWS),
        names: ask.names.min(MOST_ROWS),
        ..ask
    });
    let pages = shared.node.viewer.all_pages(asks.collect()).await;
    let pages = pages.ok_or(Refusal::Stopping)?;
    Ok(Json(Pages { pages }))
}
