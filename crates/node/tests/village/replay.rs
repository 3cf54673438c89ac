//! What the simulator says of a recorded village, beside what real nodes come to that play
//! the same one.

use std::ops::Range;
use std::process::Command as Process;
use std::time::Duration;
use std::{env, fs};

use thorp_node::address::NetAddress;
use thorp_node::api::Command;
use thorp_node::launch::{Common, Group};
use thorp_node::share;
use thorp_sim::arm::Arm;
use thorp_sim::recorded;
use thorp_sim::run::{Run, play};
use thorp_sim::trace::{FileId, Incident, Machine, Trace, Wording};
use thorp_wire::frame::{Bytes, RequestId};
use thorp_wire::{Body, Frame};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::disk::skip;
use super::support::{Tracked, Village, Villager, answer, bytes, named, start, within, write};

const TEST: &str = "replay::thirty_real_peers_spare_the_tracker_as_the_simulator_says";
/// Set in the process that has a network of its own.
const INSIDE: &str = "THORP_TEST_REPLAY_INSIDE";
const SEEDS: Range<u32> = 1..6;
/// How long each file is. Contents are not what is compared.
const LENGTH: usize = 300;

/// Bytes are those that the loopback interface of a network of its own has counted, with
/// the packets of other networks: 1500 bytes at most.
#[test]
fn thirty_real_peers_spare_the_tracker_as_the_simulator_says() {
    if env::var_os(INSIDE).is_some() {
        return replay();
    }
    let unshared = |arguments: &[&str]| {
        let mut unshare = Process::new("unshare");
        unshare.args(["--map-root-user", "--net", "sh", "-c"]);
        unshare.args(arguments);
        unshare
    };
    let lo = "ip link set lo mtu 1500 up";
    if !unshared(&[lo])
        .status()
        .is_ok_and(|status| status.success())
    {
        return skip(TEST, "a network of its own");
    }
    let this = env::current_exe().expect("this test");
    let inside = unshared(&[&format!("{lo} && exec \"$0\" \"$@\"")])
        .arg(this)
        .args([TEST, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&inside.stdout) + String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

fn replay() {
    let trace = include_str!("../../../sim/tests/thirty.trace");
    let trace = recorded::read(trace).expect("a trace");
    let expected = expected(&trace);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let real = runtime.block_on(real(&trace));
    let said = format!("{real:?}, and the simulator says {expected:?}");
    assert!((real.spared - expected.spared).abs() < 0.02, "{said}");
    assert!((real.bytes / expected.bytes - 1.0).abs() < 0.1, "{said}");
}

/// What one village comes to.
#[derive(Debug)]
struct Outcome {
    /// The share of requests of which no message reached the tracker.
    spared: f64,
    /// What all nodes have sent from the first request on, contents left out.
    bytes: f64,
}

/// By the simulator, in the mean over some seeds.
fn expected(trace: &Trace) -> Outcome {
    let arm = Arm::named("thorp").expect("the program as it is");
    let begin = first_request(trace);
    let mut before = trace.clone();
    before.length = begin;
    before.events.retain(|(at, _)| *at < begin);
    let mean = |of: &dyn Fn(&Run) -> f64, trace: &Trace| {
        let runs = SEEDS.map(|seed| of(&play(trace, arm, 0.0, u64::from(seed))));
        runs.sum::<f64>() / f64::from(SEEDS.end - SEEDS.start)
    };
    let spared = |run: &Run| run.summary(0..1).spared;
    let sent = |run: &Run| as_f64(run.bytes_sent());
    Outcome {
        spared: mean(&spared, trace),
        bytes: mean(&sent, trace) - mean(&sent, &before),
    }
}

fn first_request(trace: &Trace) -> Duration {
    let is_request = |event: &Incident| matches!(event, Incident::Asks(..));
    let mut events = trace.events.iter();
    let first = events.find(|(_, event)| is_request(event));
    first.expect("a request").0
}

/// By real nodes, as fast as it was recorded.
async fn real(trace: &Trace) -> Outcome {
    let village = Village::new().await;
    let mut peers = Vec::new();
    for number in 0..trace.machines.len() {
        let machine = Machine(u32::try_from(number).expect("few"));
        peers.push(start_peer(&village, trace, machine).await);
    }
    let all_hashed = |view: &Tracked| view.files.iter().all(|file| file.root.is_some());
    village.sees("all roots", all_hashed).await;
    let begin = first_request(trace);
    let (started, sent_before) = (Instant::now(), sent());
    let mut requests = JoinSet::new();
    for (at, event) in &trace.events {
        let Incident::Asks(machine, file, wording) = event else {
            continue;
        };
        // As it was recorded, so that signs of life are as many.
        sleep_until(started + at.saturating_sub(begin)).await;
        let get = named(&typed(trace, *file, *wording));
        let peer = &peers[machine.index()].running.peer;
        requests.spawn(answer(peer.command(Command::Get(get))));
    }
    let (mut spared, all) = (0, requests.len() as u64);
    while let Some(answer) = within("all to be fetched", requests.join_next()).await {
        let answer = answer.expect("no panic");
        spared += u64::from(!answer.only_fetched().answer.tracker_asked);
    }
    sleep_until(started + trace.length.saturating_sub(begin)).await;
    let sent = sent() - sent_before - all * of_content();
    // What still runs would write into directories that are being removed.
    for peer in peers {
        peer.stop().await;
    }
    Outcome {
        spared: as_f64(spared) / as_f64(all),
        bytes: as_f64(sent),
    }
}

/// Starts a peer on an address of its own, which shares what its machine has from the
/// beginning, and waits until the tracker knows.
async fn start_peer(village: &Village, trace: &Trace, machine: Machine) -> Villager {
    let name = machine.name().to_string();
    let dir = village.share_of(&name);
    let mut files = 0;
    for (number, file) in (0..).zip(&trace.files) {
        if file.owner == machine {
            let path = FileId(number).path(file.region).to_string();
            write(&dir, &path, &bytes(u64::from(number) + 1, LENGTH));
            files += 1;
        }
    }
    let common = Common {
        listen: Some(
            format!("127.0.0.{}:0", machine.0 + 2)
                .parse()
                .expect("an address"),
        ),
        ..village.common(&name, &[])
    };
    let group = Group::Open(NetAddress::Ip(village.address()));
    let peer = start(common, &dir, share::Options::default(), group).await;
    peer.settled(files).await;
    village.lists(&name, files).await;
    peer
}

/// What a user types for a file.
fn typed(trace: &Trace, file: FileId, wording: Wording) -> String {
    match wording {
        Wording::Path => file.path(trace.files[file.index()].region).to_string(),
        Wording::BaseName => file.base_name(),
        Wording::Folder => panic!("no pattern was recorded"),
    }
}

/// How many bytes this network's loopback has carried, with the headers of IP.
fn sent() -> u64 {
    let all = fs::read_to_string("/proc/net/dev").expect("counters");
    let mut lines = all.lines().map(str::trim_start);
    let counters = lines.find_map(|line| line.strip_prefix("lo:"));
    let first = counters.and_then(|counters| counters.split_whitespace().next());
    first.expect("loopback").parse().expect("a number")
}

#[expect(clippy::cast_precision_loss, reason = "some megabytes")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// What it takes to send a file: its frame, what TLS adds, the headers of its segment, and
/// half of an acknowledgement.
fn of_content() -> u64 {
    let bytes = bytes(1, LENGTH);
    let content = Body::Content(Bytes { bytes });
    let mut frame = Vec::new();
    let encoded = Frame::with_request(RequestId(1), content).encode(&mut frame);
    encoded.expect("fits");
    frame.len() as u64 + 22 + 52 + 26
}
