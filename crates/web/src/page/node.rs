//! `GET /api/node`: what this node is, which does not change while it runs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use thorp_node::api::JsonPath;
use thorp_node::page::TOKEN_FILE;
use thorp_node::snapshot::SnapshotRow;

use super::pages::MOST_ROWS;
use crate::refusal::Refusal;
use crate::served::PageOf;
use crate::shared::Shared;

pub(super) async fn about(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Refusal> {
    let is_peer = shared.node.kind == PageOf::Peer;
    let (id, name, share) = match shared.node.viewer.node().await {
        Some(SnapshotRow::Node(status)) => (status.id, status.name, status.share),
        Some(SnapshotRow::Tracker(status)) => (status.id, None, None),
        _ => return Err(Refusal::Stopping),
    };
    let token_file = shared.state.join(TOKEN_FILE);
    Ok(Json(json!({
        "id": id,
        "name": name,
        // As it is, a path that is no UTF-8 cannot be written as JSON.
        "share": share.as_deref().map(JsonPath::of),
        "kind": if is_peer { "peer" } else { "tracker" },
        "version": env!("CARGO_PKG_VERSION"),
        "keeps_ca": shared.node.ask_keeper.is_some(),
        "asks_village": is_peer,
        "token_file": JsonPath::of(&token_file),
        "limit": MOST_ROWS,
    })))
}
