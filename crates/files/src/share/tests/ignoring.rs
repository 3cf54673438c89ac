//! `.thorpignore`, as its owner writes it and as an attacker would.

use super::*;
use crate::share::rules::LONGEST_IGNORE_FILE;
use crate::share::warning::IgnoreProblem;

/// A share that has files at its top and in a folder, and listens to its rules.
fn folder() -> TempDir {
    let dir = tempdir();
    put(&dir, "top", "1");
    put(&dir, "docs/a", "2");
    put(&dir, "docs/deep/b", "3");
    dir
}

fn is_about(warning: &ShareWarning, file: &str, problem: &IgnoreProblem) -> bool {
    matches!(warning, ShareWarning::IgnoreFile { path, why }
        if path == Path::new(file) && why == problem)
}

/// A folder with such a file is left out, the user is told, and all is well again
/// once that is mended.
async fn closes_its_folder(make: impl FnOnce(&Path), problem: IgnoreProblem) {
    let dir = folder();
    let file = dir.path().join("docs/.thorpignore");
    make(&file);
    let mut follower = Follower::of(&dir).await;
    assert_eq!(follower.names(), ["top"]);
    let skipped = follower.share.totals().skipped;
    assert_eq!((skipped.ignore_files, skipped.total()), (1, 1));
    follower.until(|f| !f.warnings.is_empty()).await;
    assert!(
        is_about(&follower.warnings[0], "docs/.thorpignore", &problem),
        "{:?}",
        follower.warnings
    );
    // What comes later is left out as well.
    put(&dir, "docs/new", "4");
    put(&dir, "later", "5");
    follower.until(|f| f.has("later", b"5")).await;
    assert_eq!(follower.names(), ["later", "top"]);
    assert_eq!(follower.share.totals().skipped, skipped);
    fs::remove_file(&file).expect("removed");
    fs::write(&file, "a\n").expect("written");
    follower.until(|f| f.has("docs/new", b"4")).await;
    assert_eq!(
        follower.names(),
        ["docs/deep/b", "docs/new", "later", "top"]
    );
    let expected = Skipped {
        hidden: 1,
        ignored: 1,
        ..Skipped::default()
    };
    assert_eq!(follower.share.totals().skipped, expected);
    assert_eq!(follower.warnings.len(), 1);
}

#[tokio::test]
async fn a_pipe_that_is_called_thorpignore_holds_nothing_up() {
    let make = |file: &Path| {
        let made = std::process::Command::new("mkfifo").arg(file).status();
        assert!(made.expect("mkfifo is there").success());
    };
    closes_its_folder(make, IgnoreProblem::NotAFile).await;
}

#[tokio::test]
async fn a_thorpignore_is_not_followed_to_a_device_nor_out_of_the_share() {
    let outside = tempdir();
    put(&outside, "patterns", "top\n");
    let leads_out = outside.path().join("patterns");
    for to in ["/dev/zero", "/dev/random", "../top"].map(PathBuf::from) {
        let make = |file: &Path| symlink(&to, file).expect("linked");
        closes_its_folder(make, IgnoreProblem::NotAFile).await;
    }
    let make = |file: &Path| symlink(&leads_out, file).expect("linked");
    closes_its_folder(make, IgnoreProblem::NotAFile).await;
}

#[tokio::test]
async fn a_thorpignore_without_end_is_not_read() {
    let most = LONGEST_IGNORE_FILE;
    let make = |file: &Path| {
        let made = fs::File::create(file).expect("made");
        made.set_len(1 << 40).expect("sparse");
    };
    closes_its_folder(make, IgnoreProblem::TooLong { most }).await;
}

#[tokio::test]
async fn the_longest_thorpignore_counts_and_one_byte_more_does_not() {
    let dir = folder();
    let most = usize::try_from(LONGEST_IGNORE_FILE).expect("fits");
    let line = "docs/*x*y*z*\n";
    let mut lines = line.repeat(most / line.len() - 1);
    lines.push_str(&"#".repeat(most - lines.len() - 4));
    lines.push_str("\ntop");
    put(&dir, ".thorpignore", &lines);
    let mut follower = Follower::of(&dir).await;
    assert_eq!(follower.names(), ["docs/a", "docs/deep/b"]);
    lines.push('\n');
    put(&dir, ".thorpignore", &lines);
    follower.until(|f| f.listing.is_empty()).await;
    follower.until(|f| !f.warnings.is_empty()).await;
    let problem = IgnoreProblem::TooLong {
        most: LONGEST_IGNORE_FILE,
    };
    assert!(is_about(&follower.warnings[0], ".thorpignore", &problem));
    let skipped = follower.share.totals().skipped;
    assert_eq!((skipped.ignore_files, skipped.total()), (1, 1), "itself");
    fs::remove_file(dir.path().join(".thorpignore")).expect("removed");
    follower.until(|f| f.listing.len() == 3).await;
}

#[tokio::test]
async fn deeper_lines_go_before_those_above_and_a_bad_one_is_named() {
    let dir = folder();
    put(&dir, ".thorpignore", "*.o\n/docs/a\n[z-a]\nbuild/\n");
    put(&dir, "docs/.thorpignore", "!kept.o\n\n/deep/\n");
    put(&dir, "kept.o", "4");
    put(&dir, "docs/kept.o", "5");
    put(&dir, "docs/x.o", "6");
    put(&dir, "docs/more/kept.o", "7");
    put(&dir, "docs/build/x", "8");
    put(&dir, "build", "a file");
    let mut follower = Follower::of(&dir).await;
    let names = ["build", "docs/kept.o", "docs/more/kept.o", "top"];
    assert_eq!(follower.names(), names);
    follower.until(|f| !f.warnings.is_empty()).await;
    assert!(
        matches!(&follower.warnings[..], [ShareWarning::IgnoreLine { path, line: 3, .. }]
            if path == Path::new(".thorpignore")),
        "{:?}",
        follower.warnings
    );
    // The watcher asks about single paths, and is told the same.
    for path in [
        "new.o",
        "docs/deep/new",
        "docs/build/new",
        "docs/more/kept.o",
    ] {
        put(&dir, path, "9");
    }
    put(&dir, "last", "10");
    follower.until(|f| f.has("last", b"10")).await;
    follower.until(|f| f.has("docs/more/kept.o", b"9")).await;
    let names = ["build", "docs/kept.o", "docs/more/kept.o", "last", "top"];
    assert_eq!(follower.names(), names);
}

#[tokio::test]
async fn a_folder_that_is_moved_here_with_a_device_for_rules_is_shared_once_they_can_be_read() {
    let (dir, elsewhere) = (tempdir(), folder());
    let file = elsewhere.path().join("docs/.thorpignore");
    symlink("/dev/zero", &file).expect("linked");
    let mut follower = Follower::of(&dir).await;
    fs::rename(elsewhere.path().join("docs"), dir.path().join("docs")).expect("moved");
    follower.until(|f| !f.warnings.is_empty()).await;
    assert_eq!(follower.share.totals().skipped.ignore_files, 1);
    put(&dir, "docs/deep/.thorpignore", "b");
    put(&dir, "docs/deep/c", "4");
    fs::remove_file(dir.path().join("docs/.thorpignore")).expect("removed");
    follower.until(|f| f.has("docs/deep/c", b"4")).await;
    assert_eq!(follower.names(), ["docs/a", "docs/deep/c"]);
    assert_eq!(follower.share.totals().skipped.ignore_files, 0);
}
