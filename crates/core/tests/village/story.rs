//! The story, from its first step to its last.

use thorp_core::links::{self};

use super::{SECOND, rows2, rows3, story};
use crate::support::{NEIGHBOUR_INTERVAL, TRACKER_INTERVAL, Village, id};

#[test]
fn the_story_is_played_from_its_first_step_to_its_last() {
    for hops in [0, 1] {
        let mut village = Village::new();
        let [one, two, three] = story(&mut village, hops);
        assert_eq!(
            village.peers_table(),
            rows3(&[
                (
                    "192.168.198.137",
                    "2.txt 5.txt 6.txt client",
                    "192.168.198.138 192.168.198.139"
                ),
                (
                    "192.168.198.138",
                    "1.txt 2.txt 3.txt 5.txt client",
                    "192.168.198.137 192.168.198.139"
                ),
                (
                    "192.168.198.139",
                    "3.txt 4.txt 6.txt client",
                    "192.168.198.137 192.168.198.138"
                ),
            ])
        );
        assert_eq!(
            village.files_table(),
            rows2(&[
                ("1.txt", "192.168.198.138"),
                ("2.txt", "192.168.198.137 192.168.198.138"),
                ("3.txt", "192.168.198.138 192.168.198.139"),
                ("4.txt", "192.168.198.139"),
                ("5.txt", "192.168.198.137 192.168.198.138"),
                ("6.txt", "192.168.198.137 192.168.198.139"),
                ("client", "192.168.198.137 192.168.198.138 192.168.198.139"),
            ])
        );

        // Peer 1 says goodbye: it is gone from every display within a second.
        village.give(
            one,
            links::Input::Stop {
                reason: "done".into(),
            },
        );
        village.run(SECOND);
        assert_eq!(village.neighbours(two), [id(three)]);
        assert_eq!(village.neighbours(three), [id(two)]);
        assert!(
            !village
                .files_table()
                .iter()
                .any(|(name, _)| name == "1.txt")
        );

        // Peer 2 is cut off, without a goodbye.
        village.cut_off(two, true);
        let tracker_took = village.until(TRACKER_INTERVAL * 3, |village| {
            village.tracker().catalogue().listing(id(two)).is_none()
        });
        assert!(tracker_took > TRACKER_INTERVAL);
        village.until(
            (NEIGHBOUR_INTERVAL * 3).saturating_sub(TRACKER_INTERVAL),
            |village| village.neighbours(three).is_empty(),
        );
        assert!(village.host(three).catalogue().listing(id(two)).is_none());
        village.run(SECOND);
        assert_eq!(
            village.peers_table(),
            rows3(&[("192.168.198.137", "2.txt 5.txt 6.txt client", "")])
        );
        assert_eq!(
            village.files_table(),
            rows2(&[
                ("2.txt", "192.168.198.137"),
                ("5.txt", "192.168.198.137"),
                ("6.txt", "192.168.198.137"),
                ("client", "192.168.198.137"),
            ])
        );

        // It comes back with its files, without any action of its user.
        village.cut_off(two, false);
        // Its attempt may be stuck until a dial fails.
        village.until(TRACKER_INTERVAL + SECOND * 3, |village| {
            village.tracker().catalogue().listing(id(two)).is_some()
        });
        let back = &village.peers_table()[1];
        assert_eq!(
            (&*back.0, &*back.1),
            ("192.168.198.139", "3.txt 4.txt 6.txt client")
        );
    }
}
