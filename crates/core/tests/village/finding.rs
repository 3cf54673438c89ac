//! Names and patterns: which of several files, how many questions, and what is found without a
//! tracker.

use std::collections::BTreeMap;

use thorp_core::get::{Doubt, Ending, Missed, MissedKind, News, Output as Told};
use thorp_core::lookup::{Only, Source};
use thorp_core::matching::Pattern;
use thorp_core::peer::{Unanswered, Wish};
use thorp_core::survey::Coverage;

use super::{CLIENT, FOUR, ONE, SECOND, THREE, TWO, story};
use crate::support::{TRACKER, Village, content, id, name_of, request, request_from};

#[test]
fn a_name_that_nobody_shares_is_looked_for_everywhere_and_not_found() {
    let mut village = Village::new();
    let [one, ..] = story(&mut village, 1);
    let finds = village.counts().finds;
    let got = village.get_all(one, request(&["7.txt"]));
    assert_eq!(*got.missed(), Missed::NobodyShares(Only::default()));
    let asked = village.counts().finds - finds;
    assert_eq!(asked, 2, "for the name, and once for what resembles it");
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
    let finds = village.counts().finds;
    let got = village.get_all(one, request(&["a.txt"]));
    assert_eq!(*got.missed(), Missed::Ambiguous(Doubt::Several));
    let asked = village.counts().finds - finds;
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
        without_room: None,
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
    assert_eq!(*got.missed(), Missed::Ambiguous(Doubt::LookAlike));
    assert_eq!(got.choice()[0].entry.name.as_str(), decomposed);
    assert_eq!(village.get(one, decomposed).0, Source::Tracker);
    // It is offered as well from the memory of a neighbour's listing.
    let got = village.get_all(one, request(&[composed]));
    assert_eq!(*got.missed(), Missed::Ambiguous(Doubt::LookAlike));
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
        without_room: None,
    };
    assert_eq!(got.end, several);
    let fetched = got.fetched();
    assert_eq!(fetched.len(), 1000);
    for file in fetched {
        assert_eq!(file.answer.source, Source::Tracker);
    }
    // Four batches, each answered in at most three parts, and a question for names that resemble
    // the missing one.
    assert!(village.counts().finds <= 13, "{}", village.counts().finds);
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
    let subject = || Wish::Files(Pattern::new("dir/*.txt").expect("a pattern"));
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
    let members = village.survey(one, Wish::Members);
    let ids: Vec<_> = members.members.iter().map(|row| row.member.id).collect();
    assert_eq!(ids, [id(1), id(2), id(3)]);

    // Without the tracker, only the files of the neighbours are found.
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

fn listing(whose: Option<&str>, folder: Option<&str>) -> Wish {
    Wish::Listing {
        whose: whose.map(str::to_owned),
        folder: folder.map(str::to_owned),
    }
}

#[test]
fn a_member_without_files_is_told_from_one_that_is_not_here_and_from_a_folder() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[]);
    let two = village.peer(TWO, &[]);
    village.run(SECOND);
    let mut asked = |wish: Wish| {
        let answer = village.answer_to(one, wish);
        answer.map(|found| found.files.len())
    };
    let every = || Wish::Files(Pattern::new("*.txt").expect("a pattern"));
    assert_eq!(asked(every()), Err(Unanswered::NoFiles));
    let (of_two, text) = (id(two).to_string(), str::to_owned);
    assert_eq!(asked(listing(Some(&of_two), None)), Ok(0));
    let nothing = asked(listing(Some("docs"), None));
    assert_eq!(nothing, Err(Unanswered::NoPeerOrFolderCalled(text("docs"))));

    village.share(two, &[("docs/a", "a"), ("docs/b", "b"), CLIENT]);
    village.run(SECOND);
    let mut asked = |wish: Wish| {
        let answer = village.answer_to(one, wish);
        answer.map(|found| found.files.len())
    };
    assert_eq!(asked(every()), Ok(0), "there are others");
    assert_eq!(asked(listing(Some("docs"), None)), Ok(2));
    assert_eq!(asked(listing(Some(&of_two), Some("docs"))), Ok(2));
    assert_eq!(asked(listing(None, Some("docs"))), Ok(2));
    assert_eq!(asked(listing(Some(&of_two), None)), Ok(3));
    assert_eq!(
        asked(listing(None, Some("attic"))),
        Err(Unanswered::NoFolderCalled(text("attic")))
    );
    assert_eq!(
        asked(listing(Some("nobody"), Some("docs"))),
        Err(Unanswered::NoPeerCalled(text("nobody")))
    );

    // What the tracker cannot be asked is not told for certain.
    village.kill(TRACKER);
    village.run(SECOND);
    for wish in [
        listing(Some("attic"), None),
        listing(None, Some("attic")),
        listing(Some("nobody"), Some("docs")),
    ] {
        let found = village.answer_to(one, wish).expect("an answer");
        assert_eq!(found.files.len(), 0);
        assert_eq!(found.coverage, Coverage::NeighboursOnly);
    }
}

#[test]
fn a_removed_peer_answers_that_it_was_removed_whatever_it_was_asked() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    village.run(SECOND);
    let every = || Wish::Files(Pattern::new("**").expect("a pattern"));
    village.kill(TRACKER);
    // Both wait for the tracker, which may come back.
    let survey = village.begin_survey(one, every());
    let get = village.want(one, request(&["x.txt"]));
    village.remove(one, 1, &[one]);
    let missed = |end: Ending| match end {
        Ending::Missed { why, .. } => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(missed(village.end_of(one, get)), Missed::Removed);
    let after = village.get_all(one, request(&["x"]));
    assert_eq!(missed(after.end), Missed::Removed);
    let answer = village.host(one).findings.remove(&survey);
    assert_eq!(answer, Some(Err(Unanswered::Removed)));
    assert_eq!(village.answer_to(one, every()), Err(Unanswered::Removed));
}

#[test]
fn a_stranger_that_dials_a_peer_does_not_stand_for_a_base_name() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[("bait", "bait")]);
    let mallory = village.peer(TWO, &[("sub/setup.sh", "evil")]);
    let honest = village.peer(THREE, &[("setup.sh", "good"), ("friend/notes.txt", "n")]);
    village.run(SECOND);
    // Mallory comes for a file, and so becomes a neighbour at once.
    village.get(mallory, "bait");
    village.run(SECOND);
    assert_eq!(village.neighbours(one), [id(mallory)]);
    let got = village.get_all(one, request(&["setup.sh"]));
    let fetched = &got.fetched()[0];
    assert_eq!(fetched.item.content, content("good"));
    assert!(fetched.answer.tracker_asked);
    village.run(SECOND);

    // A file of a neighbour that this peer has fetched from is taken at once.
    assert!(village.neighbours(one).contains(&id(honest)));
    let finds = village.counts().finds;
    assert_eq!(village.get(one, "notes.txt"), (Source::Memory, id(honest)));
    assert_eq!(village.counts().finds, finds);

    // A name that both neighbours list is a choice.
    village.share(honest, &[("friend/run.sh", "good")]);
    village.share(mallory, &[("sub/run.sh", "evil")]);
    village.run(SECOND);
    let got = village.get_all(one, request(&["run.sh"]));
    assert_eq!(*got.missed(), Missed::Ambiguous(Doubt::Several));
}
