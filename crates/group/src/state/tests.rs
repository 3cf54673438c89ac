use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

#[test]
fn files_are_replaced_whole_and_secrets_are_secret() {
    let temporary = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(temporary.path().join("a/b")).expect("opens");
    assert_eq!(mode(state.path()), 0o700);
    assert_eq!(state.read("x").expect("reads"), None);
    state.write_secret("x", b"one").expect("writes");
    state.write_secret("x", b"two").expect("writes");
    assert_eq!(
        state.read("x").expect("reads").as_deref(),
        Some(&b"two"[..])
    );
    assert_eq!(mode(&state.file("x")), 0o600);
    state.remove("x").expect("removes");
    state.remove("x").expect("is no error");
    let names = fs::read_dir(state.path()).expect("lists").count();
    assert_eq!(names, 2, "version and lock, no left-overs");
}

#[test]
fn a_second_owner_is_told_who_the_first_is() {
    let temporary = tempfile::tempdir().expect("a directory");
    let path = temporary.path().join("state");
    let first = StateDir::open(&path).expect("opens");
    let error = StateDir::open(&path).expect_err("is locked");
    let text = error.to_string();
    assert!(
        text.contains(&format!("in use by process {}", std::process::id())),
        "{text}"
    );
    drop(first);
    StateDir::open(&path).expect("opens again");
}

#[test]
fn newer_state_is_refused_unharmed() {
    let temporary = tempfile::tempdir().expect("a directory");
    let path = temporary.path().join("state");
    drop(StateDir::open(&path).expect("opens"));
    fs::write(path.join(VERSION_FILE), "2\n").expect("writes");
    let error = StateDir::open(&path).expect_err("is newer");
    assert!(
        matches!(error, StateError::Newer { found: 2, .. }),
        "{error}"
    );
    assert_eq!(fs::read(path.join(VERSION_FILE)).expect("reads"), b"2\n");
}

#[test]
fn a_directory_with_other_things_in_it_is_left_alone() {
    let temporary = tempfile::tempdir().expect("a directory");
    fs::write(temporary.path().join("thesis.tex"), "").expect("writes");
    let error = StateDir::open(temporary.path()).expect_err("is foreign");
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(fs::read_dir(temporary.path()).expect("lists").count(), 1);
}

#[test]
fn a_damaged_file_is_named() {
    let temporary = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(temporary.path().join("state")).expect("opens");
    state.write("x.json", b"{\"a\":").expect("writes");
    let error = state
        .read_json::<Vec<u8>>("x.json")
        .expect_err("is damaged");
    assert!(error.to_string().contains("x.json is damaged"), "{error}");
}
