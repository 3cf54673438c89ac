//! The page's assets and its API. The routes and their JSON are described in `API.md`.
//!
//! ```text
//! assets   the files of the page, which are in the program
//! asked    the JSON of a request
//! entry    a code for a bearer
//! node     what this node is
//! pages    pages of the snapshot
//! events   what changes, as it does
//! files    what the village has: asked for, searched, shown as folders
//! jobs     what was asked for, and what is done with it
//! claim    what was counted
//! downloads  addresses that a browser saves a file from, each good once
//! group    members, invites and removal, where the group's CA is
//! ```

mod asked;
mod assets;
mod claim;
mod downloads;
mod entry;
mod events;
mod files;
mod group;
mod jobs;
mod node;
mod pages;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::door;
use crate::shared::Shared;

/// Returns the routes of the page: its assets and its entry, which are open, and the API, which
/// wants the bearer.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let api = Router::new()
        .route("/api/node", get(node::about))
        .route("/api/pages", post(pages::read))
        .route("/api/events", get(events::follow))
        .route("/api/village", get(files::village).post(files::ask_village))
        .route("/api/search", post(files::search))
        .route("/api/folder", post(files::folder))
        .route("/api/jobs", get(jobs::all).post(jobs::begin))
        .route("/api/jobs/{id}/{turn}", post(jobs::turn))
        .route("/api/downloads", post(downloads::make))
        .route("/api/claim", get(claim::show))
        .route("/api/members", get(group::members))
        .route("/api/members/remove", post(group::remove))
        .route("/api/invites", post(group::invite))
        .route_layer(from_fn_with_state(Arc::clone(shared), door::for_page));
    let open = Router::new()
        .route("/", get(assets::index))
        .route("/assets/{name}", get(assets::asset))
        .route("/api/door", post(entry::enter))
        .route("/download/{ticket}/{name}", get(downloads::answer));
    open.merge(api)
}
