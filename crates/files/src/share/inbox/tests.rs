use std::ffi::OsStr;

use super::*;

const GATHER: Duration = Duration::ZERO;

fn report(inbox: &Inbox, report: Report, path: &str) {
    inbox.report(vec![(path.into(), report)]);
}

const STAMP: Stamp = Stamp {
    length: 1,
    mtime: 0,
    mtime_nanos: 0,
    executable: false,
    ctime: 0,
    inode: 77,
    device: 1,
};

fn take(inbox: &Inbox) -> Pending {
    inbox
        .take(Some(Instant::now()), GATHER)
        .expect("not stopped")
}

#[test]
fn a_file_written_and_closed_is_complete_until_it_is_written_again() {
    let inbox = Inbox::default();
    let path = OsStr::new("a");
    report(&inbox, Report::Made, "a");
    report(&inbox, Report::Written, "a");
    report(&inbox, Report::Closed, "a");
    let mark = take(&inbox).paths[path];
    assert!(mark.complete && mark.written && mark.new);
    report(&inbox, Report::Closed, "a");
    report(&inbox, Report::Written, "a");
    assert!(!take(&inbox).paths[path].complete);
}

#[test]
fn a_file_moved_here_is_another_than_the_one_that_was_written_to() {
    let inbox = Inbox::default();
    report(&inbox, Report::Written, "a");
    report(&inbox, Report::MovedHere, "a");
    let mark = take(&inbox).paths[OsStr::new("a")];
    assert!(mark.complete && !mark.written);
}

#[test]
fn files_on_their_way_are_no_news_and_of_the_directory_itself_only_its_place_is_looked_at() {
    let inbox = Inbox::default();
    report(&inbox, Report::Made, "a/.thorp-0000000000000000.part");
    assert!(!lock(&inbox.pending).poked);
    report(&inbox, Report::Other, "");
    assert!(lock(&inbox.pending).poked);
    assert!(take(&inbox).paths.is_empty());
}

#[test]
fn too_much_at_once_and_an_overflow_become_one_look_at_everything() {
    let inbox = Inbox::default();
    for number in 0..=PATHS {
        report(&inbox, Report::Made, &number.to_string());
    }
    let pending = take(&inbox);
    assert!(pending.rescan == Some(Rescan::Whole) && pending.paths.is_empty());

    inbox.overflow();
    assert_eq!(take(&inbox).rescan, Some(Rescan::Whole));
}

#[test]
fn what_is_given_back_is_taken_again_with_what_has_come_since_and_wakes_nobody() {
    let inbox = Inbox::default();
    let written = Report::Written;
    let closed = Report::Closed;
    for path in ["a", "b", "c"] {
        report(&inbox, written, path);
        report(&inbox, closed, path);
    }
    inbox.changed(&"x".parse().expect("a name"));
    inbox.mounts_changed();
    inbox.give_back(take(&inbox));
    assert!(!lock(&inbox.pending).poked);
    let earlier = take(&inbox);
    report(&inbox, written, "b");
    inbox.examine(Path::new("c"));
    inbox.give_back(earlier);
    let pending = take(&inbox);
    let marks = pending.paths.values();
    let marks: Vec<_> = marks.map(|mark| (mark.written, mark.complete)).collect();
    assert_eq!(marks, [(true, true), (true, false), (true, true)]);
    assert_eq!(pending.changed.len(), 1);
    assert_eq!(pending.rescan, Some(Rescan::Mounts));

    // Beyond the bound it is one look at everything too.
    let much = Pending {
        paths: (0..PATHS)
            .map(|n| (n.to_string().into(), Mark::default()))
            .collect(),
        ..Pending::default()
    };
    inbox.examine(Path::new("a"));
    inbox.give_back(much);
    let pending = take(&inbox);
    assert!(pending.rescan == Some(Rescan::Whole) && pending.paths.is_empty());
}

#[test]
fn nothing_is_taken_after_the_end() {
    let inbox = Inbox::default();
    inbox.poke();
    inbox.stop();
    assert!(inbox.take(None, GATHER).is_none());
}

#[test]
fn the_whole_share_is_more_than_the_places_of_mounts() {
    for whole_first in [false, true] {
        let inbox = Inbox::default();
        if whole_first {
            inbox.overflow();
            inbox.mounts_changed();
        } else {
            inbox.mounts_changed();
            inbox.overflow();
        }
        assert_eq!(take(&inbox).rescan, Some(Rescan::Whole));
        inbox.mounts_changed();
        assert_eq!(take(&inbox).rescan, Some(Rescan::Mounts));
    }
}

#[test]
fn what_is_reported_of_a_stored_file_is_no_news_and_whatever_else_happens_to_it_is() {
    let name: Name = "d/a".parse().expect("a name");
    let path = OsStr::new("d/a");
    let is_of_stored = |before: &[Report], behind: &[Report]| {
        let inbox = Inbox::default();
        report(&inbox, Report::Written, "d/#77");
        for what in before {
            report(&inbox, *what, "d/a");
        }
        inbox.stored(&name, &STAMP);
        report(&inbox, Report::Closed, "d/#77");
        for what in behind {
            report(&inbox, *what, "d/a");
        }
        let pending = take(&inbox);
        assert_eq!(pending.paths.len(), 1, "it was called #77 before");
        report(&inbox, Report::Closed, "d/#77");
        assert_eq!(take(&inbox).paths.len(), 1, "that was another one");
        pending.paths[path].is_of_stored()
    };
    assert!(is_of_stored(&[Report::Made], &[]));
    assert!(is_of_stored(&[], &[Report::Made]));
    assert!(is_of_stored(&[], &[]));
    for other in [
        Report::Closed,
        Report::MovedHere,
        Report::Other,
        Report::Written,
    ] {
        assert!(!is_of_stored(&[Report::Made], &[other]), "{other:?}");
        assert!(!is_of_stored(&[], &[Report::Made, other]), "{other:?}");
        assert!(!is_of_stored(&[other, Report::Made], &[]), "{other:?}");
    }
    assert!(
        !is_of_stored(&[Report::Made], &[Report::Made]),
        "it was removed in between"
    );
}

#[test]
fn what_was_to_be_looked_at_anyway_is_looked_at_though_it_was_stored_since() {
    let inbox = Inbox::default();
    let name: Name = "a".parse().expect("a name");
    inbox.examine(Path::new("a"));
    let earlier = take(&inbox);
    inbox.report(vec![("a".into(), Report::Made)]);
    inbox.stored(&name, &STAMP);
    inbox.give_back(earlier);
    assert!(!take(&inbox).paths[OsStr::new("a")].is_of_stored());
}
