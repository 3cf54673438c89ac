//! Tests that a survey goes on page by page and part by part as long as there is progress.

use std::cell::RefCell;

use thorp_wire::Entry;
use thorp_wire::frame::Holder;

use super::*;

const TRACKER: PeerId = PeerId::new([99; 32]);
const UP: TrackerState = TrackerState::Up(TRACKER);

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

fn holder(n: u8) -> Holder {
    Holder::bare(id(n))
}

fn file(name: &str, by: u8) -> Variant {
    Variant {
        entry: Entry {
            name: name.parse().expect("a name"),
            length: 7,
            mtime: 0,
            root: None,
            partial: false,
            nanos: 0,
            executable: false,
            v1: None,
        },
        holders: vec![holder(by)],
        hashed: None,
    }
}

fn page(names: &[&str], more: bool) -> Found {
    Found {
        variants: names.iter().map(|name| file(name, 1)).collect(),
        more,
        ..Found::default()
    }
}

/// What a survey sees, set by the test.
struct Around {
    tracker: TrackerState,
    neighbours: Vec<PeerId>,
    heard: Option<Instant>,
    remembered: Vec<Variant>,
    own: Vec<Variant>,
    members: Vec<MemberRow>,
    /// The most files that memory was asked for at a time, and how often it was asked.
    recalled: RefCell<(usize, usize)>,
}

impl Around {
    fn with(tracker: TrackerState) -> Self {
        Self {
            tracker,
            neighbours: Vec::new(),
            heard: None,
            remembered: Vec::new(),
            own: Vec::new(),
            members: Vec::new(),
            recalled: RefCell::default(),
        }
    }

    fn some(&self, of: &[Variant], pattern: &Pattern, behind: Option<&Name>) -> Vec<Variant> {
        let name = |file: &&Variant| file.entry.name.clone();
        let all = of.iter().filter(|file| pattern.matches(&file.entry.name));
        let ahead = all.filter(|file| behind.is_none_or(|behind| name(file) > *behind));
        let some: Vec<_> = ahead.take(MOST_AT_ONCE).cloned().collect();
        let (most, times) = *self.recalled.borrow();
        *self.recalled.borrow_mut() = (most.max(some.len()), times + 1);
        some
    }
}

impl Territory for Around {
    fn tracker(&self) -> TrackerState {
        self.tracker
    }

    fn neighbours(&self) -> Vec<PeerId> {
        self.neighbours.clone()
    }

    fn heard(&self, _: PeerId) -> Option<Instant> {
        self.heard
    }

    fn remembered(&self, pattern: &Pattern, behind: Option<&Name>) -> Vec<Variant> {
        self.some(&self.remembered, pattern, behind)
    }

    fn own(&self, pattern: &Pattern, behind: Option<&Name>) -> Vec<Variant> {
        self.some(&self.own, pattern, behind)
    }

    fn members(&self) -> Vec<MemberRow> {
        self.members.clone()
    }
}

/// A survey under test, with what it has asked and told so far.
struct Played {
    survey: Survey,
    around: Around,
    /// Questions without an answer.
    open: Vec<(PeerId, Find)>,
    told: Vec<Variant>,
    rows: Vec<MemberRow>,
    parts: usize,
    end: Option<Coverage>,
    /// Whether it takes each part at once.
    takes: bool,
}

impl Played {
    fn of(pattern: &str, around: Around) -> Self {
        let subject = Subject::Files(Pattern::new(pattern).expect("a pattern"));
        Self::about(Survey::new(at(0), subject, Only::default()), around)
    }

    fn about(survey: Survey, around: Around) -> Self {
        Self {
            survey,
            around,
            open: Vec::new(),
            told: Vec::new(),
            rows: Vec::new(),
            parts: 0,
            end: None,
            takes: true,
        }
    }

    fn advance(&mut self, now: Instant) -> &mut Self {
        loop {
            let actions = self.survey.advance(now, &self.around);
            if actions.is_empty() {
                return self;
            }
            for action in actions {
                match action {
                    SurveyAction::Ask(member, find) => self.open.push((member.id, find)),
                    SurveyAction::Tell(part) => {
                        self.parts += 1;
                        match part {
                            Findings::Files(files) => self.told.extend(files),
                            Findings::Members(rows) => self.rows.extend(rows),
                        }
                        if self.takes {
                            self.survey.taken();
                        }
                    }
                    SurveyAction::Finish(coverage) => {
                        assert_eq!(self.end.replace(coverage), None, "it ends once");
                    }
                }
            }
        }
    }

    /// Answers the next question.
    fn answer(&mut self, now: Instant, found: Found) -> &mut Self {
        let (who, find) = self.open.remove(0);
        self.survey.found(now, who, &find, found);
        self.advance(now)
    }

    fn refuse(&mut self, now: Instant, is_busy: bool) -> &mut Self {
        let (who, _) = self.open.remove(0);
        if is_busy {
            self.survey.on_busy(now, who);
        } else {
            self.survey.no_answer(who);
        }
        self.advance(now)
    }

    fn names(&self) -> Vec<&str> {
        self.told
            .iter()
            .map(|file| file.entry.name.as_str())
            .collect()
    }
}

#[test]
fn files_that_do_not_match_are_left_out_whichever_member_names_them() {
    let mut played = Played::of("a*", Around::with(UP));
    played.advance(at(0));
    played.answer(at(1), page(&["a1", "b", "d/a2"], false));
    assert_eq!(played.names(), ["a1", "d/a2"]);
    assert_eq!(played.end, Some(Coverage::Whole));
}

#[test]
fn the_tracker_is_asked_page_by_page_and_each_is_told_when_the_one_before_is_taken() {
    let mut played = Played::of("*", Around::with(UP));
    played.takes = false;
    played.advance(at(0));
    let (who, find) = &played.open[0];
    assert_eq!((*who, &find.after), (TRACKER, &None));
    assert_eq!(find.most_variants(), Found::MAX_VARIANTS);
    played.answer(at(1), page(&["a", "b"], true));
    assert_eq!(played.names(), ["a", "b"]);
    // The next page is asked for in the meantime, and no more than that.
    assert_eq!(played.open[0].1.after, Some("b".parse().expect("a name")));
    assert_eq!(played.survey.deadline(), Some(at(5001)));
    played.answer(at(2), page(&["c"], true));
    assert_eq!((played.names(), played.open.len()), (vec!["a", "b"], 0));
    assert_eq!(played.survey.deadline(), None, "the caller takes its time");
    played.survey.taken();
    played.advance(at(90_000));
    assert_eq!(played.names(), ["a", "b", "c"]);
    played.survey.taken();
    played.answer(at(90_001), page(&["d"], false));
    assert_eq!(played.names(), ["a", "b", "c", "d"]);
    assert_eq!((played.end, played.parts), (Some(Coverage::Whole), 3));
}

#[test]
fn a_page_that_found_nothing_is_continued_where_the_search_stopped() {
    let mut played = Played::of("*", Around::with(UP));
    played.advance(at(0));
    let stopped = Found {
        behind: Some("m".parse().expect("a name")),
        ..page(&[], true)
    };
    played.answer(at(1), stopped.clone());
    assert_eq!(played.open[0].1.after, stopped.behind);
    // A repeated page is no progress.
    played.answer(at(2), stopped);
    assert_eq!(played.end, Some(Coverage::TrackerInPart));
}

#[test]
fn a_member_that_promises_more_but_does_not_get_ahead_is_not_asked_for_ever() {
    for repeated in [page(&["a", "b"], true), page(&["a"], true), page(&[], true)] {
        let mut played = Played::of("*", Around::with(UP));
        played.advance(at(0));
        played.answer(at(1), page(&["a", "b"], true));
        played.answer(at(2), repeated);
        assert_eq!(played.end, Some(Coverage::TrackerInPart));
        assert_eq!(played.names(), ["a", "b"], "each once");
    }
}

#[test]
fn a_silent_tracker_leaves_a_part_and_what_it_says_later_is_ignored() {
    let mut played = Played::of("*", Around::with(UP));
    played.advance(at(0));
    played.answer(at(1), page(&["a"], true));
    played.advance(at(5000));
    assert_eq!(played.end, None);
    played.advance(at(5001));
    assert_eq!(played.end, Some(Coverage::TrackerInPart));
    played.answer(at(5002), page(&["b"], true));
    assert_eq!(played.names(), ["a"]);
    assert_eq!(played.survey.deadline(), None);
}

#[test]
fn where_the_tracker_says_nothing_at_all_the_neighbours_are_asked() {
    let mut played = Played::of("*", Around::with(UP));
    played.around.neighbours = vec![id(1), id(2)];
    played.around.remembered = page(&["b"], false).variants;
    played.advance(at(0));
    played.advance(at(4999));
    let asked = |played: &Played| played.open.iter().map(|(who, _)| *who).collect::<Vec<_>>();
    assert_eq!((asked(&played), played.names()), (vec![TRACKER], vec![]));
    played.advance(at(5000));
    assert_eq!(asked(&played), [TRACKER, id(1), id(2)]);
    // It comes too late.
    played.answer(at(5001), page(&["z"], false));
    played.answer(at(5002), page(&["a"], false));
    played.answer(at(5003), page(&["c"], false));
    assert_eq!(played.names(), ["a", "b", "c"]);
    assert_eq!(played.end, Some(Coverage::NeighboursOnly));
}

#[test]
fn a_page_that_takes_long_over_a_thin_link_is_waited_for_as_long_as_bytes_come() {
    let mut played = Played::of("*", Around::with(UP));
    played.advance(at(0));
    for second in 1..60 {
        played.around.heard = Some(at(second * 1000));
        played.advance(at(second * 1000));
        assert_eq!(played.end, None, "{second} s");
    }
    played.around.heard = Some(at(60_000));
    played.advance(at(60_000));
    assert_eq!(
        played.end,
        Some(Coverage::NeighboursOnly),
        "but not for ever"
    );
}

#[test]
fn a_tracker_that_is_too_busy_is_asked_on_until_all_is_told() {
    let mut played = Played::of("*", Around::with(UP));
    played.advance(at(0));
    let mut now = at(0);
    for (n, name) in ["a", "b", "c", "d"].iter().enumerate() {
        for _ in 0..20 {
            played.refuse(now, true);
            assert!(played.open.is_empty(), "it is left alone for a while");
            let until = played.survey.deadline().expect("it rests");
            assert!(until - now <= Duration::from_secs(2));
            now = until;
            played.advance(now);
        }
        played.answer(now, page(&[name], n < 3));
    }
    assert_eq!(played.names(), ["a", "b", "c", "d"]);
    assert_eq!(played.end, Some(Coverage::Whole), "after {now:?}");
}

#[test]
fn a_tracker_that_stays_too_busy_leaves_a_part_that_is_told_as_such() {
    let mut played = Played::of("*", Around::with(UP));
    played.advance(at(0));
    played.answer(at(1), page(&["a"], true));
    let mut now = at(1);
    while played.end.is_none() {
        played.refuse(now, true);
        now = played.survey.deadline().unwrap_or(now);
        played.advance(now);
    }
    assert_eq!(played.end, Some(Coverage::TrackerBusy));
    assert_eq!(played.names(), ["a"]);
    assert!(now - at(0) <= BUSY_FOR + Duration::from_secs(1), "{now:?}");
    assert!(now - at(0) + Duration::from_secs(3) >= BUSY_FOR, "{now:?}");
}

#[test]
fn without_a_tracker_the_neighbours_are_asked_and_it_is_a_part() {
    let mut played = Played::of("*", Around::with(TrackerState::Trying));
    played.around.neighbours = vec![id(1), id(2), id(3)];
    played.advance(at(0));
    assert_eq!(played.survey.deadline(), Some(at(5000)));
    played.around.tracker = TrackerState::Down;
    played.advance(at(1));
    let asked: Vec<_> = played.open.iter().map(|(who, _)| *who).collect();
    assert_eq!(asked, [id(1), id(2), id(3)]);
    // What comes first may not be first in order: nothing is told before every member has told how
    // far it has got.
    played.answer(at(2), page(&["c", "d"], true));
    assert_eq!(played.names(), [""; 0]);
    played.answer(at(3), page(&["a", "c"], false));
    assert_eq!(played.names(), [""; 0]);
    played.refuse(at(4), false);
    assert_eq!(played.names(), ["a", "c", "d"]);
    played.answer(at(5), page(&["e"], false));
    assert_eq!(played.names(), ["a", "c", "d", "e"]);
    assert_eq!(played.end, Some(Coverage::NeighboursOnly));
}

#[test]
fn only_files_of_those_who_are_meant_are_counted() {
    let subject = Subject::Files(Pattern::new("*").expect("a pattern"));
    let other = Only {
        from: Some("oak".to_owned()),
        root: None,
    };
    let mut played = Played::about(Survey::new(at(0), subject, other), Around::with(UP));
    played.around.remembered = vec![file("remembered", 1)];
    played.advance(at(0));
    let mut of_two = page(&["a", "b"], false);
    of_two.variants[1].holders[0].name = Some("oak".parse().expect("a name"));
    played.answer(at(1), of_two);
    assert_eq!(played.names(), ["b"]);
}

#[test]
fn what_memory_has_comes_in_between_and_is_read_a_few_at_a_time() {
    let mut played = Played::of("*", Around::with(UP));
    let number = 5 * MOST_AT_ONCE;
    let all: Vec<String> = (0..number).map(|n| format!("{n:06}")).collect();
    played.around.remembered = all.iter().map(|name| file(name, 2)).collect();
    played.advance(at(0));
    for (n, some) in all.chunks(100).enumerate() {
        let some: Vec<&str> = some.iter().step_by(3).map(String::as_str).collect();
        let more = n + 1 < number.div_ceil(100);
        played.answer(at(1), page(&some, more));
    }
    assert_eq!(played.names(), all, "each once, in order");
    let both = played.told.iter().filter(|file| file.holders.len() == 2);
    assert!(both.count() > number / 4, "and with all its holders");
    assert_eq!(played.end, Some(Coverage::Whole));
    let (most, times) = *played.around.recalled.borrow();
    assert!(most <= MOST_AT_ONCE && times < 20, "{most}, {times} times");
}

#[test]
fn own_files_come_with_the_others_this_peer_as_their_last_holder() {
    let own = |name: &str, length: u64| {
        let mut own = file(name, 7);
        own.entry.length = length;
        own.holders[0].name = Some("oak".parse().expect("a name"));
        own
    };
    let mut everywhere = page(&["b", "d"], false);
    let length = everywhere.variants[0].entry.length;
    everywhere.variants[0].holders = vec![holder(9)];
    let survey = |from: Option<&str>| {
        let only = Only {
            from: from.map(str::to_owned),
            root: None,
        };
        let subject = Subject::Files(Pattern::new("?").expect("a pattern"));
        let mut played = Played::about(Survey::new(at(0), subject, only), Around::with(UP));
        played.around.own = vec![
            own("a", length),
            own("b", length),
            own("b", length - 1),
            own("c", length),
            own("no", length),
        ];
        played.advance(at(0));
        played.answer(at(1), everywhere.clone());
        assert_eq!(played.end, Some(Coverage::Whole));
        let row = |file: &Variant| {
            let holders = file.holders.iter().map(|h| h.id.as_bytes()[0]);
            let is_other = file.entry.length != length;
            (
                file.entry.name.to_string(),
                is_other,
                holders.collect::<Vec<_>>(),
            )
        };
        played.told.iter().map(row).collect::<Vec<_>>()
    };
    let found = survey(None);
    let found: Vec<_> = found
        .iter()
        .map(|(name, is_other, holders)| (&name[..], *is_other, &holders[..]))
        .collect();
    assert_eq!(
        found,
        [
            ("a", false, &[7][..]),
            ("b", false, &[9, 7]),
            ("b", true, &[7]),
            ("c", false, &[7]),
            ("d", false, &[1]),
        ]
    );
    assert!(survey(Some("elm")).is_empty(), "this peer is not called so");
    assert_eq!(survey(Some("oak")).len(), 4);
}

#[test]
fn without_the_tracker_a_visitor_gets_no_answer() {
    let coverage = |is_visitor: bool, tracker| {
        let subject = Subject::Files(Pattern::new("*").expect("a pattern"));
        let mut survey = Survey::new(at(0), subject, Only::default());
        if is_visitor {
            survey = survey.by_visitor();
        }
        let mut played = Played::about(survey, Around::with(tracker));
        played.advance(at(0));
        if !played.open.is_empty() {
            played.refuse(at(1), false);
        }
        played.end.expect("it is over")
    };
    let down = TrackerState::Down;
    assert_eq!(coverage(false, down), Coverage::NeighboursOnly);
    assert_eq!(coverage(true, down), Coverage::NoAnswer);
    // The tracker was asked, and is gone before it has said anything.
    assert_eq!(coverage(false, UP), Coverage::NeighboursOnly);
    assert_eq!(coverage(true, UP), Coverage::NoAnswer);
}

#[test]
fn members_come_in_the_order_of_their_ids_neighbours_among_them() {
    let row = |n: u8, files| MemberRow {
        member: holder(n),
        files,
        bytes: 0,
        neighbours: Vec::new(),
    };
    let page = |ids: &[u8], more| Found {
        members: ids.iter().map(|n| row(*n, 2)).collect(),
        more,
        ..Found::default()
    };
    let survey = || Survey::new(at(0), Subject::Members, Only::default());
    let mut played = Played::about(survey(), Around::with(UP));
    played.around.members = vec![row(2, 1), row(5, 1)];
    played.advance(at(0));
    played.answer(at(1), page(&[1, 2], true));
    assert_eq!(played.open[0].1.query, Query::Members(Some(id(2))));
    played.answer(at(2), page(&[3, 4], false));
    let rows = played
        .rows
        .iter()
        .map(|row| (row.member.id.as_bytes()[0], row.files));
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [(1, 2), (2, 2), (3, 2), (4, 2), (5, 1)]
    );
    assert_eq!(played.end, Some(Coverage::Whole));

    let mut played = Played::about(survey(), Around::with(TrackerState::Down));
    played.around.members = vec![row(2, 1)];
    played.advance(at(0));
    assert_eq!(
        (played.rows.len(), played.end),
        (1, Some(Coverage::NeighboursOnly))
    );
}

#[test]
fn a_million_files_are_surveyed_with_a_page_or_two_in_memory() {
    let mut played = Played::of("*", Around::with(UP));
    played.advance(at(0));
    let (pages, each) = (1000, 1000);
    let mut told = 0;
    for page in 0..pages {
        let variants = (0..each).map(|n| file(&format!("{:07}", page * each + n), 1));
        let found = Found {
            variants: variants.collect(),
            more: page + 1 < pages,
            ..Found::default()
        };
        played.answer(at(page), found);
        told += std::mem::take(&mut played.told).len();
        let held = played.survey.asked.values().map(|asked| asked.files.len());
        assert!(held.sum::<usize>() <= 1000);
    }
    assert_eq!((told, played.end), (1_000_000, Some(Coverage::Whole)));
}

#[test]
fn a_member_that_always_has_one_page_more_is_not_asked_for_ever() {
    let mut played = Played::of("*", Around::with(TrackerState::Down));
    played.around.neighbours = vec![id(1)];
    played.advance(at(0));
    let mut pages = 0;
    while played.end.is_none() {
        pages += 1;
        // Pages with new names every time, but without holders.
        let mut found = page(&[&format!("{pages:08}")], true);
        found.variants[0].holders.clear();
        played.answer(at(0), found);
    }
    assert_eq!(
        (pages, played.end),
        (MOST_PAGES, Some(Coverage::NeighboursOnly))
    );
}

#[test]
fn members_that_the_tracker_has_no_room_for_are_asked_and_their_files_come_in_order() {
    let mut played = Played::of("*", Around::with(UP));
    played.advance(at(0));
    let with = |variants: Found, unlisted: &[u8], more_unlisted| Found {
        unlisted: unlisted.iter().map(|n| Holder::bare(id(*n))).collect(),
        more_unlisted,
        ..variants
    };
    played.answer(at(1), with(page(&["b", "d"], false), &[21, 22], false));
    assert_eq!(played.names(), [""; 0], "theirs may come before");
    let asked: Vec<_> = played
        .open
        .iter()
        .map(|(who, find)| (*who, find.hops))
        .collect();
    assert_eq!(asked, [(id(21), 0), (id(22), 0)]);
    // What one says of others does not count.
    let mut mine = page(&["a", "c"], false);
    mine.variants[0].holders = vec![Holder::bare(id(21)), Holder::bare(id(7))];
    mine.variants[1].holders = vec![Holder::bare(id(7))];
    played.answer(at(1), mine);
    played.answer(at(1), page(&[], false));
    assert_eq!(played.names(), ["a", "b", "d"]);
    assert_eq!(played.told[0].holders, [Holder::bare(id(21))]);
    assert_eq!(played.end, Some(Coverage::Whole));

    // One that says nothing is not waited for long, and the answer is a part then.
    let mut played = Played::of("*", Around::with(UP));
    played.advance(at(0));
    played.answer(at(1), with(page(&["b"], false), &[21], false));
    assert_eq!(played.survey.deadline(), Some(at(1) + UNLISTED_WITHIN));
    played.around.heard = Some(at(2));
    played.advance(at(1) + UNLISTED_WITHIN);
    assert_eq!(played.names(), ["b"]);
    assert_eq!(played.end, Some(Coverage::TrackerInPart));

    // So it is where one has too much to do, and where not all are named.
    for are_more in [false, true] {
        let mut played = Played::of("*", Around::with(UP));
        played.advance(at(0));
        played.answer(at(1), with(page(&["b"], false), &[21], are_more));
        if are_more {
            played.answer(at(1), page(&[], false));
        } else {
            played.refuse(at(1), true);
        }
        assert_eq!(played.end, Some(Coverage::TrackerInPart));
    }
}
