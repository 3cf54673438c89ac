//! The rows of the snapshot that only a peer has: its share, and the large files
//! that are on their way. Made when a reader asks.

use std::ops::Bound;
use std::path::PathBuf;
use std::time::Instant;

use thorp_core::peer as machine;
use thorp_core::swarm::SourceId;
use thorp_files::share::{LeftOutCause, Share};
use thorp_wire::{Content, PeerId};

use super::pace::{Paces, UploadPaces};
use super::task::Task;
use crate::api::Member;
use crate::drive::engine::Engine;
use crate::rows;
use crate::sessions::{Fetch, Upload};
use crate::snapshot::{
    Ask, At, CountsRow, FilesMoved, Knowledge, LeftOut, LeftOutRow, PageRows, Part, RowKey,
    ShareRow, SnapshotRow, TransferRow, UploadRow, ViewRequest, waiting, whole,
};
use crate::system::now;

impl Task {
    pub(super) fn on_look(&mut self, engine: &Engine<machine::Peer>, look: ViewRequest) {
        let machine = &engine.machine;
        let mut paces = std::mem::take(&mut self.paces);
        let mut upload_paces = std::mem::take(&mut self.upload_paces);
        let itself = self.shown.itself.borrow();
        let known = Knowledge::of_peer(machine, itself.as_ref(), now(&self.clock));
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
                Part::Uploads => whole(self.uploads(machine, &mut upload_paces)),
                Part::Peers
                | Part::Files
                | Part::FilesOf { .. }
                | Part::Found { .. }
                | Part::Folder { .. }
                | Part::Swarms
                | Part::Warnings => PageRows::default(),
            });
        drop(itself);
        self.paces = paces;
        self.upload_paces = upload_paces;
    }

    fn uploads(&self, machine: &machine::Peer, paces: &mut UploadPaces) -> Vec<SnapshotRow> {
        let uploads = self.transfers.uploads();
        paces.retain(|session, _| uploads.iter().any(|upload| upload.session == *session));
        let row = |upload| upload_row(machine, upload, paces);
        uploads.into_iter().map(row).collect()
    }

    fn counts(&self, engine: &Engine<machine::Peer>) -> CountsRow {
        let counted = engine.wires.counted();
        let [messages_sent, messages_received] = counted.messages();
        let (files, bytes) = counted.contents();
        let (large_sent, large_received) = self.transfers.files();
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
        let fetches = self.transfers.fetches();
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
        parts,
    } = fetch;
    let pace = paces.entry(content).or_default();
    pace.see(Instant::now(), progress.received);
    let name = torrent.or_else(|| listed_name(machine, content));
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
        pieces: parts
            .into_iter()
            .map(|part| char::from(b'0' + part))
            .collect(),
    })
}

fn upload_row(machine: &machine::Peer, upload: Upload, paces: &mut UploadPaces) -> SnapshotRow {
    let pace = paces.entry(upload.session).or_default();
    pace.see(Instant::now(), upload.sent);
    let content = upload.content;
    let (member, client) = match upload.to {
        SourceId::Member(id) => (Some(member(machine, id)), None),
        SourceId::Client(address) => (None, Some(address)),
    };
    SnapshotRow::Upload(UploadRow {
        upload: upload.session.0,
        name: upload.torrent.or_else(|| listed_name(machine, content)),
        root: content.root.to_string(),
        length: content.length,
        member,
        client,
        sent: upload.sent,
        rate: pace.rate(),
    })
}

/// The first name by which a content is listed.
fn listed_name(machine: &machine::Peer, content: Content) -> Option<String> {
    let mut listed = machine.catalogue().holders_of(content);
    listed.next().map(|(_, name)| name.to_string())
}

/// A member as far as it is known: there may be no link to it.
fn member(machine: &machine::Peer, id: PeerId) -> Member {
    let known = machine.member(id);
    let unknown = || Member {
        id: id.to_string(),
        name: None,
        address: "0.0.0.0".to_owned(),
        port: 0,
    };
    known.map_or_else(unknown, |holder| rows::holder(&holder))
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
