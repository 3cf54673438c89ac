//! What people do, and what they get.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::time::Duration;

use thorp_node::api::{AnswerSource, Command, ErrorKind, Event, Failure, Get};
use thorp_node::share;

use super::mallory::{Mallory, entry};
use super::support::{Tracked, Village, bytes, files_in, named, read, tracked, write};

/// A name that only a person who wants trouble would give.
fn difficult_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "with spaces and  more ",
        "-rf",
        "--overwrite",
        "line\nbreak",
        "tab\tand \u{1b}[31mred",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{202e}gnp.exe",
        "a/deep/er/folder/file",
        "a/deep/-x/ y",
        "\u{6751}/\u{1f3e1}",
        "back\\slash",
        "quo\"te's",
        "~",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("n".repeat(255));
    names.push(format!("{}/{}", "d".repeat(255), "\u{e9}".repeat(127)));
    names
}

#[tokio::test]
async fn files_of_every_length_and_every_name_travel_byte_identical() {
    let village = Village::new().await;
    let lengths = [0, 1, 16_383, 16_384, 16_385, 262_144];
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (seed, length) in lengths.into_iter().enumerate() {
        files.push((format!("length {length}"), bytes(seed as u64 + 1, length)));
    }
    for (seed, name) in difficult_names().into_iter().enumerate() {
        files.push((name, bytes(seed as u64 + 100, 100 + seed)));
    }
    let slices: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (&**name, &**bytes))
        .collect();
    let oak = village.peer("oak", &slices).await;
    let elm = village.peer("elm", &[]).await;
    for (name, bytes) in &files {
        let answer = elm.get_name(name).await;
        assert_eq!(answer.only_fetched().name, *name);
        assert_eq!(read(&elm.dir, name), *bytes, "{name:?}");
    }
    assert_eq!(files_in(&elm.dir), files_in(&oak.dir), "and nothing else");
    village.lists("elm", files.len()).await;
    // All of them at once, from both, for a visitor.
    let dir = village.dir("visit");
    let answer = village
        .visit("guest", &dir, Command::Get(named("**")))
        .await
        .done();
    assert_eq!(answer.fetched().len(), files.len());
    assert_eq!(files_in(&dir), files_in(&oak.dir));
}

#[tokio::test]
async fn a_thousand_files_come_with_one_glob() {
    let village = Village::new().await;
    let dir = village.share_of("oak");
    for number in 0..1000_u16 {
        write(
            &dir,
            &format!("dir/{}/{number:03}", number % 7),
            &bytes(number.into(), 10 + usize::from(number)),
        );
    }
    write(&dir, "other", b"not asked for");
    let oak = village.peer("oak", &[]).await;
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("dir/**").await.done();
    assert_eq!(answer.end.as_ref().map(|done| done.count).ok(), Some(1000));
    let mut wanted = files_in(&oak.dir);
    wanted.remove("other");
    assert!(
        files_in(&elm.dir) == wanted,
        "all of them, and nothing else"
    );
    // Once more: all are there already, and that is fine.
    let again = elm.get_name("dir/**").await.done();
    assert!(
        again
            .fetched()
            .iter()
            .all(|file| file.answer.source == AnswerSource::Local)
    );
}

#[tokio::test]
async fn hundreds_of_names_come_in_one_go_and_those_that_nobody_has_are_named() {
    let village = Village::new().await;
    let dir = village.share_of("oak");
    for number in 0..600 {
        write(&dir, &format!("{number}"), &bytes(number, 10));
    }
    let oak = village.peer("oak", &[]).await;
    let elm = village.peer("elm", &[]).await;
    let get = Get {
        names: (0..=600).map(|number| number.to_string()).collect(),
        ..Get::default()
    };
    let answer = elm.get(get).await;
    answer.failed(ErrorKind::NotFound);
    let failed = answer.events.iter().filter_map(|event| match event {
        Event::Failed { name, .. } => Some(&**name),
        _ => None,
    });
    let failed: Vec<&str> = failed.collect();
    assert_eq!(failed, ["600"]);
    assert!(files_in(&elm.dir) == files_in(&oak.dir));
}

#[tokio::test]
async fn peers_that_fetch_from_each_other_at_once_all_get_what_they_want() {
    let village = Village::new().await;
    let names = ["oak", "elm", "ash", "fir"];
    let mut peers = Vec::new();
    for name in names {
        peers.push(
            village
                .peer(name, &[(&format!("of {name}"), name.as_bytes())])
                .await,
        );
    }
    let mut gets = tokio::task::JoinSet::new();
    for peer in &peers {
        for name in names {
            let get = Get {
                dir: Some(village.dir("all")),
                overwrite: true,
                ..named(&format!("of {name}"))
            };
            if !peer.dir.ends_with(format!("{name}-share")) {
                gets.spawn(super::support::answer(
                    peer.running.peer.command(Command::Get(get)),
                ));
            }
        }
    }
    for answer in gets.join_all().await {
        answer.only_fetched();
    }
    for peer in &peers {
        peer.sees("all the others", |view| {
            view.neighbours.len() == names.len() - 1
        })
        .await;
    }
    for name in names {
        assert_eq!(
            read(&village.dir("all"), &format!("of {name}")),
            name.as_bytes()
        );
    }
}

#[tokio::test]
async fn equal_content_elsewhere_is_success_and_in_the_share_the_name_is_taken() {
    let village = Village::new().await;
    let _oak = village.peer("oak", &[("a.txt", b"one")]).await;
    let elm = village.peer("elm", &[("a.txt", b"one")]).await;
    elm.get_name("a.txt").await.failed(ErrorKind::Exists);
    let dir = village.dir("out");
    let elsewhere = || Get {
        dir: Some(dir.clone()),
        ..named("a.txt")
    };
    let first = elm.get(elsewhere()).await;
    assert_eq!(first.only_fetched().path, dir.join("a.txt"));
    assert_eq!(
        elm.get(elsewhere()).await.only_fetched().answer.source,
        AnswerSource::Local
    );
    write(&dir, "a.txt", b"two");
    elm.get(elsewhere()).await.failed(ErrorKind::Exists);
    assert_eq!(read(&dir, "a.txt"), b"two", "never overwritten");
}

#[tokio::test]
async fn what_is_in_the_way_is_kept_unless_the_person_says_otherwise() {
    let village = Village::new().await;
    let _oak = village.peer("oak", &[("in/a.txt", b"from oak")]).await;
    let elm = village.peer("elm", &[("in/a.txt", b"mine")]).await;
    elm.get_name("in/a.txt").await.failed(ErrorKind::Exists);
    let get = |change: fn(&mut Get)| {
        let mut get = named("in/a.txt");
        change(&mut get);
        elm.get(get)
    };
    get(|get| get.rename = Some("in/b.txt".to_owned()))
        .await
        .only_fetched();
    get(|get| get.rename = Some("in/b.txt".to_owned()))
        .await
        .failed(ErrorKind::Exists);
    get(|get| get.rename = Some("../b.txt".to_owned()))
        .await
        .failed(ErrorKind::Usage);
    assert_eq!(read(&elm.dir, "in/a.txt"), b"mine");
    get(|get| get.set_aside = Some("c.txt".to_owned()))
        .await
        .only_fetched();
    assert_eq!(read(&elm.dir, "in/c.txt"), b"mine");
    assert_eq!(read(&elm.dir, "in/a.txt"), b"from oak");
    write(&elm.dir, "in/a.txt", b"mine again");
    get(|get| get.overwrite = true).await.only_fetched();
    let names: Vec<String> = files_in(&elm.dir).into_keys().collect();
    assert_eq!(names, ["in/a.txt", "in/b.txt", "in/c.txt"]);
    for name in ["in/a.txt", "in/b.txt"] {
        assert_eq!(read(&elm.dir, name), b"from oak");
    }
}

#[tokio::test]
async fn a_name_in_another_normalisation_is_offered_and_not_taken() {
    let village = Village::new().await;
    let _oak = village.peer("oak", &[("caf\u{e9}", b"composed")]).await;
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("cafe\u{301}").await;
    answer.failed(ErrorKind::Ambiguous);
    let [choice] = answer.choice() else {
        panic!("{answer:?}");
    };
    assert_eq!(choice.name, "caf\u{e9}");
    assert!(files_in(&elm.dir).is_empty());
    elm.get_name(&choice.name).await.only_fetched();
    assert_eq!(read(&elm.dir, "caf\u{e9}"), b"composed");
}

#[tokio::test]
async fn several_contents_under_one_name_are_a_choice_that_root_and_from_make() {
    let village = Village::new().await;
    let _oak = village.peer("oak", &[("a", b"common")]).await;
    let _ash = village.peer("ash", &[("a", b"common")]).await;
    let _elm = village.peer("elm", &[("a", b"rare")]).await;
    let fir = village.peer("fir", &[]).await;
    // What is not hashed yet is no choice.
    let hashed = |view: &Tracked| {
        let rows = view.files.iter().filter(|row| row.name == "a");
        rows.filter(|row| row.has_twin && row.root.is_some())
            .count()
            == 2
    };
    village.sees("two contents, both hashed", hashed).await;
    let answer = fir.get_name("a").await;
    answer.failed(ErrorKind::Ambiguous);
    let [common, rare] = answer.choice() else {
        panic!("{answer:?}");
    };
    assert_eq!(
        (common.holders.len(), rare.holders.len()),
        (2, 1),
        "most holders first"
    );
    let dir = village.dir("by-root");
    let prefix = rare.root.as_ref().map(|root| root[..8].to_owned());
    let get = Get {
        root: prefix,
        dir: Some(dir.clone()),
        ..named("a")
    };
    fir.get(get).await.only_fetched();
    assert_eq!(read(&dir, "a"), b"rare");
    let get = Get {
        from: Some("oak".to_owned()),
        ..named("a")
    };
    let from_oak = fir.get(get).await;
    let from = from_oak
        .only_fetched()
        .from
        .clone()
        .and_then(|member| member.name);
    assert_eq!(from.as_deref(), Some("oak"));
    assert_eq!(read(&fir.dir, "a"), b"common");
    let nobody = fir.get(Get {
        root: Some("0123".to_owned()),
        rename: Some("b".to_owned()),
        ..named("a")
    });
    nobody.await.failed(ErrorKind::NotFound);
    let nobody = fir.get(Get {
        from: Some("elder".to_owned()),
        rename: Some("b".to_owned()),
        ..named("a")
    });
    let elder = Failure::NobodyShares {
        from: Some("elder".to_owned()),
        root: None,
    };
    assert_eq!(*nobody.await.failed(ErrorKind::NotFound), elder);
}

#[tokio::test]
async fn a_file_that_is_not_hashed_yet_is_hashed_when_somebody_asks_for_it() {
    let village = Village::new().await;
    let options = share::Options {
        quiet: Duration::from_hours(1),
        ..share::Options::default()
    };
    let oak = village.peer_with("oak", &[], options).await;
    village.lists("oak", 0).await;
    // As long as it is open, a process may be writing to it.
    let mut file = fs::File::create(oak.dir.join("growing.log")).expect("creates");
    file.write_all(b"so far").expect("writes");
    oak.sees("the file to be listed", |view| {
        view.files == 1 && view.unhashed == 1
    })
    .await;
    // It may have been listed while it was empty, and could be asked for as such.
    village
        .sees("all of it to be listed", |view| {
            view.peers.iter().any(|peer| peer.bytes == 6)
        })
        .await;
    let elm = village.peer("elm", &[]).await;
    elm.get_name("growing.log").await.only_fetched();
    assert_eq!(read(&elm.dir, "growing.log"), b"so far");
    // From memory now, as it has grown.
    elm.has_neighbour("oak").await;
}

#[tokio::test]
async fn a_visitor_fetches_into_a_directory_and_is_never_shown() {
    let village = Village::new().await;
    let oak = village.peer("oak", &[("a", b"some"), ("b", b"more")]).await;
    let viewer = village.tracker.tracker.viewer().clone();
    let mut news = viewer.news();
    let watching = tokio::spawn(async move {
        let mut names = BTreeSet::new();
        loop {
            news.borrow_and_update();
            let Some(shown) = tracked(&viewer).await else {
                return names;
            };
            let seen: Vec<String> = shown
                .peers
                .into_iter()
                .filter_map(|peer| peer.member.name)
                .collect();
            let end = seen.iter().any(|name| name == "last");
            names.extend(seen);
            if end || news.changed().await.is_err() {
                return names;
            }
        }
    });
    let dir = village.dir("visit");
    let answer = village.visit("guest", &dir, Command::Get(named("a"))).await;
    assert_eq!(answer.only_fetched().path, dir.join("a"));
    assert_eq!(answer.only_fetched().answer.source, AnswerSource::Tracker);
    let peers = village.visit("guest", &dir, Command::Peers).await.done();
    let names: Vec<_> = peers
        .peers()
        .iter()
        .filter_map(|row| row.member.name.clone())
        .collect();
    assert_eq!(names, ["oak"]);
    assert_eq!(
        village
            .visit(
                "guest",
                &dir,
                Command::Find {
                    pattern: "*".to_owned()
                }
            )
            .await
            .done()
            .files()
            .len(),
        2
    );
    assert_eq!(files_in(&dir).len(), 1);
    oak.sees("no neighbour", |view| view.neighbours.is_empty())
        .await;
    let _last = village.peer("last", &[]).await;
    let ever: Vec<String> = watching.await.expect("watches").into_iter().collect();
    assert_eq!(ever, ["last", "oak"]);
}

#[tokio::test]
async fn two_visitors_at_once_on_one_state_directory_both_get_what_they_want() {
    let village = Village::new().await;
    let _oak = village.peer("oak", &[("a", b"some"), ("b", b"more")]).await;
    let dir = village.dir("visit");
    let (a, b) = tokio::join!(
        village.visit("guest", &dir, Command::Get(named("a"))),
        village.visit("guest", &dir, Command::Get(named("b"))),
    );
    a.only_fetched();
    b.only_fetched();
    assert_eq!(
        (read(&dir, "a"), read(&dir, "b")),
        (b"some".to_vec(), b"more".to_vec())
    );
}

#[tokio::test]
async fn a_holder_whose_file_is_gone_or_changed_is_skipped_for_the_next() {
    let village = Village::new().await;
    // Neither notices what happens to its files.
    let options = || share::Options {
        watch: false,
        poll: Duration::from_hours(1),
        ..share::Options::default()
    };
    let names = [
        "gone at oak",
        "gone at ash",
        "changed at oak",
        "changed at ash",
    ];
    for who in ["oak", "ash"] {
        for name in names {
            write(&village.share_of(who), name, name.as_bytes());
        }
    }
    let oak = village.peer_with("oak", &[], options()).await;
    let ash = village.peer_with("ash", &[], options()).await;
    for (peer, name) in [(&oak, "oak"), (&ash, "ash")] {
        peer.settled(names.len()).await;
        village.lists(name, names.len()).await;
    }
    village
        .sees("their roots", |view| {
            view.files.iter().all(|file| file.root.is_some())
        })
        .await;
    let elm = village.peer("elm", &[]).await;
    for (peer, who) in [(&oak, "oak"), (&ash, "ash")] {
        fs::remove_file(peer.dir.join(format!("gone at {who}"))).expect("removes");
        write(&peer.dir, &format!("changed at {who}"), b"CHANGED AT XXX");
    }
    for name in names {
        let answer = elm.get_name(name).await;
        let from = answer
            .only_fetched()
            .from
            .clone()
            .and_then(|member| member.name)
            .expect("a holder");
        assert!(!name.ends_with(&from), "{name} from {from}");
        assert_eq!(read(&elm.dir, name), name.as_bytes());
    }
}

#[tokio::test]
async fn a_get_that_is_given_up_leaves_nothing_behind() {
    let village = Village::new().await;
    let elm = village.peer("elm", &[]).await;
    let mut slow = Mallory::join(&village, "slow").await;
    let _listed = slow
        .list(&village, vec![entry("a", b"late"), entry("b", b"in time")])
        .await;
    let abandoned = elm.running.peer.command(Command::Get(named("a")));
    let mut wire = slow.called().await;
    let (request, _) = wire.asked_for().await;
    drop(abandoned);
    // Whatever is asked next is handled after that, and so is what arrives.
    elm.ask(Command::Status).await.done();
    wire.deliver(request, b"late").await;
    let mut next = elm.running.peer.command(Command::Get(named("b")));
    let (second, _) = wire.asked_for().await;
    wire.deliver(second, b"in time").await;
    while let Some(event) = super::support::within("b", next.recv()).await {
        assert!(!matches!(event, Event::Error(_)), "{event:?}");
    }
    assert_eq!(files_in(&elm.dir).into_keys().collect::<Vec<_>>(), ["b"]);
}
