//! Torrents that follow from no file, and are kept: of folders, public ones of v1, others' ones.

use thorp_wire::torrent::Info;
use thorp_wire::torrent::build::{self, FolderFile, Privacy};

use super::*;
use crate::share::kept::{Kept, MOST_KEPT, Row};

fn serving(state: &TempDir) -> Options {
    Options {
        bittorrent: true,
        ..remembering(state)
    }
}

/// The v1 torrent of a folder with these files, which are in the torrent's order.
fn folder(share: &Share, folder: &str, files: &[&str]) -> (Vec<u8>, Vec<Name>) {
    let names: Vec<Name> = files
        .iter()
        .map(|file| name(&format!("{folder}/{file}")))
        .collect();
    let contents = names.iter().map(|name| {
        let entry = read(&share.shared.index).entry(name).expect("is listed");
        entry.content().expect("is hashed")
    });
    let contents: Vec<Content> = contents.collect();
    let of_folder = files
        .iter()
        .zip(&contents)
        .map(|(file, content)| FolderFile {
            name: name(file),
            content: *content,
        });
    let of_folder: Vec<_> = of_folder.collect();
    let piece_length = build::folder_piece_length(&of_folder);
    let of_share: Vec<_> = names.iter().cloned().zip(contents).collect();
    let pieces = share.hash_together(DISK, &of_share, piece_length, |_| true);
    let pieces = pieces.map_err(|(_, error)| error).expect("are read");
    let pieces = pieces.expect("is not stopped");
    let info = build::v1_folder_info(folder, &of_folder, &pieces, Privacy::Private);
    (info, names)
}

fn keep(share: &Share, info: &[u8], names: &[Name]) -> Result<Info, KeepError> {
    share.keep_torrent(DISK, info, names, &BTreeMap::new())
}

fn hash_of(info: &Info) -> InfoHash {
    info.info_hashes().next().expect("it has one")
}

#[tokio::test]
async fn a_torrent_of_a_folder_is_kept_over_a_restart_and_served_while_all_its_files_are_there() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "d/a", "a");
    put(&dir, "d/e/b", "bb");
    put(&dir, "d/empty", "");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_hashed().await;
    let (raw, names) = folder(&follower.share, "d", &["a", "e/b", "empty"]);
    let info = keep(&follower.share, &raw, &names).expect("is kept");
    let hash = hash_of(&info);
    follower.until(|f| f.torrents == [hash]).await;
    assert!(follower.share.has_kept(hash));
    follower.end();

    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until(|f| f.torrents == [hash]).await;
    let kept = follower.share.kept_torrent(DISK, hash).expect("is kept");
    assert_eq!(kept.info.raw(), raw);
    let files: Vec<_> = kept.files.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(files, names);
    let same = follower.share.kept_of(DISK, &kept.files, Info::is_private);
    assert_eq!(same, Some(kept.clone()));
    let other = follower.share.kept_of(DISK, &kept.files[1..], |_| true);
    assert_eq!(other, None);

    // A file goes away for a while, and is the same when it is back.
    let (there, away) = (dir.path().join("d/e/b"), state.path().join("away"));
    fs::rename(&there, &away).expect("is moved");
    follower.until(|f| f.torrents.is_empty()).await;
    assert!(!follower.share.has_kept(hash));
    assert_eq!(follower.share.kept_torrent(DISK, hash), None);
    fs::rename(&away, &there).expect("is back");
    follower.until(|f| f.torrents == [hash]).await;
}

#[tokio::test]
async fn a_torrent_whose_keys_are_in_no_order_is_kept_over_a_restart() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "d/a", "a");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_hashed().await;
    let (raw, names) = folder(&follower.share, "d", &["a"]);
    let last = b"7:privatei1e";
    let (body, end) = raw[1..].split_at(raw.len() - 2 - last.len());
    assert_eq!(end, [&last[..], b"e"].concat());
    let raw = [b"d", &last[..], body, b"e"].concat();
    let hash = hash_of(&keep(&follower.share, &raw, &names).expect("is kept"));
    follower.until(|f| f.torrents == [hash]).await;
    follower.end();

    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until(|f| f.torrents == [hash]).await;
    let kept = follower.share.kept_torrent(DISK, hash).expect("is kept");
    assert_eq!(kept.info.raw(), raw);
}

#[tokio::test]
async fn a_torrent_is_forgotten_when_a_file_has_changed_or_is_not_there_at_the_next_start() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "c/a", "a");
    put(&dir, "d/a", "a");
    put(&dir, "d/b", "b");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_hashed().await;
    let (raw, names) = folder(&follower.share, "c", &["a"]);
    let changes = hash_of(&keep(&follower.share, &raw, &names).expect("is kept"));
    let (raw, names) = folder(&follower.share, "d", &["a", "b"]);
    let goes = hash_of(&keep(&follower.share, &raw, &names).expect("is kept"));
    follower.until(|f| f.torrents.len() == 2).await;

    put(&dir, "c/a", "other");
    follower.until(|f| f.has("c/a", b"other")).await;
    follower.until(|f| f.torrents == [goes]).await;
    put(&dir, "c/a", "a");
    follower.until(|f| f.has("c/a", b"a")).await;
    assert!(!follower.share.has_kept(changes), "it is forgotten");
    follower.end();

    fs::remove_file(dir.path().join("d/b")).expect("is removed");
    let follower = Follower::with(&dir, serving(&state)).await;
    assert!(!follower.share.has_kept(goes));
    follower.end();
    put(&dir, "d/b", "b");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_hashed().await;
    assert_eq!(follower.torrents, []);
    assert!(follower.share.shared.cache.torrents().is_empty());
}

#[tokio::test]
async fn a_torrent_whose_files_are_on_a_disk_that_is_not_mounted_is_kept_until_it_is() {
    // All of the share is on that disk, or a folder of it.
    for beside in [None, Some("beside")] {
        let (dir, state) = (tempdir(), tempdir());
        put(&dir, "disk/d/a", "a");
        put(&dir, "disk/d/b", "bb");
        let share = dir.path().join(if beside.is_some() { "" } else { "disk" });
        if let Some(beside) = beside {
            put(&dir, beside, "1");
        }
        let mut follower = Follower::at(&share, serving(&state)).await;
        follower.until_hashed().await;
        let (raw, names) = if beside.is_some() {
            folder(&follower.share, "disk", &["d/a", "d/b"])
        } else {
            folder(&follower.share, "d", &["a", "b"])
        };
        let hash = hash_of(&keep(&follower.share, &raw, &names).expect("is kept"));
        follower.until(|f| f.torrents == [hash]).await;
        follower.end();

        // Its mount point is there, and nothing is in it.
        let (there, away) = (dir.path().join("disk/d"), state.path().join("away"));
        fs::rename(&there, &away).expect("is moved");
        let mut follower = Follower::at(&share, serving(&state)).await;
        follower.share.shared.inbox.overflow();
        follower.until(|f| f.scans == 2).await;
        assert!(!follower.share.has_kept(hash));
        follower.end();

        fs::rename(&away, &there).expect("is back");
        let mut follower = Follower::at(&share, serving(&state)).await;
        follower.until(|f| f.torrents == [hash]).await;
        follower.end();
    }
}

#[tokio::test]
async fn a_torrent_of_a_folder_that_cannot_be_looked_at_is_kept_until_it_can() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "d/e/a", "a");
    put(&dir, "d/b", "bb");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_hashed().await;
    let (raw, names) = folder(&follower.share, "d", &["b", "e/a"]);
    let hash = hash_of(&keep(&follower.share, &raw, &names).expect("is kept"));
    follower.until(|f| f.torrents == [hash]).await;
    follower.end();

    // Nothing reads it, root neither: it leaves out its folder.
    let ignoring = dir.path().join("d/e/.thorpignore");
    fs::create_dir(&ignoring).expect("is made");
    let follower = Follower::with(&dir, serving(&state)).await;
    assert!(!follower.share.has_kept(hash));
    follower.end();

    fs::remove_dir(&ignoring).expect("is removed");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until(|f| f.torrents == [hash]).await;
}

#[tokio::test]
async fn what_is_not_as_the_share_has_it_is_not_kept() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "d/a", "a");
    put(&dir, "d/b", "bb");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_hashed().await;
    let (raw, names) = folder(&follower.share, "d", &["a", "b"]);
    let differs = |names: &[Name]| {
        let kept = keep(&follower.share, &raw, names);
        assert!(matches!(kept, Err(KeepError::Differs { .. })), "{kept:?}");
    };
    differs(&names[..1]);
    differs(&[&names[..], &names[..1]].concat());
    differs(&[names[1].clone(), names[0].clone()]);
    differs(&[names[0].clone(), name("d/c")]);
    let no_torrent = keep(&follower.share, b"de", &names);
    assert!(matches!(no_torrent, Err(KeepError::NoTorrent(_))));
    assert_eq!(follower.torrents, []);

    let (plain, none) = (tempdir(), tempdir());
    put(&plain, "d/a", "a");
    let mut plain = Follower::with(&plain, remembering(&none)).await;
    plain.until_hashed().await;
    let kept = keep(&plain.share, &raw, &names[..1]);
    assert!(matches!(kept, Err(KeepError::ServesNoClients)));
}

#[tokio::test]
async fn what_follows_from_a_file_is_not_written() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "a", "a");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_hashed().await;
    let raw = build::v2_info("a", content_of(b"a"), Privacy::Public);
    keep(&follower.share, &raw, &[name("a")]).expect("no fault");
    assert!(follower.share.shared.cache.torrents().is_empty());
}

#[tokio::test]
async fn a_torrent_that_is_kept_anew_while_it_is_being_forgotten_is_on_disk_in_the_end() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "d/a", "a");
    put(&dir, "d/b", "bb");
    let mut follower = Follower::with(&dir, serving(&state)).await;
    follower.until_hashed().await;
    let share = &follower.share;
    let (raw, names) = folder(share, "d", &["a", "b"]);
    let hash = hash_of(&keep(share, &raw, &names).expect("is kept"));
    let entry = read(&share.shared.index).entry(&names[0]);
    let changed = Entry {
        length: 7,
        ..entry.expect("is listed")
    };
    for round in 0..200 {
        write(&share.shared.index).kept_mut().on_listed(&changed);
        assert!(!share.has_kept(hash));
        std::thread::scope(|scope| {
            scope.spawn(|| share.shared.forget_torrents());
            scope.spawn(|| keep(share, &raw, &names).expect("is kept"));
        });
        assert!(share.has_kept(hash));
        let kept = share.kept_torrent(DISK, hash);
        assert!(kept.is_some(), "round {round}: it is kept in memory only");
    }
}

#[test]
fn torrents_that_rest_give_way_first_and_then_the_oldest() {
    let entry = |content: Content| Entry {
        name: name("a"),
        length: content.length,
        mtime: 0,
        root: Some(content.root),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    };
    let (there, gone) = (content_of(b"a"), content_of(b"b"));
    let mut kept = Kept::default();
    let hash = |number: u64| {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        InfoHash::new(bytes)
    };
    let mut insert = |number, content| {
        let row = Row::of(vec![hash(number)], &[(name("a"), content)], 10);
        kept.insert(number, row, |_| Some(entry(there)));
        kept.check();
        kept.take_forgotten()
    };
    let most = MOST_KEPT as u64;
    for number in 0..most {
        // One rests.
        let content = if number == 7 { gone } else { there };
        assert_eq!(insert(number, content), []);
    }
    assert_eq!(insert(most, there), [hash(7)]);
    assert_eq!(insert(most + 1, there), [hash(0)]);
    assert_eq!(insert(most + 2, there), [hash(1)]);
    // One is kept again before its place on disk is given to nobody.
    let mut again = |number, expected: &[InfoHash]| {
        let row = Row::of(vec![hash(number)], &[(name("a"), there)], 10);
        kept.insert(most + 10 + number, row, |_| Some(entry(there)));
        kept.check();
        assert_eq!(kept.forgotten(), expected);
    };
    again(most + 3, &[hash(2)]);
    again(2, &[hash(3)]);
    assert_eq!(kept.take_forgotten(), [hash(3)]);
    assert_eq!(kept.take_news().map(|all| all.len()), Some(MOST_KEPT));
    // Another content, and all are forgotten.
    kept.on_unlisted(&entry(there));
    kept.on_listed(&entry(gone));
    kept.check();
    assert_eq!(kept.take_news(), Some(vec![]));
    assert_eq!(kept.take_forgotten().len(), MOST_KEPT);
}
