//! A folder as a listing, for browsers and programs. Of HTML it needs no script.
//!
//! A folder is what files have in their paths, as the whole village lists them at this moment.
//! Hidden files are counted and left out, but in a folder that was named with its whole path.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use thorp_node::api::{Command, Event, Failure, FileRow};
use thorp_node::{Name, reserved};

use super::html::escaped;
use super::path::{part_of_url, url_of};
use super::{Wanted, failing};
use crate::shared::Shared;

/// The most rows of a listing.
const MOST_ROWS: usize = 100_000;

/// What is in a folder.
#[derive(Debug, Default)]
struct Listing {
    folders: BTreeMap<String, Beneath>,
    files: BTreeMap<String, Vec<FileRow>>,
    rows: usize,
    hidden: u64,
    /// Whether there is more than this.
    is_cut: bool,
}

/// What is in a folder, as far as its row says it.
#[derive(Debug, Default)]
struct Beneath {
    files: u64,
    bytes: u64,
}

pub(super) async fn answer(shared: &Arc<Shared>, wanted: &Wanted, headers: &HeaderMap) -> Response {
    let mut listing = Listing::default();
    let listed = each_in(shared, wanted, |path, row| listing.add(path, row)).await;
    let hidden = match listed {
        Ok(hidden) => hidden,
        Err(failure) => return failing::failed(failure, shared.node.say),
    };
    listing.hidden = hidden;
    if listing.rows == 0 && hidden == 0 && !wanted.name.is_empty() {
        let failure = Failure::NoFolderCalled {
            folder: wanted.name.clone(),
        };
        return failing::failed(failure, shared.node.say);
    }
    if failing::wants_html(headers) {
        failing::in_html(StatusCode::OK, listing.in_html(&wanted.name))
    } else {
        failing::in_json(StatusCode::OK, &listing.in_json(&wanted.name))
    }
}

/// Tells the files of a folder, each with its path in it, and returns how many hidden ones are left
/// out. If not all of them are known, that is a failure.
pub(super) async fn each_in(
    shared: &Shared,
    wanted: &Wanted,
    mut each: impl FnMut(&str, FileRow),
) -> Result<u64, Failure> {
    let folder = Some(wanted.name.clone()).filter(|name| !name.is_empty());
    let command = Command::Ls {
        peer: wanted.from.clone(),
        folder,
    };
    let mut events = (shared.node.ask)(command);
    let mut hidden = 0;
    while let Some(event) = events.recv().await {
        match event {
            Event::File(row) => {
                let path = if wanted.name.is_empty() {
                    Some(&*row.name)
                } else {
                    row.name.strip_prefix(&wanted.name)
                };
                let path = path.map(|path| path.trim_start_matches('/').to_owned());
                let Some(path) = path.filter(|path| !path.is_empty()) else {
                    continue;
                };
                let name: Option<Name> = path.parse().ok();
                if name.is_none_or(|name| reserved::acts_unasked(&name)) {
                    hidden += 1;
                } else {
                    each(&path, row);
                }
            }
            Event::Done(_) => return Ok(hidden),
            Event::Error(failure) => return Err(failure),
            _ => {}
        }
    }
    Err(Failure::AnswerCutShort)
}

impl Listing {
    fn add(&mut self, path: &str, row: FileRow) {
        let Some((folder, _)) = path.split_once('/') else {
            if self.takes_a_row() {
                self.files.entry(path.to_owned()).or_default().push(row);
            }
            return;
        };
        if let Some(beneath) = self.folders.get_mut(folder) {
            beneath.count(&row);
        } else if self.takes_a_row() {
            let mut beneath = Beneath::default();
            beneath.count(&row);
            self.folders.insert(folder.to_owned(), beneath);
        }
    }

    /// Whether there is room for one more row, which is taken then.
    fn takes_a_row(&mut self) -> bool {
        let has_room = self.rows < MOST_ROWS;
        self.rows += usize::from(has_room);
        self.is_cut |= !has_room;
        has_room
    }

    fn in_json(&self, folder: &str) -> serde_json::Value {
        let folders = self.folders.iter().map(|(name, beneath)| {
            json!({ "name": name, "files": beneath.files, "bytes": beneath.bytes })
        });
        let files = self.files.iter().flat_map(|(name, rows)| {
            let is_one = rows.len() == 1;
            rows.iter().map(move |row| {
                json!({
                    "name": name,
                    "length": row.length,
                    "mtime": row.mtime,
                    "root": row.root,
                    "url": url_of_row(row, is_one),
                })
            })
        });
        json!({
            "folder": folder,
            "folders": folders.collect::<Vec<_>>(),
            "files": files.collect::<Vec<_>>(),
            "hidden": self.hidden,
            "cut": self.is_cut,
        })
    }

    fn in_html(&self, folder: &str) -> String {
        let title = format!("/{}", escaped(folder));
        let mut html = format!(
            "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n"
        );
        if !folder.is_empty() {
            html.push_str("<li><a href=\"../\">../</a></li>\n");
        }
        for (name, beneath) in &self.folders {
            // Writing to a text does not fail.
            let _ = writeln!(
                html,
                "<li><a href=\"{}/\">{}/</a> {} files, {} bytes</li>",
                escaped(&part_of_url(name)),
                escaped(name),
                beneath.files,
                beneath.bytes
            );
        }
        for (name, rows) in &self.files {
            for row in rows {
                let mut url = part_of_url(name);
                if let (Some(root), true) = (&row.root, rows.len() > 1) {
                    url = format!("{url}?root={root}");
                }
                let _ = writeln!(
                    html,
                    "<li><a href=\"{}\">{}</a> {} bytes</li>",
                    escaped(&url),
                    escaped(name),
                    row.length
                );
            }
        }
        html.push_str("</ul>\n");
        if self.hidden > 0 {
            let _ = writeln!(html, "<p>{} hidden files are left out.</p>", self.hidden);
        }
        if self.is_cut {
            html.push_str("<p>There is more than this.</p>\n");
        }
        html
    }
}

impl Beneath {
    fn count(&mut self, row: &FileRow) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(row.length);
    }
}

/// Where a file is read; where several have its name, by its root.
fn url_of_row(row: &FileRow, is_one: bool) -> String {
    let url = url_of(&row.name, false);
    match &row.root {
        Some(root) if !is_one => format!("{url}?root={root}"),
        _ => url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, root: &str) -> FileRow {
        FileRow {
            name: name.to_owned(),
            length: 5,
            mtime: 7,
            mtime_ns: 0,
            executable: false,
            root: Some(root.to_owned()),
            holders: Vec::new(),
        }
    }

    fn listing(names: &[(&str, &str)]) -> Listing {
        let mut listing = Listing::default();
        for (name, root) in names {
            listing.add(name, row(name, root));
        }
        listing
    }

    #[test]
    fn folders_come_once_and_files_of_one_name_by_their_roots() {
        let listing = listing(&[
            ("a/b", "1"),
            ("a/c/d", "2"),
            ("x", "3"),
            ("x", "4"),
            ("y", "5"),
        ]);
        let json = listing.in_json("");
        assert_eq!(
            json["folders"],
            json!([{"name": "a", "files": 2, "bytes": 10}])
        );
        let urls: Vec<&str> = json["files"]
            .as_array()
            .expect("files")
            .iter()
            .filter_map(|file| file["url"].as_str())
            .collect();
        assert_eq!(urls, ["/get/x?root=3", "/get/x?root=4", "/get/y"]);
        let html = listing.in_html("");
        assert!(html.contains("<a href=\"./a/\">a/</a> 2 files, 10 bytes"));
        assert!(html.contains("<a href=\"./x?root=3\">x</a>"));
        assert!(!html.contains("../"));
    }

    #[test]
    fn names_with_markup_and_other_directions_are_text() {
        let evil = "<img src=x onerror=alert(1)>\"'&\u{202e}\n";
        let html = listing(&[(evil, "1")]).in_html(evil);
        assert!(!html.contains("<img"), "{html}");
        assert!(!html.contains('\u{202e}') && !html.contains("alert(1)>\""));
        let href = html
            .split("href=\"")
            .nth(2)
            .and_then(|rest| rest.split('"').next());
        assert!(
            href.is_some_and(|href| href.is_ascii() && !href.contains(['<', '\''])),
            "{html}"
        );
    }

    #[test]
    fn a_listing_has_no_more_rows_than_there_may_be_and_says_so() {
        let mut listing = Listing::default();
        for number in 0..MOST_ROWS + 10 {
            listing.add(&format!("{number}"), row("x", "1"));
        }
        listing.add("folder/x", row("x", "1"));
        assert_eq!(listing.rows, MOST_ROWS);
        assert!(listing.is_cut && listing.folders.is_empty());
        assert!(listing.in_html("a").contains("more than this"));
    }
}
