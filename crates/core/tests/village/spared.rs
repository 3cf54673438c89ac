//! How many lookups the tracker was spared, as counted by peers and tracker.

use std::time::Duration;

use thorp_core::lookup::Source;

use super::friends;
use crate::support::{TRACKER_INTERVAL, Village, request};

#[test]
fn the_tracker_is_told_how_many_lookups_it_was_spared() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    let before = village.spared(one).since_start;
    assert_eq!(village.get(one, "2.txt").0, Source::Memory);
    village.get_all(one, request(&["2.txt", "no such file"]));
    let own = village.spared(one).since_start;
    assert_eq!(own.lookups, before.lookups + 3);
    assert_eq!(own.spared, before.spared + 2);

    village.run(2 * TRACKER_INTERVAL);
    let all = [one, two, three].map(|peer| village.spared(peer).since_start);
    let told = village.counts().spared;
    assert_eq!(
        told.since_start.lookups,
        all.iter().map(|of| of.lookups).sum::<u64>()
    );
    assert_eq!(
        told.since_start.spared,
        all.iter().map(|of| of.spared).sum::<u64>()
    );
    assert_eq!(told.last_hour, told.since_start);

    village.run(Duration::from_mins(61));
    let later = village.counts().spared;
    assert_eq!(
        (later.since_start, later.last_hour.lookups),
        (told.since_start, 0)
    );
    assert_eq!(village.spared(two).last_hour.lookups, 0);
}
