use super::*;
use cap_std::ambient_authority;
use std::fs;
use std::io::Write;
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
            Outcome::Read(stamp, content, _) => {
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
    let grown = hash_file(&dir, &name, &mut [0; 16], &|| true, &mut |_| {
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
    let cut = hash_file(&dir, &name, &mut [0; 16], &|| true, &mut |_| {
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
