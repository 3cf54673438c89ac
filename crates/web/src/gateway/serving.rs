//! The answer for one file: its headers, and its bytes as they come.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use thorp_node::api::{Failure, Read};
use thorp_node::peer::{Peer, Reading};
use tokio::sync::OwnedSemaphorePermit;

use super::path::{query_of, url_of};
use super::terms::{State, Terms};
use super::{Wanted, failing, kind};
use crate::shared::Shared;

pub(super) async fn answer(
    shared: &Arc<Shared>,
    peer: &Peer,
    wanted: &Wanted,
    method: &Method,
    headers: &HeaderMap,
) -> Response {
    let Ok(place) = shared.stream() else {
        return failing::busy();
    };
    let read = Read {
        name: wanted.name.clone(),
        from: wanted.from.clone(),
        root: wanted.root.clone(),
        hidden: false,
    };
    let reading = match peer.read(read).await {
        Ok(reading) => reading,
        Err(not) if matches!(*not.failure, Failure::IsFolder { .. }) => {
            let query = query_of(None, wanted);
            return failing::elsewhere(&(url_of(&wanted.name, true) + &query));
        }
        Err(not) => return failing::not_read(not, wanted, headers, shared.node.say),
    };
    let state = State::new(&reading.root(), reading.mtime(), reading.length());
    let (status, part) = match state.judge(headers) {
        // Parts are asked for by GET only (RFC 9110, section 14.2).
        Terms::Part(_) | Terms::NoSuchPart if method == Method::HEAD => {
            (StatusCode::OK, 0..state.length)
        }
        Terms::Whole => (StatusCode::OK, 0..state.length),
        Terms::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Terms::NoSuchPart => return no_such_part(&state),
        Terms::NotModified => return with_tag(StatusCode::NOT_MODIFIED.into_response(), &state),
        Terms::Failed => return StatusCode::PRECONDITION_FAILED.into_response(),
    };
    let kind = kind::of(reading.name());
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        bytes_of(reading, part.clone(), place)
    };
    let mut answer = with_tag((status, body).into_response(), &state);
    let headers = answer.headers_mut();
    let mut put = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_LENGTH, (part.end - part.start).to_string());
    put(header::CONTENT_TYPE, kind.content_type);
    put(header::CONTENT_DISPOSITION, kind.disposition);
    if status == StatusCode::PARTIAL_CONTENT {
        let (first, last, of) = (part.start, part.end - 1, state.length);
        put(header::CONTENT_RANGE, format!("bytes {first}-{last}/{of}"));
    }
    answer
}

fn no_such_part(state: &State) -> Response {
    let of = HeaderValue::from_str(&format!("bytes */{}", state.length));
    let of = of.unwrap_or(HeaderValue::from_static("bytes */*"));
    let headers = [(header::CONTENT_RANGE, of)];
    with_tag(
        (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response(),
        state,
    )
}

/// Adds what says which content it is.
fn with_tag(mut answer: Response, state: &State) -> Response {
    let headers = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&state.tag) {
        headers.insert(header::ETAG, tag);
    }
    let modified = state.modified();
    if let Some(Ok(modified)) = modified.map(|modified| HeaderValue::from_str(&modified)) {
        headers.insert(header::LAST_MODIFIED, modified);
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer
}

/// The bytes of a part, read as they are asked for. A failure ends the connection before its time:
/// who reads it knows how many bytes were to come.
fn bytes_of(reading: Reading, part: Range<u64>, place: OwnedSemaphorePermit) -> Body {
    let rest = Some((reading, part, place));
    Body::from_stream(stream::unfold(rest, async |rest| {
        let (mut reading, part, place) = rest?;
        if part.is_empty() {
            return None;
        }
        match reading.read(part.clone()).await {
            Ok(bytes) => {
                let next = part.start + bytes.len() as u64..part.end;
                Some((Ok(Bytes::from(bytes)), Some((reading, next, place))))
            }
            Err(failure) => {
                let kind = failure.kind();
                tracing::info!(?kind, "a file that is read breaks off");
                Some((Err(io::Error::other("the file cannot be read on")), None))
            }
        }
    }))
}
