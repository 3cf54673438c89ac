//! Who may ask what.
//!
//! ```text
//! site    whether a request comes from the page's own site, or from none
//! answer  the headers that every answer has
//! ```
//!
//! A browser of this machine runs scripts of any site, and other users of this machine can
//! connect. So a request is first looked at for where it comes from, and then for a secret: the
//! page's bearer opens everything, the token of programs opens what is only read.

mod answer;
mod site;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};

use crate::keys::{BearerId, Guest};
use crate::listener::Seat;
use crate::refusal::Refusal;
use crate::shared::Shared;

/// Puts the checks that hold for every request around all routes, and the headers that every
/// answer has.
pub(crate) fn guard(routes: Router<Arc<Shared>>, shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    routes
        .fallback(|| async { Refusal::NotFound })
        .layer(from_fn_with_state(Arc::clone(shared), site::check))
        .layer(from_fn(answer::with_headers))
}

/// Lets a request pass that has the page's bearer. Routes find out which one it was as an
/// `Extension<BearerId>`.
pub(crate) async fn for_page(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    match shared.door.who_asks(request.headers()) {
        Ok(Guest::Page(id)) => {
            on_known(&request);
            request.extensions_mut().insert(id);
            next.run(request).await
        }
        Ok(Guest::Program) => Refusal::ReadOnly.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Lets a request pass that has the page's bearer or the token of programs.
pub(crate) async fn for_readers(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    match shared.door.who_asks(request.headers()) {
        Ok(_) => {
            on_known(&request);
            next.run(request).await
        }
        Err(refusal) => {
            let is_unknown = refusal == Refusal::NoBearer;
            let mut answer = refusal.into_response();
            if is_unknown {
                // A program that has the token in a `.netrc` sends it when it is asked.
                let basic = HeaderValue::from_static("Basic realm=\"thorp\"");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
            }
            answer
        }
    }
}

fn on_known(request: &Request) {
    if let Some(seat) = request.extensions().get::<Arc<Seat>>() {
        seat.on_known();
    }
}

/// The bearer of a request that was let in by [`for_page`].
pub(crate) type ByBearer = Extension<BearerId>;
