//! A file to standard output while it arrives (`thorp get NAME -o -`), with the real program.

use std::fs;
use std::io::Read as _;
use std::process::{Output, Stdio};

use crate::support::process::poll;
use crate::support::{Node, PATIENCE, Running, Village};

const MIB: usize = 1024 * 1024;

/// Bytes of which no two parts are alike.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33).to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(next());
    }
    bytes.truncate(length);
    bytes
}

/// A holder of some files, and a peer that has none.
fn pair(village: &Village, files: &[(&str, &[u8])]) -> (Vec<Running>, String, Node, Node) {
    let (tracker, address) = village.tracker();
    let (holder, reader) = (village.node("oak"), village.node("elm"));
    for (name, bytes) in files {
        holder.file(name, bytes);
    }
    let sharing = holder.start_sharing(&address, "127.0.0.1:0");
    hashed(&holder, files.len());
    let reading = reader.start_sharing(&address, "127.0.0.1:0");
    (vec![tracker, sharing, reading], address, holder, reader)
}

fn hashed(node: &Node, files: usize) {
    poll("the files to be hashed", PATIENCE, || {
        let (_, events) = node.json(&["status"]);
        let status = events.first()?;
        (status["files"] == files && status["unhashed"] == 0).then_some(())
    });
}

fn get(node: &Node, args: &[&str]) -> Output {
    let args = [&["get"], args, &["-o", "-"]].concat();
    node.thorp(&args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_goes_to_standard_output_with_and_without_a_peer_and_into_no_share() {
    let village = Village::new();
    let (small, large) = (bytes(1000, 1), bytes(20 * MIB + 7, 2));
    let files: [(&str, &[u8]); 3] = [("a/small", &small), ("large", &large), ("empty", b"")];
    let (_running, address, holder, reader) = pair(&village, &files);
    let visitor = village.node("ash");
    let tracker = ["--tracker", &address];
    for (name, expected) in files {
        for (node, more) in [(&reader, &[][..]), (&visitor, &tracker), (&holder, &[])] {
            let args = [&[name][..], more].concat();
            let output = get(node, &args);
            assert_eq!(output.status.code(), Some(0), "{name}: {}", said(&output));
            assert!(output.stdout == expected, "{name}");
            assert_eq!(
                said(&output)
                    .lines()
                    .filter(|line| line.starts_with("thorp:"))
                    .count(),
                0
            );
        }
    }
    for node in [&reader, &visitor] {
        assert_eq!(
            fs::read_dir(node.share()).unwrap().count(),
            0,
            "it is no share's"
        );
    }
    let (_, events) = reader.json(&["status"]);
    assert_eq!(events[0]["files"], 0, "nothing of it is listed");
}

#[test]
fn nobody_and_several_are_told_as_of_any_get_and_nothing_is_written() {
    let village = Village::new();
    let files: [(&str, &[u8]); 2] = [("a/x", b"one"), ("b/x", b"two")];
    let (_running, _, _, reader) = pair(&village, &files);
    let output = get(&reader, &["nothing"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(output.stdout.is_empty());
    let output = get(&reader, &["x"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(output.stdout.is_empty());
    assert!(said(&output).contains("a/x") && said(&output).contains("b/x"));
    let output = get(&reader, &["a/x"]);
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(0), &b"one"[..])
    );
    reader.file("c.torrent", "no matter what");
    for args in [
        &["a/x", "b/x"][..],
        &["a/x", "--as", "y"],
        &["a/x", "--wait"],
        &["magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a"],
        &["./c.torrent"],
    ] {
        assert_eq!(get(&reader, args).status.code(), Some(2), "{args:?}");
    }
    let output = get(&reader, &["a/x", "--from", "nobody"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let output = get(&reader, &["a"]);
    assert_eq!(output.status.code(), Some(2), "a folder: {}", said(&output));
}

#[test]
fn a_reader_that_has_enough_ends_it_and_the_next_one_reads_on() {
    let village = Village::new();
    let large = bytes(40 * MIB, 3);
    let (_running, _, _, reader) = pair(&village, &[("large", &large)]);
    let mut first = reader.thorp(&["get", "large", "-o", "-"]);
    let mut first = first.stdout(Stdio::piped()).spawn().unwrap();
    let mut some = vec![0; 100_000];
    first.stdout.take().unwrap().read_exact(&mut some).unwrap();
    assert!(some == large[..100_000]);
    let end = first.wait().unwrap();
    assert_eq!(end.code(), Some(7), "not all of it was written");
    let output = get(&reader, &["large"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(output.stdout == large);
}

#[test]
fn a_file_that_does_not_fit_is_refused_and_what_was_read_makes_room() {
    let village = Village::new();
    let files = [bytes(3 * MIB, 4), bytes(3 * MIB, 5), bytes(5 * MIB, 6)];
    let named: Vec<(&str, &[u8])> = ["one", "two", "three"]
        .into_iter()
        .zip(files.iter().map(|file| &file[..]))
        .collect();
    let (tracker, address) = village.tracker();
    let (holder, reader) = (village.node("oak"), village.node("elm"));
    for (name, bytes) in &named {
        holder.file(name, bytes);
    }
    let _running = [tracker, holder.start_sharing(&address, "127.0.0.1:0")];
    hashed(&holder, 3);
    reader.configure("[read]\ncache_mib = 4\n");
    let _reading = reader.start_sharing(&address, "127.0.0.1:0");
    for (name, expected) in &named[..2] {
        let output = get(&reader, &[name]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(output.stdout == *expected);
    }
    let output = get(&reader, &["three"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("read.cache_mib"),
        "{}",
        said(&output)
    );
    assert!(output.stdout.is_empty());
    let cached = fs::read_dir(reader.state().join("gateway")).unwrap();
    let cached: u64 = cached
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(cached, 3 * MIB as u64, "one of them is left");
}

#[test]
fn what_cannot_be_finished_never_ends_well() {
    let village = Village::new();
    let large = bytes(200 * MIB, 7);
    let (mut running, _, _, reader) = pair(&village, &[("large", &large)]);
    let mut first = reader.thorp(&["get", "large", "-o", "-"]);
    let mut first = first
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = vec![0; MIB];
    let mut out = first.stdout.take().unwrap();
    out.read_exact(&mut some).unwrap();
    // Its only holder ends, without a goodbye.
    running.remove(1).signal("KILL");
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    let end = first.wait_with_output().unwrap();
    let code = end.status.code();
    assert!(
        code == Some(7) || code == Some(6),
        "{code:?}: {}",
        said(&end)
    );
    assert!(some.len() + rest.len() < large.len());
    assert!(large[MIB..].starts_with(&rest), "what has come is right");
    assert!(!said(&end).is_empty());
}
