//! The log of the real program: in which form, and of what.

use serde_json::Value;

use crate::support::village::sharing;
use crate::support::{Node, PATIENCE, Running, Village};

/// Starts a peer with these arguments and `RUST_LOG`.
fn start(node: &Node, args: &[&str], variable: &str) -> Running {
    let mut command = node.thorp(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    command.args(args).env("RUST_LOG", variable);
    let peer = Running::start(node.name(), command);
    sharing(&peer);
    peer
}

/// Returns what the peer has logged by its end.
fn log(node: &Node, peer: Running) -> String {
    node.run(&["stop"]).exits(0);
    peer.finish(PATIENCE).exits(0).stderr
}

fn objects(log: &str) -> Vec<Value> {
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_log_has_an_object_a_line_where_that_is_asked_for() {
    let village = Village::new();
    let node = village.node("peer");
    let peer = start(&node, &["-v", "--log-format", "json"], "");
    let logged = objects(&log(&node, peer));
    assert!(!logged.is_empty());
    for line in &logged {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "{field} of {line}");
        }
        assert_eq!(line["level"], "INFO", "{line}");
    }
    let link = logged
        .iter()
        .find(|line| line["message"] == "a link is made");
    assert!(link.unwrap()["address"].is_string(), "{logged:#?}");
}

#[test]
fn the_usual_variable_says_what_is_logged_without_a_flag() {
    let village = Village::new();
    let node = village.node("peer");
    let peer = start(&node, &[], "thorp_node=info");
    let text = log(&node, peer);
    assert!(text.contains("INFO"), "{text}");
    assert!(objects(&text).is_empty(), "{text}");

    let peer = start(&node, &[], "");
    let text = log(&node, peer);
    assert!(!text.contains("INFO"), "{text}");

    let peer = start(&node, &[], "thorp=loudly");
    let text = log(&node, peer);
    assert!(text.contains("RUST_LOG is left out of account"), "{text}");
}
