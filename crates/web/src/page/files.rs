//! What the village has: asked for, searched, and shown as folders.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use thorp_node::Words;
use thorp_node::snapshot::{Ask, At, Part, RowKey, SnapshotRow};

use super::asked::Asked;
use super::pages::MOST_ROWS;
use crate::refusal::Refusal;
use crate::served::PageOf;
use crate::shared::Shared;
use crate::village::Account;
use crate::village::list::List;
use crate::village::window::{Row, Window, Windowed};

/// Answers `POST /api/village`.
pub(super) async fn ask_village(
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Account>, Refusal> {
    if shared.node.kind == PageOf::Tracker {
        return Err(Refusal::NotFound);
    }
    let asked = shared.village.ask(&shared.node.ask, shared.node.say);
    asked.map_err(|wait| Refusal::TooSoon { wait })?;
    Ok(Json(shared.village.account()))
}

/// Answers `GET /api/village`.
pub(super) async fn village(State(shared): State<Arc<Shared>>) -> Json<Account> {
    Json(shared.village.account())
}

#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    words: String,
    #[serde(default)]
    folder: String,
    /// The whole path, instead of words and a folder.
    name: Option<String>,
    #[serde(flatten)]
    window: Window,
}

/// Answers `POST /api/search`.
pub(super) async fn search(
    State(shared): State<Arc<Shared>>,
    Asked(Search {
        words,
        folder,
        name,
        window,
    }): Asked<Search>,
) -> Result<Json<Windowed>, Refusal> {
    let window = within_bounds(window);
    if let Some(name) = name {
        return look(shared, move |list| list.named(&name, window)).await;
    }
    let has_words = !words.trim().is_empty();
    let parsed = Words::new(&words).ok_or(Refusal::BadRequest)?;
    if shared.node.kind == PageOf::Tracker {
        let found = shared.searches.search(&shared.node, words, window).await;
        return found.map(Json);
    }
    look(shared, move |list| {
        let words = has_words.then_some(&parsed);
        list.search(&folder, words, window)
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct Folder {
    path: String,
    #[serde(flatten)]
    window: Window,
}

/// Answers `POST /api/folder`.
pub(super) async fn folder(
    State(shared): State<Arc<Shared>>,
    Asked(Folder { path, window }): Asked<Folder>,
) -> Result<Json<Windowed>, Refusal> {
    let window = within_bounds(window);
    look(shared, move |list| list.folder(&path, window)).await
}

fn within_bounds(window: Window) -> Window {
    Window {
        limit: window.limit.clamp(1, MOST_ROWS),
        ..window
    }
}

/// Looks into what the village has said, beside the threads that the node runs on.
async fn look(
    shared: Arc<Shared>,
    look: impl FnOnce(&List) -> Windowed + Send + 'static,
) -> Result<Json<Windowed>, Refusal> {
    let list = shared.village.list().ok_or(Refusal::NotFound)?;
    let found = thorp_disk::spawn(move |_| look(&list)).await;
    let mut found = found.map_err(|_| Refusal::Stopping)?;
    mark_own(&shared, &mut found)
        .await
        .ok_or(Refusal::Stopping)?;
    Ok(Json(found))
}

/// Marks the files that this peer itself shares now.
async fn mark_own(shared: &Shared, found: &mut Windowed) -> Option<()> {
    let SnapshotRow::Node(own) = shared.node.viewer.node().await? else {
        return Some(());
    };
    let mut files: Vec<_> = found.rows.iter_mut().filter_map(Row::as_file_mut).collect();
    let asks = files.iter().map(|file| Ask {
        part: Part::FilesOf { id: own.id.clone() },
        at: At::From(RowKey::File {
            name: file.name.clone(),
            nth: 0,
        }),
        limit: 1,
        names: 0,
    });
    let pages = shared.node.viewer.all_pages(asks.collect()).await?;
    for (file, page) in files.iter_mut().zip(pages) {
        let Some(SnapshotRow::Listed(listed)) = page.rows.into_iter().next() else {
            continue;
        };
        let is_partial = listed.holders.iter().any(|holder| holder.partial);
        file.here = listed.name == file.name && listed.root == file.root && !is_partial;
    }
    Some(())
}
