use super::*;
use crate::share::locks::write;
use crate::share::{Options, Share};
use thorp_disk::testing::DISK;

#[tokio::test]
async fn a_file_that_nobody_gets_on_with_is_no_reason_to_look_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let (share, mut changes) =
        Share::open(DISK, dir.path(), Options::default()).expect("is shared");
    while !matches!(changes.recv().await, Some(ShareEvent::Scanned { .. })) {}
    let stamp = Stamp {
        length: 5,
        mtime: 0,
        mtime_nanos: 0,
        executable: false,
        ctime: 0,
        inode: 1,
        device: 1,
    };
    write(&share.shared.index).on_file_found(&"not there".parse().expect("a name"), stamp);

    let (events, _held) = mpsc::channel(1);
    let mut keeper = Keeper::new(Arc::clone(&share.shared), events);
    let progress = HashingProgress {
        unhashed: read(&share.shared.index).unhashed(),
        bytes: stamp.length,
    };
    let now = Instant::now();
    keeper.told_progress = Some((now.checked_sub(2 * PROGRESS).expect("a while"), progress));
    assert!(keeper.tell_progress().is_ok());
    assert!(keeper.deadline() > Some(now), "it is not due already");
}

#[tokio::test]
async fn what_a_file_was_is_let_go_of_when_its_time_is_over() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("f"), b"a line").expect("written");
    let (share, mut changes) =
        Share::open(DISK, dir.path(), Options::default()).expect("is shared");
    let name = "f".parse().expect("a name");
    let entry = || read(&share.shared.index).entry(&name);
    while entry().and_then(|entry| entry.content()).is_none() {
        changes.recv().await.expect("the share is open");
    }
    let content = entry().and_then(|entry| entry.content()).expect("hashed");
    let stamp = read(&share.shared.index)
        .record(&name)
        .expect("listed")
        .stamp;
    assert!(share.shared.hold(&name, stamp, content, vec![[1; 32]]));
    assert!(share.shared.held_layer(&name, content).is_some());

    let (events, _held) = mpsc::channel(1);
    let keeper = Keeper::new(Arc::clone(&share.shared), events);
    let until = share.shared.held_until();
    assert!(
        until.is_some() && keeper.deadline() <= until,
        "it is looked after"
    );
    let over = Instant::now();
    for held in lock(&share.shared.held).values_mut() {
        held.until = over;
    }
    assert_eq!(share.shared.held_layer(&name, content), None);
    share.shared.forget_held(over);
    assert!(lock(&share.shared.held).is_empty());
}
