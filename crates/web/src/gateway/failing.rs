//! Why there is no file, as HTTP says it.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thorp_node::api::{ErrorKind, Failure, FileRow, Miss};
use thorp_node::peer::NotRead;

use super::html::escaped;
use super::path::{query_of, url_of};
use super::{OF_OWN_DOCUMENTS, Wanted};
use crate::refusal::{self, Refusal, Saying, said};
use crate::variant::Variant;

/// When to come back for what may come later, in seconds.
const LATER: HeaderValue = HeaderValue::from_static("5");

/// Why a file cannot be read.
pub(super) fn not_read(
    not: NotRead,
    wanted: &Wanted,
    headers: &HeaderMap,
    say: Saying,
) -> Response {
    let NotRead { failure, variants } = not;
    if !variants.is_empty() {
        return several(*failure, variants, wanted, headers, say);
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
    let mut answer = Refusal::TooMany.into_response();
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
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

fn in_json(status: StatusCode, value: &serde_json::Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    let body = format!("{value}\n");
    (status, [(header::CONTENT_TYPE, json)], body).into_response()
}

fn in_html(status: StatusCode, body: String) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [
        (header::CONTENT_TYPE, html),
        (header::CONTENT_SECURITY_POLICY, OF_OWN_DOCUMENTS),
    ];
    (status, headers, body).into_response()
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
fn several(
    failure: Failure,
    variants: Vec<FileRow>,
    wanted: &Wanted,
    headers: &HeaderMap,
    say: Saying,
) -> Response {
    let status = StatusCode::MULTIPLE_CHOICES;
    let variants = Variant::first(variants);
    let url = |row: &FileRow| {
        let root = row.root.as_deref().unwrap_or_default();
        url_of(&row.name, false) + &query_of(Some(root), wanted)
    };
    if wants_html(headers) {
        let rows = variants.iter().map(|variant| {
            let row = &variant.row;
            let holders = row.holders.iter().map(|holder| {
                let name = holder.member.name.as_deref();
                format!(" {}", escaped(name.unwrap_or(&holder.member.address)))
            });
            let holders: String = holders.collect();
            let more = match variant.holders_total - row.holders.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "<li><a href=\"{}\">{}</a> {} bytes{holders}{more}</li>\n",
                escaped(&url(row)),
                escaped(&row.name),
                row.length,
            )
        });
        let rows: String = rows.collect();
        let body = format!(
            "<!doctype html>\n<meta charset=\"utf-8\">\n<title>300</title>\n<ul>\n{rows}</ul>\n"
        );
        return in_html(status, body);
    }
    let rows = variants.iter().map(|variant| {
        let mut value = serde_json::to_value(variant).unwrap_or_default();
        value["url"] = url(&variant.row).into();
        value
    });
    let rows: Vec<serde_json::Value> = rows.collect();
    let error = said(failure, say);
    in_json(status, &json!({ "error": error, "variants": rows }))
}

/// Returns the status for a failure, where the name of a file is the whole request.
fn status_of(failure: &Failure) -> StatusCode {
    match failure {
        Failure::NoRoomToRead { .. } | Failure::NoDiskToRead { .. } => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        Failure::Reserved { .. } => StatusCode::NOT_FOUND,
        Failure::Missed {
            miss: Miss::Unreadable,
            ..
        } => StatusCode::SERVICE_UNAVAILABLE,
        _ => match failure.kind() {
            ErrorKind::Ambiguous => StatusCode::MULTIPLE_CHOICES,
            kind => refusal::status_of(kind),
        },
    }
}

#[cfg(test)]
mod tests {
    use thorp_node::api::{Doubt, Event};

    use super::*;

    #[test]
    fn a_choice_leads_on_to_the_same_peer_and_its_links_are_of_this_site() {
        let row = |root: &str| FileRow {
            name: "a.txt".into(),
            length: 1,
            mtime: 0,
            mtime_ns: 0,
            executable: false,
            root: Some(root.into()),
            holders: Vec::new(),
        };
        let not = NotRead {
            failure: Box::new(Failure::Ambiguous {
                name: "a.txt".into(),
                doubt: Doubt::Several,
            }),
            variants: vec![row("1a"), row("2b")],
        };
        let wanted = Wanted {
            name: "a.txt".into(),
            from: Some("oak".into()),
            ..Wanted::default()
        };
        let say = |_: &Event| serde_json::Value::Null;
        let answer = not_read(not, &wanted, &HeaderMap::new(), say);
        assert_eq!(answer.status(), StatusCode::MULTIPLE_CHOICES);
        let policy = answer.headers().get(header::CONTENT_SECURITY_POLICY);
        assert_eq!(policy, Some(&OF_OWN_DOCUMENTS));
    }

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
