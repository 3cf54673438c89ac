//! The files of the page. They are in the program, and say nothing about a node.

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::refusal::Refusal;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const INDEX: &str = include_str!("../../assets/index.html");

/// The files that `index.html` names, by their names under `/assets/`.
const ASSETS: &[(&str, &str, &str)] = &[
    ("page.css", CSS, include_str!("../../assets/page.css")),
    ("page.js", SCRIPT, include_str!("../../assets/page.js")),
];

/// Answers `/`.
pub(super) async fn index() -> Response {
    file(HTML, INDEX)
}

/// Answers `/assets/NAME`.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(called, ..)| *called == name) {
        Some((_, kind, text)) => file(kind, text),
        None => Refusal::NotFound.into_response(),
    }
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let kind = HeaderValue::from_static(kind);
    // The next version of the program has other files under the same names.
    let fresh = HeaderValue::from_static("no-cache");
    (
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, fresh)],
        text,
    )
        .into_response()
}
