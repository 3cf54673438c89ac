//! Shares on file systems of several kinds. Each
//! test is a process of its own, with mounts that no other process sees.

use std::io::Write as _;
use std::process::Command;

use super::*;

/// Says to a test that it is in a process with mounts of its own.
const INSIDE: &str = "THORP_TEST_WITH_OWN_MOUNTS";

/// Whether this process has mounts of its own. If not, the test is run in one
/// that has, or skipped where there can be none; then there is nothing more to do.
fn has_own_mounts(test: &str, tools: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let test = format!("share::tests::mounts::{test}");
    let succeeds = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    let missing = tools.iter().find(|tool| !succeeds("which", &[tool]));
    if let Some(tool) = missing {
        skip(&test, tool);
        return false;
    }
    if !succeeds("unshare", &["--mount", "true"]) {
        skip(&test, "root");
        return false;
    }
    let output = Command::new("unshare")
        .arg("--mount")
        .arg(std::env::current_exe().expect("a program"))
        .args([&test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let cried = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{cried}");
    assert!(said.contains("1 passed"), "{said}");
    false
}

/// Says that a test cannot run here, past the test runner's capture, so that it
/// is seen when all is well.
fn skip(test: &str, needs: &str) {
    let all = std::env::var_os("THORP_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!all, "THORP_REQUIRE_ALL=1, but {test} needs {needs}");
    let line = format!("skipped: {test}: needs {needs}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Runs a command in a directory, and wants it to succeed.
#[track_caller]
fn run(dir: &Path, command: &str) {
    let output = Command::new("sh")
        .args(["-ec", command])
        .current_dir(dir)
        .output();
    let output = output.expect("a shell");
    let cried = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {cried}");
}

#[tokio::test]
async fn files_are_shared_where_a_folder_s_list_does_not_say_what_is_a_file() {
    let test = "files_are_shared_where_a_folder_s_list_does_not_say_what_is_a_file";
    if !has_own_mounts(test, &["mkfs.ext4"]) {
        return;
    }
    let base = tempdir();
    run(
        base.path(),
        "truncate -s 16M image
        mkfs.ext4 -q -F -O ^filetype image
        mkdir share
        mount -o loop image share
        mkdir -p share/folder/deep share/build
        echo 1 >share/file; echo 2 >share/folder/deep/file; echo 3 >share/build/out
        ln -s /etc/passwd share/link; mkfifo share/pipe
        echo build/ >share/.thorpignore",
    );
    let dir = base.path().join("share");
    let handle = Dir::open_ambient_dir(&dir, ambient_authority()).expect("a directory");
    for entry in handle.entries().expect("a list") {
        let kind = entry.expect("an entry").file_type().expect("a type");
        assert!(!kind.is_file() && !kind.is_dir(), "the list says nothing");
    }
    let mut follower = Follower::at(&dir, Options::default()).await;
    follower.until_hashed().await;
    assert_eq!(follower.names(), ["file", "folder/deep/file"]);
    let expected = Skipped {
        hidden: 1,
        ignored: 1,
        symlinks: 1,
        special: 1,
        ..Skipped::default()
    };
    assert_eq!(follower.share.totals().skipped, expected);
    run(&dir, "mkdir new; echo 4 >new/file");
    follower.until(|f| f.has("new/file", b"4\n")).await;
}
