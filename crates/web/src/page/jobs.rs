//! What was asked for on the page, and what is done with it: `/api/jobs`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use thorp_node::Name;
use thorp_node::api::{Command, Folders, Get, GetTorrent, TorrentSource, Wait};

use super::asked::Asked;
use crate::jobs::{Job, Turn};
use crate::refusal::Refusal;
use crate::served::PageOf;
use crate::shared::Shared;

/// The most bytes of a request that may have a torrent in it.
const LONGEST: usize = 16 * 1024 * 1024;
/// The most names of one job.
const NAMES: usize = 1000;
/// How much of a magnet link or of a name is its job's title, in characters.
const TITLE: usize = 100;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    names: Vec<String>,
    root: Option<String>,
    from: Option<String>,
    /// Whether the names are those of folders.
    #[serde(default)]
    folder: bool,
    torrent: Option<String>,
    magnet: Option<String>,
}

/// Answers `POST /api/jobs`.
pub(super) async fn begin(
    State(shared): State<Arc<Shared>>,
    Asked(wanted): Asked<Wanted, LONGEST>,
) -> Result<(StatusCode, Json<Job>), Refusal> {
    if shared.node.kind != PageOf::Peer {
        return Err(Refusal::NotFound);
    }
    let (title, command) = wanted.command()?;
    let job = shared.jobs.begin(title, command)?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Answers `GET /api/jobs`.
pub(super) async fn all(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({ "jobs": shared.jobs.all() }))
}

/// Answers `POST /api/jobs/ID/TURN`.
pub(super) async fn turn(
    State(shared): State<Arc<Shared>>,
    Path((id, turn)): Path<(u64, String)>,
) -> Result<Json<Value>, Refusal> {
    let turn = match &*turn {
        "pause" => Turn::Pause,
        "resume" => Turn::Resume,
        "cancel" => Turn::Cancel,
        "dismiss" => {
            shared.jobs.dismiss(id)?;
            return Ok(Json(json!({ "id": id })));
        }
        _ => return Err(Refusal::NotFound),
    };
    Ok(Json(json!(shared.jobs.turn(id, turn)?)))
}

impl Wanted {
    /// Returns what is asked of the node, and how people call it.
    fn command(self) -> Result<(String, Command), Refusal> {
        let torrent = match (self.torrent, self.magnet) {
            (Some(torrent), None) => {
                Some(("a torrent".to_owned(), TorrentSource::Torrent(torrent)))
            }
            (None, Some(magnet)) => {
                let title = magnet.chars().take(TITLE).collect();
                Some((title, TorrentSource::Magnet(magnet)))
            }
            (None, None) => None,
            (Some(_), Some(_)) => return Err(Refusal::BadRequest),
        };
        match (torrent, self.names.as_slice()) {
            (Some((title, torrent)), []) => {
                let get = GetTorrent {
                    torrent,
                    given: title.clone(),
                    dir: None,
                    overwrite: false,
                    hidden: false,
                    wait: Wait::Begun,
                };
                Ok((title, Command::GetTorrent(get)))
            }
            (None, [first, rest @ ..]) if rest.len() < NAMES => {
                // A name that is longer than any is none.
                if self.names.iter().any(|name| name.len() > Name::MAX) {
                    return Err(Refusal::BadRequest);
                }
                let first = titled(first);
                let title = match rest.len() {
                    0 => first,
                    more => format!("{first} (+{more})"),
                };
                let folders = if self.folder {
                    Folders::All
                } else {
                    Folders::No
                };
                let get = Get {
                    names: self.names,
                    // What the page names is a path.
                    exact: true,
                    root: self.root,
                    from: self.from,
                    folders,
                    wait: Wait::Begun,
                    ..Get::default()
                };
                Ok((title, Command::Get(get)))
            }
            _ => Err(Refusal::BadRequest),
        }
    }
}

/// Returns what a job for a path is called: of a long one the end, which says more.
fn titled(path: &str) -> String {
    match path.char_indices().nth_back(TITLE - 1) {
        Some((at, _)) if at > 0 => format!("…{}", &path[at..]),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_end_of_a_long_path_and_no_name_is_longer_than_any() {
        assert_eq!(titled("a/b.txt"), "a/b.txt");
        assert_eq!(titled(&"ü".repeat(TITLE)), "ü".repeat(TITLE));
        let long = format!("{}/b.txt", "ü".repeat(1000));
        let title = titled(&long);
        assert!(title.starts_with('…') && title.ends_with("/b.txt"));
        assert_eq!(title.chars().count(), TITLE + 1);
        let names = format!(r#"{{"names":["{}"]}}"#, "x".repeat(Name::MAX + 1));
        assert!(matches!(command(&names), Err(Refusal::BadRequest)));
    }

    fn command(text: &str) -> Result<(String, Command), Refusal> {
        let wanted: Wanted = serde_json::from_str(text).expect("JSON");
        wanted.command()
    }

    #[test]
    fn a_path_means_itself_whatever_is_in_it() {
        let long = format!("{}[1].txt", "n/".repeat(1000));
        for path in ["a/b.txt", "[1]{2,*}.txt", ".x/[1].txt", "a\\b", &long] {
            let asked = json!({ "names": [path] }).to_string();
            let (_, get) = command(&asked).expect("good");
            let is_it = |get: &Get| get.exact && get.names == [path];
            assert!(matches!(&get, Command::Get(get) if is_it(get)), "{path}");
        }
    }

    #[test]
    fn a_job_gets_names_or_a_torrent() {
        let (title, get) = command(r#"{"names":["a/b.txt"],"from":"oak"}"#).expect("good");
        assert_eq!(title, "a/b.txt");
        assert!(matches!(get, Command::Get(get) if get.from.as_deref() == Some("oak")));
        let (title, get) = command(r#"{"names":["a","b","c"],"folder":true}"#).expect("good");
        assert_eq!(title, "a (+2)");
        assert!(matches!(get, Command::Get(get) if get.folders == Folders::All));
        let (_, get) = command(r#"{"magnet":"magnet:?x"}"#).expect("good");
        assert!(matches!(get, Command::GetTorrent(_)));
        for neither in [
            "{}",
            r#"{"names":[]}"#,
            r#"{"names":["a"],"magnet":"magnet:?x"}"#,
            r#"{"torrent":"ZGU=","magnet":"magnet:?x"}"#,
        ] {
            assert!(
                matches!(command(neither), Err(Refusal::BadRequest)),
                "{neither}"
            );
        }
    }
}
