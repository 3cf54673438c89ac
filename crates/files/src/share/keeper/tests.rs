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
