//! What is no torrent, or a hostile one: it is refused, and changes nothing.

use std::iter::repeat_with;

use thorp_wire::torrent::Torrent;

use crate::support::mutated;

use super::*;

/// The file of a torrent with this info dictionary, and nothing beside it.
fn torrent_of(raw: &[u8]) -> Vec<u8> {
    [b"d4:info", raw, b"e"].concat()
}

/// What there is in a directory, but not beneath.
fn names_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[test]
fn what_is_no_torrent_or_a_hostile_one_is_refused_with_the_reason_and_nothing_is_written() {
    let hall = Hall::serving();
    let ann = hall.visitor("ann");
    let path = ann.state().with_file_name("given.torrent");
    fs::write(&path, "").unwrap();
    // The directory that the share is in, and the one around that.
    let share = ann.share();
    let around = || share.ancestors().skip(1).take(2).map(names_in).collect();
    let before: Vec<_> = around();
    let refused = |torrent: Vec<u8>, why: &str| {
        fs::write(&path, torrent).unwrap();
        let end = ann.run(&["get", path.to_str().unwrap()]).exits(1);
        end.says(why);
        assert_eq!(files_in(&share), Vec::<PathBuf>::new());
        assert_eq!(around(), before);
    };
    refused(b"what?".to_vec(), "This torrent cannot be fetched");
    for name in ["..", "a/../../b", "/etc"] {
        let made = Made::folder(name, &[("f", b"x", "")], 16_384);
        refused(torrent_of(&made.raw), "This torrent cannot be fetched");
    }
    for name in ["../f", "../../f", "a/../../../f", "/tmp/f"] {
        let made = Made::folder("n", &[(name, b"x", "")], 16_384);
        refused(torrent_of(&made.raw), "This torrent cannot be fetched");
    }
    let made = Made::folder("n", &[("link", b"", "l")], 16_384);
    refused(torrent_of(&made.raw), "symbolic link");
    let made = Made::file("n", b"x", 65 << 20, false);
    refused(torrent_of(&made.raw), "64 MiB");
    let made = Made::folder("n", &[(".profile", b"x", "")], 16_384);
    fs::write(&path, torrent_of(&made.raw)).unwrap();
    ann.run(&["get", path.to_str().unwrap()])
        .exits(5)
        .says("--hidden");
    let typed = ["get", path.to_str().unwrap(), "--as", "x"];
    ann.run(&typed).exits(2).says("--as");
}

#[test]
fn a_peer_refuses_one_broken_torrent_after_the_other_and_fetches_a_good_one_then() {
    let hall = Hall::serving();
    let (oak, peer) = hall.peer("oak", &["--bittorrent"]);
    let (one, two) = (some(100_000, 16), some(5000, 17));
    let files = [("a/one", &one[..], ""), ("two", &two[..], "")];
    let made = Made::folder("trip", &files, 65_536);
    let good = torrent_of(&made.raw);
    let path = oak.state().with_file_name("given.torrent");
    let mut random = fastrand::Rng::with_seed(16);
    let cut = (0..good.len()).step_by(good.len() / 12);
    let cut = cut.map(|end| good[..end].to_vec());
    let other = repeat_with(|| mutated(&mut random, &good)).take(40);
    for given in cut.chain(other) {
        fs::write(&path, &given).unwrap();
        let end = oak.run(&["get", path.to_str().unwrap()]);
        // One that can still be read is another torrent, which nobody has.
        let codes = if Torrent::decode(&given).is_ok() {
            &[3, 5][..]
        } else {
            &[1]
        };
        let is_proper = end.code.is_some_and(|code| codes.contains(&code));
        assert!(is_proper, "{codes:?}: {end}\n{}", given.escape_ascii());
        assert_eq!(files_in(&oak.share()), Vec::<PathBuf>::new());
    }
    fs::write(&path, &good).unwrap();
    let _seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    oak.run(&["get", path.to_str().unwrap()]).exits(0);
    assert!(oak.bytes("trip/a/one") == one && oak.bytes("trip/two") == two);
    // It is the same peer.
    oak.run(&["stop"]).exits(0);
    peer.finish(PATIENCE).exits(0);
}
