//! One program for all targets of `thorp_fuzzing`: `THORP_FUZZ_TARGET` names the one
//! that gets the bytes.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use thorp_fuzzing::{FuzzTarget, named};

static TARGET: LazyLock<&FuzzTarget> = LazyLock::new(|| {
    let name = std::env::var("THORP_FUZZ_TARGET").unwrap_or_default();
    named(&name).unwrap_or_else(|| panic!("THORP_FUZZ_TARGET names no target: {name:?}"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
