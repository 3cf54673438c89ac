//! Downloads in the browser.
//!
//! A browser saves a file from an address, to which a script cannot add a bearer. So the address
//! itself is the secret, and is worth nothing once it was used.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::asked::Asked;
use crate::gateway::{self, Form, Wanted};
use crate::listener::Seat;
use crate::refusal::Refusal;
use crate::served::PageOf;
use crate::shared::Shared;
use crate::tickets::{Download, Shape};

/// Answers `POST /api/downloads`.
pub(super) async fn make(
    State(shared): State<Arc<Shared>>,
    Asked(mut download): Asked<Download>,
) -> Result<Json<Value>, Refusal> {
    if shared.node.kind != PageOf::Peer {
        return Err(Refusal::NotFound);
    }
    let name = download.name.trim_end_matches('/').to_owned();
    if name.is_empty() {
        return Err(Refusal::BadRequest);
    }
    let base = name.rsplit('/').next().unwrap_or(&name);
    let file = match download.shape {
        Shape::File => base.to_owned(),
        Shape::Zip => format!("{base}.zip"),
        Shape::Tar => format!("{base}.tar"),
    };
    download.name = name;
    let file = utf8_percent_encode(&file, NON_ALPHANUMERIC).to_string();
    let ticket = shared.tickets.add(Instant::now(), download);
    let ticket = ticket.ok_or(Refusal::Stopping)?;
    Ok(Json(json!({ "url": format!("/download/{ticket}/{file}") })))
}

/// Answers `GET /download/TICKET/NAME`.
pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    Extension(seat): Extension<Arc<Seat>>,
    Path((ticket, _)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    // A look at the headers alone would use it up.
    if method != Method::GET {
        return Refusal::NotFound.into_response();
    }
    match shared.tickets.take(Instant::now(), &ticket) {
        Some(download) => {
            seat.on_known();
            gateway::answer(&shared, wanted(download), &method, &headers).await
        }
        None => Refusal::NotFound.into_response(),
    }
}

fn wanted(download: Download) -> Wanted {
    let form = match download.shape {
        Shape::File => Form::File,
        Shape::Zip => Form::Zip,
        Shape::Tar => Form::Tar,
    };
    Wanted {
        is_folder: form != Form::File,
        name: download.name,
        root: download.root,
        from: download.from,
        form,
    }
}
