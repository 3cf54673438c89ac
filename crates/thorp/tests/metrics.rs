//! Metrics, as Prometheus reads them from the real program.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::process::poll;
use crate::support::village::named;
use crate::support::{Node, PATIENCE, Village, skip};

/// Returns what a running node says of itself.
fn status(node: &Node) -> Value {
    let (_, events) = node.json(&["status"]);
    let kinds = ["status", "tracker"].into_iter();
    let mut found = kinds.flat_map(|kind| named(&events, kind));
    found
        .next()
        .unwrap_or_else(|| panic!("{events:#?}"))
        .clone()
}

/// Asks a node for its metrics with a secret. Returns the first line and the text.
fn ask(node: &Node, secret: Option<&str>) -> (String, String) {
    let status = status(node);
    let page = status["page"].as_str().unwrap();
    let host = page.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    let bearer = secret.map(|secret| format!("Authorization: Bearer {secret}\r\n"));
    let bearer = bearer.unwrap_or_default();
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n{bearer}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), text.to_owned())
}

/// Returns a node's metrics, as a program with the token reads them.
fn text(node: &Node) -> String {
    let token = status(node)["token_file"].as_str().unwrap().to_owned();
    let token = fs::read_to_string(token).unwrap();
    let (head, text) = ask(node, Some(token.trim()));
    assert!(head.ends_with("200 OK"), "{head}");
    text
}

/// Returns the figures with their labels, and their values.
fn figures(node: &Node) -> BTreeMap<String, u64> {
    let text = text(node);
    let lines = text.lines().filter(|line| line.starts_with("thorp_"));
    let figure = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(figure).collect()
}

#[test]
fn what_a_village_does_shows_in_its_figures() {
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let tracker = village.node("tracker");
    let holder = village.node("holder");
    holder.file("small.txt", "small");
    holder.file("large.bin", vec![7; 400_000]);
    let _holding = holder.start_sharing(&at, "127.0.0.1:0");
    let peer = village.node("peer");
    let sharing = peer.start_sharing(&at, "127.0.0.1:0");
    peer.run(&["get", "small.txt"]).exits(0);
    peer.run(&["get", "large.bin"]).exits(0);
    peer.run(&["get", "nothing"]).exits(3);
    let figure = |node: &Node, name: &str| {
        let figures = figures(node);
        *figures
            .get(name)
            .unwrap_or_else(|| panic!("{name} of {figures:#?}"))
    };
    assert_eq!(
        figure(&peer, "thorp_lookups_total{answered_by=\"tracker\"}"),
        2
    );
    for (node, direction) in [(&peer, "received"), (&holder, "sent")] {
        for size in ["small", "large"] {
            let name = format!("thorp_files_total{{direction=\"{direction}\",size=\"{size}\"}}");
            assert_eq!(figure(node, &name), 1, "{name}");
        }
        let name = format!("thorp_small_file_bytes_total{{direction=\"{direction}\"}}");
        assert_eq!(figure(node, &name), 5, "{name}");
        let name = format!("thorp_large_file_bytes_total{{direction=\"{direction}\"}}");
        assert!(figure(node, &name) >= 400_000, "{name}");
        assert_eq!(figure(node, "thorp_neighbours"), 1);
        assert_eq!(figure(node, "thorp_tracker_connected"), 1);
    }
    let asked = figure(
        &peer,
        "thorp_tracker_messages_total{direction=\"sent\",kind=\"find\"}",
    );
    assert!(asked >= 3, "{asked}");
    let heard = "thorp_tracker_messages_total{direction=\"received\",kind=\"find\"}";
    assert_eq!(figure(&tracker, heard), asked);
    assert_eq!(figure(&tracker, "thorp_peers"), 2);
    assert_eq!(figure(&tracker, "thorp_links"), 2);

    // A stranger that speaks no TLS is refused, and that is counted with the reason.
    let port: u16 = at.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stranger.write_all(b"hello").unwrap();
    _ = stranger.read(&mut [0]);
    poll("the stranger", PATIENCE, || {
        let refused = figure(
            &tracker,
            "thorp_handshakes_refused_total{reason=\"not-tls\"}",
        );
        (refused == 1).then_some(())
    });
    drop(sharing);
}

#[test]
fn without_the_token_no_figure_is_told() {
    let village = Village::new();
    let (_tracker, _) = village.tracker();
    let tracker = village.node("tracker");
    for secret in [None, Some("x")] {
        let (head, text) = ask(&tracker, secret);
        assert!(head.contains(" 401 "), "{head}");
        assert!(!text.contains("thorp_"), "{text}");
    }
}

#[test]
fn promtool_is_content_with_the_figures_of_both_nodes() {
    let test = "promtool_is_content_with_the_figures_of_both_nodes";
    if Command::new("promtool").arg("--version").output().is_err() {
        return skip(test, "promtool");
    }
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let peer = village.node("peer");
    let _sharing = peer.start_sharing(&at, "127.0.0.1:0");
    for node in [&village.node("tracker"), &peer] {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = promtool.stdin.take().unwrap();
        input.write_all(text(node).as_bytes()).unwrap();
        drop(input);
        let output = promtool.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            output.status.success() && said.is_empty(),
            "{}: {said}",
            node.name()
        );
    }
}
