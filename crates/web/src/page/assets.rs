//! The files of the page. They are in the program, and say nothing about a node.

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::refusal::Refusal;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

const INDEX: &str = include_str!("../../assets/index.html");

/// The files that `index.html` names, by their names under `/assets/`.
const ASSETS: &[(&str, &str, &str)] = &[
    ("api.js", SCRIPT, include_str!("../../assets/api.js")),
    ("chart.js", SCRIPT, include_str!("../../assets/chart.js")),
    ("claim.js", SCRIPT, include_str!("../../assets/claim.js")),
    ("dialog.js", SCRIPT, include_str!("../../assets/dialog.js")),
    ("dom.js", SCRIPT, include_str!("../../assets/dom.js")),
    (
        "fetching.js",
        SCRIPT,
        include_str!("../../assets/fetching.js"),
    ),
    ("file.js", SCRIPT, include_str!("../../assets/file.js")),
    ("files.css", CSS, include_str!("../../assets/files.css")),
    ("files.js", SCRIPT, include_str!("../../assets/files.js")),
    ("frame.css", CSS, include_str!("../../assets/frame.css")),
    ("icon.svg", IMAGE, include_str!("../../assets/icon.svg")),
    ("icons.js", SCRIPT, include_str!("../../assets/icons.js")),
    ("invite.js", SCRIPT, include_str!("../../assets/invite.js")),
    ("live.js", SCRIPT, include_str!("../../assets/live.js")),
    ("main.js", SCRIPT, include_str!("../../assets/main.js")),
    (
        "members.js",
        SCRIPT,
        include_str!("../../assets/members.js"),
    ),
    ("names.js", SCRIPT, include_str!("../../assets/names.js")),
    ("picture.css", CSS, include_str!("../../assets/picture.css")),
    (
        "picture.js",
        SCRIPT,
        include_str!("../../assets/picture.js"),
    ),
    ("pieces.js", SCRIPT, include_str!("../../assets/pieces.js")),
    (
        "remarks.js",
        SCRIPT,
        include_str!("../../assets/remarks.js"),
    ),
    ("route.js", SCRIPT, include_str!("../../assets/route.js")),
    ("rows.js", SCRIPT, include_str!("../../assets/rows.js")),
    ("store.js", SCRIPT, include_str!("../../assets/store.js")),
    ("swarms.js", SCRIPT, include_str!("../../assets/swarms.js")),
    ("tables.js", SCRIPT, include_str!("../../assets/tables.js")),
    ("theme.css", CSS, include_str!("../../assets/theme.css")),
    (
        "torrent.js",
        SCRIPT,
        include_str!("../../assets/torrent.js"),
    ),
    (
        "transfers.js",
        SCRIPT,
        include_str!("../../assets/transfers.js"),
    ),
    ("units.js", SCRIPT, include_str!("../../assets/units.js")),
    ("views.css", CSS, include_str!("../../assets/views.css")),
    (
        "village.js",
        SCRIPT,
        include_str!("../../assets/village.js"),
    ),
];

/// Answers `/`.
pub(super) async fn index() -> Response {
    file(HTML, INDEX)
}

/// Answers `/assets/NAME`.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(called, ..)| *called == name) {
        Some((_, kind, text)) => file(kind, text),
        None => Refusal::NotFound.into_response(),
    }
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let kind = HeaderValue::from_static(kind);
    // The next version of the program has other files under the same names.
    let fresh = HeaderValue::from_static("no-cache");
    (
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, fresh)],
        text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_in_the_program() {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
        let files = fs::read_dir(assets).expect("they are there");
        let mut files: BTreeSet<String> = files
            .map(|file| file.expect("a file").file_name())
            .map(|name| name.into_string().expect("ASCII"))
            .collect();
        assert!(files.remove("index.html"));
        let listed = ASSETS.iter().map(|(name, ..)| (*name).to_owned());
        assert_eq!(listed.collect::<BTreeSet<_>>(), files);
    }

    #[test]
    fn the_page_has_no_script_or_style_in_its_markup_and_nothing_from_elsewhere() {
        assert!(!INDEX.contains("style="), "a style");
        assert!(!INDEX.contains("<style"), "a style");
        assert_eq!(INDEX.matches("<script").count(), 1);
        assert!(INDEX.contains("<script type=\"module\" src=\"/assets/main.js\"></script>"));
        for (name, kind, text) in ASSETS.iter().chain([&("index.html", HTML, INDEX)]) {
            for markup in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(!text.contains(markup), "{name} parses markup: {markup}");
            }
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !elsewhere.contains("http://") && !elsewhere.contains("https://"),
                "{name}"
            );
            let css = *kind != CSS || !text.contains("url(") && !text.contains("@import");
            assert!(css, "{name} fetches something");
        }
    }
}
