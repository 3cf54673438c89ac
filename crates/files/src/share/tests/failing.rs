//! A disk that gives errors and comes back: what is listed meanwhile. The disk is a FUSE
//! file system with one file, whose server is told what to answer.

use rustix::io::Errno;
use thorp_disk::testing::FailingDisk;

use super::alone::skip;
use super::inbox::Report;
use super::*;

const FILE: &[u8] = b"what is on the disk\n";

#[tokio::test]
async fn a_share_that_cannot_be_looked_at_stays_listed_for_a_while() {
    let test = "a_share_that_cannot_be_looked_at_stays_listed_for_a_while";
    let dir = tempdir();
    let Some(disk) = mounted(test, dir.path()) else {
        return;
    };
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    assert!(follower.has("file", FILE));
    let told = follower.deltas.len();

    disk.answers(Errno::IO);
    follower.until(|f| f.warnings.iter().any(is_not_now)).await;
    let read = follower.share.read(DISK, content_of(FILE));
    assert!(matches!(read, Err(ReadError::NotNow { .. })), "{read:?}");
    let stored = follower.share.store(
        DISK,
        SmallFile {
            name: &name("new"),
            content: content_of(b"2"),
            attributes: None,
            came: Hashed::of(b"2"),
            replace: Replace::No,
            set_aside: None,
        },
    );
    assert!(matches!(stored, Err(StoreError::Io { .. })), "{stored:?}");
    assert!(follower.has("file", FILE));

    disk.is_well();
    let scans = follower.scans;
    follower.until(|f| f.scans > scans).await;
    let read = follower.share.read(DISK, content_of(FILE));
    assert_eq!(read.expect("it is back"), FILE);
    assert_eq!(follower.deltas.len(), told, "nothing was told to members");
    assert_eq!(follower.warnings.len(), 1, "{:?}", follower.warnings);

    // One that does not come back, and then does after all.
    disk.answers(Errno::IO);
    follower.until(|f| f.names().is_empty()).await;
    disk.is_well();
    follower.until(|f| f.has("file", FILE)).await;
    // What it says is believed at once.
    disk.answers(Errno::NOENT);
    let asked = Instant::now();
    follower.until(|f| f.names().is_empty()).await;
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_share_that_cannot_be_looked_at_is_looked_at_from_time_to_time_only() {
    let test = "a_share_that_cannot_be_looked_at_is_looked_at_from_time_to_time_only";
    let dir = tempdir();
    let Some(disk) = mounted(test, dir.path()) else {
        return;
    };
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    disk.answers(Errno::IO);
    follower.until(|f| f.warnings.iter().any(is_not_now)).await;
    // It stays listed for three seconds, in which the keeper looks every tenth of one.
    let asked = disk.asked();
    follower.until(|f| f.names().is_empty()).await;
    assert!(disk.asked() - asked < 150, "{}", disk.asked() - asked);
}

#[tokio::test]
async fn what_is_reported_while_the_share_cannot_be_looked_at_is_seen_to_afterwards() {
    let test = "what_is_reported_while_the_share_cannot_be_looked_at_is_seen_to_afterwards";
    let dir = tempdir();
    let Some(disk) = mounted(test, dir.path()) else {
        return;
    };
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    for is_distrusted in [true, false] {
        disk.answers(Errno::IO);
        disk.is_asked_more_often(3);
        let shared = &follower.share.shared;
        if is_distrusted {
            shared.distrust(&name("file"));
        } else {
            shared.inbox.written("file");
        }
        // The keeper comes by, and cannot look at it.
        disk.is_asked_more_often(5);
        let told = follower.history.len();
        disk.is_well();
        // It is hashed anew, though its stamp is the same.
        follower.until(|f| f.history.len() >= told + 2).await;
        assert!(follower.has("file", FILE));
    }
}

#[tokio::test]
async fn a_name_goes_where_a_file_system_has_the_file_in_other_letters_only() {
    let test = "a_name_goes_where_a_file_system_has_the_file_in_other_letters_only";
    let dir = tempdir();
    let Some(disk) = mounted(test, dir.path()) else {
        return;
    };
    // Changes there are not reported.
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    disk.calls_its_file("File");
    fs::metadata(dir.path().join("file")).expect("is found by both");
    follower
        .until(|f| f.names() == ["File"] && f.has("File", FILE))
        .await;
    // That it has gone is reported, and so is that it is there.
    follower.end();
    let mut follower = Follower::at(dir.path(), Options::default()).await;
    follower.until_hashed().await;
    disk.calls_its_file("FILE");
    let inbox = &follower.share.shared.inbox;
    inbox.report(vec![
        ("File".into(), Report::Other),
        ("FILE".into(), Report::MovedHere),
    ]);
    follower
        .until(|f| f.names() == ["FILE"] && f.has("FILE", FILE))
        .await;
    // One that may have gone and is there.
    let told = follower.history.len();
    let inbox = &follower.share.shared.inbox;
    inbox.report(vec![("FILE".into(), Report::Other)]);
    inbox.written("FILE");
    follower.until(|f| f.history.len() >= told + 2).await;
    assert!(follower.has("FILE", FILE));
}

#[tokio::test]
async fn a_folder_of_a_share_that_cannot_be_looked_at_stays_listed_and_the_rest_goes_on() {
    let test = "a_folder_of_a_share_that_cannot_be_looked_at_stays_listed_and_the_rest_goes_on";
    let dir = tempdir();
    put(&dir, "here", "1");
    let inside = dir.path().join("disk");
    fs::create_dir(&inside).expect("made");
    let Some(disk) = mounted(test, &inside) else {
        return;
    };
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    assert_eq!(follower.names(), ["disk/file", "here"]);

    disk.answers(Errno::IO);
    follower.until(|f| f.warnings.iter().any(is_not_now)).await;
    put(&dir, "new", "2");
    follower.until(|f| f.has("new", b"2")).await;
    assert!(follower.has("disk/file", FILE));
    disk.is_well();
    put(&dir, "newer", "3");
    follower.until(|f| f.has("newer", b"3")).await;
    assert!(follower.has("disk/file", FILE));
    let removed: usize = follower.deltas.iter().map(|(_, removed)| removed).sum();
    assert_eq!(removed, 0);

    disk.answers(Errno::IO);
    follower
        .until(|f| f.names() == ["here", "new", "newer"])
        .await;
    disk.is_well();
    follower.until(|f| f.has("disk/file", FILE)).await;
}

#[tokio::test]
async fn a_file_that_the_disk_does_not_give_stays_listed_and_is_given_once_it_does() {
    let test = "a_file_that_the_disk_does_not_give_stays_listed_and_is_given_once_it_does";
    let dir = tempdir();
    let Some(disk) = mounted(test, dir.path()) else {
        return;
    };
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    let opened = follower.share.open_content(DISK, content_of(FILE));
    let opened = opened.expect("is open");
    let told = follower.deltas.len();

    disk.answers_reads(Errno::IO);
    let read = follower.share.read(DISK, content_of(FILE));
    assert!(matches!(read, Err(ReadError::NotNow { .. })), "{read:?}");
    follower.until(|f| f.warnings.iter().any(is_not_now)).await;
    let piece = opened.read(DISK, &mut [0; 4], 0);
    assert!(matches!(piece, Err(ReadError::NotNow { .. })), "{piece:?}");
    let scans = follower.scans;
    follower.until(|f| f.scans > scans + 1).await;
    assert!(follower.has("file", FILE));

    disk.is_well();
    let read = follower.share.read(DISK, content_of(FILE));
    assert_eq!(read.expect("it is back"), FILE);
    opened.read(DISK, &mut [0; 4], 0).expect("it is back");
    // Longer than it would stay listed, had it not been given since.
    let later = Instant::now() + Duration::from_secs(4);
    follower.until(|_| Instant::now() > later).await;
    assert_eq!(follower.deltas.len(), told, "nothing was told to members");
    assert_eq!(follower.warnings.len(), 1, "{:?}", follower.warnings);
}

#[tokio::test]
async fn a_file_that_the_disk_does_not_give_for_long_is_unlisted_and_comes_back() {
    let test = "a_file_that_the_disk_does_not_give_for_long_is_unlisted_and_comes_back";
    let dir = tempdir();
    let Some(disk) = mounted(test, dir.path()) else {
        return;
    };
    disk.answers_reads(Errno::IO);
    let mut follower = looking_often(dir.path()).await;
    follower.until(|f| f.warnings.iter().any(is_not_now)).await;
    assert_eq!(follower.names(), ["file"]);
    let hashed = follower.share.hash_now(&name("file")).await;
    assert!(
        matches!(hashed, Err(HashError::NotNow { .. })),
        "{hashed:?}"
    );
    // Not hashed yet, it is hashed again by itself.
    disk.is_well();
    follower.until(|f| f.has("file", FILE)).await;

    // Hashed, and asked for again and again.
    disk.answers_reads(Errno::IO);
    let is_unread = |warning: &ShareWarning| matches!(warning, ShareWarning::FileUnread { .. });
    follower
        .until(|f| {
            let read = f.share.read(DISK, content_of(FILE));
            assert!(read.is_err(), "{read:?}");
            f.names().is_empty()
        })
        .await;
    follower.until(|f| f.warnings.iter().any(is_unread)).await;
    assert_eq!(follower.share.totals().skipped.unreadable, 1);
    disk.is_well();
    follower.until(|f| f.has("file", FILE)).await;
    assert_eq!(follower.share.totals().skipped.unreadable, 0);
    let read = follower.share.read(DISK, content_of(FILE));
    assert_eq!(read.expect("it is back"), FILE);
}

#[tokio::test]
async fn a_link_to_a_file_that_cannot_be_looked_at_stays_listed_with_it() {
    let test = "a_link_to_a_file_that_cannot_be_looked_at_stays_listed_with_it";
    let dir = tempdir();
    let inside = dir.path().join("disk");
    fs::create_dir(&inside).expect("made");
    let Some(disk) = mounted(test, &inside) else {
        return;
    };
    symlink("disk/file", dir.path().join("link")).expect("linked");
    symlink("link", dir.path().join("chain")).expect("linked");
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    let all = ["chain", "disk/file", "link"];
    assert_eq!(follower.names(), all);

    disk.answers(Errno::IO);
    follower.until(|f| f.warnings.iter().any(is_not_now)).await;
    // The links themselves are looked at too.
    follower.share.shared.inbox.overflow();
    let scans = follower.scans;
    follower.until(|f| f.scans > scans).await;
    assert_eq!(follower.names(), all);
    disk.is_well();
    follower.share.shared.inbox.overflow();
    let scans = follower.scans;
    follower.until(|f| f.scans > scans).await;
    let removed: usize = follower.deltas.iter().map(|(_, removed)| removed).sum();
    assert_eq!(removed, 0);

    disk.answers(Errno::IO);
    follower.until(|f| f.names().is_empty()).await;
    disk.is_well();
    follower.until(|f| f.names() == all).await;
    // What the disk says is believed at once.
    disk.answers(Errno::NOENT);
    let asked = Instant::now();
    follower.until(|f| f.names().is_empty()).await;
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
}

fn mounted(test: &str, at: &Path) -> Option<FailingDisk> {
    let disk = FailingDisk::mount(at, FILE);
    if disk.is_none() {
        skip(&format!("failing::{test}"), "root, and /dev/fuse");
    }
    disk
}

async fn looking_often(dir: &Path) -> Follower {
    let options = Options {
        poll: Duration::from_millis(100),
        ..Options::default()
    };
    Follower::at(dir, options).await
}

fn is_not_now(warning: &ShareWarning) -> bool {
    matches!(warning, ShareWarning::NotNow { .. })
}
