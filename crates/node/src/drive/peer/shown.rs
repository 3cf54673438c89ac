//! The rows of the snapshot that only a peer has: its share, and the large files
//! that are on their way. Made when a reader asks.

use std::time::Instant;

use thorp_core::peer as machine;
use thorp_files::share::Share;
use thorp_wire::Content;

use super::pace::Paces;
use super::task::Task;
use crate::sessions::Transfer;
use crate::snapshot::{Knowledge, LeftOut, Part, ShareRow, SnapshotRow, TransferRow, ViewRequest};

impl Task {
    pub(super) fn on_look(&mut self, machine: &machine::Peer, look: ViewRequest) {
        let mut paces = std::mem::take(&mut self.paces);
        let itself = self.shown.itself.borrow();
        let known = Knowledge::of_peer(machine, itself.as_ref());
        self.shown.keeper.answer(look, &known, |part| match part {
            Part::Node => vec![SnapshotRow::Node(self.status(machine))],
            Part::Share => self.share().into_iter().map(share).collect(),
            Part::Transfers => self.transfers(machine, &mut paces),
            Part::Peers | Part::Files | Part::FilesOf { .. } | Part::Warnings => Vec::new(),
        });
        drop(itself);
        self.paces = paces;
    }

    fn transfers(&self, machine: &machine::Peer, paces: &mut Paces) -> Vec<SnapshotRow> {
        let transfers = self.swarms.transfers();
        let is_there = |content: &Content| transfers.iter().any(|is| is.content() == *content);
        paces.retain(|content, _| is_there(content));
        let row = |transfer| transfer_row(machine, transfer, paces);
        transfers
            .iter()
            .map(|transfer| &**transfer)
            .map(row)
            .collect()
    }
}

fn transfer_row(machine: &machine::Peer, transfer: &Transfer, paces: &mut Paces) -> SnapshotRow {
    let content = transfer.content();
    let progress = transfer.progress();
    let pace = paces.entry(content).or_default();
    pace.see(Instant::now(), progress.received);
    let mut listed = machine.catalogue().holders_of(content);
    let name = listed.next().map(|(_, name)| name.to_string());
    let sources = transfer.sources().into_iter();
    SnapshotRow::Transfer(TransferRow {
        name,
        root: content.root.to_string(),
        length: content.length,
        verified: progress.verified,
        received: progress.received,
        rate: pace.rate(),
        sources: progress.sources,
        sent_by: sources.map(|(id, bytes)| (id.to_string(), bytes)).collect(),
    })
}

fn share(share: &Share) -> SnapshotRow {
    let totals = share.totals();
    let skipped = totals.skipped;
    SnapshotRow::Share(ShareRow {
        directory: share.path().to_owned(),
        offered: totals.into(),
        left_out: LeftOut {
            hidden: skipped.hidden,
            ignored: skipped.ignored,
            unnameable: skipped.unnameable,
            unreadable: skipped.unreadable,
            symlinks: skipped.symlinks,
            special: skipped.special,
            keys: skipped.keys,
        },
    })
}
