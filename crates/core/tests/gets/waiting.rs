//! Files that cannot be fetched now and are asked for again: those that change, and those that a
//! caller waits for.

use std::time::Duration;

use thorp_core::get::{Ending, GetId, Missed, MissedKind, News, Output, Patience, Request};
use thorp_core::lookup::Only;
use thorp_core::peer::Input;

use super::{SECOND, fetched, get, missed, village};
use crate::support::{Manner, TRACKER, Village, name_of, request};

fn waiting(names: &[&str], patience: Patience) -> Request {
    Request {
        patience,
        ..request(names)
    }
}

const FOR_EVER: Patience = Patience::For(None);

/// Returns what a get has reported to wait for.
fn waits(village: &mut Village, node: usize, get: GetId) -> Vec<Missed> {
    let told = village.told(node, get).iter();
    let waits = told.filter_map(|told| match told {
        Output::Tell(News::Waiting { why, .. }) => Some(why.clone()),
        _ => None,
    });
    waits.collect()
}

#[test]
fn of_a_file_that_has_changed_the_new_one_is_fetched() {
    for names in [["a"], ["?"]] {
        let (mut village, one, others) = village(&[&[("a", "old")]]);
        village.host(others[0]).manner = Manner::Changing;
        let get = village.want(one, request(&names));
        village.run(3 * SECOND);
        assert_eq!(village.ended(one, get), None);
        village.share(others[0], &[("a", "newer")]);
        village.run(SECOND / 2);
        village.host(others[0]).manner = Manner::Honest;
        let end = village.end_of(one, get);
        assert_eq!(
            end,
            Ending::Done {
                files: 1,
                bytes: 5,
                left_out: 0
            },
            "{names:?}"
        );
        assert_eq!(village.host(one).files[&name_of("a")], "newer");
        assert!(
            waits(&mut village, one, get).is_empty(),
            "it is not worth a word"
        );
    }
}

#[test]
fn a_file_that_never_holds_still_is_told_as_such_and_one_that_was_removed_as_gone() {
    let (mut village, one, others) = village(&[&[("a", "a"), ("b", "b")]]);
    village.host(others[0]).manner = Manner::Changing;
    let before = village.now;
    let (_, end) = get(&mut village, one, request(&["a"]));
    let why = Missed::Changed(village.holder(others[0]));
    assert_eq!(why.kind(), MissedKind::Unfinished);
    assert_eq!(end, missed("a", why));
    let took = village.now - before;
    assert!(took >= 25 * SECOND && took < 40 * SECOND, "{took:?}");
    let get = village.want(one, request(&["b"]));
    village.run(SECOND / 10);
    let removed = vec![name_of("b")];
    let added = Vec::new();
    village.give(others[0], Input::ShareChanged { added, removed });
    let end = village.end_of(one, get);
    assert_eq!(end, missed("b", Missed::NobodyShares(Only::default())));
}

#[test]
fn a_name_that_no_peer_has_yet_is_waited_for_as_long_as_its_caller_wants() {
    let (mut village, one, others) = village(&[&[("a", "a")]]);
    let limited = Patience::For(Some(20 * SECOND));
    let before = village.now;
    let (id, end) = get(&mut village, one, waiting(&["b"], limited));
    let why = Missed::NobodyShares(Only::default());
    assert_eq!(end, missed("b", why.clone()));
    let took = village.now - before;
    assert!(took >= 20 * SECOND && took <= 21 * SECOND, "{took:?}");
    let said = waits(&mut village, one, id);
    assert_eq!((said.len(), &said[0]), (1, &why), "said once");
    // Without end, and the tracker is asked at growing intervals.
    let finds = village.received(TRACKER, "Find");
    let get = village.want(one, waiting(&["b", "a"], FOR_EVER));
    village.run(600 * SECOND);
    assert_eq!(village.ended(one, get), None);
    assert_eq!(fetched(&mut village, one, get).len(), 1, "others come");
    let finds = village.received(TRACKER, "Find") - finds;
    assert!((10..20).contains(&finds), "{finds} in ten minutes");
    village.share(others[0], &[("b", "b")]);
    village.run(SECOND);
    // The other peer is a neighbour by now, and reports the file itself.
    let end = village.ended(one, get);
    assert_eq!(
        end,
        Some(Ending::Done {
            files: 2,
            bytes: 2,
            left_out: 0
        })
    );
    let (_, end) = self::get(&mut village, one, waiting(&["c"], Patience::Begun));
    assert_eq!(end, missed("c", why), "that was not begun");
}

#[test]
fn a_fetch_that_has_begun_goes_on_when_its_holder_is_back() {
    for patience in [Patience::Begun, FOR_EVER] {
        let (mut village, one, others) = village(&[&[("a", "a"), ("b", "b")]]);
        village.host(others[0]).manner = Manner::Mute;
        let get = village.want(one, waiting(&["?"], patience));
        village.run(Duration::from_millis(20));
        village.kill(others[0]);
        village.run(100 * SECOND);
        assert_eq!(village.ended(one, get), None);
        let waits = waits(&mut village, one, get);
        assert_eq!(waits.len(), 2, "{waits:?}");
        assert!(waits.iter().all(|why| why.kind() == MissedKind::Network));
        village.start(others[0], &[("a", "a"), ("b", "b")]);
        village.run(61 * SECOND);
        let end = village.ended(one, get);
        assert_eq!(
            end,
            Some(Ending::Done {
                files: 2,
                bytes: 2,
                left_out: 0
            })
        );
    }
    let (mut village, one, others) = village(&[&[("a", "a")]]);
    village.cut_off(others[0], true);
    let get = village.want(one, waiting(&["a"], FOR_EVER));
    village.run(60 * SECOND);
    village.give(one, Input::AbandonGet { get });
    village.run(SECOND);
    assert_eq!(village.ended(one, get), None, "no caller waits for it");
}
