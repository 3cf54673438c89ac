//! Tests that need a process of their own.

use std::io::Write as _;
use std::process::Command;

/// Says to a test that it is in such a process.
const ALONE: &str = "THORP_TEST_ALONE";

/// Whether this test has a process of its own, run by this wrapper. If not, it is
/// run in one; then there is nothing more to do. Tests are named as in
/// `share::tests`.
pub(super) fn is_alone(test: &str, wrapper: &[&str]) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(std::env::current_exe().expect("a program"))
        .args([&full(test), "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .expect("the wrapper is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let cried = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{cried}");
    assert!(said.contains("1 passed"), "{said}");
    false
}

/// Says that a test cannot run here, past the test runner's capture, so that it
/// is seen when all is well.
pub(super) fn skip(test: &str, needs: &str) {
    let test = full(test);
    let all = std::env::var_os("THORP_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!all, "THORP_REQUIRE_ALL=1, but {test} needs {needs}");
    let line = format!("skipped: {test}: needs {needs}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

pub(super) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

fn full(test: &str) -> String {
    format!("share::tests::{test}")
}
