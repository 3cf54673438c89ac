//! Being a member, and being one no longer: removals spread and are kept,
//! certificates are renewed, and links outlive them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thorp_disk::testing::DISK;
use thorp_group::authority::Authority;
use thorp_group::state::{StateDir, StateError};
use thorp_node::address::NetAddress;
use thorp_node::api::{Command, ErrorKind, Failure};
use thorp_node::clock::Clock;
use thorp_node::launch::{self, Group, LaunchError};
use thorp_node::net::dial::{self, Expected};
use thorp_node::share;
use thorp_wire::frame::{Find, Query, Record, SignedRecord};
use thorp_wire::session::{Message, Span};
use thorp_wire::{Body, Frame, PeerId, RequestId};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::mallory::{Mallory, entry};
use super::support::{Village, Villager, answer, bytes, named, start, within};
use super::teller::{File, Teller};

/// The shipped one: within it, every member that can be reached has done its part.
const INTERVAL: Duration = Duration::from_secs(5);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

async fn status(villager: &Villager) -> thorp_node::api::Status {
    let answer = villager.ask(Command::Status).await.done();
    answer.status().clone()
}

async fn id_of(villager: &Villager) -> PeerId {
    status(villager).await.id.parse().expect("an id")
}

fn hall(village: &Village) -> PathBuf {
    village.common("hall", &[]).state
}

/// What `thorp remove` does.
async fn remove(village: &Village, id: PeerId) {
    let id = id.to_string();
    let asked = launch::ask_keeper(&[hall(village)], Command::Remove { id }).await;
    answer(asked.expect("the tracker runs")).await.done();
}

/// The group's CA, while its tracker is down.
async fn authority(village: &Village) -> Authority {
    let free = async {
        loop {
            match StateDir::open(DISK, hall(village)) {
                Ok(state) => return state,
                // Its last connections are on their way out.
                Err(StateError::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let state = within("the tracker to let go", free).await;
    Authority::load_or_create(DISK, Arc::new(state)).expect("is there")
}

/// Three peers that are one another's neighbours.
async fn friends(village: &Village) -> [Villager; 3] {
    let oak = village
        .peer("oak", &[("of oak", b"1"), ("more", b"2")])
        .await;
    let elm = village.peer("elm", &[("of elm", b"3")]).await;
    let ash = village.peer("ash", &[]).await;
    elm.get_name("of oak").await.only_fetched();
    ash.get_name("of elm").await.only_fetched();
    ash.get_name("more").await.only_fetched();
    for (peer, name) in [(&oak, "elm"), (&oak, "ash"), (&elm, "ash"), (&ash, "oak")] {
        peer.has_neighbour(name).await;
    }
    [oak, elm, ash]
}

async fn loses(villager: &Villager, name: &str) {
    let what = format!("{name} to be no neighbour any more");
    let is_gone =
        |row: &thorp_node::snapshot::TrackedPeer| row.member.name.as_deref() != Some(name);
    villager
        .sees(&what, |view| view.neighbours.iter().all(is_gone))
        .await;
}

const BLOCK: Message = Message::Request(Span {
    piece: 0,
    begin: 0,
    length: 16 * 1024,
});

/// A session that is served; a block of it has come.
async fn session(mallory: &Mallory, villager: &Villager, file: &File) -> Teller {
    let teller = Teller::dial(mallory, villager, file.content()).await;
    let mut teller = teller.expect("the file is there");
    teller.say(&Message::HaveNone).await;
    teller.say(&Message::Interested).await;
    is_served(&mut teller).await;
    teller
}

/// Waits until a block has come.
async fn is_served(teller: &mut Teller) {
    teller.say(&BLOCK).await;
    while !matches!(teller.next().await.expect("goes on").0, Message::Piece(_)) {}
}

/// Asks for a block, again and again, for as long as the other side goes on.
async fn keeps_asking(teller: &mut Teller) {
    while teller.say(&BLOCK).await && teller.next().await.is_some() {}
}

/// Waits until a removed peer has ended by itself.
async fn ends_as_removed(villager: Villager) {
    let peer = villager.running.peer.clone();
    within("a removed peer to end", villager.running.ended()).await;
    assert!(peer.was_removed());
}

#[tokio::test]
async fn a_removed_member_is_out_of_every_link_and_cannot_come_back() {
    let village = Village::new().await;
    let [oak, elm, ash] = friends(&village).await;
    remove(&village, id_of(&ash).await).await;
    village.forgets("ash").await;
    loses(&oak, "ash").await;
    loses(&elm, "ash").await;
    ends_as_removed(ash).await;
    // It knows, and says so before it asks a member.
    let tracker = NetAddress::Ip(village.address());
    for group in [Group::Remembered, Group::Open(tracker)] {
        let (notices, _) = mpsc::channel(1);
        let (common, dir) = (village.common("ash", &[]), village.share_of("ash"));
        let options = share::Options::default();
        let again = launch::share(common, &dir, options, group, notices).await;
        let failure = again.err().expect("is no member");
        assert_eq!(failure.kind(), ErrorKind::NotAMember);
        assert!(matches!(failure, LaunchError::Removed), "{failure}");
    }
    // The others go on.
    elm.get_name("more").await.only_fetched();
}

#[tokio::test]
async fn whoever_is_removed_and_does_not_go_is_out_of_everything_within_an_interval() {
    let village = Village::new().await;
    let file = File::new(bytes(7, 1024 * 1024));
    let oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let elm = village.peer("elm", &[]).await;
    let mallory = Mallory::join(&village, "mallory").await;
    let mut at_tracker = mallory.list(&village, vec![entry("bait", b"some")]).await;
    let mut at_oak = mallory.befriend(&oak).await;
    let mut at_elm = mallory.befriend(&elm).await;
    let mut teller = session(&mallory, &oak, &file).await;
    let all_closed = async {
        tokio::join!(
            at_tracker.closed(),
            at_oak.closed(),
            at_elm.closed(),
            keeps_asking(&mut teller),
            remove(&village, mallory.id()),
        );
    };
    let closed = timeout(INTERVAL, all_closed).await;
    closed.expect("everything is closed within an interval");
    let again = Teller::dial(&mallory, &oak, file.content()).await;
    assert!(again.is_none(), "a removed member was served");
}

#[tokio::test]
async fn a_removed_visitor_is_told_so() {
    let village = Village::new().await;
    let _oak = village.peer("oak", &[("file", b"some")]).await;
    let ash = village.peer("ash", &[]).await;
    let id = id_of(&ash).await;
    ash.stop().await;
    remove(&village, id).await;
    let dir = village.dir("elsewhere");
    let answer = village
        .visit("ash", &dir, Command::Get(named("file")))
        .await;
    let failure = answer.failed(ErrorKind::NotAMember);
    assert_eq!(*failure, Failure::Removed);
}

#[tokio::test]
async fn a_removed_key_opens_nothing_anywhere_also_after_a_restart() {
    let mut village = Village::new().await;
    let oak = village.peer("oak", &[("file", b"some")]).await;
    let mallory = Mallory::join(&village, "mallory").await;
    let mut at_oak = mallory.befriend(&oak).await;
    remove(&village, mallory.id()).await;
    let mut proof = None;
    while let Some(frame) = at_oak.next().await {
        if let Body::Record(record) = frame.body {
            proof = Some(record.record);
        }
    }
    assert!(proof.expect("is told").record().removes(&mallory.id()));
    let mut at_tracker = mallory.dial_tracker(&village).await;
    let reason = at_tracker.closed().await.expect("a reason");
    assert!(reason.contains("removed"), "{reason}");

    let id = id_of(&oak).await;
    oak.stop().await;
    village.lose_tracker().await;
    // All it knows is what it kept.
    let (common, dir) = (village.common("oak", &[]), village.share_of("oak"));
    let options = share::Options::default();
    let oak = start(common, &dir, options, Group::Remembered).await;
    let mut at_oak = mallory.dial(oak.address(), Expected::Peer(id)).await;
    let reason = at_oak.closed().await.expect("a reason");
    assert!(reason.contains("removed"), "{reason}");
}

#[tokio::test]
async fn members_tell_one_another_who_was_removed_while_the_tracker_is_down() {
    let mut village = Village::new().await;
    let [oak, elm, ash] = friends(&village).await;
    let mallory = Mallory::join(&village, "mallory").await;
    let mut to_oak = mallory.befriend(&oak).await;
    let (of_ash, of_elm) = (id_of(&ash).await, id_of(&elm).await);
    village.lose_tracker().await;
    let authority = authority(&village).await;
    let older = authority.records().newest().expect("is made");
    authority.remove(DISK, of_ash).expect("removes");
    let record = authority.records().newest().expect("is made");
    let tell = |record: SignedRecord| Frame::plain(Record { record });
    to_oak.send(tell(record.clone())).await;
    ends_as_removed(ash).await;
    loses(&oak, "ash").await;
    loses(&elm, "ash").await;

    // What is older is no news, and the link goes on.
    to_oak.send(tell(older)).await;
    let question = Find::new(Query::Members(None), 0);
    let request = RequestId(77);
    to_oak.send(Frame::with_request(request, question)).await;
    let answered = |frame: &Frame| (frame.request == Some(request)).then_some(());
    to_oak.until("an answer", answered).await;
    // What is made up ends it, and no member is removed by it.
    let mut forged = record.as_bytes().to_vec();
    forged[3] ^= 1;
    let number = forged.len() - record.record().removed.len() * 34;
    let newer = forged[64..number].to_vec();
    assert_eq!(newer[1], 0, "the key of the number");
    forged[66] += 1;
    let forged = SignedRecord::read(&forged).expect("can be read");
    assert!(forged.record().number > record.record().number);
    to_oak.send(tell(forged)).await;
    let reason = to_oak.closed().await.expect("a reason");
    assert!(reason.contains("not signed"), "{reason}");
    elm.has_neighbour("oak").await;
    assert!(!record.record().removes(&of_elm));
}

/// Waits until a peer's certificate ends later than it did.
async fn renewed(villager: &Villager, before: i64) -> i64 {
    let renewed = async {
        loop {
            let ends = status(villager).await.certificate_ends;
            if ends > before {
                return ends;
            }
            tokio::task::yield_now().await;
        }
    };
    within("a renewed certificate", renewed).await
}

#[tokio::test]
async fn a_certificate_is_renewed_daily_over_the_link_and_kept() {
    let village = Village::new().await;
    let mut oak = village.peer("oak", &[]).await;
    let first = status(&oak).await.certificate_ends;
    village.clock.turn(25 * HOUR);
    let second = renewed(&oak, first).await;
    assert!(second - first >= DAY, "{}", second - first);
    village.clock.turn(50 * HOUR);
    let third = renewed(&oak, second).await;
    while let Ok(notice) = oak.notices.try_recv() {
        let lost = format!("{notice:?}").contains("Lost");
        assert!(!lost, "nobody notices: {notice:?}");
    }
    oak.stop().await;
    let oak = village.peer("oak", &[]).await;
    assert_eq!(status(&oak).await.certificate_ends, third, "it was kept");
    assert!(!status(&oak).await.certificate_ends_soon);
}

#[tokio::test]
async fn a_removed_member_gets_no_new_certificate() {
    let village = Village::new().await;
    let mallory = Mallory::join(&village, "mallory").await;
    let mut wire = mallory.dial_tracker(&village).await;
    wire.greet(mallory.hello()).await;
    let ask = |request: u32, key: &thorp_group::identity::Identity| {
        let join = thorp_wire::frame::Join {
            token: None,
            request: key.certificate_request().expect("a request"),
            name: None,
        };
        Frame::with_request(RequestId(request), join)
    };
    let answer = |request: u32| {
        move |frame: &Frame| match (&frame.body, frame.request) {
            (body, Some(RequestId(id))) if id == request => Some(body.clone()),
            _ => None,
        }
    };
    wire.send(ask(1, &mallory.identity)).await;
    let body = wire.until("a certificate", answer(1)).await;
    assert!(matches!(body, Body::Joined(_)), "{body:?}");
    // No member gets one for another's key.
    let other = thorp_group::identity::Identity::generate().expect("a key");
    wire.send(ask(2, &other)).await;
    let body = wire.until("a refusal", answer(2)).await;
    assert!(matches!(body, Body::Refused(_)), "{body:?}");
    remove(&village, mallory.id()).await;
    let reason = wire.closed().await.expect("a reason");
    assert!(reason.contains("removed"), "{reason}");
}

#[tokio::test]
async fn the_tracker_renews_its_own_certificate_and_also_when_its_clock_was_ahead() {
    let village = Village::new().await;
    let mallory = Mallory::join(&village, "mallory").await;
    let shown = async || {
        let address = [village.address()];
        let connected = dial::dial(&address, Expected::Tracker, &mallory.tls, None).await;
        connected.expect("is a member").member.ends
    };
    let first = shown().await;
    let within_days = async |from: u64, to: u64| {
        let waited = async {
            loop {
                let ends = shown().await;
                let start = first + Duration::from_hours(from * 24);
                if (start..first + Duration::from_hours(to * 24)).contains(&ends) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        within("another certificate", waited).await;
    };
    village.clock.turn(2 * DAY);
    within_days(1, 3).await;
    village.clock.turn(20 * DAY);
    within_days(19, 21).await;
    village.clock.turn(0);
    within_days(0, 1).await;
}

#[tokio::test]
async fn whoever_was_off_for_long_is_a_member_again_at_its_start() {
    let village = Village::new().await;
    for days in [25, 60] {
        let oak = village.peer("oak", &[]).await;
        oak.stop().await;
        village.clock.turn(days * DAY);
        let oak = village.peer("oak", &[]).await;
        let now = village.clock.wall().duration_since(SystemTime::UNIX_EPOCH);
        let now = i64::try_from(now.expect("is after it").as_secs()).expect("is not far");
        renewed(&oak, now + 29 * DAY).await;
        oak.stop().await;
    }
}

#[tokio::test]
async fn a_certificate_that_ended_while_the_tracker_was_away_is_replaced_while_running() {
    let mut village = Village::new().await;
    let oak = village.peer("oak", &[("file", b"some")]).await;
    let address = village.address();
    village.lose_tracker().await;
    oak.sees("the tracker to be gone", |view| !view.tracker_connected)
        .await;
    village.clock.turn(60 * DAY);
    let ended = status(&oak).await.certificate_ends;
    let (notices, _) = mpsc::channel(1);
    let hall = launch::Common {
        listen: Some(address.to_string().parse().expect("an address")),
        ..village.common("hall", &[])
    };
    drop(authority(&village).await);
    let tracker = launch::tracker(hall, launch::Decided::opened(), notices).await;
    let _tracker = tracker.unwrap_or_else(|failure| panic!("{failure:?}"));
    let new = renewed(&oak, ended).await;
    assert!(new - ended >= 59 * DAY, "{}", new - ended);
    oak.sees("the tracker again", |view| view.tracker_connected)
        .await;
    oak.stop().await;
    let (common, dir) = (village.common("oak", &[]), village.share_of("oak"));
    let options = share::Options::default();
    let oak = start(common, &dir, options, Group::Remembered).await;
    assert_eq!(status(&oak).await.certificate_ends, new, "it was kept");
}

/// Waits until a peer's certificate is as if it was made now.
async fn has_a_certificate_of_today(village: &Village, villager: &Villager) {
    let now = village.clock.wall().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.expect("is after it").as_secs()).expect("is not far");
    let today = now + 29 * DAY..now + 30 * DAY + HOUR;
    let renewed = async {
        while !today.contains(&status(villager).await.certificate_ends) {
            tokio::task::yield_now().await;
        }
    };
    within("a certificate of today", renewed).await;
}

/// A peer with a clock of its own, that dials its tracker every second.
async fn with_its_own_clock(village: &Village, name: &str) -> (Villager, Clock) {
    let clock = Clock::system();
    let common = launch::Common {
        clock: clock.clone(),
        ..village.common(name, &[("interval.tracker_ms", "1000")])
    };
    let group = Group::Open(NetAddress::Ip(village.address()));
    let options = share::Options::default();
    let villager = start(common, &village.share_of(name), options, group).await;
    (villager, clock)
}

#[tokio::test]
async fn a_clock_that_was_far_off_for_a_while_delays_no_renewal() {
    let village = Village::with(&[("interval.tracker_ms", "1000")]).await;
    let (oak, clock) = with_its_own_clock(&village, "oak").await;
    let is_connected = async |so: bool| {
        oak.sees("the tracker to come or go", |view| {
            view.tracker_connected == so
        })
        .await;
    };
    is_connected(true).await;
    let first = status(&oak).await.certificate_ends;
    // What comes first, the end of the link or a question on it, is left to chance.
    for _ in 0..3 {
        clock.turn(40 * DAY);
        is_connected(false).await;
        clock.turn(0);
        is_connected(true).await;
    }
    let first = status(&oak).await.certificate_ends.max(first);
    village.clock.turn(2 * DAY);
    clock.turn(2 * DAY);
    renewed(&oak, first).await;
}

#[tokio::test]
async fn clocks_that_were_all_far_ahead_leave_nobody_with_a_certificate_of_the_future() {
    let village = Village::with(&[("interval.tracker_ms", "1000")]).await;
    let oak = village.peer("oak", &[]).await;
    let first = status(&oak).await.certificate_ends;
    village.clock.turn(40 * DAY);
    renewed(&oak, first + 39 * DAY).await;
    village.clock.turn(0);
    has_a_certificate_of_today(&village, &oak).await;
    oak.sees("the tracker", |view| view.tracker_connected).await;
    let ends = status(&oak).await.certificate_ends;
    assert!((first..first + DAY).contains(&ends), "{}", ends - first);
}

#[tokio::test]
async fn a_clock_that_is_set_back_ends_no_link() {
    let village = Village::new().await;
    let [mut oak, elm, ash] = friends(&village).await;
    for days in [-40, 0, -2, 1, 3] {
        village.clock.turn(days * DAY);
        for peer in [&oak, &elm, &ash] {
            has_a_certificate_of_today(&village, peer).await;
        }
        // Over the links that are up; for a name that no peer has, to the tracker's too.
        let answer = elm.get_name("of nobody").await;
        answer.failed(ErrorKind::NotFound);
        for (peer, name) in [(&oak, "elm"), (&elm, "ash"), (&ash, "oak")] {
            peer.has_neighbour(name).await;
        }
    }
    while let Ok(notice) = oak.notices.try_recv() {
        let lost = format!("{notice:?}").contains("Lost");
        assert!(!lost, "nobody notices: {notice:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_could_not_be_renewed_is_warned_of_ten_days_before_its_end() {
    let mut village = Village::new().await;
    let oak = village.peer("oak", &[]).await;
    village.lose_tracker().await;
    oak.sees("the tracker to be gone", |view| !view.tracker_connected)
        .await;
    for (days, warned) in [(19, false), (21, true), (0, false)] {
        village.clock.turn(days * DAY);
        assert_eq!(status(&oak).await.certificate_ends_soon, warned, "{days}");
    }
}

#[tokio::test]
async fn a_link_is_made_anew_before_the_certificates_it_stands_on_end() {
    let village = Village::new().await;
    let mut mallory = Mallory::join(&village, "mallory").await;
    let _at_tracker = mallory.list(&village, vec![entry("bait", b"some")]).await;
    let elm = village.peer("elm", &[]).await;
    let first = status(&elm).await.certificate_ends;
    let get = elm.get_name("bait");
    let serve = async {
        let mut wire = mallory.called().await;
        let (request, _) = wire.asked_for().await;
        wire.deliver(request, b"some").await;
        wire
    };
    let (got, mut old) = tokio::join!(get, serve);
    got.only_fetched();
    elm.has_neighbour("mallory").await;
    village.clock.turn(25 * HOUR);
    renewed(&elm, first).await;
    village.clock.turn(30 * DAY - HOUR / 2);
    let _new = mallory.called().await;
    let reason = old.closed().await.expect("a reason");
    assert!(reason.contains("replaced"), "{reason}");
    elm.has_neighbour("mallory").await;
}

#[tokio::test]
async fn a_session_ends_when_the_first_of_its_two_certificates_does() {
    // Of the holder, and of the peer that asks.
    for (joins_later, renews) in [(20 * HOUR, false), (0, true)] {
        let village = Village::new().await;
        let file = File::new(bytes(7, 1024 * 1024));
        let oak = village.peer("oak", &[("f", &file.bytes)]).await;
        let first = status(&oak).await.certificate_ends;
        village.clock.turn(joins_later);
        let mallory = Mallory::join(&village, "mallory").await;
        if renews {
            village.clock.turn(25 * HOUR);
            renewed(&oak, first).await;
        }
        let mut teller = session(&mallory, &oak, &file).await;
        village.clock.turn(30 * DAY - 2 * HOUR);
        is_served(&mut teller).await;
        village.clock.turn(30 * DAY);
        let ended = timeout(INTERVAL, keeps_asking(&mut teller)).await;
        ended.expect("the session ends with a certificate");
    }
}
