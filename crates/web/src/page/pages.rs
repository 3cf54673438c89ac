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
/// The most rows of one request, and names in all its rows: its pages are made in one go, in which
/// the node does nothing else.
const MOST_COST: usize = 200_000;

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
    let asks: Vec<_> = asks.collect();
    if cost_of(&asks) > MOST_COST {
        return Err(Refusal::BadRequest);
    }
    let pages = shared.node.viewer.all_pages(asks).await;
    let pages = pages.ok_or(Refusal::Stopping)?;
    Ok(Json(Pages { pages }))
}

/// Returns the most rows that pages can have, and names in these.
fn cost_of(asks: &[Ask]) -> usize {
    asks.iter().map(|ask| ask.limit * (1 + ask.names)).sum()
}

#[cfg(test)]
mod tests {
    use thorp_node::snapshot::Part;

    use super::*;

    #[test]
    fn what_the_page_reads_at_first_is_within_the_bound_and_not_all_of_everything() {
        let ask = |names| Ask {
            names,
            ..Ask::first(Part::Peers, MOST_ROWS)
        };
        assert!(cost_of(&vec![ask(20); MOST_PAGES]) <= MOST_COST);
        assert!(cost_of(&[ask(MOST_ROWS)]) > MOST_COST);
    }
}
