//! A fetch whose holder goes: it waits, goes on by itself, and its bar tells the truth.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use crate::support::village::{listening, named};
use crate::support::{Net, Village};

const TRACKER: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 1);
const HOLDER: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 138);
const ASKER: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 139);

/// For a transfer on a machine that has other things to do.
const LONG: Duration = Duration::from_mins(2);
const SIZE: usize = 30_000_000;

#[test]
fn a_fetch_goes_on_when_its_holder_is_back_and_no_byte_is_counted_twice() {
    let test = "a_fetch_goes_on_when_its_holder_is_back_and_no_byte_is_counted_twice";
    let Some(net) = Net::new(test, &[TRACKER, HOLDER, ASKER]) else {
        return;
    };
    net.limit(HOLDER, "80mbit");
    let village = Village::new();
    let tracker = village.node("tracker").on(net.host(TRACKER));
    let tracking = tracker.start(&["tracker", "--open", "--lines"]);
    listening(&tracking);
    let at = TRACKER.to_string();
    let holder = village.node("ash").on(net.host(HOLDER));
    holder.configure("[interval]\ntracker_ms = 1000\nneighbour_ms = 1000\n");
    // No part is like another, and none is a hole.
    let film: Vec<u8> = (0..SIZE as u64 / 8)
        .flat_map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1).to_le_bytes())
        .collect();
    holder.file("film", &film);
    let sharing = holder.start_sharing(&at, "[::]:3334");

    let asker = village.node("oak").on(net.host(ASKER));
    let fetch = asker.start(&["--json", "get", "film", "--wait", "--tracker", &at]);
    fetch.wait_for_line("a part of it", |line| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["bytes"].as_u64() > Some(5_000_000)
    });
    sharing.signal("KILL");
    sharing.finish(LONG);
    fetch.wait_for_line("it to be waited for", |line| {
        line.contains(r#""event":"waiting""#)
    });
    let _sharing = holder.start_sharing(&at, "[::]:3334");

    let end = fetch.finish(LONG).exits(0);
    let events: Vec<Value> = end
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(named(&events, "resumed").next().is_some(), "{end}");
    for progress in named(&events, "progress") {
        let (bytes, of) = (progress["bytes"].as_u64(), progress["of_bytes"].as_u64());
        assert!(bytes <= of, "{progress}");
    }
    assert!(asker.bytes("film") == film, "another film");
}
