use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::order::LATE;
use super::*;
use crate::testing::cases;

fn url(text: &str) -> TrackerUrl {
    text.parse().expect("a URL")
}

fn texts(tiers: &[&[&str]]) -> Vec<Vec<String>> {
    let tier = |tier: &&[&str]| tier.iter().map(ToString::to_string).collect();
    tiers.iter().map(tier).collect()
}

/// The machine, its time, and what it has asked and not heard of.
struct Play {
    now: Instant,
    machine: Announces,
    asked: Vec<Asking>,
    peers: Vec<SocketAddr>,
    is_over: bool,
}

impl Play {
    fn new(trackers: Trackers) -> Self {
        let now = Instant::after_start(Duration::from_secs(1000));
        let mut play = Self {
            now,
            machine: Announces::new(now, trackers, false, 3),
            asked: Vec::new(),
            peers: Vec::new(),
            is_over: false,
        };
        play.say(Input::Tick);
        play
    }

    fn of(tiers: &[&[&str]]) -> Self {
        Self::new(Trackers::named(&texts(tiers)))
    }

    fn say(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            assert!(!self.is_over, "{output:?} after the end");
            match output {
                Output::Announce(asking) => self.asked.push(asking),
                Output::Peers(peers) => self.peers.extend(peers),
                Output::Over => self.is_over = true,
            }
        }
        self.machine.check();
    }

    fn wait(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.say(Input::Tick);
        }
        self.now = until;
        self.say(Input::Tick);
    }

    /// The one announce that is not answered.
    fn only(&mut self) -> Asking {
        assert_eq!(self.asked.len(), 1, "{:?}", self.asked);
        self.asked.remove(0)
    }

    fn host(&mut self) -> String {
        self.asked.last().expect("is asked").url.host().to_owned()
    }

    fn fail(&mut self) {
        let asking = self.only();
        self.say(Input::Failed(asking.tracker));
    }

    fn answer(&mut self, interval: u32, min_interval: Option<u32>) {
        let asking = self.only();
        let answer = TrackerAnswer {
            interval: Some(interval),
            min_interval,
            peers: vec![([10, 0, 0, 1], 6881).into()],
            ..TrackerAnswer::default()
        };
        self.say(Input::Answered(asking.tracker, answer));
    }

    fn answer_without_peers(&mut self, interval: u32) {
        let asking = self.only();
        let answer = TrackerAnswer {
            interval: Some(interval),
            ..TrackerAnswer::default()
        };
        self.say(Input::Answered(asking.tracker, answer));
    }
}

#[test]
fn the_groups_tracker_is_not_asked_for_a_private_torrent_that_names_others() {
    let asked = |tiers: &[&[&str]], is_private| {
        let own = [url("udp://own:1")];
        let [named, own] = Trackers::of_torrent(&texts(tiers), is_private, own).rows();
        (named.len(), own.len())
    };
    assert_eq!(asked(&[&["udp://a:1"]], false), (1, 1));
    assert_eq!(asked(&[&["udp://a:1"]], true), (1, 0));
    assert_eq!(
        asked(&[&["https://a/announce"]], true),
        (0, 0),
        "it names one"
    );
    assert_eq!(asked(&[], true), (0, 1));
}

#[test]
fn a_tier_is_asked_in_a_random_order_and_who_answers_comes_first_from_then_on() {
    let hosts = ["udp://a:1", "udp://b:1", "udp://c:1", "udp://d:1"];
    let mut first = BTreeSet::new();
    for seed in 0..40 {
        let trackers = Trackers::named(&texts(&[&hosts]));
        let mut machine = Announces::new(Instant::default(), trackers, false, seed);
        machine.handle(Instant::default(), Input::Tick);
        let Some(Output::Announce(asking)) = machine.poll_output() else {
            panic!("none is asked");
        };
        first.insert(asking.url);
    }
    assert_eq!(first.len(), 4);

    let mut play = Play::of(&[&hosts]);
    play.fail();
    play.fail();
    let third = play.host();
    play.answer(60, None);
    assert!(play.asked.is_empty());
    play.wait(60);
    assert_eq!(play.host(), third);
}

#[test]
fn the_next_tier_is_asked_when_all_of_one_have_failed_and_the_first_one_again_the_next_time() {
    let mut play = Play::of(&[&["udp://a:1"], &["udp://b:1"]]);
    assert_eq!(play.host(), "a");
    play.fail();
    assert_eq!(play.host(), "b");
    play.answer(1800, None);
    play.wait(1799);
    assert!(play.asked.is_empty());
    play.wait(1);
    assert_eq!(play.host(), "a");
}

#[test]
fn a_tracker_that_names_no_peers_keeps_no_other_one_from_being_asked_while_peers_are_sought() {
    let mut play = Play::of(&[&["udp://a:1"], &["udp://b:1"], &["udp://c:1"]]);
    play.answer_without_peers(900);
    assert_eq!(play.host(), "b");
    play.fail();
    assert_eq!(play.host(), "c");
    play.answer_without_peers(1800);
    play.wait(899);
    assert!(play.asked.is_empty(), "each was asked once");
    play.wait(1);
    assert_eq!(play.host(), "a");
    play.answer_without_peers(60);
    assert_eq!(play.host(), "b");
    play.answer(60, None);
    assert!(play.asked.is_empty(), "peers are known");
    play.wait(60);
    assert_eq!(play.host(), "a");
    play.answer_without_peers(60);
    assert!(play.asked.is_empty(), "and no more are wanted");
    play.say(Input::WantsMore { has_none: true });
    assert_eq!((play.host(), play.asked[0].wanted), ("b".to_owned(), 200));
    play.answer_without_peers(60);
    assert_eq!((play.host(), play.asked[0].wanted), ("c".to_owned(), 200));
}

#[test]
fn a_silent_tracker_is_not_waited_for_alone_and_its_late_answer_is_good() {
    let mut play = Play::of(&[&["udp://a:1"], &["udp://b:1"], &["udp://c:1"]]);
    play.wait(LATE.as_secs() - 1);
    assert_eq!(play.asked.len(), 1);
    play.wait(1);
    assert_eq!(play.host(), "b");
    let late = play.asked.remove(0);
    play.answer(1800, None);
    play.wait(100);
    play.peers.clear();
    let peer = "10.0.0.1:5".parse().expect("an address");
    let answer = TrackerAnswer {
        interval: Some(60),
        peers: vec![peer],
        ..TrackerAnswer::default()
    };
    play.say(Input::Answered(late.tracker, answer));
    assert_eq!((&play.peers[..], play.asked.len()), (&[peer][..], 0));
}

#[test]
fn a_failed_tracker_is_asked_again_after_waits_that_double_up_to_half_an_hour() {
    let mut play = Play::of(&[&["udp://a:1"]]);
    for wait in [15, 30, 60, 120, 240, 480, 960, 1800, 1800] {
        play.fail();
        play.wait(wait - 1);
        assert!(play.asked.is_empty(), "{wait}");
        play.wait(1);
        assert_eq!(play.asked.len(), 1, "{wait}");
    }
    play.answer(60, None);
    play.wait(60);
    play.fail();
    play.wait(15);
    assert_eq!(play.asked.len(), 1, "an answer ends the row of failures");
}

#[test]
fn intervals_are_honoured_within_bounds() {
    for (said, kept) in [
        (0, 30),
        (29, 30),
        (900, 900),
        (7200, 7200),
        (u32::MAX, 7200),
    ] {
        let mut play = Play::of(&[&["udp://a:1"]]);
        play.answer(said, None);
        play.wait(kept - 1);
        assert!(play.asked.is_empty(), "{said}");
        play.wait(1);
        assert_eq!(play.asked.len(), 1, "{said}");
    }
}

#[test]
fn a_fetch_with_too_few_sources_asks_for_more_peers_but_not_before_it_may() {
    for (said, kept) in [
        (Some(300), 300),
        (None, 120),
        (Some(0), 30),
        (Some(u32::MAX), 1800),
    ] {
        for has_none in [false, true] {
            let mut play = Play::of(&[&["http://a/announce"]]);
            assert_eq!(play.asked[0].wanted, 50);
            play.answer(1800, said);
            play.say(Input::WantsMore { has_none });
            play.wait(kept - 1);
            assert!(play.asked.is_empty(), "{said:?}");
            play.wait(1);
            assert_eq!(play.only().wanted, 200, "{said:?}");
        }
    }
}

#[test]
fn over_udp_a_tracker_is_asked_before_its_interval_only_for_a_fetch_that_has_no_source() {
    for (has_none, kept) in [(false, 1800), (true, 120)] {
        let mut play = Play::of(&[&["udp://a:1"]]);
        play.answer(1800, None);
        play.say(Input::WantsMore { has_none });
        play.wait(kept - 1);
        assert!(play.asked.is_empty(), "{kept}");
        play.wait(1);
        assert_eq!(play.only().wanted, 200, "{kept}");
    }
    let mut play = Play::of(&[&["udp://a:1"]]);
    play.answer(1800, None);
    play.say(Input::WantsMore { has_none: false });
    play.wait(600);
    assert!(play.asked.is_empty());
    play.say(Input::WantsMore { has_none: true });
    assert_eq!(play.asked.len(), 1, "its last source has gone");
}

#[test]
fn a_tracker_hears_that_this_peer_has_started_completed_and_stopped_once_each() {
    let mut play = Play::of(&[&["udp://a:1"]]);
    assert_eq!(play.asked[0].event, AnnounceEvent::Started);
    play.fail();
    play.wait(15);
    assert_eq!(
        play.asked[0].event,
        AnnounceEvent::Started,
        "it has not heard it"
    );
    play.answer(1800, None);
    play.wait(1800);
    assert_eq!(play.asked[0].event, AnnounceEvent::None);
    play.answer(1800, None);
    play.say(Input::Completed);
    assert_eq!(play.asked[0].event, AnnounceEvent::Completed, "at once");
    assert_eq!(play.asked[0].wanted, 0, "it needs none any more");
    play.answer(1800, None);
    play.say(Input::Completed);
    play.wait(1800);
    assert_eq!(play.asked[0].event, AnnounceEvent::None);
    play.answer(1800, None);
    play.say(Input::Stop);
    assert_eq!(play.asked[0].event, AnnounceEvent::Stopped);
    assert!(!play.is_over);
    play.answer(1800, None);
    assert!(play.is_over);
}

#[test]
fn what_is_completed_while_a_tracker_is_asked_is_told_right_after() {
    let mut play = Play::of(&[&["udp://a:1"], &["udp://b:1"]]);
    play.fail();
    play.say(Input::Completed);
    assert_eq!(play.asked[0].event, AnnounceEvent::Started);
    play.wait(20);
    play.answer(1800, None);
    assert_eq!(play.host(), "b", "though a may be asked again by now");
    assert_eq!(play.asked[0].event, AnnounceEvent::Completed);
}

#[test]
fn only_trackers_that_know_this_peer_are_told_that_it_goes_and_not_for_long() {
    let mut play = Play::of(&[&["udp://a:1"], &["udp://b:1"], &["udp://c:1"]]);
    play.fail();
    play.answer(1800, None);
    play.say(Input::Stop);
    assert_eq!((play.asked.len(), play.host()), (1, "b".to_owned()));
    play.wait(9);
    assert!(!play.is_over);
    play.wait(1);
    assert!(play.is_over);
    assert_eq!(play.machine.next_deadline(), None);

    let mut play = Play::of(&[&["udp://a:1"]]);
    let asking = play.only();
    play.say(Input::Stop);
    assert!(!play.is_over, "it may list this peer any moment");
    play.say(Input::Answered(asking.tracker, TrackerAnswer::default()));
    assert_eq!(play.only().event, AnnounceEvent::Stopped);

    let mut play = Play::of(&[&["udp://a:1"]]);
    play.fail();
    play.say(Input::Stop);
    assert!(play.is_over, "no tracker knows this peer");
}

#[test]
fn an_answer_that_comes_after_the_end_is_passed_over() {
    let mut play = Play::of(&[&["udp://a:1"]]);
    play.say(Input::Stop);
    let asking = play.only();
    let over_at = play.machine.next_deadline().expect("it is waited for");
    play.now = over_at;
    play.say(Input::Tick);
    assert!(play.is_over);
    play.asked.push(asking);
    play.answer(60, None);
    assert_eq!(play.asked, [], "a tracker is asked");
}

#[test]
fn the_groups_trackers_are_asked_beside_those_of_a_torrent_and_left_once_it_is_private() {
    let own = [url("http://own:1/announce"), url("udp://a:1")];
    let trackers = Trackers::named(&texts(&[&["udp://a:1"]])).and_own(own);
    let mut play = Play::new(trackers);
    let hosts: Vec<_> = play.asked.iter().map(|asking| asking.url.host()).collect();
    assert_eq!(hosts, ["a", "own"]);
    play.say(Input::Answered(TrackerNumber(0), TrackerAnswer::default()));
    play.say(Input::Answered(TrackerNumber(1), TrackerAnswer::default()));
    play.asked.clear();
    play.say(Input::IsPrivate);
    let left = play.only();
    assert_eq!(
        (left.url.host(), left.event),
        ("own", AnnounceEvent::Stopped)
    );
    play.say(Input::Answered(left.tracker, TrackerAnswer::default()));
    play.wait(1800);
    assert_eq!(play.host(), "a");
    assert_eq!(play.asked.len(), 1);
}

#[test]
fn only_peers_that_may_be_dialled_are_told_and_none_to_a_seeder() {
    let peers = |texts: &[&str]| -> Vec<SocketAddr> {
        texts
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect()
    };
    let named = peers(&["127.0.0.1:5", "10.0.0.1:0", "169.254.0.1:5", "10.0.0.1:5"]);
    for (heard, told) in [
        (HeardOver::Network, peers(&["10.0.0.1:5"])),
        (HeardOver::Loopback, peers(&["127.0.0.1:5", "10.0.0.1:5"])),
    ] {
        let mut play = Play::of(&[&["udp://a:1"]]);
        let answer = TrackerAnswer {
            peers: named.clone(),
            heard,
            ..TrackerAnswer::default()
        };
        play.say(Input::Answered(TrackerNumber(0), answer));
        assert_eq!(play.peers, told);
    }
}

#[test]
fn urls_that_cannot_be_asked_are_refused_by_name_and_a_torrent_has_a_bounded_number() {
    let read = Trackers::named(&texts(&[
        &["https://a/announce", "udp://a:1", "udp://a:1"],
        &["wss://b/"],
        &["nonsense"],
    ]));
    let schemes = ["https", "wss"].map(|scheme| TrackerUrlError::Scheme(scheme.into()));
    let whys: Vec<_> = read.refused().iter().map(|(_, why)| why.clone()).collect();
    let [https, wss] = schemes;
    assert_eq!(whys, [https, wss, TrackerUrlError::Malformed]);
    assert_eq!(read.named, [[url("udp://a:1")]]);
    assert!(!read.is_empty());
    assert!(Trackers::named(&texts(&[&["https://a/announce"]])).is_empty());

    let many: Vec<String> = (1..500).map(|port| format!("udp://a:{port}")).collect();
    assert_eq!(Trackers::named(&[many]).named[0].len(), MOST_TRACKERS);
}

#[test]
fn a_tracker_is_told_again_what_it_wanted_to_be_told() {
    let mut play = Play::of(&[&["http://a/announce"]]);
    let asking = play.only();
    assert_eq!(asking.tracker_id, None);
    let answer = TrackerAnswer {
        interval: Some(60),
        tracker_id: Some(b"x".to_vec()),
        ..TrackerAnswer::default()
    };
    play.say(Input::Answered(asking.tracker, answer));
    play.wait(60);
    assert_eq!(play.asked[0].tracker_id.as_deref(), Some(&b"x"[..]));
}

/// A step of the model.
#[derive(Clone, Debug)]
enum Did {
    Waited(u64),
    Answered(usize, Option<u32>, Option<u32>),
    Failed(usize),
    WantedMore(bool),
    WasPrivate,
    Completed,
}

fn did() -> impl Strategy<Value = Did> {
    let seconds = || prop::option::of(prop_oneof![0..4000_u32, any::<u32>()]);
    prop_oneof![
        4 => prop_oneof![0..10_u64, 0..4000_u64].prop_map(Did::Waited),
        4 => (any::<usize>(), seconds(), seconds())
            .prop_map(|(which, interval, least)| Did::Answered(which, interval, least)),
        4 => any::<usize>().prop_map(Did::Failed),
        2 => any::<bool>().prop_map(Did::WantedMore),
        1 => Just(Did::WasPrivate),
        1 => Just(Did::Completed),
    ]
}

/// What is known of a tracker from outside.
#[derive(Default)]
struct Heard {
    last: Option<(Instant, bool)>,
    events: Vec<AnnounceEvent>,
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn trackers_are_asked_no_sooner_than_they_may_and_told_a_story_that_makes_sense(
        tiers in vec(1..4_usize, 0..4),
        own in 0..3_usize,
        steps in vec(did(), 0..80),
    ) {
        let mut port = 0;
        let mut tier = |length: &usize| -> Vec<String> {
            let urls = (0..*length).map(|_| { port += 1; format!("udp://a:{port}") });
            urls.collect()
        };
        let named: Vec<Vec<String>> = tiers.iter().map(&mut tier).collect();
        let own: Vec<TrackerUrl> = tier(&own).iter().map(|text| url(text)).collect();
        let mut play = Play::new(Trackers::named(&named).and_own(own.clone()));
        let mut heard: BTreeMap<TrackerUrl, Heard> = BTreeMap::new();
        let (mut is_private, mut is_complete, mut seen) = (false, false, 0);
        let begins = [Did::Waited(0)].into_iter();
        for step in begins.chain(steps).map(Some).chain([None]) {
            let pick = |play: &mut Play, which: usize| {
                (!play.asked.is_empty()).then(|| play.asked.remove(which % play.asked.len()))
            };
            match step {
                Some(Did::Waited(seconds)) => {
                    // As a shell does it: at each deadline.
                    let until = play.now + Duration::from_secs(seconds);
                    if let Some(at) = play.machine.next_deadline() {
                        play.now = play.now.max(at.min(until));
                    } else {
                        play.now = until;
                    }
                    play.say(Input::Tick);
                }
                Some(Did::Answered(which, interval, min_interval)) => {
                    if let Some(asking) = pick(&mut play, which) {
                        seen -= 1;
                        let of = heard.entry(asking.url.clone()).or_default();
                        of.last = Some((play.now, true));
                        of.events.push(asking.event);
                        let answer = TrackerAnswer { interval, min_interval, ..TrackerAnswer::default() };
                        play.say(Input::Answered(asking.tracker, answer));
                    }
                }
                Some(Did::Failed(which)) => {
                    if let Some(asking) = pick(&mut play, which) {
                        seen -= 1;
                        heard.entry(asking.url.clone()).or_default().last = Some((play.now, false));
                        play.say(Input::Failed(asking.tracker));
                    }
                }
                Some(Did::WantedMore(has_none)) => play.say(Input::WantsMore { has_none }),
                Some(Did::WasPrivate) => {
                    is_private = true;
                    play.say(Input::IsPrivate);
                }
                Some(Did::Completed) => {
                    is_complete = true;
                    play.say(Input::Completed);
                }
                None => play.say(Input::Stop),
            }
            for asking in &play.asked[seen..] {
                let of = heard.entry(asking.url.clone()).or_default();
                let told = asking.event;
                match of.last {
                    Some((at, has_answered)) if told == AnnounceEvent::None || !has_answered => {
                        let least = if has_answered { SHORTEST_INTERVAL } else { FIRST_WAIT };
                        prop_assert!(told == AnnounceEvent::Stopped || play.now - at >= least);
                    }
                    _ => {}
                }
                let has_started = of.events.last().is_some_and(|last| *last != AnnounceEvent::Stopped);
                prop_assert_eq!(told == AnnounceEvent::Started, !has_started);
                let completed = of.events.iter().filter(|told| **told == AnnounceEvent::Completed);
                prop_assert!(told != AnnounceEvent::Completed || (is_complete && completed.count() == 0));
                let is_own = own.contains(&asking.url);
                prop_assert!(!is_own || !is_private || told == AnnounceEvent::Stopped);
                prop_assert!(asking.wanted == 0 || !is_complete);
            }
            seen = play.asked.len();
            let mut asked: Vec<_> = play.asked.iter().map(|asking| asking.tracker).collect();
            asked.sort();
            asked.dedup();
            prop_assert_eq!(asked.len(), play.asked.len(), "a tracker is asked twice at once");
        }
        while let Some(at) = play.machine.next_deadline() {
            play.now = at;
            play.say(Input::Tick);
        }
        prop_assert!(play.is_over);
    }

    #[test]
    fn while_no_tracker_answers_each_is_tried_again_and_again(
        tiers in vec(1..4_usize, 1..4),
        silent in any::<bool>(),
    ) {
        let mut port = 0;
        let named: Vec<Vec<String>> = tiers.iter().map(|length| {
            (0..*length).map(|_| { port += 1; format!("udp://a:{port}") }).collect()
        }).collect();
        let mut play = Play::new(Trackers::named(&named));
        let mut tried: BTreeMap<TrackerNumber, u32> = BTreeMap::new();
        let begun = play.now;
        while play.now - begun < Duration::from_hours(3) {
            if let Some(at) = play.machine.next_deadline() {
                play.now = play.now.max(at);
                play.say(Input::Tick);
            }
            if !silent || play.machine.next_deadline().is_none() {
                for asking in std::mem::take(&mut play.asked) {
                    *tried.entry(asking.tracker).or_default() += 1;
                    play.now = play.now + Duration::from_secs(1);
                    play.say(Input::Failed(asking.tracker));
                }
            }
        }
        prop_assert_eq!(tried.len(), port);
        prop_assert!(tried.values().all(|times| (5..20).contains(times)), "{tried:?}");
    }
}
