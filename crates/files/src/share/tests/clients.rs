//! What a share knows for BitTorrent clients of version 1, and when it reads files for it.

use thorp_wire::InfoHash;
use thorp_wire::torrent::build::{Privacy, v1_info};
use thorp_wire::torrent::{PieceHasher, info_hash_v1};

use super::*;

fn serving(folder: &TempDir) -> Options {
    Options {
        bittorrent: true,
        ..remembering(folder)
    }
}

fn info_of(base: &str, bytes: &[u8]) -> Vec<u8> {
    let mut hasher = PieceHasher::new(256 * 1024);
    hasher.update(bytes);
    v1_info(base, bytes.len() as u64, &hasher.finish(), Privacy::Private)
}

#[expect(clippy::unnecessary_wraps, reason = "as an entry has it")]
fn v1_of(base: &str, bytes: &[u8]) -> Option<InfoHash> {
    Some(info_hash_v1(&info_of(base, bytes)))
}

impl Follower {
    fn v1(&self, name: &str) -> Option<InfoHash> {
        self.listing.get(name).and_then(|entry| entry.v1)
    }

    async fn until_all_have_v1(&mut self) {
        let has = |entry: &Entry| entry.v1.is_some() || entry.length == 0;
        self.until(|f| f.listing.values().all(has)).await;
    }
}

#[tokio::test]
async fn without_clients_no_file_is_hashed_for_them() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "a", "a");
    let mut follower = Follower::with(&dir, remembering(&state)).await;
    follower.until_hashed().await;
    assert_eq!(follower.v1("a"), None);
    let info = follower
        .share
        .v1_info(DISK, &name("a"), Privacy::Private)
        .expect("no fault");
    assert_eq!(info, None);
}

#[tokio::test]
async fn the_info_hash_is_found_out_in_the_same_read_as_the_root_and_remembered() {
    let (dir, state) = (tempdir(), tempdir());
    let bytes = large(600_000);
    put(&dir, "d/large", &bytes);
    put(&dir, "empty", "");
    put(&dir, "small", "small");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_all_have_v1().await;
    assert_eq!(follower.v1("d/large"), v1_of("large", &bytes));
    assert_eq!(follower.v1("small"), v1_of("small", b"small"));
    assert_eq!(follower.v1("empty"), None);
    assert_eq!(follower.share.totals().opened, 2);
    follower.end();

    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_all_have_v1().await;
    assert_eq!(follower.v1("d/large"), v1_of("large", &bytes));
    let info = follower
        .share
        .v1_info(DISK, &name("d/large"), Privacy::Private);
    assert_eq!(info.expect("no fault"), Some(info_of("large", &bytes)));
    assert_eq!(follower.share.totals().opened, 0);
}

#[tokio::test]
async fn files_that_were_hashed_before_clients_came_are_read_for_them_once() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "a", "a");
    put(&dir, "b", "b");
    let mut follower = Follower::with(&dir, remembering(&state)).await;
    follower.until_hashed().await;
    follower.end();

    let mut follower = Follower::with(&dir, serving(&state)).await;
    assert!(follower.has("a", b"a"), "its root is known at once");
    follower.until_all_have_v1().await;
    assert_eq!(follower.v1("a"), v1_of("a", b"a"));
    assert_eq!(follower.share.totals().opened, 2);
    follower.end();

    // What has clients no longer is listed without it, and is still remembered.
    let mut follower = Follower::with(&dir, remembering(&state)).await;
    follower.until_hashed().await;
    assert_eq!(follower.v1("a"), None);
    follower.end();
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_all_have_v1().await;
    assert_eq!(follower.share.totals().opened, 0);
}

#[tokio::test]
async fn a_fetched_file_is_read_for_clients_though_its_root_is_known() {
    let (dir, state) = (tempdir(), tempdir());
    let mut follower = Follower::with(&dir, serving(&state)).await;
    let content = content_of(b"fetched");
    let stored = follower.share.store(
        DISK,
        SmallFile {
            name: &name("x"),
            content,
            attributes: Some(at(5)),
            came: Hashed::of(b"fetched"),
            replace: Replace::No,
            set_aside: None,
        },
    );
    stored.expect("stored");
    follower.until(|f| f.v1("x").is_some()).await;
    assert_eq!(follower.v1("x"), v1_of("x", b"fetched"));
}

#[tokio::test]
async fn a_file_that_changes_has_another_info_hash() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "a", "before");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_all_have_v1().await;
    put(&dir, "a", "behind it");
    let then = v1_of("a", b"behind it");
    follower.until(|f| f.v1("a") == then).await;
    // It was never listed with the root of one and the info-hash of the other.
    assert!(follower.has("a", b"behind it"));
}

#[tokio::test]
async fn a_link_has_the_info_hash_of_its_file_where_both_have_the_same_last_part() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "d/a", "a");
    put(&dir, "e/other", "other");
    symlink("../d/a", dir.path().join("e/a")).expect("a link");
    symlink("../d/a", dir.path().join("e/b")).expect("a link");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    let hash = v1_of("a", b"a");
    follower
        .until(|f| f.v1("e/a") == hash && f.v1("d/a") == hash)
        .await;
    assert_eq!(follower.v1("e/b"), None);
}
