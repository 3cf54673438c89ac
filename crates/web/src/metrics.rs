//! Figures of the node, for Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use crate::door;
use crate::refusal::Refusal;
use crate::shared::Shared;

/// Returns the route, which the page and programs with the token may ask.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/metrics", get(|| async { Refusal::NotFound }))
        .route_layer(from_fn_with_state(Arc::clone(shared), door::for_readers))
}
