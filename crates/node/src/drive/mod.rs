//! The shell around the pure machines: what happens becomes their inputs, and
//! their outputs become what is to happen.
//!
//! ```text
//! peer       a running peer, and what a person asks of it
//! tracker    a running tracker, and its two tables
//! ```
//!
//! Decides nothing: that is `thorp-core`.

pub mod peer;
pub mod tracker;
