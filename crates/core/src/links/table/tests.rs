//! Tests that both ends keep the same one of two links, and that members are given up neither too
//! soon nor too late.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const INTERVAL: Duration = Duration::from_secs(5);

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn me(n: u8, epoch: u64) -> Me {
    Me {
        id: id(n),
        epoch,
        port: Some(3334),
        claimed: Vec::new(),
        visitor: false,
        bittorrent: false,
        advertised: 0,
    }
}

fn opening(them: u8, dialled: bool) -> Opening {
    Opening {
        member: Party {
            id: id(them),
            name: None,
            tracker: false,
        },
        dialled,
        remote: Ipv4Addr::new(192, 0, 2, them).into(),
        willing: true,
        interval: INTERVAL,
        applied: None,
        record: None,
    }
}

fn hello(epoch: u64) -> Hello {
    Table::new(me(9, epoch), u64::MAX).opened(Instant::default(), LinkId(0), opening(1, true))
}

enum Said {
    Hello(Hello),
    Closed,
}

/// Plays two links between members 1 and 2, dialled as given. `choices` tells the order in which
/// frames arrive. Returns the number of options at each choice, and the links in use at both ends.
fn play(dialled_by_one: [bool; 2], choices: &[usize]) -> (Vec<usize>, [Option<LinkId>; 2]) {
    let now = Instant::default();
    let mut ends = [
        Table::new(me(1, 1), u64::MAX),
        Table::new(me(2, 2), u64::MAX),
    ];
    let mut in_flight: BTreeMap<(usize, LinkId), VecDeque<Said>> = BTreeMap::new();
    for (link, by_one) in [
        (LinkId(0), dialled_by_one[0]),
        (LinkId(1), dialled_by_one[1]),
    ] {
        for (end, them) in [(0, 2), (1, 1)] {
            let opening = opening(them, by_one == (end == 0));
            let hello = ends[end].opened(now, link, opening);
            in_flight.insert((1 - end, link), VecDeque::from([Said::Hello(hello)]));
        }
    }
    let mut options = Vec::new();
    loop {
        let ready = in_flight.iter().filter(|(_, queue)| !queue.is_empty());
        let ready: Vec<_> = ready.map(|(at, _)| *at).collect();
        if ready.is_empty() {
            break;
        }
        let choice = choices.get(options.len()).copied().unwrap_or(0);
        options.push(ready.len());
        let (end, link) = ready[choice];
        let said = in_flight
            .get_mut(&(end, link))
            .and_then(VecDeque::pop_front);
        let closes = match said.expect("it is ready") {
            Said::Closed => {
                ends[end].closed(link);
                None
            }
            Said::Hello(_) if ends[end].get(link).is_none() => None,
            Said::Hello(hello) => match ends[end].greeted(now, link, hello) {
                Greeted::Up { replaces } => replaces,
                Greeted::Redundant => Some(link),
                other => panic!("{other:?}"),
            },
        };
        if let Some(closed) = closes {
            ends[end].closed(closed);
            let far = in_flight.entry((1 - end, closed)).or_default();
            far.push_back(Said::Closed);
        }
    }
    let in_use = [(0, 2), (1, 1)].map(|(end, them)| ends[end].to(id(them)).map(|(link, _)| link));
    (options, in_use)
}

#[test]
fn both_ends_keep_the_link_of_the_lower_id_in_every_order_of_arrival() {
    for (dialled_by_one, kept) in [([true, false], LinkId(0)), ([false, true], LinkId(1))] {
        let mut choices = Vec::new();
        let mut plays = 0;
        loop {
            let (options, in_use) = play(dialled_by_one, &choices);
            assert_eq!(in_use, [Some(kept); 2], "{choices:?}");
            plays += 1;
            // Advances to the next sequence of choices, as an odometer does.
            choices.resize(options.len(), 0);
            while choices
                .last()
                .is_some_and(|last| last + 1 == options[choices.len() - 1])
            {
                choices.pop();
            }
            match choices.last_mut() {
                Some(last) => *last += 1,
                None => break,
            }
        }
        assert!(plays > 24, "all orders were played: {plays}");
    }
}

#[test]
fn a_new_epoch_replaces_the_old_link_whichever_end_dialled() {
    for dialled in [true, false] {
        let mut links = Table::new(me(1, 1), u64::MAX);
        let now = Instant::default();
        links.opened(now, LinkId(1), opening(2, !dialled));
        links.greeted(now, LinkId(1), hello(7));
        links.opened(now, LinkId(2), opening(2, dialled));
        let greeted = links.greeted(now, LinkId(2), hello(8));
        let replaces = Some(LinkId(1));
        assert_eq!(greeted, Greeted::Up { replaces });
        assert_eq!(links.to(id(2)).map(|(link, _)| link), Some(LinkId(2)));
        let (_, in_use) = links.closed(LinkId(1)).expect("it was there");
        assert!(!in_use);
    }
}

#[test]
fn a_second_hello_and_a_foreign_version_are_told_apart() {
    let mut links = Table::new(me(1, 1), u64::MAX);
    let now = Instant::default();
    links.opened(now, LinkId(1), opening(2, true));
    let newer = Hello {
        oldest: VERSION + 1,
        newest: VERSION + 2,
        ..hello(7)
    };
    assert_eq!(
        links.greeted(now, LinkId(1), newer),
        Greeted::NoCommonVersion
    );
    let up = Greeted::Up { replaces: None };
    assert_eq!(links.greeted(now, LinkId(1), hello(7)), up);
    assert_eq!(links.greeted(now, LinkId(1), hello(8)), Greeted::Twice);
}

#[test]
fn a_repeated_hello_is_no_news_and_a_member_that_moves_all_the_time_is_disconnected() {
    let mut links = Table::new(me(1, 1), u64::MAX);
    let mut now = Instant::default();
    links.opened(now, LinkId(1), opening(2, true));
    links.greeted(now, LinkId(1), hello(7));
    let moved_to = |port: u16| Hello {
        port: Some(port),
        ..hello(7)
    };
    // A machine that changes networks at every check stays.
    for port in 1..100 {
        now = now + Duration::from_secs(5);
        let greeted = links.greeted(now, LinkId(1), moved_to(port));
        assert_eq!(greeted, Greeted::Readdressed);
    }
    for _ in 0..1000 {
        assert_eq!(links.greeted(now, LinkId(1), moved_to(99)), Greeted::Again);
    }
    now = now + Duration::from_secs(5);
    let greeted: Vec<Greeted> = (0..100)
        .map(|n| links.greeted(now, LinkId(1), moved_to(1000 + n)))
        .collect();
    let taken = greeted
        .iter()
        .filter(|g| **g == Greeted::Readdressed)
        .count();
    assert_eq!(taken, 20);
    assert_eq!(greeted.last(), Some(&Greeted::Restless));
}

#[test]
fn a_second_hello_changes_the_addresses_of_its_member_and_nothing_else() {
    let mut links = Table::new(me(1, 1), u64::MAX);
    let now = Instant::default();
    links.opened(now, LinkId(1), opening(2, true));
    links.greeted(now, LinkId(1), hello(7));
    let moved = Hello {
        port: Some(99),
        claimed: vec!["10.0.0.9:99".parse().expect("an address")],
        neighbour: false,
        visitor: true,
        interval: 1,
        ..hello(7)
    };
    assert_eq!(links.greeted(now, LinkId(1), moved), Greeted::Readdressed);
    let link = links.get(LinkId(1)).expect("it is there");
    let addresses: Vec<_> = link.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.2:99", "10.0.0.9:99"]);
    assert!(link.is_neighbour() && !link.is_visitor());
    assert_eq!(link.liveness.theirs(), INTERVAL);
}

#[test]
fn a_link_opened_long_after_another_one_replaces_it() {
    // The lower id dialled the first link: had both been dialled at once, it would stay.
    for (later, kept) in [(HELLO_WITHIN, 2), (Duration::ZERO, 1)] {
        let mut links = Table::new(me(1, 1), u64::MAX);
        let now = Instant::default();
        links.opened(now, LinkId(1), opening(2, true));
        links.greeted(now, LinkId(1), hello(7));
        links.opened(now + later, LinkId(2), opening(2, false));
        links.greeted(now + later, LinkId(2), hello(7));
        assert_eq!(links.to(id(2)).map(|(link, _)| link), Some(LinkId(kept)));
    }
}

#[test]
fn a_link_without_a_hello_is_given_up() {
    let mut links = Table::new(me(1, 1), u64::MAX);
    let now = Instant::default();
    links.opened(now, LinkId(1), opening(2, true));
    assert_eq!(links.next_deadline(), Some(now + HELLO_WITHIN));
    links.heard(now + Duration::from_secs(9), LinkId(1));
    let due = links.due(now + HELLO_WITHIN);
    assert_eq!(due.lost, [(LinkId(1), "no hello".into())]);
}

#[test]
fn a_node_that_slept_does_not_count_the_time_as_silence_of_others() {
    let mut links = Table::new(me(1, 1), u64::MAX);
    let now = Instant::default();
    links.opened(now, LinkId(1), opening(2, true));
    links.greeted(now, LinkId(1), hello(7));
    let awake = now + Duration::from_hours(8);
    assert!(links.due(awake).lost.is_empty());
    let lost_after = loop {
        let at = links.next_deadline().expect("one link");
        if !links.due(at).lost.is_empty() {
            break at - awake;
        }
    };
    assert!(
        lost_after > Duration::ZERO && lost_after <= INTERVAL * 3,
        "{lost_after:?}"
    );
}

#[test]
fn a_member_is_reached_at_the_address_it_is_seen_at_and_never_at_loopback_for_others() {
    let claimed = vec!["10.0.0.9:3334".parse().expect("an address")];
    let address = |remote: [u8; 4], claimed: &[SocketAddr], port| {
        let mut links = Table::new(me(1, 1), u64::MAX);
        let opening = Opening {
            remote: Ipv4Addr::from(remote).to_ipv6_mapped().into(),
            ..opening(2, false)
        };
        links.opened(Instant::default(), LinkId(1), opening);
        let hello = Hello {
            port,
            claimed: claimed.to_vec(),
            ..hello(7)
        };
        links.greeted(Instant::default(), LinkId(1), hello);
        let (_, link) = links.to(id(2)).expect("up");
        link.addresses()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let lan = [192, 0, 2, 7];
    assert_eq!(
        address(lan, &claimed, Some(1)),
        ["192.0.2.7:1", "10.0.0.9:3334"]
    );
    assert_eq!(
        address([127, 0, 0, 1], &claimed, Some(1)),
        ["10.0.0.9:3334"]
    );
    assert_eq!(address([127, 0, 0, 1], &[], Some(1)), ["127.0.0.1:1"]);
    let local = ["127.0.0.1:5".parse().expect("an address")];
    assert_eq!(address(lan, &local, Some(1)), ["192.0.2.7:1"]);
    assert!(address(lan, &claimed, None).is_empty());
}

/// One frame of an update with this many removed names of one letter.
fn part(names: usize, first: bool, last: bool) -> Update {
    let name: thorp_wire::Name = "a".parse().expect("a name");
    Update {
        since: None,
        removed: vec![name; names],
        first,
        last,
        ..Update::heartbeat(1)
    }
}

#[test]
fn what_arrives_on_all_links_is_bounded_and_the_largest_makes_room() {
    let now = Instant::default();
    let each = crate::gather::cost_of(&"a".parse().expect("a name"));
    let mut links = Table::new(me(1, 1), 100 * each);
    let bounds = Bounds {
        entries: 1000,
        bytes: 1 << 20,
    };
    let [small, large, late] = [1, 2, 3].map(LinkId);
    for (link, them) in [(small, 2), (large, 3), (late, 4)] {
        links.opened(now, link, opening(them, false));
    }
    let account =
        |link: LinkId| Account::Member(PeerId::new([u8::try_from(link.0).expect("is small"); 32]));
    let push = |links: &mut Table, link, names, first, last| {
        let (gathered, crowded) =
            links.gather(link, account(link), part(names, first, last), bounds);
        links.check();
        (gathered.expect("fits together"), crowded)
    };
    let none = Vec::<LinkId>::new();
    assert_eq!(
        push(&mut links, small, 30, true, false),
        (None, none.clone())
    );
    assert_eq!(
        push(&mut links, large, 60, true, false),
        (None, none.clone())
    );
    assert_eq!(push(&mut links, late, 20, true, false), (None, vec![large]));
    let (whole, _) = push(&mut links, small, 1, false, true);
    let whole = whole.expect("is whole");
    assert!(!whole.crowded_out && whole.update.removed.len() == 31);
    // A whole update that waits takes room as well.
    assert_eq!(links.queue(small, account(small), whole.cost()), none);
    assert_eq!(links.queue(late, account(late), 60 * each), [late]);
    links.unqueue(small, account(small), whole.cost());
    let (whole, _) = push(&mut links, large, 40, false, true);
    let whole = whole.expect("is whole");
    assert!(whole.crowded_out && whole.update.removed.is_empty());
    // There is room once the other updates are applied, or gone.
    links.closed(late);
    let (whole, _) = push(&mut links, large, 100, true, true);
    let whole = whole.expect("is whole");
    assert!(!whole.crowded_out && whole.update.removed.len() == 100);
}

#[derive(Clone, Debug)]
enum Op {
    Open(u8),
    Greet(usize),
    Heard(usize),
    Said(usize),
    Agree(usize, u64),
    Close(usize),
    Wait(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (2..8u8).prop_map(Op::Open),
        (0..12usize).prop_map(Op::Greet),
        (0..12usize).prop_map(Op::Heard),
        (0..12usize).prop_map(Op::Said),
        (0..12usize, 100..20_000u64).prop_map(|(link, millis)| Op::Agree(link, millis)),
        (0..12usize).prop_map(Op::Close),
        (1..9000u64).prop_map(Op::Wait),
    ];
    vec(op, 1..60)
}

proptest! {
    #![proptest_config(crate::testing::cases(128))]

    #[test]
    fn each_deadline_is_reported_at_its_time_and_only_then(ops in ops()) {
        let mut links = Table::new(me(1, 1), u64::MAX);
        let mut now = Instant::default();
        let mut opened = 0;
        for op in ops {
            match op {
                Op::Open(them) => {
                    links.opened(now, LinkId(opened), opening(them, true));
                    opened += 1;
                }
                Op::Greet(link) => {
                    if let Greeted::Up { replaces: Some(old) } = links.greeted(now, LinkId(link as u64), hello(7)) {
                        links.closed(old);
                    }
                }
                Op::Heard(link) => links.heard(now, LinkId(link as u64)),
                Op::Said(link) => links.said(now, LinkId(link as u64)),
                Op::Agree(link, millis) => links.agree(now, LinkId(link as u64), Duration::from_millis(millis)),
                Op::Close(link) => { links.closed(LinkId(link as u64)); }
                Op::Wait(millis) => {
                    let end = now + Duration::from_millis(millis);
                    while let Some(at) = links.next_deadline().filter(|at| *at <= end) {
                        now = now.max(at);
                        let must_go: Vec<_> = links.all().filter(|(_, link)| link.lost_at() <= now).map(|(id, _)| id).collect();
                        let must_say = links.all().filter(|(_, link)| link.lost_at() > now && link.speak_at().is_some_and(|at| at <= now));
                        let must_say: Vec<_> = must_say.map(|(id, _)| id).collect();
                        let mut due = links.due(now);
                        due.silent.sort();
                        let mut lost: Vec<_> = due.lost.into_iter().map(|(id, _)| id).collect();
                        lost.sort();
                        prop_assert_eq!(&lost, &must_go);
                        prop_assert_eq!(due.silent, must_say);
                        for link in lost {
                            links.closed(link);
                        }
                        prop_assert!(links.next_deadline().is_none_or(|at| at > now));
                    }
                    now = end;
                    prop_assert!(links.all().all(|(_, link)| link.lost_at() > now));
                }
            }
        }
    }
}

#[test]
fn a_member_opens_only_so_many_links_without_a_hello() {
    let mut links = Table::new(me(1, 1), u64::MAX);
    let now = Instant::default();
    for n in 0..MOST_OPENING as u64 {
        assert!(!links.is_crowding(id(2)), "{n}");
        links.opened(now, LinkId(n), opening(2, false));
    }
    assert!(links.is_crowding(id(2)));
    assert!(!links.is_crowding(id(3)));
    links.greeted(now, LinkId(0), hello(7));
    assert!(!links.is_crowding(id(2)), "one of them is up");
    links.opened(now, LinkId(100), opening(2, false));
    links.closed(LinkId(1));
    assert!(!links.is_crowding(id(2)), "one of them is gone");
}
