use super::*;
use crate::share::{Options, Share, ShareEvent};
use cap_std::ambient_authority;
use std::fs;
use std::io::Write;
use thorp_disk::testing::DISK;
use thorp_wire::merkle;

fn dir() -> (tempfile::TempDir, Dir) {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).expect("its handle");
    (temp, dir)
}

fn hash(dir: &Dir, go_on: &mut dyn FnMut(u64) -> bool) -> Outcome {
    hash_file(
        dir,
        &"f".parse().expect("a name"),
        &mut [0; 16],
        false,
        &|| false,
        go_on,
    )
}

#[test]
fn a_file_at_rest_gets_the_root_of_its_bytes() {
    let (temp, dir) = dir();
    for length in [0, 1, 15, 16, 17, 16_383, 16_384, 16_385] {
        let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
        fs::write(temp.path().join("f"), &bytes).expect("written");
        match hash(&dir, &mut |_| true) {
            Outcome::Read(stamp, content, _, _) => {
                assert_eq!(content, merkle::content_of(&bytes));
                assert_eq!(stamp.length, content.length);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_for_a_caller_gets_the_root_of_what_it_was() {
    let (temp, dir) = dir();
    let path = temp.path().join("f");
    let name = "f".parse().expect("a name");
    fs::write(&path, [0; 64]).expect("written");
    let grown = hash_file(&dir, &name, &mut [0; 16], false, &|| true, &mut |_| {
        let mut file = fs::File::options()
            .append(true)
            .open(&path)
            .expect("opened");
        file.write_all(&[1; 100]).expect("written");
        true
    });
    let Outcome::AsItWas(stamp, content, _) = grown else {
        panic!("{grown:?}");
    };
    assert_eq!(content, merkle::content_of(&[0; 64]));
    assert_eq!(stamp.length, 64);
    // What is taken away from its end is gone.
    let cut = hash_file(&dir, &name, &mut [0; 16], false, &|| true, &mut |_| {
        fs::write(&path, [0; 20]).expect("written");
        true
    });
    assert!(matches!(cut, Outcome::Changed), "{cut:?}");
}

#[test]
fn a_file_that_changes_while_it_is_read_gets_no_root() {
    type Change = fn(&std::path::Path);
    let changes: [(&str, Change); 4] = [
        ("overwritten in place", |path| {
            let time = fs::metadata(path)
                .and_then(|m| m.modified())
                .expect("a time");
            fs::write(path, [1; 64]).expect("written");
            // Even if the change is hidden by resetting the time.
            let file = fs::File::options().write(true).open(path).expect("opened");
            file.set_modified(time).expect("set back");
        }),
        ("longer", |path| fs::write(path, [0; 65]).expect("written")),
        ("shorter", |path| fs::write(path, [0; 20]).expect("written")),
        ("gone", |path| fs::remove_file(path).expect("removed")),
    ];
    for (how, change) in changes {
        let (temp, dir) = dir();
        let path = temp.path().join("f");
        fs::write(&path, [0; 64]).expect("written");
        let outcome = hash(&dir, &mut |read| {
            if read == 32 {
                change(&path);
            }
            true
        });
        assert!(matches!(outcome, Outcome::Changed), "{how}: {outcome:?}");
    }
}

#[test]
fn what_is_no_regular_file_is_not_read() {
    let (temp, dir) = dir();
    assert!(
        matches!(hash(&dir, &mut |_| true), Outcome::Gone),
        "nothing"
    );
    fs::create_dir(temp.path().join("f")).expect("made");
    assert!(
        matches!(hash(&dir, &mut |_| true), Outcome::Gone),
        "a folder"
    );
}

#[test]
fn whoever_closes_the_share_need_not_wait_for_a_large_file() {
    let (temp, dir) = dir();
    fs::write(temp.path().join("f"), [0; 64]).expect("written");
    assert!(matches!(hash(&dir, &mut |_| false), Outcome::Stopped));
}

/// A share with one file, which is hashed.
async fn shared(bytes: &[u8], options: Options) -> (tempfile::TempDir, Share, Receiver) {
    let temp = tempfile::tempdir().expect("a directory");
    fs::write(temp.path().join("f"), bytes).expect("written");
    let (share, mut events) = Share::open(DISK, temp.path(), options).expect("is shared");
    lists(&share, &mut events, bytes).await;
    (temp, share, events)
}

type Receiver = tokio::sync::mpsc::Receiver<ShareEvent>;

/// Waits until the file is listed with these bytes.
async fn lists(share: &Share, events: &mut Receiver, bytes: &[u8]) {
    let name = "f".parse().expect("a name");
    let content = Some(merkle::content_of(bytes));
    let listed = || read(&share.shared.index).entry(&name);
    let listed = async {
        while listed().and_then(|entry| entry.content()) != content {
            events.recv().await.expect("the share is open");
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), listed);
    in_time.await.expect("it is listed");
}

#[tokio::test]
async fn what_a_file_was_that_another_has_replaced_is_not_listed_in_its_place() {
    let (temp, share, mut events) = shared(b"the first", Options::default()).await;
    let (shared, name) = (&share.shared, "f".parse().expect("a name"));
    let before = read(&shared.index).record(&name).expect("is listed");
    fs::write(temp.path().join(".new"), b"the second").expect("written");
    fs::rename(temp.path().join(".new"), temp.path().join("f")).expect("replaced");
    lists(&share, &mut events, b"the second").await;
    // The thread that has hashed the first one has it open, and sees only that it was touched.
    let content = merkle::content_of(b"the first");
    let hashed = shared.take_hashed(&name, Outcome::AsItWas(before.stamp, content, Vec::new()));
    assert!(
        matches!(hashed, Err(HashError::Changed { .. })),
        "{hashed:?}"
    );
    let listed = read(&shared.index).record(&name).expect("is listed");
    let second = merkle::content_of(b"the second");
    assert_eq!(
        (listed.stamp.length, listed.root),
        (second.length, Some(second.root))
    );
    assert!(shared.held_layer(&name, content).is_none());
}

#[tokio::test]
async fn a_file_that_is_listed_as_it_was_is_looked_at_again_though_nothing_is_reported() {
    let options = Options {
        watch: false,
        quiet: Duration::from_millis(50),
        poll: Duration::from_hours(1),
        ..Options::default()
    };
    let (_temp, share, mut events) = shared(b"a line, and a line", options).await;
    let (shared, name) = (&share.shared, "f".parse().expect("a name"));
    let now = read(&shared.index).record(&name).expect("is listed").stamp;
    let before = merkle::content_of(b"a line");
    let stamp = Stamp {
        length: before.length,
        ctime: now.ctime - 1,
        ..now
    };
    let hashed = shared.take_hashed(&name, Outcome::AsItWas(stamp, before, Vec::new()));
    assert!(hashed.is_ok(), "{hashed:?}");
    lists(&share, &mut events, b"a line, and a line").await;
}
