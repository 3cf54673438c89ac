//! Gets of files that are still being hashed.

use thorp_core::get::{Ending, Missed, MissedKind, News, Output};
use thorp_core::peer::Input;

use super::{SECOND, fetched, get, village};
use crate::support::{Village, id, name_of, request};

/// A village where a file of peer 2 has no root, and hashing it takes time.
fn unhashed(name: &str, text: &str) -> (Village, usize, usize) {
    let (mut village, one, others) = village(&[&[]]);
    village.host(others[0]).hashes_slowly = true;
    village.share_unhashed(others[0], &[(name, text)]);
    village.run(SECOND);
    (village, one, others[0])
}

fn read(village: &mut Village, node: usize, name: &str, bytes: u64) {
    let name = name_of(name);
    let bytes = Some(bytes);
    village.give(node, Input::Hashed { name, bytes });
}

#[test]
fn a_file_that_is_being_hashed_is_waited_for_as_long_as_it_gets_on() {
    for names in [["slow"], ["s*"]] {
        let text = "x".repeat(100);
        let (mut village, one, two) = unhashed("slow", &text);
        let get = village.want(one, request(&names));
        // Much longer than the get waits for a holder that makes no progress.
        for bytes in (0..90).step_by(10) {
            read(&mut village, two, "slow", bytes);
            village.run(20 * SECOND);
        }
        assert_eq!(village.ended(one, get), None);
        village.share(two, &[("slow", &text)]);
        let end = village.end_of(one, get);
        let bytes = 100;
        assert_eq!(
            end,
            Ending::Done {
                files: 1,
                bytes,
                left_out: 0
            },
            "{names:?}"
        );
        let told = village.told(one, get).iter();
        let far = told.filter_map(|told| match told {
            Output::Tell(News::Hashing {
                name,
                length: 100,
                hashed,
                by,
            }) => {
                assert_eq!(name, "slow");
                assert_eq!(by.as_ref().map(|by| by.id), Some(id(two)));
                Some(*hashed)
            }
            _ => None,
        });
        let far: Vec<u64> = far.collect();
        assert!(far.is_sorted() && far.len() >= 9, "{far:?}");
    }
}

#[test]
fn a_holder_that_reads_nothing_more_is_not_waited_for() {
    let (mut village, one, two) = unhashed("slow", "12345");
    read(&mut village, two, "slow", 2);
    let before = village.now;
    let asked = village.received(two, "Find");
    let (_, end) = get(&mut village, one, request(&["slow"]));
    let Ending::Missed {
        name,
        why: Missed::StillHashing { by },
    } = end
    else {
        panic!("{end:?}");
    };
    assert_eq!((&*name, by.map(|by| by.id)), ("slow", Some(id(two))));
    let took = village.now - before;
    assert!(took > 30 * SECOND && took < 45 * SECOND, "{took:?}");
    // The holder is asked at most once a second, by one question.
    let asked = village.received(two, "Find") - asked;
    assert!(asked <= took.as_secs(), "{asked} questions in {took:?}");
}

#[test]
fn one_of_several_that_gets_on_keeps_the_others_waiting() {
    let (mut village, one, two) = unhashed("a", "1234567890");
    village.share_unhashed(two, &[("b", "1234567890")]);
    village.share(two, &[("c", "c")]);
    village.run(SECOND);
    read(&mut village, two, "b", 1);
    let get = village.want(one, request(&["a", "b", "c"]));
    for bytes in 1..6 {
        read(&mut village, two, "a", bytes);
        village.run(20 * SECOND);
    }
    village.share(two, &[("a", "1234567890")]);
    let end = village.end_of(one, get);
    let expected = Ending::SeveralMissed {
        kind: MissedKind::Unfinished,
        missed: 1,
        of: 3,
        without_room: None,
    };
    assert_eq!(end, expected);
    let names: Vec<_> = fetched(&mut village, one, get);
    assert_eq!(names.len(), 2);
}
