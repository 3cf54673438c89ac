//! Files that are written to while they are fetched, in ways that a file system tells little
//! of: through a mapping, and all the time.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use memmap2::MmapMut;
use thorp_node::api::Command;

use super::support::{Village, Villager, bytes, read, within};
use super::teller::File;

const MIB: usize = 1024 * 1024;

/// A file that is open to be written to through a mapping, in a share from now on. What is
/// written later shows in its times only once it is on disk.
fn mapped(share: &Path, bytes: &[u8]) -> MmapMut {
    let beside = share.with_extension("mapped");
    fs::write(&beside, bytes).expect("is written");
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(&beside);
    #[expect(unsafe_code, reason = "no other program shortens the file")]
    let mut mapping = unsafe { MmapMut::map_mut(&file.expect("opens")) }.expect("is mapped");
    for page in mapping.chunks_mut(4096) {
        page[0] = std::hint::black_box(page[0]);
    }
    fs::rename(beside, share.join("f")).expect("moves in");
    mapping
}

#[tokio::test]
async fn a_file_that_was_written_through_a_mapping_comes_as_it_is_now_and_nobody_is_blamed() {
    let village = Village::new().await;
    let before = bytes(1, 8 * MIB);
    let oak = village.peer("oak", &[]).await;
    let mut elm = village.peer("elm", &[]).await;
    let mut mapping = mapped(&oak.dir, &before);
    lists(&elm, &before).await;
    // Nothing says so, neither the listing nor the file's times.
    mapping[5 * MIB] ^= 1;
    elm.get_name("f").await.done().only_fetched();
    assert!(read(&elm.dir, "f") == *mapping);
    while let Ok(notice) = elm.notices.try_recv() {
        assert!(!format!("{notice:?}").contains("oak"), "{notice:?}");
    }
}

#[tokio::test]
async fn of_a_file_that_was_written_through_a_mapping_another_holder_has_what_it_was() {
    let village = Village::new().await;
    let before = bytes(2, 8 * MIB);
    let oak = village.peer("oak", &[]).await;
    let ash = village.peer("ash", &[]).await;
    let mut elm = village.peer("elm", &[]).await;
    let mut mapping = mapped(&oak.dir, &before);
    lists(&ash, &before).await;
    ash.get_name("f").await.done().only_fetched();
    for page in mapping.chunks_mut(MIB) {
        page[100] ^= 1;
    }
    elm.get_name("f").await.done().only_fetched();
    let here = read(&elm.dir, "f");
    assert!(here == before || here == *mapping, "one or the other");
    while let Ok(notice) = elm.notices.try_recv() {
        assert!(!format!("{notice:?}").contains("oak"), "{notice:?}");
    }
}

#[tokio::test]
async fn a_large_log_that_is_never_at_rest_comes_as_it_is_at_that_moment() {
    let village = Village::new().await;
    let before = bytes(3, 8 * MIB);
    let oak = village.peer("oak", &[("f", &before)]).await;
    let elm = village.peer("elm", &[]).await;
    lists(&elm, &before).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut log = OpenOptions::new()
        .append(true)
        .open(oak.dir.join("f"))
        .expect("opens");
    let writing = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            while !is_over.load(Ordering::Relaxed) {
                log.write_all(b"a line\n").expect("is written");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    within("the log to be listed as one that grows", async {
        while listed(&elm).await != [None] {}
    })
    .await;
    elm.get_name("f").await.done().only_fetched();
    let here = read(&elm.dir, "f");
    assert!(here.len() > before.len() && here.starts_with(&before));
    assert!(
        here[before.len()..]
            .chunks(7)
            .all(|line| line == b"a line\n")
    );
    is_over.store(true, Ordering::Relaxed);
    writing.join().expect("ends");
}

/// Waits until this content is listed as `f`.
async fn lists(elm: &Villager, bytes: &[u8]) {
    let root = File::new(bytes.to_vec()).content().root.to_string();
    within("the file to be listed", async {
        while !listed(elm).await.contains(&Some(root.clone())) {}
    })
    .await;
}

/// The roots of what is listed as `f`.
async fn listed(elm: &Villager) -> Vec<Option<String>> {
    let pattern = "f".into();
    let found = elm.ask(Command::Find { pattern }).await.done();
    let files = found.files().into_iter();
    files.map(|row| row.root.clone()).collect()
}
