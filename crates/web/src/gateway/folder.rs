//! A folder as a listing, for browsers and programs. Of HTML it needs no script.
//!
//! A folder is what files have in their paths, as the whole village listed them a moment ago.
//! Hidden files are counted and left out, but in a folder that was named with its whole path.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;
use thorp_node::api::Failure;
use tokio::sync::OwnedSemaphorePermit;

use super::html::escaped;
use super::path::{part_of_url, query_of, url_of};
use super::{OF_OWN_DOCUMENTS, Wanted, failing};
use crate::shared::Shared;
use crate::village::survey::File;

/// The most rows of a listing.
const MOST_ROWS: usize = 100_000;
/// How much of a listing is handed over at once, in bytes.
const PART: usize = 64 * 1024;

/// What is in a folder.
#[derive(Debug, Default)]
struct Listing {
    folders: BTreeMap<String, Beneath>,
    files: BTreeMap<String, Vec<File>>,
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

/// A listing as JSON.
#[derive(Serialize)]
struct Json<'a> {
    folder: &'a str,
    folders: Vec<FolderRow<'a>>,
    files: Vec<Row<'a>>,
    hidden: u64,
    cut: bool,
}

#[derive(Serialize)]
struct FolderRow<'a> {
    name: &'a str,
    files: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    length: u64,
    mtime: i64,
    root: Option<&'a str>,
    url: String,
}

pub(super) async fn answer(shared: &Arc<Shared>, wanted: &Wanted, headers: &HeaderMap) -> Response {
    let Ok(place) = shared.stream() else {
        return failing::busy();
    };
    let mut listing = Listing::default();
    let each = |path: &str, file| listing.add(path, file);
    let listed = shared
        .surveys
        .each_in(&shared.node.ask, wanted.files(), each)
        .await;
    let told = match listed {
        Ok(told) => told,
        Err(failure) => return failing::failed(failure, shared.node.say),
    };
    listing.hidden = told.hidden;
    if listing.rows == 0 && told.hidden == 0 && !wanted.name.is_empty() {
        let failure = Failure::NoFolderCalled {
            folder: wanted.name.clone(),
        };
        return failing::failed(failure, shared.node.say);
    }
    let (kind, text) = if failing::wants_html(headers) {
        ("text/html; charset=utf-8", listing.in_html(wanted))
    } else {
        ("application/json", listing.in_json(wanted))
    };
    drop(listing);
    let length = text.len();
    let mut answer = Response::new(in_parts(text, place));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::AGE, HeaderValue::from(told.age));
    headers.insert(header::CONTENT_SECURITY_POLICY, OF_OWN_DOCUMENTS);
    answer
}

/// A text that has the room of its answer until its last part is taken.
fn in_parts(text: String, place: OwnedSemaphorePermit) -> Body {
    let rest = (Bytes::from(text), place);
    Body::from_stream(stream::unfold(rest, async |(mut text, place)| {
        let part = text.split_to(text.len().min(PART));
        (!part.is_empty()).then_some((Ok::<_, io::Error>(part), (text, place)))
    }))
}

impl Listing {
    fn add(&mut self, path: &str, row: File) {
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

    fn in_json(&self, wanted: &Wanted) -> String {
        let folders = self.folders.iter().map(|(name, beneath)| FolderRow {
            name,
            files: beneath.files,
            bytes: beneath.bytes,
        });
        let files = self.files.iter().flat_map(|(name, rows)| {
            let is_one = rows.len() == 1;
            rows.iter().map(move |row| {
                let root = row.root.as_deref();
                let query = query_of(root.filter(|_| !is_one), wanted);
                Row {
                    name,
                    length: row.length,
                    mtime: row.mtime,
                    root,
                    url: url_of(&row.name, false) + &query,
                }
            })
        });
        let json = Json {
            folder: &wanted.name,
            folders: folders.collect(),
            files: files.collect(),
            hidden: self.hidden,
            cut: self.is_cut,
        };
        serde_json::to_string(&json).unwrap_or_default() + "\n"
    }

    fn in_html(&self, wanted: &Wanted) -> String {
        let (folder, query) = (&*wanted.name, escaped(&query_of(None, wanted)));
        let title = format!("/{}", escaped(folder));
        let mut html = format!(
            "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n"
        );
        // Writing to a text does not fail.
        if !folder.is_empty() {
            let _ = writeln!(html, "<li><a href=\"../{query}\">../</a></li>");
        }
        for (name, beneath) in &self.folders {
            let _ = writeln!(
                html,
                "<li><a href=\"{}/{query}\">{}/</a> {} {}, {} bytes</li>",
                escaped(&part_of_url(name)),
                escaped(name),
                beneath.files,
                if beneath.files == 1 { "file" } else { "files" },
                beneath.bytes
            );
        }
        for (name, rows) in &self.files {
            for row in rows {
                let root = row.root.as_deref().filter(|_| rows.len() > 1);
                let url = part_of_url(name) + &query_of(root, wanted);
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
    fn count(&mut self, row: &File) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(row.length);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn row(name: &str, root: &str) -> File {
        File {
            name: name.to_owned(),
            length: 5,
            mtime: 7,
            root: Some(root.to_owned()),
        }
    }

    fn wanted(name: &str, from: Option<&str>) -> Wanted {
        Wanted {
            name: name.to_owned(),
            from: from.map(str::to_owned),
            ..Wanted::default()
        }
    }

    fn parsed(json: &str) -> Value {
        serde_json::from_str(json).expect("JSON")
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
        let all = wanted("", None);
        let json = parsed(&listing.in_json(&all));
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
        let html = listing.in_html(&all);
        assert!(html.contains("<a href=\"./a/\">a/</a> 2 files, 10 bytes"));
        assert!(html.contains("<a href=\"./x?root=3\">x</a>"));
        assert!(!html.contains("../"));
    }

    #[test]
    fn a_listing_of_one_peer_leads_to_what_that_peer_has() {
        let listing = listing(&[("a/b", "1"), ("x", "3"), ("x", "4"), ("y", "5")]);
        let of_oak = wanted("top", Some("oak & elm"));
        let html = listing.in_html(&of_oak);
        for link in [
            "../?from=oak%20%26%20elm",
            "./a/?from=oak%20%26%20elm",
            "./x?root=3&amp;from=oak%20%26%20elm",
            "./y?from=oak%20%26%20elm",
        ] {
            assert!(html.contains(&format!("href=\"{link}\"")), "{link}: {html}");
        }
        let json = parsed(&listing.in_json(&of_oak));
        assert_eq!(json["files"][2]["url"], "/get/y?from=oak%20%26%20elm");
    }

    #[test]
    fn names_with_markup_and_other_directions_are_text() {
        let evil = "<img src=x onerror=alert(1)>\"'&\u{202e}\n";
        let html = listing(&[(evil, "1")]).in_html(&wanted(evil, None));
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
        assert!(
            listing
                .in_html(&wanted("a", None))
                .contains("more than this")
        );
    }
}
