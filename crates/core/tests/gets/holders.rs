//! Which holder sends a file.

use std::time::Duration;

use thorp_core::get::{Ending, Missed, MissedKind};
use thorp_core::lookup::Only;
use thorp_wire::PeerId;

use super::{SECOND, fetched, get, missed, village};
use crate::support::{Manner, id, request, request_from};

#[test]
fn the_next_holder_is_asked_where_one_lies_has_left_or_says_nothing() {
    let files: [(&str, &str); 4] = [("a", "a"), ("b", "b"), ("c", "c"), ("d", "d")];
    for manner in [Manner::Lying, Manner::Mute, Manner::Without] {
        let (mut village, one, others) = village(&[&files, &files]);
        village.host(others[0]).manner = manner;
        let (get, end) = get(&mut village, one, request(&["?"]));
        assert_eq!(
            end,
            Ending::Done {
                files: 4,
                bytes: 4,
                left_out: 0
            },
            "{manner:?}"
        );
        let good = vec![id(others[1])];
        let fetched = fetched(&mut village, one, get);
        assert!(fetched.iter().all(|(_, from)| *from == good), "{manner:?}");
    }
    let (mut village, one, others) = village(&[&files, &files]);
    village.cut_off(others[0], true);
    let (_, end) = get(&mut village, one, request(&["?"]));
    assert_eq!(
        end,
        Ending::Done {
            files: 4,
            bytes: 4,
            left_out: 0
        }
    );
}

#[test]
fn a_slow_holder_is_waited_for_where_it_is_the_only_one_and_no_longer_than_a_second_otherwise() {
    let files: Vec<(String, String)> = (0..100).map(|n| (format!("f{n}"), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (&**n, &**t)).collect();
    let all = |end: &Ending| matches!(end, Ending::Done { files: 100, .. });
    let of_the_slow = |fetched: Vec<(String, Vec<PeerId>)>, slow| {
        let from_it = fetched.into_iter().filter(|(_, from)| *from == [slow]);
        from_it.count()
    };
    let (mut village, one, others) = village(&[&files]);
    village.host(others[0]).lag = 5 * SECOND;
    let (id, end) = get(&mut village, one, request(&["f*"]));
    assert!(all(&end), "{end:?}");
    let slow = crate::support::id(others[0]);
    assert_eq!(of_the_slow(fetched(&mut village, one, id), slow), 100);

    for lag in [5, 25] {
        let (mut village, one, others) = crate::village(&[&files, &files]);
        village.host(others[0]).lag = lag * SECOND;
        let before = village.now;
        let (id, end) = get(&mut village, one, request(&["f*"]));
        assert!(all(&end), "{end:?}");
        let slow = crate::support::id(others[0]);
        assert_eq!(of_the_slow(fetched(&mut village, one, id), slow), 0);
        let took = village.now - before;
        assert!(took < 3 * SECOND, "{took:?}");
    }
}

#[test]
fn over_a_thin_link_all_files_come_however_long_it_takes() {
    for (files, uplink, fetchers) in [
        (38, 125_000, 1),
        (64, 125_000, 1),
        (64, 250_000, 2),
        (4, 500, 1),
    ] {
        let text = |n: usize| format!("{n} ").repeat(250_000 / format!("{n} ").len());
        let all: Vec<(String, String)> = (0..files).map(|n| (format!("r{n}"), text(n))).collect();
        let all: Vec<(&str, &str)> = all.iter().map(|(n, t)| (&**n, &**t)).collect();
        let (mut village, one, others) = village(&[&[], &[]]);
        village.share(others[1], &all);
        village.run(SECOND);
        village.host(others[1]).uplink = Some(uplink);
        let nodes = [one, others[0]];
        let gets = nodes[..fetchers]
            .iter()
            .map(|node| (*node, village.want(*node, request(&["r*"]))));
        let gets: Vec<_> = gets.collect();
        let begun = village.now;
        let bytes: u64 = all.iter().map(|(_, text)| text.len() as u64).sum();
        let least = Duration::from_secs(bytes * gets.len() as u64 / uplink);
        village.run(least + least / 10 + SECOND);
        for (node, get) in gets {
            let end = village.end_of(node, get);
            assert_eq!(
                end,
                Ending::Done {
                    files: files as u64,
                    bytes,
                    left_out: 0
                },
                "of {files} at {uplink}"
            );
        }
        assert!(village.now - begun >= least);
    }
}

#[test]
fn a_holder_that_can_send_no_more_at_once_is_asked_again() {
    let (mut village, one, others) = village(&[&[("a", "a"), ("b", "b")]]);
    village.host(others[0]).manner = Manner::Busy;
    let get = village.want(one, request(&["?"]));
    village.run(20 * SECOND);
    assert_eq!(village.ended(one, get), None);
    village.host(others[0]).manner = Manner::Honest;
    assert_eq!(
        village.end_of(one, get),
        Ending::Done {
            files: 2,
            bytes: 2,
            left_out: 0
        }
    );
    village.host(others[0]).manner = Manner::Busy;
    village.host(one).files.clear();
    let get = village.want(one, request(&["a"]));
    assert_eq!(village.end_of(one, get), missed("a", Missed::Busy));
}

#[test]
fn what_a_holder_that_leaves_had_begun_comes_from_the_others() {
    let files: Vec<(String, String)> = (0..300).map(|n| (format!("f{n}"), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (&**n, &**t)).collect();
    for milliseconds in [3, 6, 8, 10, 12] {
        let (mut village, one, others) = village(&[&files, &files]);
        let get = village.want(one, request(&["*"]));
        village.run(Duration::from_millis(milliseconds));
        village.kill(others[0]);
        let end = village.end_of(one, get);
        assert!(matches!(end, Ending::Done { files: 300, .. }), "{end:?}");
    }
}

#[test]
fn where_no_holder_is_left_the_reason_says_most() {
    for manner in [Manner::Lying, Manner::Mute, Manner::Without] {
        let (mut village, one, others) = village(&[&[("a", "a")]]);
        village.host(others[0]).manner = manner;
        let holder = village.holder(others[0]);
        let (_, end) = get(&mut village, one, request(&["a"]));
        let why = match manner {
            Manner::Lying => Missed::Mismatch(holder),
            Manner::Mute => Missed::Silent(holder),
            _ => Missed::NobodyShares(Only::default()),
        };
        assert_eq!(end, missed("a", why));
    }
    let (mut village, one, others) = village(&[&[("a", "a")]]);
    village.cut_off(others[0], true);
    let (_, end) = get(&mut village, one, request(&["a"]));
    let Ending::Missed { why, .. } = end else {
        panic!("{end:?}");
    };
    assert_eq!(why.kind(), MissedKind::Network);
}

#[test]
fn with_one_peer_asked_for_no_other_one_is() {
    let (mut village, one, others) = village(&[&[("a", "a")], &[("a", "a")]]);
    village.host(others[0]).manner = Manner::Mute;
    let (_, end) = get(&mut village, one, request_from(&["a"], "peer-2"));
    let holder = village.holder(others[0]);
    assert_eq!(end, missed("a", Missed::Silent(holder)));
}
