//! How each verb is typed, and what is rejected.

use std::time::Duration;

use super::values::{WhichTracker, expiry};
use super::*;
use thorp_node::config::{Config, Key};

fn read(line: &[&str]) -> Result<Args, clap::Error> {
    let line = std::iter::once("thorp").chain(line.iter().copied());
    Args::read(line, |_| None)
}

fn config(args: &Args) -> Config {
    let mut config = Config::default();
    args.settings.iter().for_each(|setting| config.set(setting));
    config
}

fn verb(line: &[&str]) -> Verb {
    read(line).expect("well-formed").verb
}

#[test]
fn clap_finds_no_contradiction() {
    Args::command().debug_assert();
}

#[test]
fn every_flag_has_its_variable() {
    fn check(command: &Command) {
        for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
            if matches!(arg.get_id().as_str(), "help" | "version") {
                continue;
            }
            let variable = arg.get_env().and_then(|v| v.to_str()).unwrap_or("");
            assert!(
                variable.starts_with("THORP_"),
                "{} of {}",
                arg,
                command.get_name()
            );
        }
        command.get_subcommands().for_each(check);
    }
    let mut command = Args::command();
    // The flags of verbs are not there before.
    command.build();
    check(&command);
}

#[test]
fn a_verbs_help_names_the_flags_of_all_verbs_and_explains_its_own() {
    let mut command = Args::with_short_help(|_| true);
    command.build();
    command.clone().debug_assert();
    let whole = command.render_long_help().to_string();
    assert!(whole.contains("--state <DIR>") && whole.contains("THORP_SET"));
    for verb in command.get_subcommands_mut() {
        let own: Vec<String> = verb
            .get_arguments()
            .filter(|arg| !arg.is_global_set())
            .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
            .collect();
        for help in [verb.render_help(), verb.render_long_help()] {
            let help = help.to_string();
            if verb.get_name() == "help" {
                continue;
            }
            assert!(own.iter().all(|flag| help.contains(flag)), "{help}");
            let named = help.lines().filter(|line| line.contains("--set"));
            assert_eq!(named.count(), 1, "{help}");
            assert!(
                help.contains(
                    "Everywhere: --state, --json, --quiet, --verbose, --log-format, --set;"
                )
            );
            assert!(!help.contains("THORP_STATE"), "{help}");
        }
    }
}

#[test]
fn every_setting_is_explained() {
    let explanation = explanation();
    for key in Key::all() {
        let mut lines = explanation
            .lines()
            .skip_while(|line| !line.contains(key.name));
        let (line, next) = (lines.next().expect(key.name), lines.next().expect(key.name));
        for said in [key.allowed(), key.default.to_owned()] {
            assert!(line.contains(&said), "{line}");
        }
        assert_eq!(next.trim(), key.variable());
        assert!(line.len() <= 80 && next.len() <= 80, "{line}\n{next}");
    }
}

#[test]
fn share_takes_the_current_directory_and_what_its_flags_say() {
    let Verb::Share(share) = verb(&["share"]) else {
        panic!()
    };
    assert_eq!(share.dir, PathBuf::from("."));
    assert!(share.tracker.is_none() && share.join.is_none() && !share.lines);

    let Verb::Share(share) = verb(&[
        "share",
        "papers",
        "--tracker",
        "oak:4000",
        "--name",
        "elm-2",
        "--listen",
        "[::]:5000",
        "--lines",
    ]) else {
        panic!()
    };
    assert_eq!(
        share.tracker,
        Some(WhichTracker::At("oak:4000".parse().expect("address")))
    );
    assert_eq!(
        share.name.map(|name| name.to_string()).as_deref(),
        Some("elm-2")
    );
    assert_eq!(share.listen.and_then(|l| l.port), Some(5000));

    let Verb::Share(share) = verb(&["share", "--tracker"]) else {
        panic!()
    };
    assert_eq!(share.tracker, Some(WhichTracker::Ask));
    let Verb::Share(share) = verb(&["share", "--join", "-"]) else {
        panic!()
    };
    assert_eq!(share.join, Some(PathBuf::from("-")));
    assert!(matches!(verb(&["share", "--hidden"]), Verb::Share(share) if share.hidden));
}

#[test]
fn tracker_invite_join() {
    let Verb::Tracker(tracker) = verb(&["tracker", "--open", "--listen", "10.0.0.7"]) else {
        panic!()
    };
    assert!(tracker.open && tracker.listen.is_some_and(|l| l.port.is_none()));
    let Verb::Invite(invite) = verb(&["invite", "--uses", "30", "--expires", "2h"]) else {
        panic!()
    };
    assert_eq!((invite.uses, invite.expires), (30, Duration::from_hours(2)));
    let Verb::Invite(invite) = verb(&["invite"]) else {
        panic!()
    };
    assert_eq!((invite.uses, invite.expires), (1, Duration::from_hours(24)));
    read(&["invite", "--uses", "10000"]).expect("so many may be let in");
    let Verb::Join(join) = verb(&["join", "-"]) else {
        panic!()
    };
    assert_eq!(join.file, Some(PathBuf::from("-")));
    let Verb::Join(join) = verb(&["join"]) else {
        panic!()
    };
    assert_eq!(join.file, None);
}

#[test]
fn members_remove_leave_backup_restore() {
    assert!(matches!(verb(&["members"]), Verb::Members));
    let Verb::Remove(remove) = verb(&["remove", "elm"]) else {
        panic!()
    };
    assert!(remove.member == "elm" && !remove.yes);
    assert!(matches!(verb(&["remove", "elm", "-y"]), Verb::Remove(remove) if remove.yes));
    let leave = |line: &[&str]| match verb(line) {
        Verb::Leave(leave) => (leave.purge, leave.yes),
        other => panic!("{other:?}"),
    };
    assert_eq!(leave(&["leave"]), (false, false));
    assert_eq!(leave(&["leave", "--purge", "--yes"]), (true, true));
    let Verb::Tracker(tracker) = verb(&["tracker", "--backup", "-"]) else {
        panic!()
    };
    assert_eq!((tracker.backup, tracker.restore), (Some("-".into()), None));
}

#[test]
fn get_takes_all_its_flags() {
    let Verb::Get(get) = verb(&[
        "get",
        "2.txt",
        "-o",
        "out",
        "--as",
        "x.txt",
        "--overwrite",
        "--from",
        "oak",
        "--root",
        "AB12",
        "--tracker",
        "oak",
    ]) else {
        panic!()
    };
    assert_eq!(get.names, ["2.txt"]);
    assert_eq!(get.out, Some(PathBuf::from("out")));
    assert_eq!(get.rename.as_deref(), Some("x.txt"));
    assert_eq!(get.root.as_deref(), Some("ab12"));
    assert!(get.overwrite && get.visiting.tracker.is_some());
}

#[test]
fn names_with_a_leading_dash() {
    let Verb::Get(get) = verb(&["get", "-o", "out", "--", "-rf", "--help"]) else {
        panic!()
    };
    assert_eq!(get.names, ["-rf", "--help"]);
    let Verb::Find(find) = verb(&["find", "--", "-*"]) else {
        panic!()
    };
    assert_eq!(find.pattern, "-*");
}

#[test]
fn the_small_verbs() {
    assert!(matches!(
        verb(&["ls"]),
        Verb::Ls(LsArgs { whose: None, .. })
    ));
    assert!(matches!(
        verb(&["ls", "oak"]),
        Verb::Ls(LsArgs { whose: Some(_), .. })
    ));
    assert!(matches!(verb(&["peers"]), Verb::Peers(_)));
    assert!(matches!(verb(&["neighbours"]), Verb::Neighbours));
    assert!(matches!(verb(&["status"]), Verb::Status(_)));
    assert!(matches!(verb(&["stop"]), Verb::Stop));
    assert!(matches!(verb(&["demo"]), Verb::Demo));
    assert!(matches!(
        verb(&["completions", "fish"]),
        Verb::Completions(_)
    ));
}

#[test]
fn globals_go_before_and_after_the_verb() {
    for line in [
        [
            "--json",
            "-q",
            "-vv",
            "--state",
            "s",
            "--set",
            "lookup.hops=0",
            "peers",
        ],
        [
            "peers",
            "--json",
            "-q",
            "-vv",
            "--state",
            "s",
            "--set",
            "lookup.hops=0",
        ],
    ] {
        let args = read(&line).expect("well-formed");
        assert!(args.global.json && args.global.quiet);
        assert_eq!(args.global.verbose, 2);
        assert_eq!(args.global.state, Some(PathBuf::from("s")));
        assert_eq!(config(&args).hops, 0);
    }
}

#[test]
fn a_flag_wins_over_a_variable() {
    let env = |name: &str| match name {
        "THORP_LOOKUP_HOPS" => Some("1".to_owned()),
        "THORP_NEIGHBOURS_MAX" => Some("7".to_owned()),
        _ => None,
    };
    let line = ["thorp", "--set", "lookup.hops=0", "peers"];
    let config = config(&Args::read(line, env).expect("well-formed"));
    assert_eq!((config.hops, config.max_neighbours), (0, 7));
}

#[test]
fn a_torrent_of_either_version_may_be_public() {
    for flags in [&[][..], &["--v2"], &["--public"], &["--public", "--v2"]] {
        assert!(read(&[&["magnet", "a"], flags].concat()).is_ok());
        assert!(read(&[&["torrent", "a", "-o", "t"], flags].concat()).is_ok());
    }
}

#[test]
fn the_time_to_wait_follows_the_equals_sign_and_may_be_left_out() {
    let minutes = |minutes| Some(HowLong(Some(Duration::from_mins(minutes))));
    let for_ever = Some(HowLong(None));
    for (line, wait, names) in [
        (&["get", "--wait", "a"][..], for_ever, 1),
        (&["get", "--wait=30m", "a", "b"], minutes(30), 2),
        (&["get", "a"], None, 1),
    ] {
        let Verb::Get(get) = verb(line) else {
            panic!("{line:?}");
        };
        assert_eq!((get.wait, get.names.len()), (wait, names), "{line:?}");
    }
}

#[test]
fn what_is_refused_as_usage() {
    let lines: [&[&str]; 18] = [
        &["get", "a", "--wait=soon"],
        &[],
        &["dance"],
        &["get"],
        &["get", "-rf"],
        &["get", "a", "b", "--as", "c"],
        &["get", "a", "--root", "xyz"],
        &["share", "--tracker", "http://oak"],
        &["share", "--tracker", "oak", "--join", "f"],
        &["share", "--name", "Oak Tree"],
        &["share", "--listen", "oak"],
        &["remove"],
        &["tracker", "--backup", "a", "--restore", "b"],
        &["invite", "--uses", "0"],
        &["invite", "--uses", "10001"],
        &["invite", "--expires", "soon"],
        &["peers", "--set", "lookup.hops=9"],
        &["completions", "perl"],
    ];
    for line in lines {
        let error = read(line).expect_err("refused");
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
}

#[test]
fn an_expiry_has_a_unit_and_an_end() {
    assert_eq!(expiry("90s"), Ok(Duration::from_secs(90)));
    for bad in [
        "",
        "h",
        "0h",
        "24",
        "1y",
        "400d",
        "99999999999999999999d",
        "5ü",
    ] {
        assert!(expiry(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_invite_is_refused_as_an_argument_and_not_repeated() {
    let secret = format!("thorp1{}", "abcdefgh234567".repeat(8));
    let value = format!("--join={}", secret.to_uppercase());
    let broken = format!(" {}\n{} ", &secret[..60], &secret[60..]);
    for line in [
        &["join", &secret][..],
        &["join", &broken],
        &["join", &secret[..40], &secret[40..]],
        &["share", &secret],
        &["share", "--join", &secret],
        &["share", &value],
        &["share", "--tracker", &secret],
        &["get", &secret],
        &["find", "--no-such-flag", &secret],
    ] {
        let error = read(line).expect_err("refused");
        assert_eq!(error.exit_code(), 2);
        let said = error.to_string().to_lowercase();
        assert!(said.contains("thorp join"), "{said}");
        assert!(!said.contains("abcdefgh"), "{said}");
    }
    for name in [
        "thorp1",
        "thorp1.txt",
        "thorp1/of/my/long/folder/with/papers",
        "-",
    ] {
        assert!(read(&["join", name]).is_ok(), "{name}");
    }
}

#[test]
fn a_time_behind_wait_is_not_taken_for_a_name() {
    let error = Args::read(["thorp", "get", "x", "--wait", "30m"], |_| None).expect_err("refused");
    assert!(error.to_string().contains("--wait=30m"), "{error}");
    for line in [
        &["thorp", "get", "x", "--wait=30m"][..],
        &["thorp", "get", "x", "--wait"],
        &["thorp", "get", "./30m", "--wait"],
        &["thorp", "get", "30m"],
    ] {
        Args::read(line, |_| None).expect("taken");
    }
}
