//! Sockets, disk and clock around the pure machines: a running peer or tracker.
#![allow(missing_docs)]
pub mod api;
pub mod share;
pub mod store;
