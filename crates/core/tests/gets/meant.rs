//! What a user means by a name: a path, a folder, a name in another case, a file of this peer's
//! share; and which files are fetched only by their whole path.

use std::time::Duration;

use thorp_core::get::{Doubt, Ending, Folders, Missed, News, Output, Request};
use thorp_core::lookup::Only;
use thorp_wire::Attributes;

use super::{failed, fetched, get, missed, village};
use crate::support::{TRACKER, Village, id, request, request_from};

fn nobody() -> Missed {
    Missed::NobodyShares(Only::default())
}

/// Returns the names of the fetched files.
fn names(village: &mut Village, node: usize, request: Request) -> (Vec<String>, Ending) {
    let (get, end) = get(village, node, request);
    let fetched = fetched(village, node, get).into_iter();
    let names = fetched.map(|(name, _)| name).collect();
    village.host(node).files.clear();
    (names, end)
}

const ATTACK: [(&str, &str); 7] = [
    (".bash_profile", "run me"),
    (".config/autostart/x.desktop", "run me too"),
    (".ssh/authorized_keys", "let me in"),
    ("docs/.git/config", "fsmonitor"),
    ("docs/a.txt", "a"),
    ("docs/desktop.ini", "icon"),
    ("b.txt", "b"),
];

#[test]
fn a_pattern_leaves_out_what_may_act_by_lying_there_and_counts_it() {
    let (mut village, one, _) = village(&[&ATTACK]);
    for (typed, taken, left_out) in [
        ("*", vec!["b.txt", "docs/a.txt"], 5),
        ("**", vec!["b.txt", "docs/a.txt"], 5),
        ("docs/**", vec!["docs/a.txt"], 2),
        ("docs/", vec!["docs/a.txt"], 2),
        ("docs", vec!["docs/a.txt"], 2),
    ] {
        let (names, end) = names(&mut village, one, request(&[typed]));
        assert_eq!(names, taken, "{typed}");
        let Ending::Done { left_out: said, .. } = end else {
            panic!("{typed}: {end:?}");
        };
        assert_eq!(said, left_out, "{typed}");
    }
    // Also if the pattern contains the dot. Where nothing is left, the get has failed.
    for typed in [".ssh/*", "docs/.git/**", ".ssh"] {
        let (names, end) = names(&mut village, one, request(&[typed]));
        assert_eq!(names, Vec::<String>::new(), "{typed}");
        let why = Missed::AllLeftOut {
            files: 1,
            hidden: 1,
        };
        let name = typed.to_owned();
        assert_eq!(end, Ending::Missed { name, why }, "{typed}");
    }
    let (id, _) = get(&mut village, one, request(&["docs/**"]));
    let said = Output::Tell(News::HiddenLeftOut(2));
    assert!(village.told(one, id).contains(&said));
    village.host(one).files.clear();

    let all = Request {
        hidden: true,
        ..request(&["**"])
    };
    let (names, end) = names(&mut village, one, all);
    assert_eq!(names.len(), ATTACK.len());
    assert!(matches!(end, Ending::Done { left_out: 0, .. }), "{end:?}");
}

#[test]
fn a_hidden_file_comes_by_its_whole_path_and_by_its_last_part_it_is_offered() {
    let (mut village, one, others) = village(&[&ATTACK]);
    let hidden = |request| Request {
        hidden: true,
        ..request
    };
    let root = super::only_root(&["authorized_keys"], "let me in");
    let from = id(others[0]).to_string();
    for request in [
        request(&["authorized_keys"]),
        root.clone(),
        request_from(&["authorized_keys"], &from),
    ] {
        let (get, end) = get(&mut village, one, request);
        let doubt = Missed::Ambiguous(Doubt::Hidden);
        assert_eq!(end, missed("authorized_keys", doubt));
        let offered = village.told(one, get).iter().find_map(|told| match told {
            Output::Tell(News::Choice { variants, .. }) => Some(variants[0].entry.name.clone()),
            _ => None,
        });
        let offered = offered.expect("a choice");
        assert_eq!(offered.as_str(), ".ssh/authorized_keys");
    }
    for request in [
        request(&[".ssh/authorized_keys"]),
        request(&["./.ssh/authorized_keys"]),
        hidden(request(&["authorized_keys"])),
        // Under another name the file is harmless.
        Request {
            rename: Some("keys.txt".to_owned()),
            ..request(&["authorized_keys"])
        },
    ] {
        let (names, end) = names(&mut village, one, request);
        assert_eq!(names.len(), 1, "{end:?}");
    }
}

#[test]
fn a_hidden_file_is_no_rival_of_one_that_is_not() {
    let (mut village, one, _) = village(&[
        &[(".x/setup.sh", "evil"), (".a/same.txt", "same")],
        &[("bin/setup.sh", "good"), ("z/same.txt", "same")],
    ]);
    let (taken, _) = names(&mut village, one, request(&["setup.sh"]));
    assert_eq!(taken, ["bin/setup.sh"]);
    let (taken, _) = names(&mut village, one, request(&["same.txt"]));
    assert_eq!(taken, ["z/same.txt"], "not where the first name is hidden");
}

#[test]
fn a_folder_is_fetched_by_its_name_where_that_may_be_asked() {
    let (mut village, one, _) = village(&[&[
        ("dir01/a", "a"),
        ("dir01/sub/b", "b"),
        ("dir012", "c"),
        ("both", "a file"),
        ("both/a", "in a folder"),
    ]]);
    for typed in ["dir01", "dir01/", "./dir01", "/dir01//"] {
        let (names, end) = names(&mut village, one, request(&[typed]));
        assert_eq!(names, ["dir01/a", "dir01/sub/b"], "{typed}: {end:?}");
        let script = Request {
            folders: Folders::No,
            ..request(&[typed])
        };
        let (get, end) = get(&mut village, one, script);
        let (files, bytes) = (2, 2);
        assert_eq!(end, missed("dir01", Missed::Folder { files, bytes }));
        assert_eq!(failed(&mut village, one, get), [], "it is said once");
    }
    let (taken, _) = names(&mut village, one, request(&["both"]));
    assert_eq!(taken, ["both"], "a file of that name wins");
    let (taken, _) = names(&mut village, one, request(&["both/"]));
    assert_eq!(taken, ["both/a"]);
    let (_, end) = get(&mut village, one, request(&["dir99/"]));
    assert_eq!(end, missed("dir99", nobody()));
    let other_name = Request {
        rename: Some("x".to_owned()),
        ..request(&["dir01"])
    };
    let (_, end) = get(&mut village, one, other_name);
    assert_eq!(end, missed("dir01", Missed::OneNameOnly));
}

#[test]
fn a_large_folder_is_fetched_once_the_user_has_said_so() {
    let texts: Vec<String> = (0..1001).map(|n| format!("d/{n:04}")).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|name| (&**name, "x")).collect();
    let (mut village, one, _) = village(&[&files]);
    let (_, end) = get(&mut village, one, request(&["d"]));
    let (files, bytes) = (1001, 1001);
    assert_eq!(end, missed("d", Missed::Folder { files, bytes }));
    let all = Request {
        folders: Folders::All,
        ..request(&["d"])
    };
    let (names, _) = names(&mut village, one, all);
    assert_eq!(names.len(), 1001);
}

#[test]
fn a_name_in_other_letters_is_offered() {
    let (mut village, one, _) = village(&[&[("docs/README.md", "a")]]);
    let finds = village.counts().finds;
    let (_, end) = get(&mut village, one, request(&["readme.md"]));
    assert_eq!(
        end,
        missed("readme.md", Missed::Ambiguous(Doubt::OtherCase))
    );
    let asked = village.counts().finds - finds;
    assert_eq!(asked, 2, "by its name, and once for what resembles it");
}

#[test]
fn what_is_no_pattern_is_said_to_be_none_if_no_file_is_called_so() {
    let (mut village, one, _) = village(&[&[("photo [1", "a")]]);
    let (taken, _) = names(&mut village, one, request(&["photo [1"]));
    assert_eq!(taken, ["photo [1"]);
    let (_, end) = get(&mut village, one, request(&["photo [2"]));
    assert!(
        matches!(
            &end,
            Ending::Missed {
                why: Missed::NotAPattern(_),
                ..
            }
        ),
        "{end:?}"
    );
}

#[test]
fn that_nothing_matches_a_pattern_is_said_once() {
    let (mut village, one, _) = village(&[&[("a.txt", "a")]]);
    let (one_get, end) = get(&mut village, one, request(&["*.md"]));
    assert_eq!(end, missed("*.md", nobody()));
    assert_eq!(failed(&mut village, one, one_get), []);
    let (two, _) = get(&mut village, one, request(&["*.md", "*.txt"]));
    let told = failed(&mut village, one, two);
    assert_eq!(told, [("*.md".to_owned(), nobody())]);
}

#[test]
fn what_this_machine_shares_itself_is_copied_where_no_other_member_has_it() {
    let (mut village, one, _) = village(&[&[("theirs.txt", "theirs")]]);
    village.share(one, &[("docs/own.txt", "own"), ("theirs.txt", "mine")]);
    let renamed = |name: &str| Request {
        rename: Some("copy.txt".to_owned()),
        ..request(&[name])
    };
    let (copy, end) = get(&mut village, one, renamed("own.txt"));
    assert!(matches!(end, Ending::Done { files: 1, .. }), "{end:?}");
    let nobody_sent = [("copy.txt".to_owned(), Vec::new())];
    assert_eq!(fetched(&mut village, one, copy), nobody_sent);
    assert_eq!(village.host(one).files["copy.txt"], "own");
    village.host(one).files.clear();
    let (_, end) = get(&mut village, one, renamed("theirs.txt"));
    assert!(matches!(end, Ending::Done { files: 1, .. }), "{end:?}");
    assert_eq!(village.host(one).files["copy.txt"], "theirs");
    village.host(one).files.clear();
    let elsewhere = Request {
        elsewhere: true,
        ..request(&["docs/own.txt"])
    };
    let (copy, _) = get(&mut village, one, elsewhere);
    assert_eq!(fetched(&mut village, one, copy)[0].0, "docs/own.txt");
    // Also without a tracker.
    village.kill(TRACKER);
    village.host(one).files.clear();
    let (_, end) = get(&mut village, one, renamed("own.txt"));
    assert!(matches!(end, Ending::Done { files: 1, .. }), "{end:?}");
}

#[test]
fn who_looks_whether_a_file_is_there_is_told_its_time() {
    let (mut village, one, others) = village(&[&[]]);
    let old = Attributes {
        mtime: -7,
        ..Attributes::default()
    };
    village.share_as(others[0], "old.txt", "old", old);
    village.run(Duration::from_secs(1));
    let read = Request {
        elsewhere: true,
        is_read: true,
        ..request(&["old.txt"])
    };
    village.get_all(one, read);
    let looks = village.host(one).looks.concat();
    let times: Vec<_> = looks.iter().map(|look| look.mtime).collect();
    assert_eq!(times, [Some(-7)]);
}

#[test]
fn a_file_arrives_with_its_time_and_to_be_executed_only_where_that_is_taken() {
    let (mut village, one, others) = village(&[&[]]);
    let program = Attributes {
        mtime: -7,
        nanos: 123_456_789,
        executable: true,
    };
    for name in ["bin/run", ".git/hooks/pre-commit", "x.desktop"] {
        village.share_as(others[0], name, "run me", program);
    }
    village.run(Duration::from_secs(1));
    let from_open = Request {
        executable: false,
        ..request(&["bin/run"])
    };
    let hidden = Request {
        rename: Some(".profile".to_owned()),
        ..request(&["bin/run"])
    };
    let was_hidden = Request {
        rename: Some("hook".to_owned()),
        ..request(&[".git/hooks/pre-commit"])
    };
    for (request, executable) in [
        (request(&["bin/run"]), true),
        (from_open, false),
        (request(&[".git/hooks/pre-commit"]), false),
        (request(&["x.desktop"]), false),
        (hidden, false),
        (was_hidden, false),
    ] {
        let got = village.get_all(one, request.clone());
        village.host(one).files.clear();
        let expected = Attributes {
            executable,
            ..program
        };
        let [fetched] = &got.fetched()[..] else {
            panic!("{request:?}: {:?}", got.end);
        };
        assert_eq!(fetched.item.attributes, expected, "{request:?}");
    }
}

#[test]
fn a_change_of_the_mode_alone_is_told_and_the_file_stays_the_same_one() {
    let (mut village, one, others) = village(&[&[], &[("run", "run me")]]);
    let plain = Attributes::default();
    let program = Attributes {
        executable: true,
        ..plain
    };
    village.share_as(others[0], "run", "run me", plain);
    village.run(Duration::from_secs(1));
    village.share_as(others[0], "run", "run me", program);
    village.run(Duration::from_secs(1));
    let from = id(others[0]).to_string();
    for (request, executable) in [
        (request_from(&["run"], &from), true),
        (request(&["run"]), true),
    ] {
        // Its holders differ in nothing that requires a choice.
        let got = village.get_all(one, request);
        village.host(one).files.clear();
        assert_eq!(got.fetched()[0].item.attributes.executable, executable);
    }
}
