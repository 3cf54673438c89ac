//! The page's door: who gets in, and who does not. Real processes and real sockets; requests are
//! written by hand, so that they can be wrong in any way.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::process::{memory, poll};
use crate::support::{Node, PATIENCE, Running, Village, uninterrupted};

/// What a page looks like from outside.
struct Page {
    node: Node,
    peer: Running,
    port: u16,
}

/// An answer: its status, its head, and its body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    fn code(&self) -> (u16, String) {
        let error = &self.json()["error"];
        let message = error["message"].as_str().unwrap();
        assert!(!message.is_empty(), "{error}");
        (self.status, error["code"].as_str().unwrap().to_owned())
    }

    /// The value of a header, whose name is in small letters.
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Page {
    fn start(village: &Village, files: &[(&str, &str)]) -> Self {
        let node = village.node("oak");
        for (name, text) in files {
            node.file(name, text);
        }
        let peer = node.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
        peer.wait_for_line("its first line", |line| line.starts_with("Sharing "));
        let port = port_of(&node);
        Self { node, peer, port }
    }

    /// The link that `thorp page --print` prints, without the address.
    fn code(&self) -> String {
        let printed = self.node.run(&["page", "--print"]).exits(0);
        let (address, code) = printed.stdout.trim().split_once('#').unwrap();
        assert_eq!(address, format!("http://127.0.0.1:{}/", self.port));
        code.to_owned()
    }

    fn bearer(&self) -> String {
        let answer = self.enter(&self.code());
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["bearer"].as_str().unwrap().to_owned()
    }

    fn enter(&self, code: &str) -> Answer {
        self.post("/api/door", &[], &json!({ "code": code }))
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, &self.with_host(headers), "")
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.ask("POST", path, &self.with_host(headers), &body.to_string())
    }

    fn with_host(&self, headers: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut all: Vec<_> = headers.iter().map(owned).collect();
        if !headers.iter().any(|(name, _)| *name == "Host") {
            all.push(("Host".to_owned(), format!("127.0.0.1:{}", self.port)));
        }
        all
    }

    fn ask(&self, method: &str, path: &str, headers: &[(String, String)], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let _ = write!(request, "Content-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or_else(|| panic!("{head}")),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Begins to read the stream of events, and returns it behind its head.
    fn follow(&self, bearer: &str) -> TcpStream {
        let mut stream = self.connect();
        let request = format!(
            "GET /api/events?since=0 HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\
             Authorization: Bearer {bearer}\r\n\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }
}

fn port_of(node: &Node) -> u16 {
    let (_, status) = node.json(&["status"]);
    let page = status[0]["page"].as_str().expect("a page");
    let port = page.trim_end_matches('/').rsplit(':').next().unwrap();
    port.parse().unwrap()
}

fn bearer_header(bearer: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {bearer}"))
}

/// Reads until this text has come.
fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = String::new();
    let mut buffer = [0; 4096];
    while !read.contains(text) {
        match uninterrupted(|| stream.read(&mut buffer)).unwrap() {
            0 => panic!("it ended without {text}: {read}"),
            count => read.push_str(&String::from_utf8_lossy(&buffer[..count])),
        }
    }
    read
}

/// What is different from what the page's own script would ask.
const API: [&str; 4] = ["/api/node", "/api/jobs", "/api/members", "/api/claim"];

#[test]
fn a_code_is_good_once_and_only_its_bearer_opens_the_api() {
    let village = Village::new();
    let page = Page::start(&village, &[("1.txt", "one")]);
    let code = page.code();
    assert_eq!(page.enter("guess").code(), (403, "bad-code".into()));
    let bearer = page.enter(&code).json()["bearer"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        page.enter(&code).code(),
        (403, "bad-code".into()),
        "a second time"
    );
    for path in API {
        assert_eq!(
            page.get(path, &[]).code(),
            (401, "no-bearer".into()),
            "{path}"
        );
        let guess = page.get(path, &[("Authorization", "Bearer guess")]);
        assert_eq!(guess.status, 401, "{path}");
        // The code opens nothing itself.
        let (name, value) = bearer_header(&code);
        assert_eq!(page.get(path, &[(name, &value)]).status, 401, "{path}");
        let (name, value) = bearer_header(&bearer);
        let answer = page.get(path, &[(name, &value)]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let wanted = json!({ "asks": [{ "part": "files" }] });
    assert_eq!(page.post("/api/pages", &[], &wanted).status, 401);
    let (name, value) = bearer_header(&bearer);
    let files = page.post("/api/pages", &[(name, &value)], &wanted).json();
    assert_eq!(files["pages"][0]["rows"][0]["name"], "1.txt");
}

#[test]
fn where_the_pages_bearer_has_ended_a_browser_asks_its_user_for_no_password() {
    let village = Village::new();
    let page = Page::start(&village, &[("1.txt", "one")]);
    let (name, value) = bearer_header("ended");
    for headers in [&[][..], &[(name, &*value)]] {
        for path in API {
            let answer = page.get(path, headers);
            assert_eq!(answer.code(), (401, "no-bearer".into()), "{path}");
            let way_in = answer.header("www-authenticate").unwrap();
            assert!(!way_in.contains("basic"), "{path}: {way_in}");
        }
        // A program sends what its .netrc has when it is asked.
        for path in ["/get/1.txt", "/metrics"] {
            let answer = page.get(path, headers);
            assert_eq!(answer.code(), (401, "no-bearer".into()), "{path}");
            let way_in = answer.header("www-authenticate").unwrap();
            assert!(way_in.starts_with("basic "), "{path}: {way_in}");
        }
    }
}

#[test]
fn the_token_of_programs_reads_and_does_nothing_else() {
    let village = Village::new();
    let page = Page::start(&village, &[]);
    let (_, status) = page.node.json(&["status"]);
    let file = status[0]["token_file"].as_str().unwrap();
    assert_eq!(mode(Path::new(file)), 0o600);
    let token = fs::read_to_string(file).unwrap().trim().to_owned();
    let (name, value) = bearer_header(&token);
    for path in API {
        let answer = page.get(path, &[(name, &value)]);
        assert_eq!(answer.code(), (403, "read-only".into()), "{path}");
    }
    let job = page.post(
        "/api/jobs",
        &[(name, &value)],
        &json!({ "names": ["1.txt"] }),
    );
    assert_eq!(job.code(), (403, "read-only".into()));
    assert_eq!(page.get("/get/1.txt", &[]).status, 401, "not without it");
    assert_ne!(page.get("/get/1.txt", &[(name, &value)]).status, 401);
    assert_eq!(page.enter(&token).status, 403, "it is no code");
}

#[test]
fn a_page_tells_of_a_share_and_a_state_directory_whose_paths_are_no_text() {
    let village = Village::new();
    let there =
        "cd \"$(printf 'odd\\377')\" && exec \"$@\" --state \"$(printf '../../kept\\377')\"";
    let node = village.node("oak").under(&["sh", "-c", there, "sh"]);
    let dir = node.share().join(OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("1.txt"), "one").unwrap();
    let peer = node.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    peer.wait_for_line("its first line", |line| line.starts_with("Sharing "));
    let port = port_of(&node);
    let page = Page { node, peer, port };
    let bearer = page.bearer();
    let (name, value) = bearer_header(&bearer);
    let known = [(name, &*value)];
    let about = page.get("/api/node", &known);
    assert_eq!(about.status, 200, "{}", about.body);
    let about = about.json();
    for (field, text, bytes) in [
        ("share", "/odd\u{fffd}", "2f6f6464ff"),
        (
            "token_file",
            "/kept\u{fffd}/token",
            "2f6b657074ff2f746f6b656e",
        ),
    ] {
        let path = &about[field];
        assert!(path["text"].as_str().unwrap().ends_with(text), "{path}");
        assert!(path["bytes"].as_str().unwrap().ends_with(bytes), "{path}");
    }
    // It goes on.
    page.node.run(&["status"]).exits(0);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn another_site_and_another_name_for_this_machine_get_nothing() {
    let village = Village::new();
    let page = Page::start(&village, &[("1.txt", "one")]);
    let bearer = page.bearer();
    let (name, value) = bearer_header(&bearer);
    let known = (name, &*value);
    let own = format!("http://127.0.0.1:{}", page.port);
    let with = |headers: &[(&str, &str)]| {
        let all: Vec<_> = headers.iter().copied().chain([known]).collect();
        page.get("/api/node", &all)
    };
    assert_eq!(with(&[("Origin", &own)]).status, 200);
    // DNS rebinding: the browser believes that this is evil.example.
    let rebound = format!("evil.example:{}", page.port);
    for host in [
        &*rebound,
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example",
    ] {
        let answer = with(&[("Host", host)]);
        assert_eq!(answer.code(), (421, "other-host".into()), "{host}");
        let entry = page.get("/", &[("Host", host)]);
        assert_eq!(entry.code(), (421, "other-host".into()), "{host}");
        assert!(!entry.body.contains("<html"), "{host}");
    }
    for origin in [
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        "https://127.0.0.1",
    ] {
        let answer = with(&[("Origin", origin)]);
        assert_eq!(answer.code(), (403, "other-origin".into()), "{origin}");
        let asked = json!({ "names": ["1.txt"] });
        let job = page.post("/api/jobs", &[known, ("Origin", origin)], &asked);
        assert_eq!(job.status, 403, "{origin}");
    }
    for site in ["cross-site", "same-site"] {
        assert_eq!(with(&[("Sec-Fetch-Site", site)]).status, 403, "{site}");
        // A link or a file leads a browser to the first document, which shows nothing.
        let led = [
            ("Sec-Fetch-Site", site),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "document"),
        ];
        assert_eq!(page.get("/", &led).status, 200, "{site}");
        assert_eq!(page.get("/get/1.txt", &led).status, 403, "{site}");
        let framed = [led[0], led[1], ("Sec-Fetch-Dest", "iframe")];
        assert_eq!(page.get("/", &framed).status, 403, "{site}");
    }
    let jobs = page.get("/api/jobs", &[known]).json();
    assert_eq!(jobs["jobs"], json!([]), "nothing was done");
}

#[test]
fn every_answer_forbids_what_hostile_names_and_files_would_need() {
    let village = Village::new();
    let page = Page::start(&village, &[]);
    let paths = [
        "/",
        "/assets/none",
        "/api/node",
        "/get/none",
        "/metrics",
        "/none",
        "/download/x/y",
    ];
    for path in paths {
        let answer = page.get(path, &[]);
        let policy = answer.header("content-security-policy").expect(path);
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        let resources = answer.header("cross-origin-resource-policy");
        assert_eq!(resources, Some("same-origin"), "{path}");
        assert_eq!(answer.header("set-cookie"), None, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
    let policy = page.get("/", &[]);
    let policy = policy.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    // What another site asks before it would send something is not granted.
    let preflight = page.ask(
        "OPTIONS",
        "/api/jobs",
        &page.with_host(&[("Access-Control-Request-Method", "POST")]),
        "",
    );
    assert_eq!(preflight.header("access-control-allow-origin"), None);
    assert_ne!(preflight.status, 200);
}

#[test]
fn no_path_leads_out_of_what_there_is() {
    let village = Village::new();
    let page = Page::start(&village, &[("1.txt", "one")]);
    let bearer = page.bearer();
    let (name, value) = bearer_header(&bearer);
    let key = fs::read(page.node.state().join("token")).unwrap();
    let token = String::from_utf8(key).unwrap();
    for path in [
        "/assets/../token",
        "/assets/..%2f..%2ftoken",
        "/assets/%2e%2e/token",
        "/get/../token",
        "/get/..%2ftoken",
        "/get/%2e%2e%2ftoken",
        "/get/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/get/%2fetc%2fpasswd",
        "/get//etc/passwd",
        "/get/1.txt%00",
        "/get/thorp-state",
        "/download/../get/1.txt",
    ] {
        let answer = page.get(path, &[(name, &value)]);
        assert!(answer.status >= 300, "{path}: {}", answer.status);
        assert!(!answer.body.contains(token.trim()), "{path}");
        assert!(!answer.body.contains("root:"), "{path}");
    }
}

#[test]
fn another_user_reads_no_secret_from_arguments_or_files() {
    let village = Village::new();
    let page = Page::start(&village, &[]);
    // A browser that waits, so that its arguments can be looked at.
    let seen = page.node.state().join("seen");
    let browser = page.node.state().join("browser");
    let script = format!(
        "#!/bin/sh\nprintf '%s' \"$*\" > {seen}.new && mv {seen}.new {seen}\nsleep 60\n",
        seen = seen.display()
    );
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o700)).unwrap();
    let folder = browser.parent().unwrap();
    fs::copy(&browser, folder.join("xdg-open")).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = page.node.thorp(&["page"]);
    command.env("PATH", path).env("BROWSER", &browser);
    let opening = Running::start("thorp page", command);
    let arguments = poll("a browser", PATIENCE, || fs::read_to_string(&seen).ok());

    let file = Path::new(arguments.trim_start_matches("file://"));
    assert_eq!(mode(file), 0o600, "{arguments}");
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    let status = page.node.json(&["status"]).1.remove(0);
    let token = Path::new(status["token_file"].as_str().unwrap());
    let environment = format!("/proc/{}/environ", page.peer.id());
    for secret in [file, token, Path::new(&environment)] {
        assert!(fs::read(secret).is_ok(), "{}", secret.display());
        // Only root can ask as another user.
        let mut asked = std::process::Command::new("cat");
        if let Ok(seen) = asked.arg(secret).uid(65_534).gid(65_534).output() {
            assert!(!seen.status.success() && seen.stdout.is_empty(), "{seen:?}");
        }
    }
    let page_of_link = fs::read_to_string(file).unwrap();
    let (_, code) = page_of_link.split_once('#').unwrap();
    let code = &code[..52];
    assert!(!arguments.contains(code), "{arguments}");
    for process in processes() {
        assert!(!process.contains(code), "{process}");
    }
    let refused = page.get(&format!("/{code}"), &[]);
    assert_eq!(refused.status, 404, "no path opens anything");
    assert_eq!(page.enter(code).status, 200);
    // The page is open: the file has done its work.
    let end = opening.finish(PATIENCE).exits(0);
    assert!(end.stderr.contains("open in your browser"), "{end}");
    assert!(!file.exists());
}

/// The arguments of all processes.
fn processes() -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let arguments = all.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    arguments
        .map(|arguments| String::from_utf8_lossy(&arguments).into_owned())
        .collect()
}

#[test]
fn a_thousand_connections_and_streams_leave_the_page_to_its_user() {
    let village = Village::new();
    let page = Page::start(&village, &[("1.txt", "one")]);
    let bearer = page.bearer();
    let (before, _) = memory(&page.peer);
    // Strangers that connect and say nothing, or half of something.
    let mut strangers: Vec<TcpStream> = Vec::new();
    for number in 0..1000 {
        let mut stream = page.connect();
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /api/events?since=0 HTTP/1.1\r\n");
        }
        strangers.push(stream);
    }
    let (name, value) = bearer_header(&bearer);
    assert_eq!(page.get("/api/node", &[(name, &value)]).status, 200);
    // A page that begins streams again and again has one.
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut said = String::new();
    for _ in 0..40 {
        let mut stream = page.follow(&bearer);
        said = read_until(&mut stream, "200 OK");
        streams.push(stream);
    }
    let mut last = streams.pop().unwrap();
    // It may have come with the head.
    if !said.contains("\"jobs\"") {
        read_until(&mut last, "\"jobs\"");
    }
    for mut stream in streams {
        let mut rest = String::new();
        // It was told that the page is elsewhere, or has given way.
        let _ = stream.read_to_string(&mut rest);
    }
    assert_eq!(page.get("/api/node", &[(name, &value)]).status, 200);
    let open = fs::read_dir(format!("/proc/{}/fd", page.peer.id())).unwrap();
    assert!(open.count() < 200, "connections are few");
    let (after, _) = memory(&page.peer);
    assert!(after < before + 16 * 1024 * 1024, "{before} {after}");
    drop(strangers);
}

#[test]
fn a_reader_that_stops_reading_costs_nothing_and_holds_up_nobody() {
    let village = Village::new();
    let page = Page::start(&village, &[]);
    let bearer = page.bearer();
    let silent = page.follow(&bearer);
    let (before, _) = memory(&page.peer);
    let (name, value) = bearer_header(&page.bearer());
    // Each of these is news for the one that does not read.
    for number in 0..300 {
        let names = [format!("none-{number}-{}", "x".repeat(2000))];
        let job = page.post("/api/jobs", &[(name, &value)], &json!({ "names": names }));
        assert!(matches!(job.status, 202 | 429), "{}", job.body);
        if job.status == 429 {
            std::thread::yield_now();
        }
    }
    let jobs = page.get("/api/jobs", &[(name, &value)]).json();
    assert!(
        jobs["jobs"].as_array().unwrap().len() <= 164,
        "jobs are few"
    );
    let (after, _) = memory(&page.peer);
    assert!(after < before + 32 * 1024 * 1024, "{before} {after}");
    drop(silent);
}

#[test]
fn without_a_page_nothing_listens_and_the_command_says_what_to_do() {
    let village = Village::new();
    let node = village.node("oak");
    node.run(&["page"]).exits(1).says("thorp share");
    let peer = node.start(&["share", "--lines", "--no-page", "--listen", "127.0.0.1:0"]);
    peer.wait_for_line("its first line", |line| line.starts_with("Sharing "));
    let (_, status) = node.json(&["status"]);
    assert_eq!(status[0]["page"], Value::Null);
    assert_eq!(status[0]["token_file"], Value::Null);
    assert!(!node.state().join("token").exists());
    node.run(&["page"]).exits(1).says("--no-page");
}

#[test]
fn a_port_in_use_is_a_warning_and_the_node_goes_on() {
    let village = Village::new();
    let node = village.node("oak");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let setting = format!("page.port={port}");
    let peer = node.start(&[
        "share",
        "--lines",
        "--set",
        &setting,
        "--listen",
        "127.0.0.1:0",
    ]);
    peer.wait_for_line("a warning", |line| {
        line.contains(&port.to_string()) && line.contains("there is no page")
    });
    node.run(&["status"]).exits(0);
    node.run(&["page"]).exits(1).says(&port.to_string());
}

#[test]
fn a_tracker_has_a_page_too_and_a_removal_there_is_one() {
    let village = Village::new();
    let (tracker, address) = village.tracker();
    let hall = village.node("tracker");
    let guest = village.node("guest");
    guest.file("1.txt", "one");
    let peer = guest.start_sharing(&address, "127.0.0.1:0");
    let page = Page {
        port: port_of(&hall),
        node: hall,
        peer: tracker,
    };
    let bearer = page.bearer();
    let (name, value) = bearer_header(&bearer);
    let known = [(name, &*value)];
    let about = page.get("/api/node", &known).json();
    assert_eq!(
        (&about["kind"], &about["keeps_ca"]),
        (&json!("tracker"), &json!(true))
    );
    let members = || page.get("/api/members", &known).json()["members"].clone();
    let id = poll("the guest as a member", PATIENCE, || {
        let members = members();
        let guest = members
            .as_array()?
            .iter()
            .find(|row| row["role"] == "member")?;
        guest["present"].as_bool()?.then(|| guest["id"].clone())
    });
    let invite = page
        .post("/api/invites", &known, &json!({ "uses": 1, "seconds": 60 }))
        .json();
    assert!(
        invite["invite"].as_str().unwrap().starts_with("thorp1"),
        "{invite}"
    );
    assert!(invite["qr"].as_array().unwrap().len() > 20);
    // A job is a peer's.
    let job = page.post("/api/jobs", &known, &json!({ "names": ["1.txt"] }));
    assert_eq!(job.status, 404);
    let removed = page
        .post("/api/members/remove", &known, &json!({ "id": id }))
        .json();
    assert_eq!(removed["members"][0]["removed"], true, "{removed}");
    peer.finish(PATIENCE).exits(9);
}

#[test]
fn a_stream_begins_with_all_jobs_so_that_a_page_forgets_those_that_have_gone_meanwhile() {
    let village = Village::new();
    let page = Page::start(&village, &[]);
    let bearer = page.bearer();
    let (name, value) = bearer_header(&bearer);
    let known = [(name, &*value)];
    let job = page.post("/api/jobs", &known, &json!({ "names": ["none.txt"] }));
    let id = job.json()["id"].as_u64().unwrap();
    poll("nobody to have it", PATIENCE, || {
        let jobs = page.get("/api/jobs", &known).json();
        (jobs["jobs"][0]["state"] == "failed").then_some(())
    });
    let mut first = BufReader::new(page.follow(&bearer));
    let told = next_jobs(&mut first);
    assert_eq!(told["all"], true, "{told}");
    assert_eq!(told["jobs"][0]["id"], id, "{told}");
    let turn = |what: &str| page.post(&format!("/api/jobs/{id}/{what}"), &known, &json!({}));
    turn("resume");
    let told = next_jobs(&mut first);
    assert_eq!(told["all"], false, "only what has changed: {told}");
    drop(first);
    poll("it to be forgotten", PATIENCE, || {
        (turn("dismiss").status == 200).then_some(())
    });
    let told = next_jobs(&mut BufReader::new(page.follow(&bearer)));
    assert_eq!((&told["all"], &told["jobs"]), (&json!(true), &json!([])));
}

/// Reads until the next line about jobs.
fn next_jobs(events: &mut impl BufRead) -> Value {
    loop {
        let mut line = String::new();
        assert_ne!(events.read_line(&mut line).unwrap(), 0, "it has ended");
        // Between the lines are those of the chunks that they come in.
        if let Ok(event) = serde_json::from_str::<Value>(&line)
            && event["event"] == "jobs"
        {
            return event;
        }
    }
}

#[test]
fn an_invite_for_more_machines_than_there_may_be_is_refused_and_not_cut() {
    let village = Village::new();
    let page = Page::start(&village, &[]);
    let bearer = page.bearer();
    let (name, value) = bearer_header(&bearer);
    let known = [(name, &*value)];
    for (uses, status) in [(0, 400), (1, 200), (10_000, 200), (10_001, 400)] {
        let asked = json!({ "uses": uses, "seconds": 60 });
        let answer = page.post("/api/invites", &known, &asked);
        assert_eq!(answer.status, status, "{uses}: {}", answer.body);
    }
}

#[test]
fn a_job_fetches_into_the_share_and_can_be_paused_and_taken_up_again() {
    let village = Village::new();
    let (_tracker, address) = village.tracker();
    let oak = village.node("elm");
    oak.file("a/1.txt", "one");
    let _oak = oak.start_sharing(&address, "127.0.0.1:0");
    let node = village.node("oak");
    let peer = node.start_sharing(&address, "127.0.0.1:0");
    let page = Page {
        port: port_of(&node),
        node,
        peer,
    };
    let bearer = page.bearer();
    let (name, value) = bearer_header(&bearer);
    let known = [(name, &*value)];
    let mut events = page.follow(&bearer);
    let job = page.post("/api/jobs", &known, &json!({ "names": ["a/1.txt"] }));
    assert_eq!(job.status, 202, "{}", job.body);
    let id = job.json()["id"].as_u64().unwrap();
    read_until(&mut events, "\"state\":\"done\"");
    assert_eq!(page.node.bytes("a/1.txt"), b"one");
    let jobs = page.get("/api/jobs", &known).json();
    let fetched = &jobs["jobs"][0]["fetched"][0];
    assert_eq!(fetched["name"], "a/1.txt");
    let path = page.node.share().join("a/1.txt");
    assert_eq!(fetched["path"], path.to_str().unwrap());

    // What nobody has fails, and is asked for again when it is taken up again.
    let job = page.post("/api/jobs", &known, &json!({ "names": ["2.txt"] }));
    let id_of_missing = job.json()["id"].as_u64().unwrap();
    let state = |id: u64| {
        let jobs = page.get("/api/jobs", &known).json();
        let all = jobs["jobs"].as_array().unwrap().clone();
        all.into_iter().find(|job| job["id"] == id).unwrap()
    };
    let failed = poll("a failure", PATIENCE, || {
        Some(state(id_of_missing)).filter(|job| job["state"] == "failed")
    });
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("No peer is sharing"), "{message}");
    oak.file("2.txt", "two");
    poll("the new file", PATIENCE, || {
        page.post(
            &format!("/api/jobs/{id_of_missing}/resume"),
            &known,
            &json!({}),
        );
        let ended = || Some(state(id_of_missing)).filter(|job| job["state"] != "running");
        let job = poll("an end", PATIENCE, ended);
        (job["state"] == "done").then_some(())
    });
    assert_eq!(page.node.bytes("2.txt"), b"two");
    let pause = page.post(&format!("/api/jobs/{id}/pause"), &known, &json!({}));
    assert_eq!(pause.code(), (409, "not-now".into()), "it is done");
    assert_eq!(
        page.post("/api/jobs/99/pause", &known, &json!({})).status,
        404
    );
    let dismissed = page.post(&format!("/api/jobs/{id}/dismiss"), &known, &json!({}));
    assert_eq!(dismissed.status, 200);
    read_until(&mut events, "\"job-gone\"");
}
