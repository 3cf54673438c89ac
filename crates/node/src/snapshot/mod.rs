//! What a node shows of itself: values with numbered changes, made when a reader asks.
//!
//! ```text
//! known     pages of peers and files, from what a machine knows
//! keeper    the node's end: numbers changes, keeps warnings, counts rows
//! warning   a warning as a row
//! viewer    a reader's end: pages, and notification of changes
//! watch     sends rows as they change
//! ```
//!
//! Screens, `--json`, the local socket and everything else that shows a node use it. The cost of
//! a page depends only on its rows, and without readers no row is made. Readers make their own
//! texts and labels.

mod keeper;
mod known;
mod viewer;
mod warning;
mod watch;

pub use crate::api::snapshot::{
    Ask, At, Change, CountsRow, FilesMoved, FolderRow, Fresh, Gone, LeftOut, LeftOutRow, Page,
    Part, RowKey, ShareRow, SnapshotRow, SwarmRow, TransferRow, UploadRow, WarningRow, WhyLeftOut,
};
pub use crate::api::tracked::{MemberRef, PeerLink, TrackedFile, TrackedPeer};
pub use keeper::{Keeper, waiting, whole};
pub use known::{Knowledge, PageRows};
pub use thorp_core::changes::Row;
pub use viewer::{ViewRequest, Viewer};
pub(crate) use watch::{page, watch};

#[cfg(test)]
mod tests;
