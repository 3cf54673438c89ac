//! `thorp demo`: plays a whole village on loopback, told step by step.
//!
//! ```text
//! village   tracker and peers: real nodes, each peer a machine of its own
//! telling   how a scene is told, to users and to scripts
//! ```
//!
//! Owns the script. Nothing is staged: each scene does something, waits until the tracker and all
//! peers know, and tells the result.

mod telling;
mod village;

use std::io;
use std::time::Instant;

use thorp_node::api::{Done, ErrorKind, Event};

use super::context::Context;
use crate::exit::{Complaint, Exit, Result, failure};
use crate::signals::Signals;
use crate::{out, units, words, wrap};

use telling::{Cut, Played, Scene, Teller};
use village::{Got, Village};

const PEER_1: &str = "127.0.0.138";
const PEER_2: &str = "127.0.0.139";
const PEER_3: &str = "127.0.0.137";

/// The expected rows of the List of Peers: address, files, neighbours.
pub type Rows<'a> = &'a [(&'a str, &'a [&'a str], &'a [&'a str])];

pub async fn run(context: &Context) -> Result {
    let mut signals = Signals::listen()?;
    let mut teller = Teller::new(
        out::standard(),
        context.global.json,
        wrap::width(io::stdout()),
    );
    let mut village = tokio::select! {
        village = Village::found(&context.settings) => village?,
        () = signals.next() => return Err(interrupted()),
    };
    let played = tokio::select! {
        played = play(&mut village, &mut teller) => played,
        () = signals.next() => Err(Cut::Short(interrupted())),
    };
    // However the play ends, nothing of the village is left.
    village.end().await;
    match played {
        // A reader that stops reading has seen enough.
        Ok(()) | Err(Cut::Unheard) => Ok(Exit::DONE),
        Err(Cut::Short(failure)) => Err(failure),
    }
}

async fn play(village: &mut Village, teller: &mut Teller<impl io::Write>) -> Played {
    let begun = Instant::now();
    settle(village, teller).await?;
    fetch(village, teller).await?;
    part(village, teller).await?;
    let finds = village.finds().await?;
    let done = Event::Done(Done {
        count: teller.scenes(),
        bytes: village.bytes,
        ms: begun.elapsed().as_secs_f64() * 1000.0,
        ..Done::default()
    });
    let end = format!(
        "That was the village: {} fetched, and the tracker was asked {}. It is taken down now, \
         and nothing is left of it.\n\
         Your own: thorp share DIR",
        units::count(village.files, "file"),
        match finds {
            1 => "once".to_owned(),
            n => format!("{n} times"),
        }
    );
    teller.end(&end, &done)
}

/// The tracker and two peers start, and the first file is fetched.
async fn settle(village: &mut Village, teller: &mut Teller<impl io::Write>) -> Played {
    teller.open(
        "A village on this machine: a tracker and three peers. They are real ones, and each has \
         a loopback address of its own.",
    )?;
    let mut scene =
        Scene::new("The tracker starts. Its group is open: an address is enough to join.");
    scene.says(words::listening(village.place()));
    scene.says(words::WAITING.into());
    teller.tell(scene)?;

    let mut scene = Scene::new(
        "Peer 1 shares 1.txt, 2.txt and client. It joins by typing the tracker's address.",
    );
    scene.notices(
        &village
            .join(PEER_1, "peer-1", &["1.txt", "2.txt", "client"])
            .await?,
    );
    teller.tell(scene)?;

    let mut scene = Scene::new("Peer 2 shares 3.txt, 4.txt and client, and joins as well.");
    scene.notices(
        &village
            .join(PEER_2, "peer-2", &["3.txt", "4.txt", "client"])
            .await?,
    );
    scene.tables(
        village
            .until_tables(&[
                (PEER_1, &["1.txt", "2.txt", "client"], &[]),
                (PEER_2, &["3.txt", "4.txt", "client"], &[]),
            ])
            .await?,
    );
    teller.tell(scene)?;

    let mut scene = Scene::new("Peer 1 asks for 3.txt. It has no neighbours yet.");
    scene.got(village.get(PEER_1, "3.txt").await?);
    scene.adds("A peer that fetches from another becomes its neighbour: from now on they tell each other what they have.");
    scene.tables(
        village
            .until_tables(&[
                (PEER_1, &["1.txt", "2.txt", "3.txt", "client"], &[PEER_2]),
                (PEER_2, &["3.txt", "4.txt", "client"], &[PEER_1]),
            ])
            .await?,
    );
    teller.tell(scene)
}

/// A third peer joins; neighbours answer, and the tracker is spared.
async fn fetch(village: &mut Village, teller: &mut Teller<impl io::Write>) -> Played {
    let mut scene = Scene::new("Peer 3 shares 5.txt, 6.txt and client, and joins.");
    scene.notices(
        &village
            .join(PEER_3, "peer-3", &["5.txt", "6.txt", "client"])
            .await?,
    );
    teller.tell(scene)?;

    let mut scene = Scene::new("Peer 3 asks for 2.txt. It has no neighbours.");
    scene.got(village.get(PEER_3, "2.txt").await?);
    // Peer 1 must know all files of peer 3 before it asks.
    village.until_knows(PEER_1, PEER_3, 4).await?;
    teller.tell(scene)?;

    let mut scene =
        Scene::new("Peer 1 asks for 5.txt. Its neighbour peer 3 has told it what it has.");
    scene.got(village.get(PEER_1, "5.txt").await?);
    teller.tell(scene)?;

    let mut scene =
        Scene::new("Peer 2 asks for 6.txt. Its only neighbour, peer 1, does not have it.");
    scene.got(village.get(PEER_2, "6.txt").await?);
    scene.tables(
        village
            .until_tables(&[
                (
                    PEER_3,
                    &["2.txt", "5.txt", "6.txt", "client"],
                    &[PEER_1, PEER_2],
                ),
                (
                    PEER_1,
                    &["1.txt", "2.txt", "3.txt", "5.txt", "client"],
                    &[PEER_3, PEER_2],
                ),
                (
                    PEER_2,
                    &["3.txt", "4.txt", "6.txt", "client"],
                    &[PEER_3, PEER_1],
                ),
            ])
            .await?,
    );
    teller.tell(scene)?;

    let mut scene = Scene::new(
        "Peer 2 asks for 3.txt, a name that it has. Nothing is sent, nothing is overwritten.",
    );
    scene.got(village.get(PEER_2, "3.txt").await?);
    teller.tell(scene)?;

    let mut scene = Scene::new("Peer 2 asks for 7.txt, a name that no peer has.");
    scene.got(village.get(PEER_2, "7.txt").await?);
    teller.tell(scene)
}

/// One peer leaves with a goodbye, another one without, and comes back.
async fn part(village: &mut Village, teller: &mut Teller<impl io::Write>) -> Played {
    let gone = Instant::now();
    village.leave(PEER_1).await?;
    village.until_gone(PEER_1, &[PEER_2, PEER_3]).await?;
    let mut scene = Scene::new("Peer 1 leaves, and says goodbye.");
    scene.adds(&format!("{} later it is on no list any more.", since(gone)));
    teller.tell(scene)?;

    let gone = Instant::now();
    village.peer(PEER_2)?.freeze();
    village.until_gone(PEER_2, &[PEER_3]).await?;
    let mut scene = Scene::new(
        "Peer 2 is cut off: it stands still in the middle of everything, its connections open, \
         and says nothing at all.",
    );
    scene.adds(&format!(
        "After three silent intervals (here half a second each) the tracker and peer 3 have \
         forgotten it: {}.",
        since(gone)
    ));
    scene.tables(
        village
            .until_tables(&[(PEER_3, &["2.txt", "5.txt", "6.txt", "client"], &[])])
            .await?,
    );
    teller.tell(scene)?;

    let back = Instant::now();
    village.peer(PEER_2)?.thaw();
    let mut scene = Scene::new("Peer 2 is awake again. Nothing is typed anywhere.");
    scene.tables(village.until_back(PEER_2, 4).await?);
    scene.adds(&format!(
        "{} later it is there, with its files.",
        since(back)
    ));
    teller.tell(scene)
}

/// The failure of a demo that the user interrupted.
fn interrupted() -> Complaint {
    let why = "interrupted: the village is taken down, nothing is left of it";
    failure(ErrorKind::Unfinished, why)
}

fn since(moment: Instant) -> String {
    units::duration(moment.elapsed().as_secs_f64() * 1000.0)
}
