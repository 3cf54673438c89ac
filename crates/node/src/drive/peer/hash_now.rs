//! Files of the share that a caller waits for: they are hashed before others.

use std::collections::HashSet;
use std::time::Duration;

use thorp_files::share::{HashError, Share};
use thorp_wire::Name;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep};

use super::event::Event;

/// How often it is told how far such a file is.
const TOLD_EVERY: Duration = Duration::from_millis(500);
/// How long a file is tried again and again that the disk does not give. Callers wait as
/// long for one that does not get on.
const NOT_NOW_FOR: Duration = Duration::from_secs(30);
const TRIED_EVERY: Duration = Duration::from_secs(1);

pub(super) struct HashNow {
    share: Share,
    names: HashSet<Name>,
    events: mpsc::Sender<Event>,
}

impl HashNow {
    /// How far each file is, and its end, is told to `events`.
    pub(super) fn new(share: Share, events: mpsc::Sender<Event>) -> Self {
        Self {
            share,
            names: HashSet::new(),
            events,
        }
    }

    /// Hashes a file, unless that is going on already.
    pub(super) fn hash(&mut self, name: Name) {
        if !self.names.insert(name.clone()) {
            return;
        }
        let (share, events) = (self.share.clone(), self.events.clone());
        tokio::spawn(async move {
            // The root comes as a change of the share.
            let mut hashed = std::pin::pin!(hash_patiently(&share, &name));
            let mut ticks = interval(TOLD_EVERY);
            loop {
                let bytes = tokio::select! {
                    () = &mut hashed => None,
                    _ = ticks.tick() => Some(share.hashed_so_far(&name)),
                };
                let told = events.send(Event::Hashed(name.clone(), bytes)).await;
                if bytes.is_none() || told.is_err() {
                    return;
                }
            }
        });
    }

    /// It has a root, or can have none.
    pub(super) fn on_hashed(&mut self, name: &Name) {
        self.names.remove(name);
    }
}

async fn hash_patiently(share: &Share, name: &Name) {
    let until = Instant::now() + NOT_NOW_FOR;
    while let Err(HashError::NotNow { .. }) = share.hash_now(name).await
        && Instant::now() < until
    {
        sleep(TRIED_EVERY).await;
    }
}
