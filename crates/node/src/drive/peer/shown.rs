//! The rows of the snapshot that only a peer has: its share, and the large files
//! that are on their way. Made when a reader asks.

use std::ops::Bound;
use std::path::PathBuf;
use std::time::Instant;

use thorp_core::peer as machine;
use thorp_files::share::{LeftOutCause, Share};
use thorp_wire::Content;

use super::pace::Paces;
use super::task::Task;
use crate::drive::engine::Engine;
use crate::sessions::Fetch;
use crate::snapshot::{
    Ask, At, CountsRow, FilesMoved, Knowledge, LeftOut, LeftOutRow, PageRows, Part, RowKey,
    ShareRow, SnapshotRow, TransferRow, ViewRequest, waiting, whole,
};

impl Task {
    pub(super) fn on_look(&mut self, engine: &Engine<machine::Peer>, look: ViewRequest) {
        let machine = &engine.machine;
        let mut paces = std::mem::take(&mut self.paces);
        let itself = self.shown.itself.borrow();
        let known = Knowledge::of_peer(machine, itself.as_ref());
        self.shown
            .keeper
            .answer(look, &known, |ask| match ask.part {
                Part::Node => whole([SnapshotRow::Node(self.status(machine))]),
                Part::Counts => whole([SnapshotRow::Counts(self.counts(engine))]),
                Part::Share => whole(self.share().map(share)),
                Part::LeftOut => self
                    .share()
                    .map_or_else(PageRows::default, |share| left_out(share, ask)),
                Part::Transfers => whole(self.transfers(machine, &mut paces)),
                Part::Peers
                | Part::Files
                | Part::FilesOf { .. }
                | Part::Found { .. }
                | Part::Folder { .. }
                | Part::Warnings => PageRows::default(),
            });
        drop(itself);
        self.paces = paces;
    }

    fn counts(&self, engine: &Engine<machine::Peer>) -> CountsRow {
        let counted = engine.wires.counted();
        let [messages_sent, messages_received] = counted.messages();
        let (files, bytes) = counted.contents();
        let (large_sent, large_received) = self.swarms.files();
        CountsRow {
            links: engine.wires.count() as u64,
            entries: engine.machine.catalogue().entries() as u64,
            small_sent: self.small_sent,
            small_received: FilesMoved { files, bytes },
            large_sent,
            large_received,
            messages_sent,
            messages_received,
            handshakes_refused: self.refusals.by_reason(),
            waiting: waiting([
                ("questions", engine.machine.waiting()),
                ("requests", self.asked.requests.len()),
                ("events", self.events.1.len()),
                ("readers", self.shown.keeper.waiting()),
            ]),
        }
    }

    fn transfers(&self, machine: &machine::Peer, paces: &mut Paces) -> Vec<SnapshotRow> {
        let fetches = self.swarms.fetches();
        let is_there = |content: &Content| fetches.iter().any(|fetch| fetch.content == *content);
        paces.retain(|content, _| is_there(content));
        let row = |fetch| transfer_row(machine, fetch, paces);
        fetches.into_iter().map(row).collect()
    }
}

fn transfer_row(machine: &machine::Peer, fetch: Fetch, paces: &mut Paces) -> SnapshotRow {
    let Fetch {
        content,
        torrent,
        progress,
        sent_by,
    } = fetch;
    let pace = paces.entry(content).or_default();
    pace.see(Instant::now(), progress.received);
    let mut listed = machine.catalogue().holders_of(content);
    let listed = listed.next().map(|(_, name)| name.to_string());
    let name = torrent.or(listed);
    let sent_by = sent_by.into_iter();
    SnapshotRow::Transfer(TransferRow {
        name,
        root: content.root.to_string(),
        length: content.length,
        verified: progress.verified,
        received: progress.received,
        rate: pace.rate(),
        sources: progress.sources,
        sent_by: sent_by.map(|(id, bytes)| (id.to_string(), bytes)).collect(),
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
            ignore_files: skipped.ignore_files,
            symlinks: skipped.symlinks,
            special: skipped.special,
            keys: skipped.keys,
        },
    })
}

/// A page of what is left out of the share.
fn left_out(share: &Share, ask: &Ask) -> PageRows {
    // One more, which says whether there are more.
    let most = ask.limit.saturating_add(1);
    let place = |key: &RowKey| key.as_path().unwrap_or_default();
    let (mut paths, is_backwards) = match &ask.at {
        At::Start => (share.left_out_from(Bound::Unbounded, most), false),
        At::From(key) => (
            share.left_out_from(Bound::Included(&place(key)), most),
            false,
        ),
        At::After(key) => (
            share.left_out_from(Bound::Excluded(&place(key)), most),
            false,
        ),
        At::End => (share.left_out_before(Bound::Unbounded, most), true),
        At::Before(key) => (
            share.left_out_before(Bound::Excluded(&place(key)), most),
            true,
        ),
    };
    let more = paths.len() > ask.limit;
    if more && is_backwards {
        paths.remove(0);
    } else {
        paths.truncate(ask.limit);
    }
    let row = |(path, cause): (PathBuf, LeftOutCause)| {
        SnapshotRow::LeftOut(LeftOutRow::new(&path, cause.into()))
    };
    let rows = paths.into_iter().map(row).collect();
    (rows, share.totals().skipped.total(), more)
}
