//! Why there is no file, as HTTP says it.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thorp_node::api::{ErrorKind, Event, Failure, FileRow, Miss};
use thorp_node::peer::NotRead;

use super::html::escaped;
use super::path::url_of;
use crate::refusal::Saying;

/// When to come back for what may come later, in seconds.
const LATER: HeaderValue = HeaderValue::from_static("5");

/// Why a file cannot be read.
pub(super) fn not_read(not: NotRead, headers: &HeaderMap, say: Saying) -> Response {
    let NotRead { failure, variants } = not;
    if !variants.is_empty() {
        return several(&failure, &variants, headers, say);
    }
    failed(*failure, say)
}

/// A failure of the node, with the program's sentence for it.
pub(super) fn failed(failure: Failure, say: Saying) -> Response {
    let status = status_of(&failure);
    let error = said(failure, say);
    let mut answer = in_json(status, &json!({ "error": error }));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, LATER);
    }
    answer
}

/// So much goes on at this moment that nothing more can.
pub(super) fn busy() -> Response {
    let error = json!({ "error": { "code": "too-many" } });
    let mut answer = in_json(StatusCode::SERVICE_UNAVAILABLE, &error);
    answer.headers_mut().insert(header::RETRY_AFTER, LATER);
    answer
}

/// It is at this path.
pub(super) fn elsewhere(location: &str) -> Response {
    let location = HeaderValue::from_str(location);
    let location = location.unwrap_or(HeaderValue::from_static("/get/"));
    (
        StatusCode::MOVED_PERMANENTLY,
        [(header::LOCATION, location)],
    )
        .into_response()
}

pub(super) fn in_json(status: StatusCode, value: &serde_json::Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    let body = format!("{value}\n");
    (status, [(header::CONTENT_TYPE, json)], body).into_response()
}

pub(super) fn in_html(status: StatusCode, body: String) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, html)], body).into_response()
}

/// Whether the asker would rather read HTML than JSON.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    // Programs for the command line say `*/*`, and wget follows links in HTML only.
    let accept = accept.unwrap_or("*/*");
    let place = |kind: &str| accept.find(kind).unwrap_or(usize::MAX);
    place("application/json") >= place("text/html").min(place("*/*"))
}

/// Several contents go by the name: which, and how each is asked for.
fn several(failure: &Failure, variants: &[FileRow], headers: &HeaderMap, say: Saying) -> Response {
    let status = StatusCode::MULTIPLE_CHOICES;
    let url = |row: &FileRow| {
        let root = row.root.as_deref().unwrap_or_default();
        format!("{}?root={root}", url_of(&row.name, false))
    };
    if wants_html(headers) {
        let rows = variants.iter().map(|row| {
            let holders = row.holders.iter().map(|holder| {
                let name = holder.member.name.as_deref();
                escaped(name.unwrap_or(&holder.member.address))
            });
            let holders: Vec<String> = holders.collect();
            format!(
                "<li><a href=\"{}\">{}</a> {} bytes, {}</li>\n",
                escaped(&url(row)),
                escaped(&row.name),
                row.length,
                holders.join(" ")
            )
        });
        let rows: String = rows.collect();
        let body = format!(
            "<!doctype html>\n<meta charset=\"utf-8\">\n<title>300</title>\n<ul>\n{rows}</ul>\n"
        );
        return in_html(status, body);
    }
    let rows = variants.iter().map(|row| {
        let mut value = serde_json::to_value(row).unwrap_or_default();
        value["url"] = url(row).into();
        value
    });
    let rows: Vec<serde_json::Value> = rows.collect();
    let error = said(failure.clone(), say);
    in_json(status, &json!({ "error": error, "variants": rows }))
}

fn said(failure: Failure, say: Saying) -> serde_json::Value {
    let said = say(&Event::Error(failure));
    json!({ "code": said["kind"], "message": said["message"] })
}

/// Returns the status for a failure.
fn status_of(failure: &Failure) -> StatusCode {
    match failure {
        Failure::NoRoomToRead { .. } => StatusCode::INSUFFICIENT_STORAGE,
        Failure::Reserved { .. } => StatusCode::NOT_FOUND,
        Failure::Missed {
            miss: Miss::Unreadable,
            ..
        } => StatusCode::SERVICE_UNAVAILABLE,
        _ => match failure.kind() {
            ErrorKind::Usage => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Ambiguous => StatusCode::MULTIPLE_CHOICES,
            ErrorKind::Exists => StatusCode::CONFLICT,
            ErrorKind::Network | ErrorKind::Unfinished => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Verification => StatusCode::BAD_GATEWAY,
            ErrorKind::NotAMember => StatusCode::FORBIDDEN,
            ErrorKind::Other => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_and_wget_read_html_and_a_program_that_says_so_json() {
        for (accept, html) in [
            (None, true),
            (Some("*/*"), true),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), true),
            (Some("application/json"), false),
            (Some("application/json, */*"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().expect("a value"));
            }
            assert_eq!(wants_html(&headers), html, "{accept:?}");
        }
    }

    #[test]
    fn what_may_come_later_says_so_and_what_did_not_verify_is_no_such_thing() {
        let say = |_: &Event| serde_json::Value::Null;
        let busy = failed(Failure::TrackerBusy, say);
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(busy.headers().contains_key(header::RETRY_AFTER));
        let nobody = Failure::NobodyShares {
            from: None,
            root: None,
        };
        assert_eq!(failed(nobody, say).status(), StatusCode::NOT_FOUND);
        let room = Failure::NoRoomToRead { length: 2, most: 1 };
        assert_eq!(failed(room, say).status(), StatusCode::INSUFFICIENT_STORAGE);
    }
}
