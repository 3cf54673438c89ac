//! Looking up what is still being hashed: asked again as long as it gets on.
//!
//! Owns the patience of whoever waits. A holder that is asked to hash a file
//! answers after a few seconds, with the root or with how far it is.

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_core::lookup::{Answer, Only, Outcome};
use thorp_wire::frame::Variant;
use tokio::time::{Instant, sleep_until};

use crate::api::{Event, Hashing};
use crate::rows;

use super::Peer;
use super::telling::{Events, tell};

/// Whoever has read nothing more for this long is not waited for.
const STALLED: Duration = Duration::from_secs(30);

/// Nobody is asked more often than this.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Looks names up and waits for those to be hashed that are not yet; nothing, if
/// the peer is stopping.
pub(super) async fn look_up(
    peer: &Peer,
    names: Vec<String>,
    only: Only,
    events: &Events,
) -> Option<Outcome> {
    let mut asked = Instant::now();
    let mut outcome = peer.look_up(names, only.clone()).await?;
    let mut furthest = BTreeMap::new();
    let mut moved = asked;
    loop {
        let (mut waiting, mut telling) = (Vec::new(), None);
        for (name, answer) in &outcome.names {
            let Some((variant, hashed)) = being_hashed(answer) else {
                continue;
            };
            let far: &mut Option<u64> = furthest.entry(name.clone()).or_default();
            if *far < Some(hashed) {
                *far = Some(hashed);
                moved = Instant::now();
                telling = Some(told(name, variant, hashed));
            }
            waiting.push(name.clone());
        }
        // One of perhaps many: they are read one after the other.
        if let Some(hashing) = telling {
            tell(events, Event::Hashing(hashing)).await;
        }
        // One that has its root by now is something that got on too.
        let before = furthest.len();
        furthest.retain(|name, _| waiting.contains(name));
        if furthest.len() < before {
            moved = Instant::now();
        }
        if waiting.is_empty() || moved.elapsed() > STALLED {
            return Some(outcome);
        }
        sleep_until(asked + ASK_AGAIN).await;
        asked = Instant::now();
        let again = peer.look_up(waiting, only.clone()).await?;
        let mut answers: BTreeMap<_, _> = again.names.into_iter().collect();
        for (name, answer) in &mut outcome.names {
            if let Some(new) = answers.remove(name) {
                *answer = new;
            }
        }
    }
}

/// The file of an answer whose root is awaited, and how much of it was read.
fn being_hashed(answer: &Answer) -> Option<(&Variant, u64)> {
    let Answer::Found(_, variants) = answer else {
        return None;
    };
    if variants.iter().any(|variant| variant.entry.root.is_some()) {
        return None;
    }
    let hashed = variants.iter().filter_map(|v| Some((v, v.hashed?)));
    hashed.max_by_key(|(_, hashed)| *hashed)
}

fn told(name: &str, variant: &Variant, hashed: u64) -> Hashing {
    Hashing {
        name: name.to_owned(),
        length: variant.entry.length,
        hashed: hashed.min(variant.entry.length),
        by: variant.holders.first().map(rows::holder),
    }
}
