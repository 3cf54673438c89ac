//! Attacks on the memory and time that members share at a node. Each is played as it was observed,
//! and honest members must be served as if nothing had happened.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A listing of `count` names of about `length` characters.
fn many(count: usize, length: usize, what: char) -> Update {
    let folder = format!("{}/", what.to_string().repeat(199));
    let rest = what.to_string().repeat(length % 200);
    let name = |n: usize| format!("{}{rest}{n:05}", folder.repeat(length / 200));
    let names: Vec<String> = (0..count).map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    listing(&names)
}

fn find(query: Query) -> Find {
    Find::new(query, 0)
}

fn by_name() -> Find {
    find(Query::Names(vec!["honest".to_owned()]))
}

fn by_names(names: &[&str]) -> Find {
    let names = names.iter().map(ToString::to_string);
    find(Query::Names(names.collect()))
}

fn by_pattern() -> Find {
    find(Query::Pattern("*o*n*s*".to_owned()))
}

fn asked(events: &[Event]) -> Vec<u64> {
    let asked = events.iter().filter_map(|event| match event {
        Event::Asked { link, .. } => Some(link.0),
        _ => None,
    });
    asked.collect()
}

impl Node {
    /// Connects a member and sends its listing.
    fn comes(&mut self, member: u8, listing: Update) {
        self.up(member.into(), member, hello(1));
        self.hear(member.into(), listing);
        self.settle();
    }

    /// Lets time pass until no work waits.
    fn settle(&mut self) {
        for _ in 0..100 {
            let soon = self.now + Duration::from_millis(10);
            self.advance(soon);
        }
    }

    /// Lets time pass while all members stay alive.
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let all: Vec<LinkId> = self.links.table.all().map(|(link, _)| link).collect();
        for link in all {
            self.handle(Input::Heard { link, content: 0 });
        }
    }

    fn acks(&mut self, member: u8) -> Vec<(Option<u64>, bool)> {
        let said = self.said().into_iter();
        let acks = said.filter_map(|output| match output {
            Output::Send(LinkId(link), frame) if link == member.into() => match frame.body {
                Body::Ack(ack) => Some((ack.seq, ack.unlisted)),
                _ => None,
            },
            _ => None,
        });
        acks.collect()
    }

    /// The answer to a member's question.
    fn finds(&mut self, asker: u8, find: &Find) -> Found {
        let link = LinkId(asker.into());
        self.links
            .answer(self.now, link, RequestId(1), find, |_| {});
        let said = self.said().into_iter();
        let found = said.filter_map(|output| match output {
            Output::Send(to, frame) if to == link => match frame.body {
                Body::Found(found) => Some(found),
                _ => None,
            },
            _ => None,
        });
        found.last().expect("an answer")
    }

    fn opens(&mut self) {
        let record = GroupRecord {
            number: 1,
            open: true,
            bittorrent: false,
            removed: Vec::new(),
        };
        let record = SignedRecord::sign(record, |_| Some([0; 64]))
            .expect("is within bounds")
            .expect("is signed");
        self.handle(Input::Adopted { record });
    }
}

#[test]
fn two_members_that_fill_the_memory_make_room_for_later_members() {
    for mut node in Node::both() {
        let kept = [2, 3].map(|member| {
            node.comes(member, many(124, 4000, 'x'));
            node.lists(member)
        });
        assert_eq!(kept, [Some(124); 2]);
        assert!(
            node.links.listed.free() < 7000,
            "{}",
            node.links.listed.free()
        );
        node.said();
        // A newcomer with forty files, and a member that adds fifty to its listing.
        node.comes(4, many(40, 5, 'h'));
        assert_eq!(node.lists(4), Some(40));
        assert_eq!((node.lists(2), node.lists(3)), (Some(124), None));
        assert_eq!(node.acks(3), [(None, true)], "it is told");
        let fifty = Update {
            since: Some(1),
            seq: 2,
            ..many(50, 6, 'h')
        };
        node.hear(4, fifty);
        node.settle();
        assert_eq!(node.lists(4), Some(90));
        // The latter is not forgotten: there is no room for it yet.
        let announced = || Update {
            entries: Some(124),
            bytes: Some(124 * 4208),
            ..Update::heartbeat(1)
        };
        for _ in 0..20 {
            node.pass(5 * SECOND);
            node.hear(3, announced());
        }
        assert_eq!(node.lists(3), None);
        let told = node.acks(3);
        assert!(told.iter().all(|(_, unlisted)| *unlisted), "{told:?}");
        // The listing of a member that has left is dropped, and the other one is asked for again.
        node.handle(Input::Disconnected {
            link: LinkId(2),
            reason: String::new(),
        });
        node.settle();
        assert_eq!(node.links.listed.total(), node.links.catalogue.cost());
        assert!(node.links.catalogue.cost() < 90 * 300);
        node.pass(10 * SECOND);
        node.hear(3, announced());
        assert_eq!(node.acks(3), [(None, false)], "send all of it");
        node.hear(3, many(124, 4000, 'x'));
        node.settle();
        assert_eq!(node.lists(3), Some(124));
        assert!(node.links.unlisted.is_empty());
    }
}

#[test]
fn a_listing_that_announces_too_little_is_turned_down_again_and_waits_twice_as_long() {
    let mut node = Node::new(TRACKER);
    node.comes(2, many(119, 4000, 'x'));
    node.comes(3, many(200, 4000, 'y'));
    assert_eq!(node.lists(3), None);
    node.said();
    let mut tries = Vec::new();
    let start = node.now;
    for _ in 0..200 {
        node.pass(5 * SECOND);
        let small = Update {
            entries: Some(1),
            bytes: Some(300),
            ..Update::heartbeat(1)
        };
        node.hear(3, small);
        if node.acks(3) == [(None, false)] {
            tries.push((node.now - start).as_secs());
            node.hear(3, many(200, 4000, 'y'));
            node.settle();
            assert_eq!((node.lists(2), node.lists(3)), (Some(119), None));
            node.said();
        }
    }
    let waits: Vec<u64> = tries.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(waits.len() >= 4, "{tries:?}");
    assert!(
        waits.windows(2).all(|two| two[1] > two[0] * 3 / 2),
        "{tries:?}"
    );
}

#[test]
fn a_listing_that_is_turned_down_while_it_arrives_is_asked_for_only_once_all_of_it_has_come() {
    for mut node in Node::both() {
        for member in [2, 3, 4] {
            node.comes(member, many(124, 4000, 'x'));
        }
        assert_eq!(node.lists(4), None);
        // There is room for it soon, long before a slow sender is through.
        let reason = "gone".to_owned();
        let link = LinkId(2);
        node.handle(Input::Disconnected { link, reason });
        node.settle();
        node.acks(4);
        let all = many(124, 4000, 'h');
        for part in 0..3 {
            node.pass(15 * SECOND);
            let added = all.added[40 * part..][..40].to_vec();
            let (first, last) = (part == 0, part == 2);
            node.hear(
                4,
                Update {
                    added,
                    first,
                    last,
                    ..all.clone()
                },
            );
            node.settle();
            assert_eq!(node.lists(4), None, "it is not whole");
        }
        assert!(!node.acks(4).contains(&(None, false)));
        node.hear(4, Update::heartbeat(1));
        assert_eq!(node.acks(4), [(None, false)], "now it is asked for");
        node.hear(4, all);
        node.settle();
        assert_eq!(node.lists(4), Some(124));
    }
}

#[test]
fn a_member_that_changes_its_listing_all_the_time_pays_for_it_alone() {
    for mut node in Node::both() {
        for member in [2, 3] {
            node.up(member.into(), member, hello(1));
        }
        let account = node.links.account(LinkId(2));
        let now = node.now;
        node.links.budgets.on_listed(now, account, Work(2_000_000));
        node.settle();
        let before = node.links.catalogue.moved();
        let start = node.now;
        let mut seq = 0;
        while node.now - start < 20 * SECOND {
            node.now = node.now + Duration::from_millis(50);
            let now = node.now;
            if !node.links.turns.is_changing(id(2)) {
                seq += 1;
                let what = if seq % 2 == 0 { 'x' } else { 'y' };
                node.hear(
                    2,
                    Update {
                        seq,
                        ..many(150, 10, what)
                    },
                );
            }
            while node.links.next_deadline().is_some_and(|at| at <= now) {
                node.links.advance(now);
            }
            // Other members ask by name, and announce one file more or less.
            assert_eq!(asked(&node.ask(3, by_name())), [3]);
            let few = if seq % 2 == 0 { &["a"][..] } else { &["b"] };
            node.hear(
                3,
                Update {
                    seq,
                    ..listing(few)
                },
            );
            assert_eq!(node.lists(3), Some(1));
            node.said();
        }
        let work = (node.links.catalogue.moved() - before) * Work::ENTRY;
        assert!(work > 500_000, "it is served, too: {work}");
        assert!(work < 20 * 100_000 + 100_000, "{work}");
    }
}

#[test]
fn of_whole_listings_that_wait_only_the_last_takes_room_and_is_applied() {
    for mut node in Node::both() {
        node.up(2, 2, hello(1));
        let account = node.links.account(LinkId(2));
        // There is no time for any of them yet, nor room for all.
        let now = node.now;
        node.links.budgets.on_listed(now, account, Work(2_000_000));
        for seq in 1..=200 {
            let count = if seq == 200 { 300 } else { 2000 };
            let all = many(count, 10, 'x');
            node.hear(2, Update { seq, ..all });
        }
        assert!(node.links.turns.is_changing(id(2)));
        node.pass(20 * SECOND);
        node.settle();
        assert_eq!(node.lists(2), Some(300));
        let refused = (None, false);
        assert!(!node.acks(2).contains(&refused));
    }
}

#[test]
fn a_member_that_serves_clients_pays_for_the_info_hashes_of_what_it_lists() {
    let hashed = |count: usize| {
        let mut listing = many(count, 10, 'x');
        for entry in &mut listing.added {
            entry.root = Some(thorp_wire::Root::new([7; 32]));
        }
        listing
    };
    // One goes in at once, the other bit by bit.
    for count in [Work::FEW_ENTRIES, 3 * Work::FEW_ENTRIES] {
        let cost = |serves_clients: bool| {
            let mut node = Node::new(TRACKER);
            node.up(2, 2, hello(1));
            if serves_clients {
                node.links.catalogue.watch(id(2));
            }
            node.hear(2, hashed(count));
            // Work that waits is done at this very moment.
            while !matches!(node.lists(2), Some(all) if all == count) {
                node.links.advance(node.now);
            }
            node.links.advance(node.now);
            let account = node.links.account(LinkId(2));
            node.links.budgets.lately(node.now, account)
        };
        let more = cost(true) - cost(false);
        assert_eq!(more, count as u64 * Work::INFO_HASHES);
    }
}

#[test]
fn a_long_listing_goes_in_bit_by_bit_and_others_are_served_in_between() {
    for mut node in Node::both() {
        for member in [2, 3] {
            node.up(member.into(), member, hello(1));
        }
        node.hear(2, many(500, 10, 'x'));
        let mut seen = Vec::new();
        while node.lists(2) != Some(500) {
            let now = node.now;
            node.advance(now);
            seen.push(node.lists(2).unwrap_or(0));
            assert_eq!(asked(&node.ask(3, by_name())), [3]);
        }
        assert!(seen.len() >= 10, "{seen:?}");
        assert_eq!(node.now, Instant::default(), "without losing any time");
        // What the member says meanwhile is a sign of life, and no reason to begin again.
        node.said();
        node.hear(
            2,
            Update {
                seq: 2,
                ..many(500, 10, 'y')
            },
        );
        let now = node.now;
        node.advance(now);
        node.hear(2, Update::heartbeat(2));
        node.settle();
        assert!(node.acks(2).iter().all(|(seq, _)| seq.is_some()));
        let position = node.links.present().get(id(2)).expect("there").position;
        assert_eq!(position, Some(2));
    }
}

#[test]
fn a_long_listing_is_forgotten_bit_by_bit_and_others_are_served_in_between() {
    for mut node in Node::both() {
        node.comes(2, many(500, 10, 'x'));
        node.comes(3, many(5, 10, 'y'));
        node.handle(Input::Disconnected {
            link: LinkId(2),
            reason: String::new(),
        });
        assert_eq!(node.links.catalogue.entries(), 5, "no answer has it");
        assert_eq!(node.links.listed.held_by(node.links.account(LinkId(2))), 0);
        node.up(4, 4, hello(1));
        node.hear(4, many(500, 10, 'z'));
        let mut left = vec![node.links.catalogue.leaving()];
        while node.links.catalogue.leaving() > 0 {
            // A short listing goes in at once, and a long one waits.
            if left.len() == 3 {
                node.up(5, 5, hello(1));
                node.hear(5, many(5, 10, 'v'));
                assert_eq!(node.lists(5), Some(5));
            }
            assert_eq!(node.lists(4), None);
            assert_eq!(asked(&node.ask(3, by_name())), [3]);
            let now = node
                .links
                .next_deadline()
                .expect("there is something to do");
            node.advance(now);
            left.push(node.links.catalogue.leaving());
        }
        let most = usize::try_from(Work::ENTRIES_AT_ONCE).unwrap_or(0);
        assert!(
            left.windows(2).all(|two| two[0] - two[1] <= most),
            "{left:?}"
        );
        assert!(left.len() >= 10, "{left:?}");
        node.settle();
        assert_eq!(node.lists(4), Some(500));
        node.links.check();
    }
}

/// A node at which member 2 lists 500 files, of which a change is about to remove 499.
fn half_way_through_a_removal() -> [Node; 2] {
    Node::both().map(|mut node| {
        node.comes(2, many(500, 10, 'x'));
        let listed = many(500, 10, 'x');
        let removed = listed.added[1..].iter().map(|entry| entry.name.clone());
        let change = Update {
            seq: 2,
            since: Some(1),
            added: Vec::new(),
            removed: removed.collect(),
            ..Update::heartbeat(2)
        };
        node.hear(2, change);
        while node.lists(2) == Some(500) {
            let now = node.now;
            node.advance(now);
        }
        assert!(node.lists(2) > Some(1), "it has only begun");
        node
    })
}

#[test]
fn a_listing_whose_change_ends_with_a_replaced_link_is_not_kept_uncounted() {
    for mut node in half_way_through_a_removal() {
        // The member dials once more, as it does from another address.
        node.up(22, 2, hello(1));
        node.settle();
        node.links.check();
        node.hear(22, many(3, 10, 'y'));
        node.settle();
        assert_eq!(node.lists(2), Some(3), "the full listing replaces all");
    }
}

#[test]
fn a_second_link_that_says_nothing_does_not_cost_the_listing() {
    for mut node in half_way_through_a_removal() {
        node.said();
        node.connect(22, party(2));
        node.handle(Input::Disconnected {
            link: LinkId(22),
            reason: String::new(),
        });
        node.settle();
        assert_eq!(node.lists(2), Some(1), "the change is applied to its end");
        let position = node.links.present().get(id(2)).expect("there").position;
        assert_eq!(position, Some(2));
    }
}

#[test]
fn a_change_of_a_listing_that_was_dropped_meanwhile_is_not_said_to_be_taken() {
    for mut node in half_way_through_a_removal() {
        node.said();
        node.links.forget_listing(id(2));
        node.settle();
        assert_eq!(node.acks(2), [(None, false)], "send all of it");
    }
}

#[test]
fn a_small_listing_in_place_of_a_long_one_waits_its_turn() {
    for mut node in Node::both() {
        node.comes(2, many(500, 10, 'x'));
        node.hear(
            2,
            Update {
                seq: 2,
                ..listing(&["one"])
            },
        );
        assert_eq!(node.lists(2), Some(500), "not at once");
        node.settle();
        assert_eq!(node.lists(2), Some(1));
    }
}

/// Forty members and a visitor at one node.
struct Crowd {
    node: Node,
    /// What the attackers ask.
    find: Find,
    /// How often each of them asks.
    every: Duration,
    /// How long the node was busy with the attackers' questions.
    busy: Duration,
    /// The most that one answer took.
    longest: Work,
    /// How many of the visitor's questions by name had to wait.
    delayed: u32,
}

impl Crowd {
    const ATTACKERS: std::ops::Range<u8> = 10..50;
    const VISITOR: u8 = 60;

    fn new(mut node: Node, find: Find, remote: impl Fn(u8) -> Ipv4Addr) -> Self {
        for member in Self::ATTACKERS.chain([Self::VISITOR]) {
            node.connect_from(remote(member), member.into(), party(member));
            node.hear(member.into(), hello(1));
        }
        Self {
            node,
            find,
            every: Duration::from_millis(100),
            busy: Duration::ZERO,
            longest: Work(0),
            delayed: 0,
        }
    }

    /// Asks a question, answers every question whose turn comes, and returns who was answered.
    fn ask(&mut self, member: u8, find: Find) -> Vec<u64> {
        let input = Input::Frame {
            link: LinkId(member.into()),
            frame: Frame::with_request(RequestId(1), find),
        };
        let offer = |_: &Table, _: &Party| panic!("no link is new");
        let now = self.node.now;
        let events = self.node.links.handle(now, input, &offer);
        self.answer(&events)
    }

    fn answer(&mut self, events: &[Event]) -> Vec<u64> {
        let now = self.node.now;
        for event in events {
            let Event::Asked { link, find, .. } = event else {
                continue;
            };
            let effort = turns::effort_of(find);
            let account = self.node.links.account(*link);
            let budgets = &mut self.node.links.budgets;
            let mut work = Work::QUESTION;
            if *find == self.find {
                // It costs as much as it may.
                work = Work(budgets.most_at_once(now, account, effort));
                self.busy += Duration::from_micros(work.0);
                self.longest = self.longest.max(work);
            }
            budgets.on_answered(now, account, effort, work);
        }
        asked(events)
    }

    /// Lets the attackers ask without pause for seventy seconds.
    fn attack(&mut self) {
        self.attack_for(70 * SECOND);
    }

    fn attack_for(&mut self, time: Duration) {
        let end = self.node.now + time;
        while self.node.now < end {
            self.node.now = self.node.now + self.every;
            for member in Self::ATTACKERS {
                self.ask(member, self.find.clone());
            }
            // A visitor's question by name waits for those at most that have cost nothing either.
            let waited = self.waits(by_name());
            assert!(waited < Duration::from_millis(200), "{waited:?}");
            self.delayed += u32::from(!waited.is_zero());
            let now = self.node.now;
            while self.node.links.next_deadline().is_some_and(|at| at <= now) {
                let events = self.node.links.advance(now);
                self.answer(&events);
            }
            self.node.said();
            // The size of waiting work stays bounded.
            assert!(
                self.node
                    .links
                    .table
                    .all()
                    .all(|(_, link)| link.is_modest())
            );
        }
    }

    /// Returns how long a visitor's question waits.
    fn waits(&mut self, find: Find) -> Duration {
        let before = self.node.now;
        let mut served = self.ask(Self::VISITOR, find);
        while !served.contains(&Self::VISITOR.into()) {
            let next = self.node.links.next_deadline().expect("it waits");
            self.node.now = next.max(self.node.now);
            let now = self.node.now;
            let events = self.node.links.advance(now);
            served = self.answer(&events);
        }
        self.node.now - before
    }
}

#[test]
fn forty_members_with_costly_patterns_leave_time_for_cheap_questions() {
    for node in Node::both() {
        let mut crowd = Crowd::new(node, by_pattern(), |_| Ipv4Addr::new(192, 0, 2, 9));
        crowd.attack();
        let busy = crowd.busy.as_secs_f64();
        assert!((25.0..30.0).contains(&busy), "two fifths: {busy}");
        assert_eq!(
            crowd.waits(by_pattern()),
            Duration::ZERO,
            "it has cost nothing lately"
        );
    }
}

#[test]
fn forty_members_with_costly_patterns_do_not_keep_listings_from_being_forgotten_and_replaced() {
    for node in Node::both() {
        let mut crowd = Crowd::new(node, by_pattern(), |_| Ipv4Addr::new(192, 0, 2, 9));
        crowd.attack();
        crowd.node.comes(2, many(1500, 10, 'x'));
        assert_eq!(crowd.node.lists(2), Some(1500));
        crowd.node.up(4, 4, hello(1));
        crowd.node.handle(Input::Disconnected {
            link: LinkId(2),
            reason: String::new(),
        });
        crowd.node.hear(4, many(500, 10, 'z'));
        assert!(crowd.node.links.catalogue.leaving() > 1000);
        crowd.attack_for(5 * SECOND);
        assert_eq!(crowd.node.links.catalogue.leaving(), 0);
        assert_eq!(crowd.node.lists(4), Some(500));
    }
}

#[test]
fn forty_members_that_ask_sixty_times_a_second_for_costly_names_delay_no_other_question() {
    for node in Node::both() {
        let names = || by_names(&["many", "more"]);
        let mut crowd = Crowd::new(node, names(), |_| Ipv4Addr::new(192, 0, 2, 9));
        crowd.every = Duration::from_millis(16);
        crowd.attack();
        let busy = crowd.busy.as_secs_f64();
        assert!((32.0..37.0).contains(&busy), "half of the time: {busy}");
        assert_eq!(crowd.longest, Work(Work::ENOUGH), "the first ones");
        assert!(crowd.delayed < 20, "only at first: {}", crowd.delayed);
        (crowd.longest, crowd.delayed) = (Work(0), 0);
        crowd.attack();
        assert_eq!(crowd.longest, Work(Work::LITTLE), "of those that ask on");
        assert_eq!(crowd.delayed, 0);
        assert_eq!(
            crowd.waits(names()),
            Duration::ZERO,
            "it has cost little lately"
        );
    }
}

#[test]
fn forty_members_of_one_address_of_an_open_group_have_one_allowance() {
    for mut node in Node::both() {
        node.opens();
        let mut crowd = Crowd::new(node, by_pattern(), |member| {
            Ipv4Addr::new(192, 0, 2, if member < 50 { 9 } else { 10 })
        });
        crowd.attack();
        let busy = crowd.busy.as_secs_f64();
        assert!((4.0..5.0).contains(&busy), "a twentieth: {busy}");
        assert_eq!(crowd.waits(by_pattern()), Duration::ZERO);
    }
}

#[test]
fn a_tracker_names_those_it_has_no_room_for_in_turns_where_it_knows_too_little() {
    let mut node = Node::new(TRACKER);
    let whole = 2 * Found::MAX_UNLISTED;
    // Each of their listings alone exceeds the room.
    for member in 10..10 + u8::try_from(whole).expect("a few") {
        node.comes(member, many(280, 4000, 'x'));
        assert_eq!(node.lists(member), None);
        node.pass(Duration::ZERO);
    }
    node.comes(2, many(1, 5, 'h'));
    node.said();
    let known = node.finds(10, &by_names(&["hhhhh00000"]));
    assert_eq!(known.variants.len(), 1, "{known:?}");
    assert_eq!((known.unlisted.len(), known.more_unlisted), (0, false));
    // Each asker is told of other members, never of itself.
    let mut told = Vec::new();
    for _ in 0..2 {
        let found = node.finds(10, &by_names(&["hhhhh00000", "unknown"]));
        assert_eq!(found.unlisted.len(), Found::MAX_UNLISTED);
        assert!(found.more_unlisted);
        told.extend(found.unlisted.into_iter().map(|member| member.id));
    }
    assert!(!told.contains(&id(10)));
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), whole - 1, "all of them have had their turn");
    let matching = node.finds(10, &by_pattern());
    assert_eq!(matching.unlisted.len(), Found::MAX_UNLISTED);
}

#[test]
fn where_a_member_that_a_tracker_has_no_room_for_cannot_be_asked_there_is_more_than_it_says() {
    let mut node = Node::new(TRACKER);
    let deaf = Hello {
        port: None,
        ..hello(1)
    };
    node.up(10, 10, deaf);
    node.hear(10, many(280, 4000, 'x'));
    node.settle();
    assert_eq!(node.lists(10), None);
    node.comes(2, many(1, 5, 'h'));
    for (asker, are_more) in [(2, true), (10, false)] {
        for asked in [by_names(&["unknown"]), by_pattern()] {
            let found = node.finds(asker, &asked);
            assert_eq!((found.unlisted, found.more_unlisted), (vec![], are_more));
        }
    }
}
