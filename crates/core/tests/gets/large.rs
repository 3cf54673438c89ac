//! Large files: when they are fetched, from which holders, and how that ends.

use thorp_core::get::{
    Chore, DiskError, Ending, GetId, LargeEvent, Missed, MissedKind, News, NotStored, Output,
    Request,
};
use thorp_core::lookup::Only;
use thorp_core::peer::{Input, Notice};
use thorp_core::swarm::{Contact, Stuck, Unfit};
use thorp_wire::PeerId;
use thorp_wire::frame::MAX_INLINE;

use super::{FOUR, SECOND, exists, fetched, missed, village};
use crate::support::{Village, id, request};

/// A village where peers 2 and 3 have a large file, and peer 1 has begun to fetch it.
fn large() -> (Village, usize, Vec<usize>, GetId, thorp_core::get::FetchId) {
    let text = large_text();
    let (mut village, one, others) = village(&[&[("large", &text)], &[("large", &text)]]);
    let get = village.want(one, request(&["large"]));
    village.run(SECOND);
    let (fetch, item) = village.host(one).begun[0].clone();
    assert!(item.content.length > MAX_INLINE);
    (village, one, others, get, fetch)
}

fn large_text() -> String {
    "x".repeat(300_000)
}

#[test]
fn a_large_file_is_begun_gathered_and_given_its_name() {
    let (mut village, one, others, get, fetch) = large();
    assert_eq!(village.named(one, get), [], "there is no place for it yet");
    village.large(one, fetch, LargeEvent::Begun { there: 1000 });
    let resumed = |told: &Output| matches!(told, Output::Tell(News::Resumed { bytes: 1000, .. }));
    assert!(village.told(one, get).iter().any(resumed));
    assert_eq!(village.named(one, get), [id(others[0]), id(others[1])]);
    // The tracker knows a peer that has got a part of it in the meantime.
    let four = village.peer(FOUR, &[("copy", &large_text())]);
    village.run(SECOND);
    village.large(one, fetch, LargeEvent::WantsHolders);
    village.run(SECOND);
    assert!(village.named(one, get).contains(&id(four)));
    let sources = vec![id(others[1]), id(others[0])];
    village.large(
        one,
        fetch,
        LargeEvent::Complete {
            sources: sources.iter().map(|id| (*id).into()).collect(),
        },
    );
    let end = village.end_of(one, get);
    let bytes = 300_000;
    assert_eq!(
        end,
        Ending::Done {
            files: 1,
            bytes,
            left_out: 0
        }
    );
    assert_eq!(
        fetched(&mut village, one, get),
        [("large".to_owned(), sources)]
    );
    village.run(SECOND);
    assert!(
        village.neighbours(one).contains(&id(others[1])),
        "who sent most is met"
    );
}

#[test]
fn a_large_file_that_gets_no_further_is_missed_for_what_is_known_of_its_holders() {
    let stuck = |there, contact, sources: &[PeerId]| {
        LargeEvent::Stuck(Stuck {
            reason: "gone".to_owned(),
            there,
            contact,
            sources: sources.iter().map(|id| (*id).into()).collect(),
            changed: None,
        })
    };
    let reason = || "gone".to_owned();
    let unfinished = |there| Missed::Unfinished {
        reason: reason(),
        there,
        of: 300_000,
    };
    for (lies, there, contact, by_honest, why) in [
        (
            false,
            0,
            Contact::None,
            false,
            Some(Missed::Unreachable(reason())),
        ),
        (
            false,
            0,
            Contact::Reached,
            false,
            Some(Missed::NobodyShares(Only::default())),
        ),
        (false, 0, Contact::Session, false, Some(unfinished(0))),
        (false, 7, Contact::None, true, Some(unfinished(7))),
        (true, 0, Contact::Session, true, None),
        (true, 7, Contact::Session, false, None),
        (true, 7, Contact::Session, true, Some(unfinished(7))),
    ] {
        let (mut village, one, others, get, fetch) = large();
        let liar = village.holder(others[0]);
        let sources = by_honest.then_some(id(others[1]));
        village.large(one, fetch, LargeEvent::Begun { there: 0 });
        if lies {
            village.large(one, fetch, LargeEvent::Lied(liar.id.into()));
            let notices = &village.host(one).notices;
            assert!(notices.contains(&Notice::Liar(liar.clone())));
        }
        let sources: Vec<PeerId> = sources.into_iter().collect();
        village.large(one, fetch, stuck(there, contact, &sources));
        let expected = why.unwrap_or(Missed::Mismatch(liar));
        assert_eq!(
            Some(village.end_of(one, get)),
            Some(missed("large", expected))
        );
        assert!(
            village
                .told(one, get)
                .contains(&Output::Do(Chore::GiveUp(fetch)))
        );
        let is_wait = |told: &Output| matches!(told, Output::Tell(News::Waiting { .. }));
        assert!(
            !village.told(one, get).iter().any(is_wait),
            "it is asked for once more at most, and not waited for"
        );
    }
}

#[test]
fn a_large_file_that_the_disk_does_not_take_is_missed_whenever_that_is_found_out() {
    let full = || NotStored::Other(DiskError(9));
    for (before, event, why) in [
        (
            vec![],
            LargeEvent::Unfit(Unfit::TooLong),
            Missed::Unfit(Unfit::TooLong),
        ),
        (vec![], LargeEvent::NotStored(NotStored::Exists), exists()),
        (
            vec![LargeEvent::Begun { there: 0 }],
            LargeEvent::NotStored(full()),
            Missed::NotStored(full()),
        ),
    ] {
        let (mut village, one, _, get, fetch) = large();
        for event in before {
            village.large(one, fetch, event);
        }
        village.large(one, fetch, event);
        assert_eq!(village.ended(one, get), Some(missed("large", why)));
        // Events that come too late are ignored.
        village.large(one, fetch, LargeEvent::WantsHolders);
        village.large(
            one,
            fetch,
            LargeEvent::Complete {
                sources: Vec::new(),
            },
        );
        village.large(one, fetch, LargeEvent::Released);
    }
}

#[test]
fn a_second_fetch_of_a_content_begins_where_the_first_has_left_it() {
    let (mut village, one, _, first, fetch) = large();
    let renamed = Request {
        rename: Some("copy".to_owned()),
        ..request(&["large"])
    };
    let second = village.want(one, renamed);
    village.run(SECOND);
    assert_eq!(village.host(one).begun.len(), 1);
    village.give(one, Input::AbandonGet { get: first });
    village.run(SECOND);
    assert_eq!(
        village.host(one).begun.len(),
        1,
        "it may still be written to"
    );
    village.large(one, fetch, LargeEvent::Released);
    assert_eq!(village.host(one).begun.len(), 2);
    let (fetch, _) = village.host(one).begun[1].clone();
    village.large(one, fetch, LargeEvent::Begun { there: 5 });
    village.large(
        one,
        fetch,
        LargeEvent::Complete {
            sources: Vec::new(),
        },
    );
    let bytes = 300_000;
    assert_eq!(
        village.end_of(one, second),
        Ending::Done {
            files: 1,
            bytes,
            left_out: 0
        }
    );
}

#[test]
fn an_abandoned_get_of_many_large_files_bars_none_of_them() {
    let texts: Vec<String> = ('a'..='l').map(|c| c.to_string().repeat(300_000)).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|text| (&text[..1], &**text)).collect();
    let (mut village, one, _) = village(&[&files]);
    let first = village.want(one, request(&["?"]));
    village.run(SECOND);
    let begun = std::mem::take(&mut village.host(one).begun);
    assert_eq!(begun.len(), 8);
    village.give(one, Input::AbandonGet { get: first });
    for (fetch, _) in begun {
        village.large(one, fetch, LargeEvent::Released);
    }
    let again = village.want(one, request(&["?"]));
    village.run(SECOND);
    while let Some((fetch, _)) = village.host(one).begun.pop() {
        village.large(one, fetch, LargeEvent::NotStored(NotStored::Exists));
        village.large(one, fetch, LargeEvent::Released);
    }
    let expected = Ending::SeveralMissed {
        kind: MissedKind::Exists,
        missed: 12,
        of: 12,
        without_room: None,
    };
    assert_eq!(village.ended(one, again), Some(expected));
}

#[test]
fn a_file_that_is_read_waits_for_no_turn_and_gives_way_to_a_get_of_the_same() {
    let texts: Vec<String> = (0..10).map(|n| format!("{n}").repeat(300_000)).collect();
    let names: Vec<String> = (0..10).map(|n| format!("large{n}")).collect();
    let files: Vec<(&str, &str)> = names
        .iter()
        .map(|name| &**name)
        .zip(texts.iter().map(|text| &**text))
        .collect();
    let (mut village, one, _) = village(&[&files]);
    let all: Vec<&str> = names[..9].iter().map(|name| &**name).collect();
    village.want(one, request(&all));
    village.run(SECOND);
    assert_eq!(
        village.host(one).begun.len(),
        8,
        "the ninth waits for its turn"
    );
    let read = |name: &str| Request {
        elsewhere: true,
        is_read: true,
        ..request(&[name])
    };
    let reading = village.want(one, read("large9"));
    village.run(SECOND);
    assert_eq!(village.host(one).begun.len(), 9, "a reader does not");
    let (fetch, item) = village.host(one).begun[8].clone();
    assert_eq!(item.listed.as_str(), "large9");
    let is_wanted =
        |told: &Output| matches!(told, Output::Tell(News::IsWanted(wanted)) if *wanted == fetch);
    assert!(!village.told(one, reading).iter().any(is_wanted));
    village.want(one, request(&["large9"]));
    village.run(SECOND);
    assert!(village.told(one, reading).iter().any(is_wanted));
    // What looks like a pattern is a name to who reads it.
    let pattern = village.want(one, read("large*"));
    let end = village.end_of(one, pattern);
    assert!(
        matches!(
            end,
            Ending::Missed {
                why: Missed::NobodyShares(_),
                ..
            }
        ),
        "{end:?}"
    );
}
