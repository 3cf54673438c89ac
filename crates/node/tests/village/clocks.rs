//! A tracker and its peers that do not agree on what day it is: a peer that is shut
//! out for it is told whose clock is off, and by how much.

use thorp_node::address::NetAddress;
use thorp_node::api::{Notice, Trouble, Warning};
use thorp_node::clock::Clock;
use thorp_node::launch::{self, Common, Group, LaunchError};
use thorp_node::share;
use tokio::sync::mpsc;

use super::support::{Villager, common, start, within};

const DAY: i64 = 24 * 3600;

/// A tracker with a clock of its own, and a peer that has joined while both agreed.
struct Scene {
    dir: tempfile::TempDir,
    tracker: launch::RunningTracker,
    theirs: Clock,
    ours: Clock,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let hall = common(dir.path(), "hall", &[]);
        let theirs = hall.clock.clone();
        let (notices, _) = mpsc::channel(1);
        let tracker = launch::tracker(hall, launch::Decided::opened(), notices).await;
        let scene = Self {
            tracker: tracker.expect("starts"),
            theirs,
            ours: Clock::system(),
            dir,
        };
        let mut oak = scene.oak().await;
        oak.hears("Connected").await;
        oak.stop().await;
        scene
    }

    fn settings(&self) -> Common {
        Common {
            clock: self.ours.clone(),
            ..common(self.dir.path(), "oak", &[])
        }
    }

    fn group(&self) -> Group {
        Group::Open(NetAddress::Ip(self.tracker.listen))
    }

    async fn oak(&self) -> Villager {
        let share = self.dir.path().join("share");
        std::fs::create_dir_all(&share).expect("a directory");
        start(
            self.settings(),
            &share,
            share::Options::default(),
            self.group(),
        )
        .await
    }

    /// Why oak cannot even start.
    async fn failure(&self) -> LaunchError {
        let (notices, _received) = mpsc::channel(16);
        let share = self.dir.path().join("share");
        let options = share::Options::default();
        let started = launch::share(self.settings(), &share, options, self.group(), notices);
        match within("an answer", started).await {
            Ok(_) => panic!("it starts"),
            Err(failure) => failure,
        }
    }
}

#[tokio::test]
async fn a_peer_whose_clock_is_off_is_told_so_at_its_start() {
    let scene = Scene::new().await;
    for (days, says) in [(40, "40 days ahead of"), (-40, "40 days behind")] {
        scene.ours.turn(days * DAY);
        let failure = scene.failure().await;
        let says = format!("this machine's clock is {says} the tracker's");
        assert!(failure.to_string().contains(&says), "{failure}");
    }
    scene.ours.turn(0);
    scene.oak().await.hears("Connected").await;
}

#[tokio::test]
async fn a_tracker_whose_clock_is_off_is_named_by_those_whom_it_shuts_out() {
    let scene = Scene::new().await;
    for (days, says) in [(40, "40 days behind"), (-40, "40 days ahead of")] {
        scene.theirs.turn(days * DAY);
        // Its own certificate is good still; it is the peer's that it refuses.
        let mut oak = scene.oak().await;
        let says = format!("this machine's clock is {says} the tracker's");
        let told = within("news of the clocks", clocks(&mut oak.notices)).await;
        assert!(told.contains(&says), "{told}");
        // Once it has the right time, everything comes back by itself.
        scene.theirs.turn(0);
        oak.hears("Connected").await;
        oak.stop().await;
    }
}

/// What is said of two clocks, once something is.
async fn clocks(notices: &mut mpsc::Receiver<Notice>) -> String {
    loop {
        let notice = notices.recv().await.expect("it runs");
        if let Notice::TrackerLost(Trouble::ClocksApart(apart))
        | Notice::Warning(Warning::Tracker(Trouble::ClocksApart(apart))) = notice
        {
            return apart.to_string();
        }
    }
}
