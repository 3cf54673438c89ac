//! Files of a torrent that are there already, read as its bytes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use thorp_disk::DiskThread;
use thorp_files::store::{Partial, Store};
use thorp_wire::layout::Piece;

use crate::sessions::{TorrentBytes, from_memory};

/// See the module.
pub(super) struct FilesThere<'a> {
    store: &'a Store,
    torrent: &'a TorrentBytes,
    disk: DiskThread,
    /// The file that was read last, by its number in the torrent.
    last: Option<(usize, File)>,
}

/// Whether all bytes of a piece are in these files, or pad.
pub(super) fn are_of(files: &BTreeSet<usize>, torrent: &TorrentBytes, piece: Piece) -> bool {
    let layout = torrent.layout();
    let (begin, length) = (layout.begin_of(piece), layout.length_of(piece));
    let mut parts = torrent.space.parts(begin, length.into());
    parts.all(|part| part.file.is_none_or(|file| files.contains(&file)))
}

impl<'a> FilesThere<'a> {
    pub fn new(store: &'a Store, torrent: &'a TorrentBytes, disk: DiskThread) -> Self {
        Self {
            store,
            torrent,
            disk,
            last: None,
        }
    }

    /// Fills `room` with the torrent's bytes from `at` on.
    pub fn read(&mut self, room: &mut [u8], at: u64) -> io::Result<()> {
        let torrent = self.torrent;
        let mut filled = 0;
        for part in torrent.space.parts(at, room.len() as u64) {
            let length = usize::try_from(part.length).unwrap_or(usize::MAX);
            let own = room
                .get_mut(filled..)
                .and_then(|room| room.get_mut(..length));
            let own = own.ok_or(io::ErrorKind::UnexpectedEof)?;
            match part.file {
                Some(file) => self.file(file)?.read_exact_at(own, part.begin)?,
                None => own.fill(0),
            }
            filled += length;
        }
        Ok(())
    }

    /// Copies those pieces of these files that are right, so that they need not come again. Ends
    /// early if it is not to go on.
    pub fn copy_to(
        &mut self,
        partial: &Partial,
        files: &BTreeSet<usize>,
        goes_on: impl Fn() -> bool,
    ) -> io::Result<()> {
        let torrent = self.torrent;
        let layout = torrent.layout();
        let mut bytes = Vec::new();
        let numbers: BTreeSet<u32> = files
            .iter()
            .flat_map(|file| torrent.space.pieces_of(*file))
            .collect();
        for piece in numbers
            .into_iter()
            .filter_map(|number| layout.piece(number))
        {
            if !goes_on() {
                break;
            }
            if !are_of(files, torrent, piece) {
                continue;
            }
            bytes.resize(layout.length_of(piece) as usize, 0);
            let begin = layout.begin_of(piece);
            if self.read(&mut bytes, begin).is_err() {
                // It has changed, or gone.
                continue;
            }
            let is_right = torrent.is_right(piece, from_memory(begin, &bytes))?;
            if is_right {
                let written = partial.write(self.disk, &bytes, begin);
                written.map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, number: usize) -> io::Result<&File> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            let file = self.torrent.info.files().get(number);
            let file = file.ok_or(io::ErrorKind::NotFound)?;
            let opened = self.store.file(self.disk, &file.name, file.length);
            let opened = opened.map_err(io::Error::other)?;
            self.last = Some((number, opened.ok_or(io::ErrorKind::NotFound)?));
        }
        let last = self.last.as_ref().map(|(_, file)| file);
        last.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
