//! Which name a URL's path means, and what is asked of it.

use axum::http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{Form, Wanted};
use crate::refusal::Refusal;

/// Where the names begin.
const BEFORE: &str = "/get";
/// What is escaped in a part of a path, beside what is not ASCII.
const PART: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'/')
    .add(b';')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// What is escaped in a value of a query.
const VALUE: &AsciiSet = &PART.add(b'+');
/// What is escaped in a path.
const PATH: &AsciiSet = &PART.remove(b'/');

/// What a URL asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Wanted(Wanted),
    /// It is at this path.
    Elsewhere(String),
}

impl Asked {
    pub fn of(uri: &Uri) -> Result<Self, Refusal> {
        let path = uri.path();
        let Some(path) = path.strip_prefix(BEFORE) else {
            return Err(Refusal::NotFound);
        };
        if path.is_empty() {
            let query = uri.query().map(|query| format!("?{query}"));
            let query = query.unwrap_or_default();
            return Ok(Self::Elsewhere(format!("{BEFORE}/{query}")));
        }
        let path = path.strip_prefix('/').ok_or(Refusal::NotFound)?;
        let (path, is_folder) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, path.is_empty()),
        };
        let mut wanted = Wanted {
            name: name_of(path)?,
            is_folder,
            ..Wanted::default()
        };
        for (key, value) in query(uri.query().unwrap_or_default())? {
            match &*key {
                "root" => wanted.root = Some(prefix(value)?),
                "from" => wanted.from = Some(value),
                "zip" => wanted.form = Form::Zip,
                "tar" => wanted.form = Form::Tar,
                _ => return Err(Refusal::BadRequest),
            }
        }
        Ok(Self::Wanted(wanted))
    }
}

/// Returns a name, of which no part is empty or `..`, and which has no escaped `/` and no NUL. A
/// part `.` says nothing: apt asks for `./Packages`.
fn name_of(path: &str) -> Result<String, Refusal> {
    if path.is_empty() {
        return Ok(String::new());
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        let part = decoded(part)?;
        if matches!(&*part, "" | "..") || part.contains(['/', '\0']) {
            return Err(Refusal::BadRequest);
        }
        if part != "." {
            parts.push(part);
        }
    }
    Ok(parts.join("/"))
}

/// The beginning of a root, as hexadecimal digits.
fn prefix(value: String) -> Result<String, Refusal> {
    let is_prefix = !value.is_empty()
        && value.len() <= 64
        && value
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_prefix.then_some(value).ok_or(Refusal::BadRequest)
}

fn query(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(key)?, decoded(&value.replace('+', " "))?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let is_escaped = |at: usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if text.match_indices('%').any(|(at, _)| !is_escaped(at)) {
        return Err(Refusal::BadRequest);
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Refusal::BadRequest)
}

/// Returns the path of a name's URL.
pub(super) fn url_of(name: &str, is_folder: bool) -> String {
    let end = if is_folder && !name.is_empty() {
        "/"
    } else {
        ""
    };
    format!("{BEFORE}/{}{end}", utf8_percent_encode(name, PATH))
}

/// Returns the query of a URL to which a request leads on: which content, and, as in the request,
/// from which peer.
pub(super) fn query_of(root: Option<&str>, wanted: &Wanted) -> String {
    let mut query = String::new();
    for (key, value) in [("root", root), ("from", wanted.from.as_deref())] {
        if let Some(value) = value {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(key);
            query.push('=');
            query.extend(utf8_percent_encode(value, VALUE));
        }
    }
    query
}

/// Returns a part of a path as a relative reference.
pub(super) fn part_of_url(part: &str) -> String {
    format!("./{}", utf8_percent_encode(part, PART))
}

/// Returns a text as the value of an extended parameter (RFC 8187).
pub(super) fn extended(text: &str) -> String {
    let only = percent_encoding::NON_ALPHANUMERIC;
    format!("UTF-8''{}", utf8_percent_encode(text, only))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str) -> Result<Asked, Refusal> {
        Asked::of(&uri.parse().expect("a URI"))
    }

    fn wanted(name: &str, is_folder: bool) -> Wanted {
        Wanted {
            name: name.to_owned(),
            is_folder,
            ..Wanted::default()
        }
    }

    #[test]
    fn a_path_means_a_name_and_one_that_ends_with_a_slash_a_folder() {
        for (uri, name, is_folder) in [
            ("/get/a.txt", "a.txt", false),
            ("/get/a/b%20c.txt", "a/b c.txt", false),
            ("/get/a/", "a", true),
            ("/get/", "", true),
            ("/get/%F0%9F%8C%B3", "🌳", false),
            ("/get/a%3Fb%23", "a?b#", false),
            ("/get/a+b", "a+b", false),
            ("/get/a/./b", "a/b", false),
            ("/get/..a", "..a", false),
        ] {
            let asked = asked(uri);
            assert_eq!(asked, Ok(Asked::Wanted(wanted(name, is_folder))), "{uri}");
        }
        assert_eq!(asked("/get"), Ok(Asked::Elsewhere("/get/".to_owned())));
    }

    #[test]
    fn what_leads_elsewhere_is_refused_however_it_is_written() {
        for uri in [
            "/get/../a",
            "/get/a/..",
            "/get/a/../../b",
            "/get/%2e%2e/a",
            "/get/%2E./a",
            "/get/a//b",
            "/get//a",
            "/get/a%2Fb",
            "/get/a%2fb",
            "/get/a%00",
            "/get/%ff",
            "/get/a%2",
            "/get/a%zz",
            "/get/a?root=x",
            "/get/a?root=",
            "/get/a?what",
        ] {
            assert_eq!(asked(uri), Err(Refusal::BadRequest), "{uri}");
        }
        assert_eq!(asked("/getaway"), Err(Refusal::NotFound));
    }

    #[test]
    fn the_query_says_which_and_as_what() {
        let expected = Wanted {
            root: Some("3fa".to_owned()),
            from: Some("oak tree".to_owned()),
            form: Form::Zip,
            ..wanted("a", true)
        };
        let asked = asked("/get/a/?root=3fa&from=oak+tree&zip");
        assert_eq!(asked, Ok(Asked::Wanted(expected)));
    }

    #[test]
    fn who_is_led_on_is_led_to_the_same_peer() {
        let of_oak = Wanted {
            root: Some("3fa".to_owned()),
            from: Some("o+a&k = ü".to_owned()),
            ..wanted("a", false)
        };
        let url = url_of("a", false) + &query_of(of_oak.root.as_deref(), &of_oak);
        assert_eq!(asked(&url), Ok(Asked::Wanted(of_oak)), "{url}");
        let all = asked("/get?from=oak&zip");
        assert_eq!(all, Ok(Asked::Elsewhere("/get/?from=oak&zip".to_owned())));
    }

    #[test]
    fn any_name_is_found_again_by_its_url() {
        for name in [
            "a",
            "a/b c",
            "ü/%2e",
            "a?b#c&d=e",
            "\"<>'`",
            "[x]{y}\\|^",
            "..a/b..",
        ] {
            let url = url_of(name, false);
            assert_eq!(asked(&url), Ok(Asked::Wanted(wanted(name, false))), "{url}");
            let url = url_of(name, true);
            assert_eq!(asked(&url), Ok(Asked::Wanted(wanted(name, true))), "{url}");
        }
    }
}
