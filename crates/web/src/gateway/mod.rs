//! A file by its name, as it arrives: any part of it, and folders as a listing, a zip or a tar.
//!
//! ```text
//! path     which name a URL's path means, and what is asked of it
//! serving  the answer for one file: its headers, and its bytes as they come
//! terms    ranges and conditional requests
//! kind     what a browser may show, and what it only saves
//! folder   a listing
//! archive  a folder as zip or tar
//! failing  why there is no file, as HTTP says it
//! html     texts of others in HTML
//! ```
//!
//! What members share is hostile: it is shown only where it can do nothing, and each answer says
//! that it may do nothing.

mod archive;
mod failing;
mod folder;
mod html;
mod kind;
mod path;
mod serving;
mod terms;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::door;
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::village::survey;

use path::Asked;

/// What each answer may do in a browser: nothing.
const POLICY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");
/// What documents that are written here may do: nothing but lead on. With an origin of their own
/// their links would be those of another site.
const OF_OWN_DOCUMENTS: HeaderValue =
    HeaderValue::from_static("sandbox allow-same-origin allow-downloads; default-src 'none'");

/// What is wanted of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// The file, or a folder's listing.
    #[default]
    File,
    /// A folder as a zip.
    Zip,
    /// A folder as a tar.
    Tar,
}

/// Which file or folder is wanted, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its path, or the last part of it; empty for all there is.
    pub name: String,
    /// Whether it was said to be a folder.
    pub is_folder: bool,
    /// The beginning of the content's root.
    pub root: Option<String>,
    /// The only peer to read from.
    pub from: Option<String>,
    /// As what.
    pub form: Form,
}

impl Wanted {
    /// Whose files these are, where it is a folder.
    fn files(&self) -> survey::Wanted<'_> {
        survey::Wanted {
            folder: &self.name,
            from: self.from.as_deref(),
        }
    }
}

/// Returns the routes, which the page and programs with the token may ask.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/get", get(by_name))
        .route("/get/", get(by_name))
        .route("/get/{*name}", get(by_name))
        .route_layer(from_fn_with_state(Arc::clone(shared), door::for_readers))
}

async fn by_name(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked = Asked::of(request.uri());
    match asked {
        Ok(Asked::Wanted(wanted)) => {
            answer(&shared, wanted, request.method(), request.headers()).await
        }
        Ok(Asked::Elsewhere(location)) => with_policy(failing::elsewhere(&location)),
        Err(refusal) => with_policy(refusal.into_response()),
    }
}

/// Answers a request for a file or a folder. Every answer says that a browser lets it do nothing.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    wanted: Wanted,
    method: &Method,
    headers: &HeaderMap,
) -> Response {
    let Some(peer) = shared.node.peer.clone() else {
        // A tracker reads no files.
        return with_policy(Refusal::NotFound.into_response());
    };
    let is_folder = wanted.is_folder || wanted.name.is_empty();
    let answer = match wanted.form {
        Form::Zip | Form::Tar => archive::answer(shared, &peer, &wanted, method).await,
        Form::File if is_folder => folder::answer(shared, &wanted, headers).await,
        Form::File => serving::answer(shared, &peer, &wanted, method, headers).await,
    };
    with_policy(answer)
}

fn with_policy(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(POLICY);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private, no-cache"));
    answer
}
