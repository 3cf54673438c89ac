//! The built program, as people, scripts and other machines meet it: real processes, real sockets.
//!
//! One test program for all of it, so that it is linked once. Each module says what it plays; what
//! they share is in `support`.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

mod addresses;
mod asked;
mod attacks;
mod background;
mod browser;
mod clients;
mod clocks;
mod demo;
mod endings;
mod failing;
mod faithful;
mod false_friends;
mod fetched_torrents;
mod files;
mod floods;
mod full;
mod gateway;
mod hosts;
mod keeper;
mod large;
mod large_share;
mod logs;
mod looking;
mod members;
mod metrics;
mod mounts;
mod names;
mod page;
mod plain_sessions;
mod program;
mod reading;
mod stalled;
mod state;
mod story;
mod survival;
mod terminals;
mod torrents;
mod unlisted;
mod waiting;
