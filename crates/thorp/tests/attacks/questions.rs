//! What fills a tracker's time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use thorp_node::net::dial::Expected;
use thorp_wire::Body;
use thorp_wire::frame::Query;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::figures::Figures;
use super::scene::{Scene, play, runtime};
use crate::support::Hostile;
use crate::support::hostile::{Link, false_entry, find, listing};
use crate::support::process::poll;

/// What costs a tracker much: one that takes long to be made ready, and some that look
/// at each name for long.
fn patterns() -> [String; 3] {
    [
        "[x]".repeat(328) + "{a,b}".repeat(8).as_str(),
        "*e*a*m*e*r*1*".to_owned(),
        "**/*[0-9]*n*[!x]*".to_owned(),
    ]
}

const NAMES: usize = 300_000;
/// An honest get on a busy machine, where the attackers have the same two cores.
const FINE: Duration = Duration::from_secs(2);

#[test]
#[ignore = "takes minutes: for .ci/attacks"]
fn many_identities_from_one_address_ask_for_costly_patterns() {
    let test = "many_identities_from_one_address_ask_for_costly_patterns";
    let Some(scene) = Scene::new(test, 4) else {
        return;
    };
    let mut figures = Figures::of("costly patterns over 300,000 names");
    let (over, is_over) = watch::channel(());
    let at = scene.at;
    thread::scope(|threads| {
        let lists = is_over.clone();
        let lister = scene.attacker(3);
        threads.spawn(move || {
            lister.run(|| {
                play(lists, async {
                    let member = Hostile::join(at, "lister").await;
                    let link = member.link(at, Expected::Tracker, None).await.unwrap();
                    let file = |n| false_entry(&format!("folder {}/name number {n}.txt", n % 100));
                    link.keep_saying(listing(NAMES, 5000, file)).await.unwrap();
                });
            });
        });
        poll("the names to be listed", Duration::from_mins(2), || {
            let entries = scene.tracker_node.tracker_status()["entries"].as_u64();
            (entries >= Some(NAMES as u64)).then_some(())
        });
        scene.before(&mut figures, 12);
        // Forty come in at once from one address, and so each of the four has forty; from
        // one alone it would take twenty minutes. Then all ask from one address.
        let members: Vec<Hostile> = (0..4)
            .flat_map(|host| {
                scene.attacker(host).run(|| {
                    runtime().block_on(async {
                        let mut members = Vec::new();
                        let most = if host == 3 { 30 } else { 40 };
                        for _ in 0..most {
                            members.push(Hostile::join(at, "mallory").await);
                        }
                        members
                    })
                })
            })
            .collect();
        for count in [40, members.len()] {
            let counts = Arc::<Counts>::default();
            let (over, is_over) = watch::channel(());
            thread::scope(|threads| {
                let attack = ask_all(members[..count].to_vec(), at, Arc::clone(&counts));
                let host = scene.attacker(0);
                threads.spawn(move || host.run(|| play(is_over, attack)));
                poll("the attack to begin", Duration::from_mins(1), || {
                    (counts.refused.load(Ordering::Relaxed) > 10).then_some(())
                });
                let what = format!("under {count} identities");
                scene.meanwhile(&mut figures, &what, 20, FINE);
                drop(over);
            });
            let [asked, refused] =
                [&counts.asked, &counts.refused].map(|count| count.load(Ordering::Relaxed));
            figures.usual(
                "questions asked, and refused",
                format!("{asked}, {refused}"),
            );
        }
        let transcript = scene.oak.transcript();
        let lost = transcript.lines().filter(|line| line.contains("lost"));
        figures.line("times oak lost its tracker", lost.count(), 0, {
            !transcript.contains("lost")
        });
        drop(over);
    });
    figures.end();
}

/// Each asks again as soon as it is answered.
async fn ask_all(members: Vec<Hostile>, at: SocketAddr, counts: Arc<Counts>) {
    let mut asking = JoinSet::new();
    for member in members {
        let counts = Arc::clone(&counts);
        asking.spawn(async move {
            loop {
                if let Ok(link) = member.link(at, Expected::Tracker, None).await {
                    ask_on(link, &counts).await;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    asking.join_all().await;
}

async fn ask_on(mut link: Link, counts: &Counts) {
    for number in 0.. {
        let pattern = patterns()[number as usize % 3].clone();
        match link.ask(number, find(Query::Pattern(pattern))).await {
            None => return,
            Some(Body::Refused(_)) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                // Its own core is to be the tracker's.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Some(_) => {}
        }
        counts.asked.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Counts {
    asked: AtomicUsize,
    refused: AtomicUsize,
}

#[test]
#[ignore = "takes minutes: for .ci/attacks"]
fn one_member_sends_two_long_listings_in_turn() {
    let test = "one_member_sends_two_long_listings_in_turn";
    let Some(scene) = Scene::new(test, 1) else {
        return;
    };
    let mut figures = Figures::of("two listings of 100,000 names in turn, without end");
    scene.before(&mut figures, 12);
    let (over, is_over) = watch::channel(());
    let at = scene.at;
    let sent = AtomicUsize::new(0);
    thread::scope(|threads| {
        let sent = &sent;
        let host = scene.attacker(0);
        threads.spawn(move || {
            host.run(|| {
                play(is_over, async move {
                    let two = ["one", "other"].map(|which| {
                        let file = |n| false_entry(&format!("{which}/{n}"));
                        listing(100_000, 5000, file).collect::<Vec<_>>()
                    });
                    let member = Hostile::join(at, "mallory").await;
                    loop {
                        // A link that has said too much is closed; it comes back.
                        let link = member.link(at, Expected::Tracker, None).await;
                        let Ok(link) = link else { continue };
                        let reading = tokio::spawn(link.reads.until_closed());
                        let mut says = link.says;
                        'link: loop {
                            for frame in two.iter().flatten() {
                                if says.say(frame).await.is_err() {
                                    break 'link;
                                }
                                sent.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        reading.abort();
                    }
                })
            });
        });
        poll("the attack to begin", Duration::from_mins(1), || {
            (sent.load(Ordering::Relaxed) > 40).then_some(())
        });
        scene.meanwhile(&mut figures, "meanwhile", 20, FINE);
        drop(over);
    });
    figures.usual("names sent", sent.into_inner() * 5000);
    figures.end();
}
