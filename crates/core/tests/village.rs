//! Whole peers and a whole tracker, talking through real frames in virtual time.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use support::{
    GENUINE, Manner, NEIGHBOUR_INTERVAL, TRACKER, TRACKER_INTERVAL, Village, content, entry, id,
    name_of, record, request, request_from,
};
use thorp_core::get::{Ending, LargeEvent, Missed, MissedKind, News, Output as Told, Request};
use thorp_core::links::{self, LinkId};
use thorp_core::lookup::{Only, Source, TrackerState};
use thorp_core::matching::Pattern;
use thorp_core::peer::{Input, Notice};
use thorp_core::survey::{Coverage, Subject};
use thorp_wire::Frame;
use thorp_wire::frame::Record;

const ONE: [u8; 4] = [192, 168, 198, 138];
const TWO: [u8; 4] = [192, 168, 198, 139];
const THREE: [u8; 4] = [192, 168, 198, 137];
const FOUR: [u8; 4] = [192, 168, 198, 140];

const SECOND: Duration = Duration::from_secs(1);
const CLIENT: (&str, &str) = ("client", "the same everywhere");

/// Plays the story up to its seventh step; returns peers 1, 2 and 3.
fn story(village: &mut Village, hops: u8) -> [usize; 3] {
    let with = |config: &mut thorp_core::peer::Config| config.hops = hops;
    let one = village.peer_with(ONE, &[("1.txt", "one"), ("2.txt", "two"), CLIENT], with);
    village.run(SECOND);
    let two = village.peer_with(TWO, &[("3.txt", "three"), ("4.txt", "four"), CLIENT], with);
    village.run(SECOND);

    assert_eq!(village.get(one, "3.txt"), (Source::Tracker, id(two)));
    assert_eq!(
        village.peers_table(),
        rows3(&[
            (
                "192.168.198.138",
                "1.txt 2.txt 3.txt client",
                "192.168.198.139"
            ),
            ("192.168.198.139", "3.txt 4.txt client", "192.168.198.138"),
        ])
    );
    assert_eq!(
        village.files_table(),
        rows2(&[
            ("1.txt", "192.168.198.138"),
            ("2.txt", "192.168.198.138"),
            ("3.txt", "192.168.198.138 192.168.198.139"),
            ("4.txt", "192.168.198.139"),
            ("client", "192.168.198.138 192.168.198.139"),
        ])
    );
    assert_eq!(village.neighbours(one), [id(two)]);
    assert_eq!(village.neighbours(two), [id(one)]);

    let three = village.peer_with(THREE, &[("5.txt", "five"), ("6.txt", "six"), CLIENT], with);
    village.run(SECOND);
    assert_eq!(village.get(three, "2.txt"), (Source::Tracker, id(one)));
    assert_eq!(village.tracker().counts().finds, 2);
    assert_eq!(village.get(one, "5.txt"), (Source::Memory, id(three)));
    assert_eq!(village.tracker().counts().finds, 2, "a neighbour had it");
    let expected = match hops {
        0 => (Source::Tracker, id(three)),
        _ => (Source::Neighbour(id(one)), id(three)),
    };
    assert_eq!(village.get(two, "6.txt"), expected);
    assert_eq!(
        village.tracker().counts().finds,
        if hops == 0 { 3 } else { 2 }
    );
    village.run(SECOND);
    [one, two, three]
}

fn rows3(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let row = |(a, b, c): &(&str, &str, &str)| ((*a).into(), (*b).into(), (*c).into());
    rows.iter().map(row).collect()
}

fn rows2(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter()
        .map(|(a, b)| ((*a).into(), (*b).into()))
        .collect()
}

#[test]
fn the_story_is_played_from_its_first_step_to_its_last() {
    for hops in [0, 1] {
        let mut village = Village::new();
        let [one, two, three] = story(&mut village, hops);
        assert_eq!(
            village.peers_table(),
            rows3(&[
                (
                    "192.168.198.137",
                    "2.txt 5.txt 6.txt client",
                    "192.168.198.138 192.168.198.139"
                ),
                (
                    "192.168.198.138",
                    "1.txt 2.txt 3.txt 5.txt client",
                    "192.168.198.137 192.168.198.139"
                ),
                (
                    "192.168.198.139",
                    "3.txt 4.txt 6.txt client",
                    "192.168.198.137 192.168.198.138"
                ),
            ])
        );
        assert_eq!(
            village.files_table(),
            rows2(&[
                ("1.txt", "192.168.198.138"),
                ("2.txt", "192.168.198.137 192.168.198.138"),
                ("3.txt", "192.168.198.138 192.168.198.139"),
                ("4.txt", "192.168.198.139"),
                ("5.txt", "192.168.198.137 192.168.198.138"),
                ("6.txt", "192.168.198.137 192.168.198.139"),
                ("client", "192.168.198.137 192.168.198.138 192.168.198.139"),
            ])
        );

        // Peer 1 says goodbye: gone from every display within a second.
        village.give(
            one,
            links::Input::Stop {
                reason: "done".into(),
            },
        );
        village.run(SECOND);
        assert_eq!(village.neighbours(two), [id(three)]);
        assert_eq!(village.neighbours(three), [id(two)]);
        assert!(
            !village
                .files_table()
                .iter()
                .any(|(name, _)| name == "1.txt")
        );

        // Peer 2 is cut off, and nothing is said.
        village.cut_off(two, true);
        let tracker_took = village.until(TRACKER_INTERVAL * 3, |village| {
            village.tracker().catalogue().listing(id(two)).is_none()
        });
        assert!(tracker_took > TRACKER_INTERVAL);
        village.until(
            (NEIGHBOUR_INTERVAL * 3).saturating_sub(TRACKER_INTERVAL),
            |village| village.neighbours(three).is_empty(),
        );
        assert!(village.host(three).catalogue().listing(id(two)).is_none());
        village.run(SECOND);
        assert_eq!(
            village.peers_table(),
            rows3(&[("192.168.198.137", "2.txt 5.txt 6.txt client", "")])
        );
        assert_eq!(
            village.files_table(),
            rows2(&[
                ("2.txt", "192.168.198.137"),
                ("5.txt", "192.168.198.137"),
                ("6.txt", "192.168.198.137"),
                ("client", "192.168.198.137"),
            ])
        );

        // It comes back, with its files, without its user typing anything.
        village.cut_off(two, false);
        // Its attempt may be stuck for as long as a dial takes to fail.
        village.until(TRACKER_INTERVAL + SECOND * 3, |village| {
            village.tracker().catalogue().listing(id(two)).is_some()
        });
        let back = &village.peers_table()[1];
        assert_eq!(
            (&*back.0, &*back.1),
            ("192.168.198.139", "3.txt 4.txt 6.txt client")
        );
    }
}

#[test]
fn a_name_that_nobody_shares_is_looked_for_everywhere_and_not_found() {
    let mut village = Village::new();
    let [one, ..] = story(&mut village, 1);
    let finds = village.tracker().counts().finds;
    let got = village.get_all(one, request(&["7.txt"]));
    assert_eq!(*got.missed(), Missed::NobodyShares(Only::default()));
    assert_eq!(village.tracker().counts().finds, finds + 1);
}

#[test]
fn two_peers_that_dial_each_other_at_once_keep_one_link_and_lose_no_question() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[("1.txt", "one"), CLIENT]);
    let two = village.peer(TWO, &[("2.txt", "two"), CLIENT]);
    village.run(SECOND);
    let from_two = village.want(one, request(&["2.txt"]));
    let from_one = village.want(two, request(&["1.txt"]));
    for (node, get, holder) in [(one, from_two, two), (two, from_one, one)] {
        let got = village.outcome_of(node, get);
        let end = &got.end;
        assert!(matches!(end, Ending::Done { files: 1, .. }), "{end:?}");
        assert_eq!(got.fetched()[0].sources, [id(holder)]);
    }
    village.run(SECOND * 2);
    let rivals = village
        .host(one)
        .closed
        .iter()
        .filter(|reason| reason.contains("link"));
    assert!(rivals.count() > 0, "there were two links for a while");
    assert_eq!(village.links_between(one, two), 1);
    assert_eq!(village.neighbours(one), [id(two)]);
    assert_eq!(village.neighbours(two), [id(one)]);
    for (reader, writer) in [(one, two), (two, one)] {
        let shared = village.host(writer).shared();
        let catalogue = village.host(reader).catalogue();
        let copy = catalogue.listing(id(writer)).expect("it follows the file");
        assert!(copy.names().map(ToString::to_string).eq(shared));
    }
}

#[test]
fn a_link_that_is_lost_while_a_file_is_stored_makes_nobody_send_it_again() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("2.txt", "two"), CLIENT]);
    let three = village.peer(THREE, &[("2.txt", "two"), CLIENT]);
    village.run(SECOND);
    village.host(one).slow_disk = true;
    let get = village.want(one, request(&["2.txt"]));
    assert_eq!(village.disk_is_done(one), 0, "its place is looked at");
    village.run(SECOND);
    village.break_links_of(one);
    // Longer than any holder is waited for.
    village.run(SECOND * 100);
    assert_eq!(village.disk_is_done(one), 1, "it is stored once");
    let end = village.end_of(one, get);
    assert!(matches!(end, Ending::Done { files: 1, .. }), "{end:?}");
    let sent = |node| village.frames.get(&(node, "Get")).copied().unwrap_or(0);
    assert_eq!(sent(two) + sent(three), 1);
}

#[test]
fn a_tracker_that_restarts_knows_everything_again_within_a_second_or_two() {
    let mut village = Village::new();
    let [one, ..] = story(&mut village, 1);
    let (peers, files) = (village.peers_table(), village.files_table());
    village.kill(TRACKER);
    village.run(SECOND * 20);
    assert_eq!(village.host(one).peer.tracker(), TrackerState::Down);
    assert_eq!(
        village.neighbours(one).len(),
        2,
        "neighbours go on without it"
    );
    village.start_tracker();
    village.run(TRACKER_INTERVAL + SECOND);
    assert_eq!(
        (village.peers_table(), village.files_table()),
        (peers, files)
    );
}

#[test]
fn a_peer_that_reboots_begins_anew_even_where_its_old_link_still_seems_to_live() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[("1.txt", "one")]);
    let two = village.peer(TWO, &[("2.txt", "two"), ("old.txt", "old")]);
    village.run(SECOND);
    village.get(one, "2.txt");
    assert_eq!(village.neighbours(one), [id(two)]);
    village.reboot(two, &[("2.txt", "two"), ("new.txt", "new")]);
    village.run(SECOND);
    let (address, names, near) = village.peers_table().remove(1);
    assert_eq!(
        (&*address, &*names, &*near),
        ("192.168.198.139", "2.txt new.txt", "")
    );
    // Its neighbour learns of it with the first new link between them.
    assert_eq!(village.get(two, "1.txt").1, id(one));
    let listing = village.host(one).catalogue().listing(id(two));
    let names: Vec<_> = listing.expect("neighbours again").names().collect();
    assert_eq!(names, ["1.txt", "2.txt", "new.txt"].map(name_of).each_ref());
}

#[test]
fn a_peer_that_goes_is_gone_for_tracker_and_neighbours_when_its_links_close() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[("1.txt", "one")]);
    let two = village.peer(TWO, &[("2.txt", "two")]);
    village.run(SECOND);
    village.get(one, "2.txt");
    village.kill(two);
    village.run(SECOND);
    assert_eq!(village.peers_table().len(), 1);
    assert_eq!(village.neighbours(one), []);
}

#[test]
fn a_holder_without_the_file_any_more_is_skipped_for_the_next() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a")]);
    let three = village.peer(THREE, &[("a.txt", "a")]);
    village.run(SECOND);
    village.host(two).manner = Manner::Without;
    assert_eq!(village.get(one, "a.txt"), (Source::Tracker, id(three)));
}

#[test]
fn a_liar_is_dropped_and_named_and_the_fetch_goes_on() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a"), ("b.txt", "b")]);
    let three = village.peer(THREE, &[("a.txt", "a"), ("b.txt", "b")]);
    village.run(SECOND);
    village.host(two).manner = Manner::Lying;
    assert_eq!(village.get(one, "a.txt").1, id(three));
    let named = village
        .host(one)
        .notices
        .iter()
        .any(|notice| matches!(notice, Notice::Liar(holder) if holder.id == id(two)));
    assert!(named);
    assert_eq!(village.neighbours(one), [id(three)]);
    let gets = village.received(two, "Get");
    assert_eq!(village.get(one, "b.txt").1, id(three));
    assert_eq!(
        village.received(two, "Get"),
        gets,
        "it is not asked again while others have it"
    );
}

#[test]
fn where_only_a_liar_has_it_the_failure_says_so() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a")]);
    village.run(SECOND);
    village.host(two).manner = Manner::Lying;
    let liar = village.holder(two);
    let got = village.get_all(one, request(&["a.txt"]));
    assert_eq!(*got.missed(), Missed::Mismatch(liar));
}

#[test]
fn a_holder_that_never_answers_is_passed_over() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a")]);
    let three = village.peer(THREE, &[("a.txt", "a")]);
    village.run(SECOND);
    village.host(two).manner = Manner::Mute;
    let before = village.now;
    assert_eq!(village.get(one, "a.txt").1, id(three));
    assert!(
        village.now - before < SECOND * 15,
        "{:?}",
        village.now - before
    );
}

#[test]
fn where_the_only_holder_never_answers_the_fetch_ends() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a")]);
    village.run(SECOND);
    village.host(two).manner = Manner::Mute;
    let holder = village.holder(two);
    let got = village.get_all(one, request(&["a.txt"]));
    assert_eq!(*got.missed(), Missed::Silent(holder));
}

#[test]
fn holders_that_came_up_later_are_found_by_asking_the_tracker_again() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a")]);
    village.run(SECOND);
    // It is known where the file is, and its place is still being looked at.
    village.host(one).slow_disk = true;
    let elsewhere = Request {
        elsewhere: true,
        ..request(&["a.txt"])
    };
    let get = village.want(one, elsewhere);
    village.run(SECOND);
    assert_eq!(village.host(one).looks.len(), 1);
    let three = village.peer(THREE, &[("elsewhere/b.txt", "a")]);
    village.run(SECOND);
    village.kill(two);
    village.host(one).slow_disk = false;
    village.disk_is_done(one);
    let end = village.end_of(one, get);
    assert!(matches!(end, Ending::Done { files: 1, .. }), "{end:?}");
    assert_eq!(village.received(three, "Get"), 1);
}

#[test]
fn who_has_a_file_in_pieces_is_told_from_listings_and_by_the_tracker_and_the_best_is_met() {
    let big = "x".repeat(300_000);
    let mut village = Village::new();
    let one = village.peer(ONE, &[]);
    let two = village.peer(TWO, &[("small", "s")]);
    let three = village.peer(THREE, &[("big", &big)]);
    village.run(SECOND);
    village.get(one, "small");
    village.run(2 * SECOND);
    let get = village.want(one, request(&["big"]));
    village.run(SECOND);
    let (fetch, _) = village.host(one).begun[0];
    village.large(one, fetch, LargeEvent::Begun { there: 0 });
    assert_eq!(village.named(one, get), [id(three)], "by the tracker");
    let four = village.peer(FOUR, &[("another", &big)]);
    village.run(SECOND);
    village.large(one, fetch, LargeEvent::WantsHolders);
    village.run(SECOND);
    let named = village.named(one, get);
    assert!(named.contains(&id(four)), "by the tracker, asked again");
    // A neighbour gets it too, and the peer need not ask.
    village.share(two, &[("copy", &big)]);
    village.run(SECOND);
    assert_eq!(village.named(one, get)[named.len()..], [id(two)]);
    assert_eq!(village.neighbours(one), [id(two)]);
    let sources = vec![id(three), id(two)];
    village.large(one, fetch, LargeEvent::Complete { sources });
    village.run(SECOND);
    let mut both = [id(two), id(three)];
    both.sort();
    assert_eq!(village.neighbours(one), both);
}

#[test]
fn a_file_that_nobody_has_hashed_is_hashed_when_it_is_asked_for() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[]);
    let texts: Vec<(String, String)> = (0..300)
        .map(|i| (format!("f{i:03}"), format!("text {i}")))
        .collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(n, t)| (&**n, &**t)).collect();
    village.share_unhashed(two, &files);
    village.run(SECOND);
    assert_eq!(village.get(one, "f007").1, id(two));
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let got = village.get_all(one, request(&names));
    let roots: BTreeMap<String, _> = got
        .fetched()
        .into_iter()
        .map(|file| (file.item.listed.to_string(), file.item.content))
        .collect();
    let expected = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), content(text)));
    assert_eq!(roots, expected.collect());
}

#[test]
fn one_name_for_several_contents_is_a_choice_and_from_makes_it() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "first")]);
    village.peer(THREE, &[("a.txt", "second")]);
    let four = village.peer(FOUR, &[("a.txt", "second"), ("dir/b.txt", "b")]);
    village.run(SECOND);
    assert_eq!(village.neighbours(one), []);
    let finds = village.tracker().counts().finds;
    let got = village.get_all(one, request(&["a.txt"]));
    assert_eq!(*got.missed(), Missed::Ambiguous { look_alike: false });
    let asked = village.tracker().counts().finds - finds;
    assert_eq!(asked, 1, "the choice is what the tracker says");
    let variants = got.choice();
    let counts: BTreeMap<_, _> = variants
        .iter()
        .map(|v| (v.entry.content(), v.holders.len()))
        .collect();
    let expected = [(Some(content("first")), 1), (Some(content("second")), 2)];
    assert_eq!(counts, BTreeMap::from(expected));
    for (from, text) in [
        ("peer-2", "first"),
        ("192.168.198.139", "first"),
        ("192.168.198.139:3334", "first"),
        (&id(two).to_string(), "first"),
        ("peer-4", "second"),
        (&id(four).to_string(), "second"),
    ] {
        let got = village.get_all(one, request_from(&["a.txt"], from));
        let found: Vec<_> = got
            .fetched()
            .into_iter()
            .map(|file| (file.item.content, file.sources.len()))
            .collect();
        assert_eq!(found, [(content(text), 1)], "{from}");
        village.host(one).files.clear();
    }
    let got = village.get_all(one, request_from(&["a.txt", "b.txt"], "nobody-here"));
    let several = Ending::SeveralMissed {
        kind: MissedKind::NotFound,
        missed: 2,
        of: 2,
    };
    assert_eq!(got.end, several);
}

#[test]
fn a_name_that_differs_in_normalisation_only_is_offered_not_taken() {
    let (composed, decomposed) = ("\u{fc}.txt", "u\u{308}.txt");
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    village.peer(TWO, &[(decomposed, "a")]);
    village.run(SECOND);
    let got = village.get_all(one, request(&[composed]));
    assert_eq!(*got.missed(), Missed::Ambiguous { look_alike: true });
    assert_eq!(got.choice()[0].entry.name.as_str(), decomposed);
    assert_eq!(village.get(one, decomposed).0, Source::Tracker);
    // From the memory of a neighbour's listing, it is offered all the same.
    let got = village.get_all(one, request(&[composed]));
    assert_eq!(*got.missed(), Missed::Ambiguous { look_alike: true });
}

#[test]
fn a_thousand_names_are_found_in_one_lookup_by_few_questions() {
    let texts: Vec<(String, String)> = (0..1000)
        .map(|i| (format!("dir/{i:04}.txt"), format!("text {i}")))
        .collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(n, t)| (&**n, &**t)).collect();
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    village.peer(TWO, &files);
    village.run(SECOND);
    let mut names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    names.insert(500, "missing.txt");
    let got = village.get_all(one, request(&names));
    let several = Ending::SeveralMissed {
        kind: MissedKind::NotFound,
        missed: 1,
        of: 1001,
    };
    assert_eq!(got.end, several);
    let fetched = got.fetched();
    assert_eq!(fetched.len(), 1000);
    for file in fetched {
        assert_eq!(file.answer.source, Source::Tracker);
    }
    // Four batches, each answered in three parts at the most.
    assert!(
        village.tracker().counts().finds <= 12,
        "{}",
        village.tracker().counts().finds
    );
}

#[test]
fn a_pattern_finds_all_there_is_page_by_page() {
    let texts: Vec<(String, String)> = (0..350)
        .map(|i| (format!("dir/{i:04}.txt"), format!("text {i}")))
        .collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(n, t)| (&**n, &**t)).collect();
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    village.peer(TWO, &files[..200]);
    village.peer(THREE, &files[150..]);
    village.run(SECOND);
    let subject = || Subject::Files(Pattern::new("dir/*.txt").expect("a pattern"));
    let findings = village.survey(one, subject());
    assert_eq!(findings.coverage, Coverage::Whole);
    let names = findings.files.iter().map(|v| v.entry.name.as_str());
    assert!(names.eq(files.iter().map(|(name, _)| *name)));
    let twice = findings
        .files
        .iter()
        .filter(|v| v.holders.len() == 2)
        .count();
    assert_eq!(twice, 50);
    let members = village.survey(one, Subject::Members);
    let ids: Vec<_> = members.members.iter().map(|row| row.member.id).collect();
    assert_eq!(ids, [id(1), id(2), id(3)]);

    // Without the tracker, what the neighbours have is a part of it.
    village.get(one, "dir/0000.txt");
    village.run(SECOND * 2);
    village.kill(TRACKER);
    village.run(SECOND * 10);
    let findings = village.survey(one, subject());
    assert_eq!(findings.coverage, Coverage::NeighboursOnly);
    assert_eq!(findings.files.len(), 200);
}

#[test]
fn with_the_tracker_down_neighbours_still_answer_and_the_rest_is_unreachable() {
    let mut village = Village::new();
    let [one, two, three] = story(&mut village, 1);
    village.kill(TRACKER);
    village.run(SECOND * 5);
    assert_eq!(village.get(two, "5.txt").0, Source::Memory);
    let got = village.get_all(three, request(&["nowhere.txt", "1.txt"]));
    let nowhere = Told::Tell(News::Failed {
        name: "nowhere.txt".to_owned(),
        why: Missed::TrackerUnreachable { listing: false },
    });
    assert!(got.told.contains(&nowhere), "{:?}", got.told);
    assert_eq!(got.fetched()[0].item.listed, name_of("1.txt"));
    assert_eq!(got.fetched()[0].answer.source, Source::Memory);
    let asked = village.now;
    assert_eq!(village.get(one, "4.txt").0, Source::Memory);
    assert!(village.now - asked < SECOND, "it waits for no tracker");
}

#[test]
fn ten_thousand_idle_files_cost_one_message_an_interval_and_as_many_more_one_delta() {
    let text = |range: std::ops::Range<u32>| -> Vec<_> {
        range
            .map(|i| entry(&format!("{}/{i}", i % 100), "same"))
            .collect()
    };
    let mut village = Village::new();
    let one = village.peer(ONE, &[]);
    village.give(
        one,
        Input::ShareChanged {
            added: text(0..10_000),
            removed: Vec::new(),
        },
    );
    village.run(SECOND * 2);
    assert_eq!(village.tracker().catalogue().entries(), 10_000);
    let before = village.received(TRACKER, "Update");
    village.run(TRACKER_INTERVAL * 10);
    assert_eq!(village.received(TRACKER, "Update") - before, 10);

    let position = |village: &Village| {
        village
            .tracker()
            .catalogue()
            .position(id(one))
            .expect("listed")
    };
    let (seq, frames) = (position(&village).seq, village.received(TRACKER, "Update"));
    village.give(
        one,
        Input::ShareChanged {
            added: text(10_000..20_000),
            removed: Vec::new(),
        },
    );
    village.run(SECOND);
    assert_eq!(village.tracker().catalogue().entries(), 20_000);
    assert_eq!(position(&village).seq, seq + 1);
    // Some 800 kB: neither the whole listing again nor a frame a file.
    assert!(village.received(TRACKER, "Update") - frames <= 10);
}

#[test]
fn a_listing_over_the_bounds_is_said_to_both_sides_and_its_peer_is_asked_instead() {
    let mut village = Village::new();
    let with = |config: &mut thorp_core::peer::Config| config.hops = 0;
    let one = village.peer_with(ONE, &[CLIENT], with);
    let two = village.peer_with(TWO, &[("a.txt", "a"), ("b.txt", "b")], with);
    village.run(SECOND);
    village.get(one, "a.txt");
    let many = (0..100_001).map(|i| entry(&format!("many/{i}"), "same"));
    village.give(
        two,
        Input::ShareChanged {
            added: many.collect(),
            removed: Vec::new(),
        },
    );
    village.run(SECOND * 2);
    let said = |village: &mut Village, node, other| {
        let notices = &village.host(node).notices;
        notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::Unlisted(holder) if holder.id == id(other) => Some("mine"),
                Notice::ListingTooLarge(holder) if holder.id == id(other) => Some("theirs"),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(said(&mut village, one, two), ["theirs"]);
    assert_eq!(said(&mut village, two, one), ["mine"]);
    assert_eq!(
        village.neighbours(one),
        [id(two)],
        "it is a neighbour all the same"
    );
    assert!(village.host(one).catalogue().listing(id(two)).is_none());
    let finds = village.tracker().counts().finds;
    assert_eq!(
        village.get(one, "b.txt"),
        (Source::Neighbour(id(two)), id(two))
    );
    assert_eq!(village.tracker().counts().finds, finds);
    let updates = village.received(one, "Update");
    village.run(NEIGHBOUR_INTERVAL * 4);
    assert!(
        village.received(one, "Update") - updates <= 4,
        "only signs of life"
    );
    assert_eq!(village.neighbours(one), [id(two)]);
}

#[test]
fn a_full_neighbour_table_lets_the_worst_go_for_a_newcomer() {
    let mut village = Village::new();
    let small = |config: &mut thorp_core::peer::Config| config.max_neighbours = 3;
    let one = village.peer_with(ONE, &[CLIENT], small);
    let others: Vec<usize> = (0..6)
        .map(|i| {
            let name = format!("{i}.txt");
            village.peer([10, 0, 0, i], &[(&name, &name)])
        })
        .collect();
    village.run(SECOND);
    for i in 0..4 {
        village.get(one, &format!("{i}.txt"));
    }
    assert_eq!(village.neighbours(one).len(), 3, "equally useful ones stay");
    assert!(!village.neighbours(one).contains(&id(others[3])));
    village.run(Duration::from_hours(1));
    village.get(one, "4.txt");
    let now = village.neighbours(one);
    assert_eq!(now.len(), 3);
    assert!(now.contains(&id(others[4])), "{now:?}");
    for other in others {
        let mutual = village.neighbours(other).contains(&id(one));
        assert_eq!(mutual, now.contains(&id(other)), "both ends agree");
    }
}

#[test]
fn three_thousand_files_come_from_all_their_holders_without_ado() {
    let texts: Vec<(String, String)> = (0..3000)
        .map(|i| (format!("dir/{i:04}.txt"), format!("text {i}")))
        .collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(n, t)| (&**n, &**t)).collect();
    let mut village = Village::new();
    let one = village.peer(ONE, &[]);
    let holders = [village.peer(TWO, &files), village.peer(THREE, &files)];
    village.run(SECOND);
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let got = village.get_all(one, request(&names));
    assert_eq!(got.fetched().len(), 3000);
    let served = holders.map(|holder| village.received(holder, "Get"));
    assert_eq!(served[0] + served[1], 3000, "each is asked for once");
    assert!(served.iter().all(|gets| *gets > 1000), "{served:?}");
    village.run(SECOND);
    assert_eq!(
        village
            .tracker()
            .catalogue()
            .listing(id(one))
            .expect("listed")
            .len(),
        3000
    );
}

#[test]
fn a_visitor_asks_and_fetches_and_is_seen_by_nobody() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[("1.txt", "one")]);
    village.run(SECOND);
    let visitor = village.peer_with(TWO, &[], |config| config.me.visitor = true);
    assert_eq!(village.get(visitor, "1.txt"), (Source::Tracker, id(one)));
    assert_eq!(village.peers_table().len(), 1);
    assert_eq!(village.neighbours(one), []);
    village.run(TRACKER_INTERVAL * 5);
    assert!(
        matches!(village.host(visitor).peer.tracker(), TrackerState::Up(_)),
        "it stays connected"
    );
    let findings = village.survey(one, Subject::Members);
    assert_eq!(findings.members.len(), 1);
}

#[test]
fn a_tracker_that_cannot_be_reached_is_said_once_and_tried_for_ever() {
    let mut village = Village::new();
    village.kill(TRACKER);
    let one = village.peer(ONE, &[CLIENT]);
    village.run(SECOND * 60);
    let lost = |notice: &&Notice| matches!(notice, Notice::TrackerLost(_));
    assert_eq!(village.host(one).notices.iter().filter(lost).count(), 1);
    village.start_tracker();
    village.run(TRACKER_INTERVAL + SECOND);
    assert_eq!(village.peers_table().len(), 1);
}

#[test]
fn a_removed_file_is_gone_from_every_memory_within_a_second() {
    let mut village = Village::new();
    let [one, two, three] = story(&mut village, 1);
    let removed = vec![name_of("5.txt")];
    village.give(
        three,
        Input::ShareChanged {
            added: Vec::new(),
            removed,
        },
    );
    village.run(SECOND);
    for node in [one, two] {
        let listing = village
            .host(node)
            .catalogue()
            .listing(id(three))
            .expect("a neighbour");
        assert!(listing.entry(&name_of("5.txt")).is_none());
    }
    assert!(
        village
            .files_table()
            .contains(&("5.txt".into(), "192.168.198.138".into()))
    );
}

/// Three peers that know one another, and the tracker.
fn friends(village: &mut Village) -> [usize; 3] {
    let peers = [ONE, TWO, THREE].map(|ip| village.peer(ip, &[]));
    village.share(peers[0], &[("1.txt", "one"), ("4.txt", "four")]);
    village.share(peers[1], &[("2.txt", "two")]);
    village.run(SECOND);
    village.get(peers[1], "1.txt");
    village.get(peers[2], "2.txt");
    village.get(peers[2], "4.txt");
    for peer in peers {
        assert_eq!(village.neighbours(peer).len(), 2);
    }
    peers
}

fn was_removed(village: &mut Village, peer: usize) -> bool {
    village.host(peer).removed
}

#[test]
fn a_removed_member_is_out_of_every_link_at_once_and_calls_nobody_any_more() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    village.remove(TRACKER, 1, &[three]);
    village.run(SECOND);
    assert!(was_removed(&mut village, three));
    assert_eq!(village.links_of(three), []);
    for peer in [one, two] {
        assert!(!was_removed(&mut village, peer));
        assert_eq!(village.neighbours(peer).len(), 1);
    }
    assert_eq!(village.peers_table().len(), 2);
    village.run(TRACKER_INTERVAL * 20);
    assert_eq!(village.links_of(three), []);
    let told = [one, two, three].map(|peer| village.received(peer, "Record"));
    assert!(
        told.iter().all(|records| (1..=3).contains(records)),
        "{told:?}"
    );
    assert_eq!(village.links_between(one, two), 1, "the others go on");
}

#[test]
fn members_tell_one_another_while_the_tracker_is_down() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    village.kill(TRACKER);
    village.run(SECOND);
    village.remove(one, 4, &[three]);
    village.run(SECOND);
    assert!(was_removed(&mut village, three));
    assert_eq!(village.links_of(three), []);
    assert_eq!(village.received(two, "Record"), 1);
    // Who comes later learns it from whomever it meets, the tracker as well.
    village.start_tracker();
    let four = village.peer([192, 168, 198, 142], &[]);
    village.run(TRACKER_INTERVAL + SECOND);
    // Two that come back at once both tell it.
    assert!((1..=2).contains(&village.received(TRACKER, "Record")));
    assert_eq!(village.received(four, "Record"), 1);
    let before = [one, two, four, TRACKER].map(|node| village.received(node, "Record"));
    village.run(TRACKER_INTERVAL * 20);
    let after = [one, two, four, TRACKER].map(|node| village.received(node, "Record"));
    assert_eq!(before, after, "each node is told once");
}

#[test]
fn older_records_change_nothing_and_forged_ones_end_the_link() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    village.remove(TRACKER, 5, &[]);
    village.run(SECOND);
    let tell = |number, signature| {
        let record = record(number, &[one], signature);
        Frame::plain(Record { record })
    };
    for number in [1, 5] {
        village.say(two, one, &tell(number, GENUINE));
        village.say(two, TRACKER, &tell(number, GENUINE));
    }
    village.run(SECOND);
    assert!(!was_removed(&mut village, one));
    assert_eq!(village.links_between(one, two), 1);
    for victim in [one, TRACKER] {
        village.say(three, victim, &tell(6, [8; 64]));
    }
    village.run(Duration::from_millis(100));
    assert_eq!(village.links_between(one, three), 0);
    assert!(!was_removed(&mut village, one));
    assert!(
        village
            .host(one)
            .closed
            .iter()
            .any(|why| why.contains("not signed"))
    );
    village.run(SECOND * 2);
    assert_eq!(village.links_between(TRACKER, three), 1, "it may come back");
}

#[test]
fn a_record_that_lets_somebody_in_again_is_answered_with_what_the_members_know() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    village.remove(one, 2, &[three]);
    village.run(SECOND);
    assert!(was_removed(&mut village, three));
    // A tracker that does not know of it tells of a newer one.
    let count = |village: &Village| {
        village
            .frames
            .get(&(TRACKER, "Record"))
            .copied()
            .unwrap_or(0)
    };
    let before = count(&village);
    for number in 5..9 {
        let ignorant = Frame::plain(Record {
            record: record(number, &[], GENUINE),
        });
        village.say(TRACKER, two, &ignorant);
    }
    village.run(SECOND);
    assert_eq!(count(&village), before + 1, "it is told once");
    village.start(three, &[]);
    village.run(SECOND);
    assert_eq!(village.links_between(two, three), 0, "it stays removed");
    // Once it has learnt, all agree.
    village.remove(TRACKER, 10, &[one, three]);
    village.run(SECOND);
    assert!(was_removed(&mut village, one));
    assert_eq!(village.links_between(one, two), 0);
}

#[test]
fn a_link_that_will_end_is_replaced_and_nobody_notices() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    for peer in [one, two, three] {
        village.host(peer).notices.clear();
        village.host(peer).closed.clear();
    }
    let before: BTreeSet<u64> = [one, two, three]
        .iter()
        .flat_map(|peer| village.links_of(*peer))
        .collect();
    for (node, link) in [one, two, three]
        .iter()
        .flat_map(|node| before.iter().map(move |link| (*node, LinkId(*link))))
    {
        village.give(node, links::Input::Expiring { link });
    }
    let everybody_is_there = |village: &mut Village| {
        village.peers_table().len() == 3
            && [one, two, three].iter().all(|peer| {
                village.neighbours(*peer).len() == 2
                    && matches!(village.host(*peer).peer.tracker(), TrackerState::Up(_))
            })
    };
    for _ in 0..200 {
        village.run(Duration::from_millis(1));
        assert!(everybody_is_there(&mut village));
    }
    for peer in [one, two, three] {
        let links = village.links_of(peer);
        assert_eq!(links.len(), 3, "one to each");
        assert!(links.iter().all(|link| !before.contains(link)));
        assert_eq!(village.host(peer).notices, []);
    }
    village.share(one, &[("5.txt", "five")]);
    village.run(SECOND);
    village.get(three, "5.txt");
}
