//! The answer for one file: its headers, and its bytes as they come.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use thorp_node::api::{Failure, Read};
use thorp_node::peer::{NotRead, Peer, Reading, Unopened};
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
    let found = match peer.find(read).await {
        Ok(found) => found,
        Err(not) if matches!(*not.failure, Failure::IsFolder { .. }) => {
            let query = query_of(None, wanted);
            return failing::elsewhere(&(url_of(&wanted.name, true) + &query));
        }
        Err(not) => return failing::not_read(not, wanted, headers, shared.node.say),
    };
    let state = State::new(&found.root(), found.mtime(), found.length());
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
    let kind = kind::of(found.name());
    // Up to here nothing is fetched: who does not want its bytes causes no fetch.
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        match begun(found, part.clone()).await {
            Ok(begun) => begun.body(place),
            Err(not) => return failing::not_read(not, wanted, headers, shared.node.say),
        }
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

/// A part of a file whose first bytes are here.
struct Begun {
    reading: Reading,
    first: Vec<u8>,
    rest: Range<u64>,
}

/// Opens a file, and waits for the first bytes of a part: what fails until then, or does not
/// verify, has its own status.
async fn begun(found: Unopened, part: Range<u64>) -> Result<Begun, NotRead> {
    let mut reading = found.open().await?;
    let first = reading.read(part.clone()).await?;
    let rest = part.start + first.len() as u64..part.end;
    Ok(Begun {
        reading,
        first,
        rest,
    })
}

impl Begun {
    /// The bytes of the part, read as they are asked for. A failure ends the connection before its
    /// time: who reads it knows how many bytes were to come.
    fn body(self, place: OwnedSemaphorePermit) -> Body {
        let first = (!self.first.is_empty()).then(|| Ok(Bytes::from(self.first)));
        let rest = Some((self.reading, self.rest, place));
        let rest = stream::unfold(rest, async |rest| {
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
        });
        Body::from_stream(stream::iter(first).chain(rest))
    }
}
