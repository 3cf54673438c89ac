//! How a get ends.

use std::time::Duration;

use thorp_core::get::{Doubt, Ending, LargeEvent, Missed, MissedKind, NotStored};
use thorp_core::links;
use thorp_core::lookup::Only;
use thorp_core::peer::Input;

use super::{SECOND, failed, get, missed, village};
use crate::support::{Manner, request};

#[test]
fn failures_of_one_kind_are_one_and_of_several_kinds_unfinished() {
    let (mut village, one, _) = village(&[&[("a", "a"), ("b", "b")], &[("a", "other")]]);
    let several = |kind, missed, of| Ending::SeveralMissed {
        kind,
        missed,
        of,
        without_room: None,
    };
    let (id, end) = get(&mut village, one, request(&["x", "y"]));
    assert_eq!(end, several(MissedKind::NotFound, 2, 2));
    let names: Vec<_> = failed(&mut village, one, id);
    assert_eq!((&*names[0].0, &*names[1].0), ("x", "y"));
    let (_, end) = get(&mut village, one, request(&["x", "a"]));
    assert_eq!(end, several(MissedKind::Unfinished, 2, 2));
    let (_, end) = get(&mut village, one, request(&["x", "b"]));
    assert_eq!(
        end,
        several(MissedKind::NotFound, 1, 2),
        "the other one came"
    );
    // A pattern that leads to only one failure ends with that failure.
    let (id, end) = get(&mut village, one, request(&["a*"]));
    assert_eq!(end, missed("a", Missed::Ambiguous(Doubt::Several)));
    assert_eq!(failed(&mut village, one, id).len(), 1);
    let (_, end) = get(&mut village, one, request(&["z*"]));
    assert_eq!(end, missed("z*", Missed::NobodyShares(Only::default())));
}

#[test]
fn a_get_that_nobody_waits_for_is_over_and_leaves_nothing_behind() {
    let files: Vec<(String, String)> = (0..200).map(|n| (format!("f{n}"), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (&**n, &**t)).collect();
    for milliseconds in [0, 1, 2, 3, 4, 5, 6, 8, 10] {
        let (mut village, one, others) = village(&[&files]);
        village.share(others[0], &[("large", &"x".repeat(300_000))]);
        village.run(SECOND);
        let get = village.want(one, request(&["*"]));
        village.run(Duration::from_millis(milliseconds));
        village.give(one, Input::AbandonGet { get });
        for (fetch, _) in std::mem::take(&mut village.host(one).begun) {
            village.large(one, fetch, LargeEvent::Released);
        }
        let told = village.told(one, get).len();
        let gets = village.received(others[0], "Get");
        village.run(60 * SECOND);
        assert_eq!(village.told(one, get).len(), told, "no caller is told");
        assert!(
            village.received(others[0], "Get") <= gets + 128,
            "what was on its way"
        );
        // Another get of the same files works as if there had been none before.
        let again = village.want(one, request(&["*"]));
        village.run(10 * SECOND);
        let (fetch, _) = village.host(one).begun.pop().expect("its turn has come");
        village.large(one, fetch, LargeEvent::NotStored(NotStored::Exists));
        village.large(one, fetch, LargeEvent::Released);
        let end = village.end_of(one, again);
        assert!(
            matches!(
                end,
                Ending::SeveralMissed {
                    missed: 1,
                    of: 201,
                    ..
                }
            ),
            "{end:?}"
        );
    }
}

#[test]
fn a_peer_that_stops_ends_its_gets() {
    let (mut village, one, others) = village(&[&[("a", "a"), ("b", "b")]]);
    village.host(others[0]).manner = Manner::Mute;
    let fetching = village.want(one, request(&["a", "b"]));
    village.run(SECOND);
    let looking = village.want(one, request(&["c"]));
    let reason = "done".to_owned();
    village.give(one, links::Input::Stop { reason });
    let several = Ending::SeveralMissed {
        kind: MissedKind::Unfinished,
        missed: 2,
        of: 2,
        without_room: None,
    };
    assert_eq!(village.ended(one, fetching), Some(several));
    assert_eq!(
        village.ended(one, looking),
        Some(missed("", Missed::Stopping))
    );
}

#[test]
fn ten_thousand_files_come_with_one_get() {
    let files: Vec<(String, String)> = (0..10_000)
        .map(|n| (format!("d{}/f{n}", n % 100), format!("text {n}")))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (&**n, &**t)).collect();
    let (mut village, one, _) = village(&[&files, &files]);
    let (_, end) = get(&mut village, one, request(&["f*"]));
    assert!(matches!(end, Ending::Done { files: 10_000, .. }), "{end:?}");
    // Each place is looked at once, and many of them at a time.
    let looks = &village.host(one).looks;
    let looked: usize = looks.iter().map(Vec::len).sum();
    assert_eq!((looked, looks.len()), (10_000, 10));
}
