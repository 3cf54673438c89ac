//! What a node shows of itself: raw values, numbered, made when a reader asks.
//!
//! ```text
//! known     pages of who is there and who has what, from what a machine knows
//! keeper    the node's end: numbers of changes, warnings, how many rows were made
//! warning   a warning as a row
//! viewer    a reader's end: pages, and news that there is something new
//! watch     the rows that have changed since a number, as they change
//! ```
//!
//! Screens, `--json`, the local socket and whatever else shows a node read it.
//! A page costs what is on it, whatever there is besides; without a reader no row
//! is made. Texts and labels are the reader's to make.

mod keeper;
mod known;
mod viewer;
mod warning;
mod watch;

pub use crate::api::snapshot::{
    Ask, At, Change, Fresh, Gone, LeftOut, LeftOutRow, Page, Part, RowKey, ShareRow, SnapshotRow,
    TransferRow, WarningRow, WhyLeftOut,
};
pub use crate::api::tracked::{MemberRef, TrackedFile, TrackedPeer};
pub use keeper::{Keeper, whole};
pub use known::{Knowledge, PageRows};
pub use thorp_core::changes::Row;
pub use viewer::{ViewRequest, Viewer};
pub(crate) use watch::{page, watch};

#[cfg(test)]
mod tests;
