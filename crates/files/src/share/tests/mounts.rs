//! Shares on file systems of several kinds, and on mounts that come and go. Each
//! test is a process of its own, with mounts that no other process sees.

use std::process::Command;

use super::alone::{is_alone, skip, succeeds};
use super::*;
use thorp_disk::testing::DISK;

/// Whether this process has mounts of its own; see [`is_alone`].
fn has_own_mounts(test: &str, tools: &[&str]) -> bool {
    let test = format!("mounts::{test}");
    let is_there = |tool: &str| succeeds("sh", &["-c", &format!("command -v {tool}")]);
    let missing = tools.iter().find(|tool| !is_there(tool));
    if let Some(tool) = missing {
        skip(&test, tool);
        return false;
    }
    if !succeeds("unshare", &["--mount", "true"]) {
        skip(&test, "root");
        return false;
    }
    is_alone(&test, &["unshare", "--mount"])
}

/// A file system in memory, where all that happens is reported. What is mounted in
/// it goes with it.
struct Base(TempDir);

impl Base {
    fn new() -> Self {
        let base = tempdir();
        run(base.path(), "mount -t tmpfs none .");
        Self(base)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let unmount = Command::new("umount")
            .args(["--recursive", "--lazy"])
            .arg(self.path())
            .status();
        // It goes with this process at the latest.
        let _ = unmount;
    }
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

/// An ext4 without types in its folders, with something of each kind on it.
const UNTYPED: &str = "
    truncate -s 16M image
    mkfs.ext4 -q -F -O ^filetype image
    mkdir untyped
    mount -o loop image untyped
    mkdir -p untyped/folder/deep untyped/build
    echo 1 >untyped/file; echo 2 >untyped/folder/deep/file; echo 3 >untyped/build/out
    ln -s /etc/passwd untyped/link; mkfifo untyped/pipe
    echo build/ >untyped/.thorpignore";

async fn untyped_is_shared(dir: &Path) {
    let handle = Dir::open_ambient_dir(dir, ambient_authority()).expect("a directory");
    for entry in handle.entries().expect("a list") {
        let kind = entry.expect("an entry").file_type().expect("a type");
        assert!(!kind.is_file() && !kind.is_dir(), "the list says nothing");
    }
    let mut follower = Follower::at(dir, Options::default()).await;
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
    run(dir, "mkdir new; echo 4 >new/file");
    follower.until(|f| f.has("new/file", b"4\n")).await;
}

#[tokio::test]
async fn files_are_shared_where_a_folder_s_list_does_not_say_what_is_a_file() {
    let test = "files_are_shared_where_a_folder_s_list_does_not_say_what_is_a_file";
    if !has_own_mounts(test, &["mkfs.ext4"]) {
        return;
    }
    let base = Base::new();
    run(base.path(), UNTYPED);
    untyped_is_shared(&base.path().join("untyped")).await;
}

#[tokio::test]
async fn files_are_shared_where_fuse_does_not_say_what_is_a_file() {
    let test = "files_are_shared_where_fuse_does_not_say_what_is_a_file";
    if !has_own_mounts(test, &["mkfs.ext4", "bindfs"]) {
        return;
    }
    let base = Base::new();
    run(base.path(), UNTYPED);
    run(base.path(), "mkdir fuse; bindfs untyped fuse");
    untyped_is_shared(&base.path().join("fuse")).await;
}

/// How often changes are looked for that are not reported.
const AGAIN: Duration = Duration::from_millis(200);

async fn looking_again(dir: &Path) -> Follower {
    let options = Options {
        poll: AGAIN,
        ..Options::default()
    };
    Follower::at(dir, options).await
}

#[tokio::test]
async fn a_file_system_that_is_mounted_in_the_share_is_found_followed_and_delisted() {
    let test = "a_file_system_that_is_mounted_in_the_share_is_found_followed_and_delisted";
    if !has_own_mounts(test, &[]) {
        return;
    }
    let base = Base::new();
    run(
        base.path(),
        "mkdir -p 'share/a disk' elsewhere/in
        echo 1 >share/file; echo 2 >'share/a disk/beneath'; echo 3 >elsewhere/in/file",
    );
    let dir = base.path().join("share");
    // Not looked at again: what is seen is reported.
    let mut follower = Follower::at(&dir, Options::default()).await;
    for round in 0..2 {
        follower.until_hashed().await;
        assert_eq!(follower.names(), ["a disk/beneath", "file"]);
        run(&dir, "mount --bind ../elsewhere 'a disk'");
        follower.until(|f| f.has("a disk/in/file", b"3\n")).await;
        assert_eq!(follower.names(), ["a disk/in/file", "file"]);
        run(base.path(), &format!("echo {round} >elsewhere/in/new"));
        let written = format!("{round}\n");
        follower
            .until(|f| f.has("a disk/in/new", written.as_bytes()))
            .await;
        run(base.path(), "rm elsewhere/in/new");
        follower
            .until(|f| f.names() == ["a disk/in/file", "file"])
            .await;
        run(&dir, "umount 'a disk'");
        follower.until(|f| f.has("a disk/beneath", b"2\n")).await;
        assert_eq!(follower.names(), ["a disk/beneath", "file"]);
        run(&dir, "echo 4 >'a disk/after'");
        follower.until(|f| f.has("a disk/after", b"4\n")).await;
        run(&dir, "rm 'a disk/after'");
        follower.until(|f| f.listing.len() == 2).await;
    }
    // One in the other, both gone at once.
    run(
        &dir,
        "mount -t tmpfs none 'a disk'; mkdir 'a disk/deep'
        mount -t tmpfs none 'a disk/deep'; echo 5 >'a disk/deep/file'",
    );
    follower.until(|f| f.has("a disk/deep/file", b"5\n")).await;
    run(&dir, "umount --lazy 'a disk'");
    follower
        .until(|f| f.names() == ["a disk/beneath", "file"])
        .await;
    assert_eq!(follower.scans, 1, "looked through once only");
    assert!(follower.warnings.is_empty(), "{:?}", follower.warnings);
}

#[tokio::test]
async fn a_directory_that_is_mounted_over_is_not_shared_until_it_is_back() {
    let test = "a_directory_that_is_mounted_over_is_not_shared_until_it_is_back";
    if !has_own_mounts(test, &[]) {
        return;
    }
    let base = Base::new();
    run(
        base.path(),
        "mkdir -p above/share; echo 1 >above/share/file",
    );
    let dir = base.path().join("above/share");
    let mut follower = looking_again(&dir).await;
    run(base.path(), "mount -t tmpfs none above");
    follower.until(|f| f.listing.is_empty()).await;
    follower.until(|f| f.warnings.iter().any(is_moved)).await;
    run(base.path(), "umount above");
    follower.until(|f| f.has("file", b"1\n")).await;
}

#[tokio::test]
async fn what_changes_beneath_an_overlay_is_found_by_looking_again() {
    let test = "what_changes_beneath_an_overlay_is_found_by_looking_again";
    if !has_own_mounts(test, &[]) {
        return;
    }
    let base = Base::new();
    run(
        base.path(),
        "mkdir -p share/merged share/plain
        mkdir -p layers/lower layers/upper layers/work
        echo 1 >layers/lower/old; echo 2 >share/plain/file
        mount -t overlay none share/merged \
            -o lowerdir=layers/lower,upperdir=layers/upper,workdir=layers/work",
    );
    unreported_changes_are_found(&base, "layers/upper", "merged").await;
}

#[tokio::test]
async fn what_changes_behind_fuse_is_found_by_looking_again() {
    let test = "what_changes_behind_fuse_is_found_by_looking_again";
    if !has_own_mounts(test, &["bindfs"]) {
        return;
    }
    let base = Base::new();
    run(
        base.path(),
        "mkdir -p far share/merged share/plain; echo 1 >far/old; echo 2 >share/plain/file
        bindfs far share/merged",
    );
    unreported_changes_are_found(&base, "far", "merged").await;
}

/// Writes on the far side of a file system in the share.
async fn unreported_changes_are_found(base: &Base, far: &str, near: &str) {
    let dir = base.path().join("share");
    let at = |name: &str| format!("{near}/{name}");
    let mut follower = looking_again(&dir).await;
    assert_eq!(follower.names(), [&at("old"), "plain/file"]);
    follower.until_hashed().await;
    for round in 0..3 {
        let lines = format!("mkdir {far}/d{round}; echo {round} >{far}/d{round}/new");
        run(base.path(), &lines);
        let (name, bytes) = (at(&format!("d{round}/new")), format!("{round}\n"));
        follower.until(|f| f.has(&name, bytes.as_bytes())).await;
    }
    // What is removed from a layer may stay in an overlay: its kernel says so.
    if far == "far" {
        let lines = "rm far/d1/new; echo changed >far/d2/new";
        run(base.path(), lines);
        follower
            .until(|f| f.has(&at("d2/new"), b"changed\n") && !f.listing.contains_key(&at("d1/new")))
            .await;
    }
    // What this machine does there itself need not wait.
    run(&dir, &format!("echo near >{near}/near"));
    follower.until(|f| f.has(&at("near"), b"near\n")).await;
    assert_eq!(follower.scans, 1, "only that folder is looked at again");
    run(&dir, &format!("umount --lazy {near}"));
    follower.until(|f| f.names() == ["plain/file"]).await;
}

#[tokio::test]
async fn a_share_that_is_on_an_overlay_itself_is_looked_through_again() {
    let test = "a_share_that_is_on_an_overlay_itself_is_looked_through_again";
    if !has_own_mounts(test, &[]) {
        return;
    }
    let base = Base::new();
    run(
        base.path(),
        "mkdir share
        mkdir -p layers/lower layers/upper layers/work
        mount -t overlay none share \
            -o lowerdir=layers/lower,upperdir=layers/upper,workdir=layers/work",
    );
    let mut follower = looking_again(&base.path().join("share")).await;
    run(base.path(), "echo 1 >layers/upper/new");
    follower.until(|f| f.has("new", b"1\n")).await;
    assert!(follower.warnings.is_empty(), "{:?}", follower.warnings);
}

#[tokio::test]
async fn a_path_that_is_too_long_to_be_watched_is_shared_and_looked_at_again() {
    // In memory, where there is such a place: elsewhere not all may be reported.
    let dir = TempDir::new_in("/dev/shm").unwrap_or_else(|_| tempdir());
    let path = dir.path().canonicalize().expect("a path");
    let parts = [vec!["x".repeat(200); 20], vec!["y".repeat(65)]].concat();
    let deep = parts.join("/");
    assert!(path.join(&deep).as_os_str().len() > 4095 && deep.len() + 5 <= Name::MAX);
    // Step by step, as one comes to such a place.
    let mut folder = Dir::open_ambient_dir(dir.path(), ambient_authority()).expect("here");
    let mut enter = |part: &str| {
        folder.create_dir(part).expect("made");
        folder = folder.open_dir(part).expect("a folder");
    };
    for part in &parts {
        enter(part);
    }
    folder.write("file", "deep").expect("written");
    let further = "z".repeat(200);
    folder.create_dir(&further).expect("made");
    let beyond = folder.open_dir(&further).expect("a folder");
    beyond.write("file", "too deep").expect("written");
    put(&dir, "top", "1");
    let mut follower = looking_again(dir.path()).await;
    follower.until_hashed().await;
    let name = format!("{deep}/file");
    assert_eq!(follower.names(), ["top", &name]);
    assert!(follower.has(&name, b"deep"));
    let read = follower.share.read(DISK, content_of(b"deep"));
    assert_eq!(read.expect("here"), b"deep");
    follower.until(|f| !f.warnings.is_empty()).await;
    assert!(
        matches!(&follower.warnings[..], [ShareWarning::Unnameable { path, count: 1 }]
            if *path == Path::new(&deep).join(&further)),
        "{:?}",
        follower.warnings
    );
    let handle = Dir::open_ambient_dir(dir.path(), ambient_authority()).expect("here");
    handle.write(&name, "changed").expect("written");
    follower.until(|f| f.has(&name, b"changed")).await;
    assert_eq!(follower.scans, 1, "only that folder is looked at again");
}
