//! What a browser may show of a file, and what it only saves.
//!
//! A file is what its name says: what is in it says nothing, or a page could pass for a picture.
//! Shown are raster images, audio, video and plain text, which run nothing.

use super::path::extended;

/// A type that says nothing.
const BYTES: &str = "application/octet-stream";
/// Images that are no raster images, or whose readers follow references.
const DRAWN: [&str; 3] = ["image/svg+xml", "image/wmf", "image/x-eps"];

/// How a file is handed over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub content_type: String,
    /// The whole header.
    pub disposition: String,
}

/// Returns how a file of this name is handed over.
pub(super) fn of(name: &str) -> Kind {
    let base = name.rsplit('/').next().unwrap_or(name);
    let guessed = mime_guess::from_path(base).first_raw().unwrap_or(BYTES);
    let is_shown = is_shown(guessed);
    let content_type = if guessed == "text/plain" {
        // Without it a browser guesses, from what is in the file.
        "text/plain; charset=utf-8".to_owned()
    } else {
        guessed.to_owned()
    };
    Kind {
        content_type,
        disposition: disposition(base, is_shown),
    }
}

/// Returns the header of what is saved under a name.
pub(super) fn saved_as(base: &str) -> String {
    disposition(base, false)
}

fn is_shown(guessed: &str) -> bool {
    let family = guessed.split('/').next().unwrap_or_default();
    let runs_nothing = matches!(family, "image" | "audio" | "video") || guessed == "text/plain";
    runs_nothing && !DRAWN.contains(&guessed) && !guessed.contains("xml")
}

fn disposition(base: &str, is_shown: bool) -> String {
    let how = if is_shown { "inline" } else { "attachment" };
    format!("{how}; filename*={}", extended(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_nothing_is_shown() {
        for (name, content_type, is_shown) in [
            ("a/film.mp4", "video/mp4", true),
            ("film.mkv", "video/x-matroska", true),
            ("song.flac", "audio/flac", true),
            ("photo.JPG", "image/jpeg", true),
            ("x.png", "image/png", true),
            ("notes.txt", "text/plain; charset=utf-8", true),
            ("x.svg", "image/svg+xml", false),
            ("x.svgz", "image/svg+xml", false),
            ("x.html", "text/html", false),
            ("x.xhtml", "application/xhtml+xml", false),
            ("x.js", "text/javascript", false),
            ("x.css", "text/css", false),
            ("x.pdf", "application/pdf", false),
            ("x.xml", "text/xml", false),
            ("x", BYTES, false),
            ("x.deb", BYTES, false),
            ("png", BYTES, false),
        ] {
            let kind = of(name);
            assert_eq!(kind.content_type, content_type, "{name}");
            assert_eq!(kind.disposition.starts_with("inline"), is_shown, "{name}");
        }
    }

    #[test]
    fn a_name_is_one_header_whatever_is_in_it() {
        let kind = of("a/b\"\r\nSet-Cookie: x\u{202e};🌳.txt");
        assert!(kind.disposition.is_ascii(), "{}", kind.disposition);
        let (_, name) = kind
            .disposition
            .split_once("filename*=UTF-8''")
            .expect("a name");
        let is_escaped = |c: char| c.is_ascii_alphanumeric() || c == '%';
        assert!(name.chars().all(is_escaped), "{name}");
    }
}
