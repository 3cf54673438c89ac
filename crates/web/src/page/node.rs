//! `GET /api/node`: what this node is, which does not change while it runs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use thorp_node::page::TOKEN_FILE;

use super::pages::MOST_ROWS;
use crate::served::PageOf;
use crate::shared::Shared;

pub(super) async fn about(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let is_peer = shared.node.kind == PageOf::Peer;
    Json(json!({
        "kind": if is_peer { "peer" } else { "tracker" },
        "version": env!("CARGO_PKG_VERSION"),
        "keeps_ca": shared.node.ask_keeper.is_some(),
        "asks_village": is_peer,
        "token_file": shared.state.join(TOKEN_FILE),
        "limit": MOST_ROWS,
    }))
}
