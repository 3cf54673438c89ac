//! Symbolic links in a share.

use super::*;
use thorp_disk::testing::DISK;

fn link(dir: &TempDir, to: impl AsRef<Path>, from: &str) {
    symlink(to, dir.path().join(from)).expect("linked");
}

fn why(follower: &Follower, path: &str) -> Option<LeftOutCause> {
    let all = follower.share.left_out_from(Bound::Unbounded, 100);
    let here = all.into_iter().find(|(left, _)| left == Path::new(path));
    here.map(|(_, cause)| cause)
}

#[tokio::test]
async fn a_link_to_a_file_of_the_share_is_one_more_name_of_it() {
    let dir = tempdir();
    put(&dir, "isos/one.iso", "one");
    link(&dir, "isos/one.iso", "latest.iso");
    link(&dir, "latest.iso", "chain");
    let root = dir.path().canonicalize().expect("a path");
    link(&dir, root.join("isos/one.iso"), "absolute");
    let name_of_root = root.file_name().expect("it has a name");
    link(
        &dir,
        Path::new("..").join(name_of_root).join("chain"),
        "out and in",
    );
    put(&dir, "folder/x", "x");
    link(&dir, "../isos/one.iso", "folder/beside");

    let mut follower = Follower::of(&dir).await;
    follower.until_hashed().await;
    let links = [
        "absolute",
        "chain",
        "folder/beside",
        "latest.iso",
        "out and in",
    ];
    for name in links.iter().chain(&["isos/one.iso"]) {
        assert!(follower.has(name, b"one"), "{name}");
    }
    let totals = follower.share.totals();
    assert_eq!(
        (totals.files, totals.links, totals.bytes),
        (7, 5, 6 * 3 + 1)
    );
    assert_eq!(totals.opened, 2, "each file is read once");
    assert_eq!(totals.skipped, Skipped::default());
    let read = follower.share.read(DISK, content_of(b"one"));
    assert_eq!(read.expect("here"), b"one");

    // The file changes, and all its names with it.
    put(&dir, "isos/one.iso", "two");
    follower
        .until(|f| links.iter().all(|name| f.has(name, b"two")))
        .await;
    // A link in the middle is turned to another file.
    put(&dir, "isos/three.iso", "three");
    fs::remove_file(dir.path().join("latest.iso")).expect("removed");
    link(&dir, "isos/three.iso", "latest.iso");
    follower
        .until(|f| {
            ["latest.iso", "chain", "out and in"]
                .iter()
                .all(|n| f.has(n, b"three"))
        })
        .await;
    assert!(follower.has("absolute", b"two"));
    // The file goes, comes back, and the folder of it goes.
    fs::rename(dir.path().join("isos/three.iso"), dir.path().join("x")).expect("moved");
    follower.until(|f| !f.listing.contains_key("chain")).await;
    follower.until(|f| f.has("x", b"three")).await;
    assert_eq!(why(&follower, "latest.iso"), Some(LeftOutCause::LinkBroken));
    fs::rename(dir.path().join("x"), dir.path().join("isos/three.iso")).expect("moved");
    follower.until(|f| f.has("chain", b"three")).await;
    assert_eq!(why(&follower, "latest.iso"), None);
    let away = tempdir();
    fs::rename(dir.path().join("isos"), away.path().join("isos")).expect("moved");
    follower.until(|f| f.names() == ["folder/x"]).await;
    assert_eq!(follower.share.totals().skipped.symlinks, 5);
    fs::rename(away.path().join("isos"), dir.path().join("isos")).expect("moved");
    follower
        .until(|f| f.has("absolute", b"two") && f.has("chain", b"three"))
        .await;
    let totals = follower.share.totals();
    assert_eq!((totals.files, totals.links), (8, 5));
}

#[tokio::test]
async fn links_that_lead_to_no_file_of_the_share_are_counted_with_why() {
    let (dir, outside) = (tempdir(), tempdir());
    put(&outside, "secret", "secret");
    put(&dir, "folder/file", "1");
    put(&dir, ".private/key", "2");
    put(&dir, "x.log", "3");
    put(&dir, ".thorpignore", "*.log");
    put(&dir, "state/thorp-state", "1");
    put(&dir, "state/key", "4");
    let leads = [
        (outside.path().join("secret"), "out", LeftOutCause::LinkOut),
        (
            "../../../../../etc/passwd".into(),
            "climbs",
            LeftOutCause::LinkOut,
        ),
        ("/".into(), "top", LeftOutCause::LinkOut),
        ("..".into(), "above", LeftOutCause::LinkOut),
        ("circle-2".into(), "circle-1", LeftOutCause::LinkBroken),
        ("circle-1".into(), "circle-2", LeftOutCause::LinkBroken),
        ("self/x".into(), "self", LeftOutCause::LinkBroken),
        ("nothing".into(), "dangling", LeftOutCause::LinkBroken),
        ("folder".into(), "to-folder", LeftOutCause::LinkToFolder),
        (".".into(), "to-all", LeftOutCause::LinkToFolder),
        (
            ".private/key".into(),
            "to-hidden",
            LeftOutCause::LinkToLeftOut,
        ),
        ("x.log".into(), "to-ignored", LeftOutCause::LinkToLeftOut),
        ("state/key".into(), "to-key", LeftOutCause::LinkToLeftOut),
        ("out".into(), "chain-out", LeftOutCause::LinkOut),
    ];
    for (to, from, _) in &leads {
        link(&dir, to, from);
    }
    // By way of a link to a folder one gets to a file all the same.
    link(&dir, "to-folder/file", "through");
    let mut follower = Follower::of(&dir).await;
    follower.until_hashed().await;
    assert_eq!(follower.names(), ["folder/file", "through"]);
    for (_, from, cause) in &leads {
        assert_eq!(why(&follower, from), Some(*cause), "{from}");
    }
    let counted = follower.share.totals().skipped.symlinks;
    assert_eq!(counted, leads.len() as u64);
    assert!(follower.share.find(content_of(b"secret")).is_none());
    // What was left out no longer is.
    put(&dir, ".thorpignore", "");
    follower.until(|f| f.has("to-ignored", b"3")).await;
}

#[tokio::test]
async fn a_link_that_is_swapped_leads_no_reader_out() {
    let (dir, outside) = (tempdir(), tempdir());
    put(&outside, "secret", "mine");
    put(&dir, "folder/file", "ours");
    link(&dir, "folder/file", "link");
    // Nothing is reported, as if the reader were faster.
    let options = Options {
        watch: false,
        ..Options::default()
    };
    let mut follower = Follower::with(&dir, options).await;
    follower.until_hashed().await;
    let content = content_of(b"ours");
    let swap = |name: &str, to: &Path| {
        let new = dir.path().join("new");
        symlink(to, &new).expect("linked");
        fs::rename(&new, dir.path().join(name)).expect("swapped");
    };
    swap("link", &outside.path().join("secret"));
    assert_eq!(
        follower.share.read(DISK, content).expect("the file"),
        b"ours"
    );
    // The file itself is swapped, and the folder.
    swap("folder/file", &outside.path().join("secret"));
    assert!(follower.share.read(DISK, content).is_err());
    fs::rename(dir.path().join("folder"), dir.path().join("was")).expect("moved");
    swap("folder", outside.path());
    put(&outside, "file", "ours");
    assert!(follower.share.read(DISK, content).is_err());
    assert!(follower.share.open_content(DISK, content).is_err());
    assert!(follower.share.find(content_of(b"mine")).is_none());
}

#[tokio::test]
async fn a_file_is_asked_for_by_a_link_and_hashed_once() {
    let dir = tempdir();
    let bytes = large(3_000_000);
    put(&dir, "file", &bytes);
    link(&dir, "file", "link");
    let follower = Follower::of(&dir).await;
    let entry = follower.share.hash_now(&name("link")).await;
    let entry = entry.expect("hashed");
    assert_eq!(entry.name, name("link"));
    assert_eq!(entry.content(), Some(content_of(&bytes)));
    assert_eq!(follower.share.totals().opened, 1);
}

#[tokio::test]
async fn a_fetched_file_takes_the_place_of_a_link() {
    let dir = tempdir();
    put(&dir, "file", "old");
    link(&dir, "file", "link");
    let mut follower = Follower::of(&dir).await;
    follower.until(|f| f.has("link", b"old")).await;
    let content = content_of(b"new");
    let share = &follower.share;
    let taken = share.store(
        DISK,
        SmallFile {
            name: &name("link"),
            content,
            attributes: None,
            came: Hashed::of(b"new"),
            replace: Replace::No,
            set_aside: None,
        },
    );
    assert!(matches!(taken, Err(StoreError::Exists { .. })), "{taken:?}");
    share
        .store(
            DISK,
            SmallFile {
                name: &name("link"),
                content,
                attributes: None,
                came: Hashed::of(b"new"),
                replace: Replace::Yes,
                set_aside: None,
            },
        )
        .expect("stored");
    follower.until(|f| f.has("link", b"new")).await;
    assert!(follower.has("file", b"old"));
    put(&dir, "file", "newer");
    follower.until(|f| f.has("file", b"newer")).await;
    assert!(follower.has("link", b"new"));
    assert_eq!(follower.share.totals().links, 0);
}

#[tokio::test]
async fn after_any_turmoil_of_links_the_listing_is_what_is_there() {
    let dir = tempdir();
    let mut follower = Follower::of(&dir).await;
    let mut state = 4_711_u64;
    let mut any = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for step in 0..3000 {
        let mut place = || format!("d{}/f{}", any(3), any(6));
        let (one, other) = (dir.path().join(place()), place());
        let _ = fs::create_dir_all(one.parent().expect("a folder"));
        let _ = match any(10) {
            0..=2 => fs::remove_file(&one).and_then(|()| fs::write(&one, format!("{step}"))),
            3..=6 => {
                let _ = fs::remove_file(&one);
                symlink(Path::new("..").join(other), &one)
            }
            7 => fs::remove_file(&one),
            8 => fs::rename(&one, dir.path().join(other)),
            _ => fs::write(&one, format!("{step}")),
        };
    }
    let truth = truth(dir.path());
    follower
        .until(|f| {
            let told = f.listing.iter().map(|(name, e)| (name, e.content()));
            told.eq(truth.iter().map(|(name, content)| (name, *content)))
        })
        .await;
}
