//! A holder, a peer without files whose gateway is asked, and what it answers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::process::poll;
use crate::support::{Node, PATIENCE, Running, Village};

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;

/// Bytes of which no two parts are alike.
pub fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 4);
    while bytes.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend(&state.to_le_bytes()[4..]);
    }
    bytes.truncate(length);
    bytes
}

/// A holder, and a peer without files whose gateway is asked.
pub struct Scene {
    pub running: Vec<Running>,
    pub holder: Node,
    pub reader: Node,
    /// Where the tracker is reached.
    pub tracker: String,
    /// Where the gateway is reached.
    pub at: String,
    pub token: String,
    pub village: Village,
}

impl Scene {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        Self::with("", |holder| {
            for (name, bytes) in files {
                holder.file(name, bytes);
            }
            files.len()
        })
    }

    /// A scene whose reader has this configuration, and whose holder is given so many files.
    pub fn with(configuration: &str, files: impl FnOnce(&Node) -> usize) -> Self {
        let village = Village::new();
        let (tracker, address) = village.tracker();
        let (holder, reader) = (village.node("oak"), village.node("elm"));
        reader.configure(configuration);
        let files = files(&holder);
        let sharing = holder.start(&[
            "share",
            "--lines",
            "--hidden",
            "--name",
            "oak",
            "--tracker",
            &address,
            "--listen",
            "127.0.0.1:0",
        ]);
        let reading = reader.start_sharing(&address, "127.0.0.1:0");
        hashed(&holder, files);
        listed(&reader, files);
        let status = status(&reader);
        let at = status["page"].as_str().unwrap();
        let at = at
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned();
        let token = fs::read_to_string(status["token_file"].as_str().unwrap()).unwrap();
        Self {
            running: vec![tracker, sharing, reading],
            holder,
            reader,
            tracker: address,
            at,
            token: token.trim().to_owned(),
            village,
        }
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers)
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [&[("Authorization", &*bearer)], headers].concat();
        Answer::to(&self.at, method, path, &headers)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// A file that only its owner can read, with the token for programs that take it from there.
    pub fn netrc(&self) -> PathBuf {
        let (host, _) = self.at.split_once(':').unwrap();
        let path = self.reader.state().join("netrc");
        let line = format!("machine {host} login thorp password {}\n", self.token);
        fs::write(&path, line).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

pub fn status(node: &Node) -> Value {
    let (_, events) = node.json(&["status"]);
    events.into_iter().next().unwrap()
}

pub fn hashed(node: &Node, files: usize) {
    poll("the files to be hashed", PATIENCE, || {
        let (_, events) = node.json(&["status"]);
        let status = events.first()?;
        (status["files"] == files && status["unhashed"] == 0).then_some(())
    });
}

/// Waits until a peer finds the contents of all of oak's files, which its tracker hears of later.
pub fn listed(node: &Node, files: usize) {
    poll("the contents to be listed", PATIENCE, || {
        let (_, events) = node.json(&["ls", "oak"]);
        let known = events.iter().filter(|row| row["root"].is_string());
        (known.count() == files).then_some(())
    });
}

/// What came of a request, on a connection of its own.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Whether all of it has come.
    pub is_whole: bool,
}

impl Answer {
    pub fn to(at: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = send(at, method, path, headers);
        let mut all = Vec::new();
        // A connection that breaks has sent what it has.
        let _ = stream.read_to_end(&mut all);
        Self::of(method, &all)
    }

    pub fn of(method: &str, all: &[u8]) -> Self {
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&all[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let rest = &all[end + 4..];
        let is_chunked = headers
            .get("transfer-encoding")
            .is_some_and(|how| how == "chunked");
        let (body, is_whole) = if is_chunked {
            dechunked(rest)
        } else {
            let length = headers
                .get("content-length")
                .map(|length| length.parse().unwrap());
            let is_whole =
                method == "HEAD" || length.is_none_or(|length: usize| length == rest.len());
            (rest.to_vec(), is_whole)
        };
        Self {
            status: status.parse().unwrap(),
            headers,
            body,
            is_whole,
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub fn send(at: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_mins(2)))
        .unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn dechunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return (body, true);
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + length) else {
            body.extend(&rest[end + 2..]);
            return (body, false);
        };
        body.extend(chunk);
        rest = rest.get(end + 4 + length..).unwrap_or_default();
    }
}

/// What keeps a shared file from doing anything in a browser.
#[track_caller]
pub fn assert_harmless(answer: &Answer) {
    assert_policy(answer, "sandbox; default-src 'none'");
}

/// What keeps a listing from doing anything but lead on.
#[track_caller]
pub fn assert_leads_on(answer: &Answer) {
    let own = "sandbox allow-same-origin allow-downloads; default-src 'none'";
    assert_policy(answer, own);
}

#[track_caller]
fn assert_policy(answer: &Answer, policy: &str) {
    assert_eq!(answer.header("content-security-policy"), policy);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
}
