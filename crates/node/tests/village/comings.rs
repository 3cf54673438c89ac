//! Starting, stopping, being killed, falling silent.

use std::path::PathBuf;
use std::time::Duration;

use thorp_node::address::NetAddress;
use thorp_node::api::{AnswerSource, Command, ErrorKind, Get};
use thorp_node::launch::{self, Common, Group};
use thorp_node::share;
use thorp_wire::frame::{Hello, Update};
use thorp_wire::{Body, Frame};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::counting::Hall;
use super::mallory::{Mallory, entry, listing};
use super::support::{Village, Villager, bytes, files_in, named, read, start, within, write};

/// Intervals so short that a test can wait for three of them.
const SHORT: [(&str, &str); 2] = [
    ("interval.tracker_ms", "200"),
    ("interval.neighbour_ms", "200"),
];

#[tokio::test]
async fn whoever_says_goodbye_is_gone_at_once_for_tracker_and_neighbours() {
    let village = Village::new().await;
    let oak = village.peer("oak", &[("a", b"some"), ("b", b"more")]).await;
    let elm = village.peer("elm", &[]).await;
    elm.get_name("a").await.only_fetched();
    elm.has_neighbour("oak").await;
    oak.has_neighbour("elm").await;
    oak.stop().await;
    village.forgets("oak").await;
    elm.sees("oak to be gone", |view| view.neighbours.is_empty())
        .await;
    elm.get_name("b").await.failed(ErrorKind::NotFound);
}

/// A peer on a runtime of its own, which can be taken from under its feet.
async fn doomed(village: &Village, name: &str, settings: &[(&str, &str)]) -> (Villager, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads");
    let group = Group::Open(NetAddress::Ip(village.address()));
    let (common, dir) = (village.common(name, settings), village.share_of(name));
    let starting =
        runtime.spawn(async move { start(common, &dir, share::Options::default(), group).await });
    let villager = within("a peer to start", starting).await.expect("starts");
    (villager, runtime)
}

#[tokio::test]
async fn whoever_is_killed_is_gone_at_once_and_replaced_when_it_is_back() {
    let village = Village::new().await;
    write(&village.share_of("oak"), "a", b"some");
    let (oak, runtime) = doomed(&village, "oak", &[]).await;
    oak.settled(1).await;
    village.lists("oak", 1).await;
    let elm = village.peer("elm", &[]).await;
    elm.get_name("a").await.only_fetched();
    elm.has_neighbour("oak").await;
    runtime.shutdown_background();
    village.forgets("oak").await;
    elm.sees("oak to be gone", |view| view.neighbours.is_empty())
        .await;
    drop(oak);
    write(&village.share_of("oak"), "b", b"more");
    let oak = within("oak", village.peer("oak", &[])).await;
    elm.get_name("b").await.only_fetched();
    oak.stop().await;
}

#[tokio::test]
async fn whoever_falls_silent_is_gone_after_three_intervals_and_not_before() {
    let village = Village::with(&SHORT).await;
    let elm = village
        .peer_with("elm", &SHORT, share::Options::default())
        .await;
    village.lists("elm", 0).await;
    let mallory = Mallory::join(&village, "mallory").await;
    let hello = || Hello {
        interval: 200,
        ..mallory.hello()
    };
    let begun = std::time::Instant::now();
    let mut to_tracker = mallory.dial_tracker(&village).await;
    to_tracker.greet(hello()).await;
    to_tracker.send(listing(vec![entry("a", b"a")])).await;
    let mut to_elm = mallory.dial_peer(&elm).await;
    to_elm.greet(hello()).await;
    to_elm.send(listing(vec![entry("a", b"a")])).await;
    elm.has_neighbour("mallory").await;
    village.lists("mallory", 1).await;
    let reason = to_elm.closed().await.expect("a reason");
    assert!(reason.contains("nothing heard"), "{reason}");
    to_tracker.closed().await;
    assert!(begun.elapsed().as_millis() >= 600, "{:?}", begun.elapsed());
    village.forgets("mallory").await;
    elm.sees("mallory to be gone", |view| view.neighbours.is_empty())
        .await;
    // A neighbour that gives signs of life stays, however short the interval.
    village.lists("elm", 0).await;
    assert!(
        elm.ask(Command::Status)
            .await
            .done()
            .status()
            .tracker_connected
    );
}

/// Starts the village's tracker again, where it was.
async fn tracker_again(village: &mut Village, common: Common) {
    let (notices, received) = mpsc::channel(64);
    let again = launch::tracker(common, launch::Decided::opened(), notices).await;
    village.tracker = again.expect("starts again");
    village.notices = received;
}

#[tokio::test]
async fn a_tracker_that_was_away_knows_everybody_again_and_neighbours_went_on_without_it() {
    let mut village = Village::with(&SHORT).await;
    let common = Common {
        listen: Some(village.address().into()),
        ..village.common("hall", &SHORT)
    };
    let mut peers = Vec::new();
    for name in ["oak", "elm", "ash"] {
        write(
            &village.share_of(name),
            &format!("of {name}"),
            name.as_bytes(),
        );
        write(
            &village.share_of(name),
            &format!("later of {name}"),
            name.as_bytes(),
        );
        let peer = village
            .peer_with(name, &SHORT, share::Options::default())
            .await;
        peer.settled(2).await;
        village.lists(name, 2).await;
        peers.push(peer);
    }
    let [oak, elm, ash] = &mut peers[..] else {
        panic!("three");
    };
    elm.get_name("of oak").await.only_fetched();
    elm.has_neighbour("oak").await;
    elm.sees("oak's files", |view| {
        view.neighbours.iter().any(|row| row.files == 2)
    })
    .await;
    village.lists("elm", 3).await;
    let (state, address) = (common.clone(), village.address());
    village.lose_tracker().await;
    for peer in [&mut *oak, elm, ash] {
        peer.sees("the tracker to be gone", |view| !view.tracker_connected)
            .await;
        peer.hears("TrackerLost").await;
    }
    // From memory, and from the neighbour itself.
    let answer = elm.get_name("later of oak").await;
    let fetched = answer.only_fetched();
    assert_eq!(
        (fetched.answer.source, fetched.answer.tracker_asked),
        (AnswerSource::Memory, false)
    );
    // What no neighbour has, no member can say anything about now.
    elm.get_name("of ash").await.failed(ErrorKind::Network);
    tracker_again(&mut village, state).await;
    assert_eq!(village.address(), address);
    for (name, files) in [("oak", 2), ("elm", 4), ("ash", 2)] {
        village.lists(name, files).await;
    }
    elm.hears("Connected").await;
    elm.get_name("of ash").await.only_fetched();
}

#[tokio::test]
async fn a_new_epoch_replaces_the_old_listing_at_once() {
    let village = Village::new().await;
    let elm = village.peer("elm", &[]).await;
    let mallory = Mallory::join(&village, "mallory").await;
    let many: Vec<_> = (0..50)
        .map(|number| entry(&format!("{number}"), &bytes(number, 9)))
        .collect();
    let mut old = [
        mallory.list(&village, many.clone()).await,
        mallory.befriend(&elm).await,
    ];
    old[1].send(listing(many)).await;
    let elm_has = |files| {
        let what = format!("{files} files of mallory");
        let elm = &elm;
        async move {
            elm.sees(&what, |view| {
                view.neighbours.iter().any(|row| row.files == files)
            })
            .await;
        }
    };
    elm_has(50).await;
    village.lists("mallory", 50).await;
    // The old links are up still: the machine that had them has no more of them.
    let restarted = Hello {
        epoch: 8,
        ..mallory.hello()
    };
    let mut new = [
        mallory.dial_tracker(&village).await,
        mallory.dial_peer(&elm).await,
    ];
    for wire in &mut new {
        wire.greet(restarted.clone()).await;
    }
    village.lists("mallory", 0).await;
    elm_has(0).await;
    for wire in &mut old {
        wire.closed().await;
    }
    for wire in &mut new {
        wire.send(listing(vec![entry("new", b"new")])).await;
    }
    village.lists("mallory", 1).await;
    elm_has(1).await;
    // A change of what the earlier life had listed is not taken for one of this.
    let change = Update {
        since: Some(50),
        added: vec![entry("51", b"51")],
        ..Update::heartbeat(51)
    };
    new[0].send(Frame::plain(change)).await;
    new[0]
        .until("a request for all of it", |frame| match &frame.body {
            Body::Ack(ack) => ack.seq.is_none().then_some(()),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn a_peer_that_is_started_again_lists_what_it_has_now() {
    let village = Village::new().await;
    let oak = village.peer("oak", &[("a", b"some"), ("b", b"more")]).await;
    let elm = village.peer("elm", &[]).await;
    elm.get_name("a").await.only_fetched();
    oak.stop().await;
    village.forgets("oak").await;
    std::fs::remove_file(village.share_of("oak").join("b")).expect("removes");
    let oak = village.peer("oak", &[("c", b"new")]).await;
    village.lists("oak", 2).await;
    elm.get_name("c").await.only_fetched();
    elm.get_name("b").await.failed(ErrorKind::NotFound);
    assert_eq!(read(&elm.dir, "c"), b"new");
    assert_eq!(files_in(&oak.dir).len(), 2);
}

#[tokio::test]
async fn a_tracker_that_falls_silent_is_given_up_and_dialled_again() {
    let mut hall = Hall::open().await;
    let (mut oak, mut wire) = hall.newcomer("oak", Duration::from_millis(200)).await;
    oak.hears("Connected").await;
    // Not another word.
    let reason = wire.closed().await.expect("a reason");
    assert!(reason.contains("nothing heard"), "{reason}");
    oak.hears("TrackerLost").await;
    let _again = hall.greeted(Duration::from_mins(1)).await;
    oak.hears("Connected").await;
}

#[tokio::test]
async fn a_state_directory_in_use_names_the_process_and_a_taken_port_the_port() {
    let village = Village::new().await;
    let oak = village.peer("oak", &[]).await;
    let (notices, _received) = mpsc::channel(8);
    let group = || Group::Open(NetAddress::Ip(village.address()));
    let dir = village.dir("elsewhere");
    let options = share::Options::default;
    let again = launch::share(
        village.common("oak", &[]),
        &dir,
        options(),
        group(),
        notices.clone(),
    )
    .await;
    let failure = again.err().expect("is in use");
    let process = std::process::id().to_string();
    let text = failure.to_string();
    assert!(
        text.contains(&process) && text.contains("oak-state"),
        "{text}"
    );
    let taken = Common {
        listen: Some(oak.address().into()),
        ..village.common("elm", &[])
    };
    let failure = launch::share(taken, &dir, options(), group(), notices.clone())
        .await
        .err()
        .expect("is taken");
    let port = oak.address().port().to_string();
    let text = failure.to_string();
    assert!(text.contains(&format!("port {port} is taken")), "{text}");
    let taken = Common {
        listen: Some(oak.address().into()),
        ..village.common("other-hall", &[])
    };
    let failure = launch::tracker(taken, launch::Decided::opened(), notices.clone())
        .await
        .err()
        .expect("is taken");
    assert!(failure.to_string().contains(&port), "{failure}");
    let nowhere: PathBuf = village.dir("x").join("not there");
    let failure = launch::share(
        village.common("elm", &[]),
        &nowhere,
        options(),
        group(),
        notices,
    )
    .await;
    assert!(
        failure
            .err()
            .expect("is not there")
            .to_string()
            .contains("not there")
    );
    // And the one that runs does not mind.
    assert!(
        oak.ask(Command::Status)
            .await
            .done()
            .status()
            .tracker_connected
    );
}

#[tokio::test]
async fn nobody_at_the_tracker_s_address_is_a_network_failure() {
    let village = Village::new().await;
    let (notices, _received) = mpsc::channel(8);
    // Bound, and no task accepts; closed at once.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let nobody = socket.local_addr().expect("has one");
    drop(socket);
    let group = Group::Open(NetAddress::Ip(nobody));
    let dir = village.dir("share");
    let failure = launch::share(
        village.common("oak", &[]),
        &dir,
        share::Options::default(),
        group,
        notices,
    )
    .await;
    let failure = failure.err().expect("nobody is there");
    assert_eq!(failure.kind(), ErrorKind::Network);
    assert!(
        failure.to_string().contains(&nobody.to_string()),
        "{failure}"
    );
}

#[tokio::test]
async fn a_peer_with_its_own_tracker_lets_others_in_by_invitation() {
    let village = Village::new().await;
    let dir = village.share_of("oak");
    write(&dir, "a", b"some");
    let oak = start(
        village.common("oak", &[]),
        &dir,
        share::Options::default(),
        Group::Remembered,
    )
    .await;
    oak.settled(1).await;
    let door = oak.running.access.clone().expect("a group of its own");
    assert!(!door.open);
    let stranger = Group::Open(NetAddress::Ip(oak.address()));
    let (notices, _received) = mpsc::channel(8);
    let elm_dir = village.share_of("elm");
    let options = share::Options::default;
    let refused = launch::share(
        village.common("elm", &[]),
        &elm_dir,
        options(),
        stranger,
        notices,
    )
    .await;
    assert_eq!(
        refused.err().expect("is not open").kind(),
        ErrorKind::NotAMember
    );
    let invite = door.invite.expect("one").parse().expect("an invite");
    let elm = start(
        village.common("elm", &[]),
        &elm_dir,
        options(),
        Group::Invited(invite),
    )
    .await;
    let get = Get {
        from: Some("oak".to_owned()),
        ..named("a")
    };
    elm.get(get).await.only_fetched();
    assert_eq!(read(&elm.dir, "a"), b"some");
    elm.stop().await;
    oak.stop().await;
}
