//! `thorp demo`: a whole village on loopback, told step by step.
//!
//! Not there yet: it needs trackers and peers that run in one process.

use thorp_node::api::ErrorKind;

use super::Context;
use crate::exit::{Result, failure};

#[expect(
    clippy::unused_async,
    reason = "the village will have to be waited for"
)]
pub async fn run(_context: &Context) -> Result {
    Err(failure(ErrorKind::Other, "this build has no demo yet"))
}
