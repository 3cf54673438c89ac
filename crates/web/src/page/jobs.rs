//! What was asked for on the page, and what is done with it: `/api/jobs`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use thorp_node::Name;
use thorp_node::api::{Command, Failure, Folders, Get, GetTorrent, TorrentSource, Wait};
use thorp_node::torrent::{Magnet, MagnetError, Torrent};

use super::asked::Asked;
use crate::jobs::{Job, Turn};
use crate::refusal::{Refusal, said};
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
    // To read a long torrent takes a moment.
    let read = thorp_disk::spawn(move |_| wanted.command()).await;
    let (title, command) = read
        .map_err(|_| Refusal::Stopping)?
        .map_err(|unfit| match unfit {
            Unfit::Request => Refusal::BadRequest,
            Unfit::Torrent(why) => {
                let said = said(Failure::NotATorrent { why }, shared.node.say);
                Refusal::Failed(StatusCode::BAD_REQUEST, said)
            }
        })?;
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

/// Why nothing is asked of the node.
#[derive(Debug, PartialEq)]
enum Unfit {
    /// It is not what the route wants.
    Request,
    /// It is no torrent, and no magnet link.
    Torrent(String),
}

impl Wanted {
    /// Returns what is asked of the node, and how people call it.
    fn command(self) -> Result<(String, Command), Unfit> {
        let torrent = match (self.torrent, self.magnet) {
            (Some(torrent), None) => {
                let title = titled(&name_in(&torrent).map_err(Unfit::Torrent)?);
                Some((title, TorrentSource::Torrent(torrent.into())))
            }
            (None, Some(link)) => {
                let magnet: Magnet = link
                    .parse()
                    .map_err(|error: MagnetError| Unfit::Torrent(error.to_string()))?;
                let title = magnet.name.as_deref().map_or_else(|| titled(&link), titled);
                Some((title, TorrentSource::Magnet(link)))
            }
            (None, None) => None,
            (Some(_), Some(_)) => return Err(Unfit::Request),
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
                    return Err(Unfit::Request);
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
            _ => Err(Unfit::Request),
        }
    }
}

/// Returns the name of a torrent's file or folder.
fn name_in(encoded: &str) -> Result<String, String> {
    let bytes = BASE64.decode(encoded.as_bytes());
    let bytes = bytes.map_err(|error| error.to_string())?;
    let torrent = Torrent::decode(&bytes).map_err(|error| error.to_string())?;
    Ok(torrent.info().name().to_string())
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
        assert!(matches!(command(&names), Err(Unfit::Request)));
    }

    fn command(text: &str) -> Result<(String, Command), Unfit> {
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
        let magnet = format!("magnet:?xt=urn:btih:{}&dn=autumn", "5".repeat(40));
        let (title, get) = command(&json!({ "magnet": magnet }).to_string()).expect("good");
        assert_eq!(title, "autumn");
        assert!(matches!(get, Command::GetTorrent(get) if get.given == "autumn"));
        // What is none is said at once, and by what is wrong with it.
        for none in [
            r#"{"magnet":"magnet:?x"}"#,
            r#"{"magnet":"x"}"#,
            r#"{"torrent":"ZGU="}"#,
            r#"{"torrent":"?"}"#,
        ] {
            let why = command(none).expect_err("it is no torrent");
            assert!(matches!(why, Unfit::Torrent(_)), "{none}: {why:?}");
        }
        let both = json!({ "names": ["a"], "magnet": magnet }).to_string();
        for neither in [
            "{}",
            r#"{"names":[]}"#,
            r#"{"torrent":"ZGU=","magnet":"magnet:?x"}"#,
            &both,
        ] {
            assert!(matches!(command(neither), Err(Unfit::Request)), "{neither}");
        }
    }
}
