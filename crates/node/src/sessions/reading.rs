//! Reads a file while it is fetched: what is verified of it, as soon as it is.
//!
//! Owns how a reader waits. What is fetched first for it is decided in
//! [`thorp_core::swarm`]; its bytes are read where the transfer has them.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use thorp_core::swarm::{Input, ReaderId};
use tokio::sync::Notify;

use super::transfer::{Stage, Transfer};

/// The most bytes that are read at once of a file that arrives or is there.
pub(crate) const READ: u64 = 512 * 1024;

/// A reader of a file that is on its way, until it is dropped.
pub(crate) struct TransferReader {
    transfer: Arc<Transfer>,
    reader: ReaderId,
    /// Told when it can go on, and at the end of the transfer.
    ready: Arc<Notify>,
}

impl Transfer {
    /// A new reader, which wants nothing yet.
    pub fn reader(self: &Arc<Self>) -> TransferReader {
        let ready = Arc::new(Notify::new());
        TransferReader {
            reader: self.lock().readers.add(Arc::clone(&ready)),
            transfer: Arc::clone(self),
            ready,
        }
    }

    /// From now on nothing is fetched but what readers wait for.
    pub fn fetch_on_demand(&self) {
        self.handle(Input::OnDemand(true));
    }
}

impl TransferReader {
    /// Waits for the first bytes of a range that is not empty, and reads as many as there are,
    /// 512 KiB at most. `None` if the transfer has ended without them.
    pub async fn read(&self, range: Range<u64>) -> Option<io::Result<Vec<u8>>> {
        let length = loop {
            let ready = self.ready.notified();
            match self.look(&range) {
                Look::Readable(length) => break length,
                Look::NotYet => ready.await,
                Look::Over => return None,
            }
        };
        let transfer = Arc::clone(&self.transfer);
        let read = thorp_disk::spawn(move |disk| {
            let mut bytes = vec![0; length];
            transfer.bytes().read(disk, &mut bytes, range.start)?;
            Ok(bytes)
        });
        Some(
            read.await
                .unwrap_or_else(|error| Err(io::Error::other(error))),
        )
    }

    /// Says where it is, and looks at what is there.
    fn look(&self, range: &Range<u64>) -> Look {
        let mut state = self.transfer.lock();
        let most = range.end.min(range.start.saturating_add(READ));
        let readable = state.swarm.readable(range.start, most);
        // What is read from here on is fetched while this is read.
        let next = range.start.saturating_add(readable);
        let input = Input::Read {
            reader: self.reader,
            range: next..range.end,
        };
        self.transfer.drive(&mut state, input);
        match usize::try_from(readable) {
            Ok(readable) if readable > 0 => Look::Readable(readable),
            _ if state.stage == Stage::Over => Look::Over,
            _ => Look::NotYet,
        }
    }
}

enum Look {
    Readable(usize),
    NotYet,
    Over,
}

impl Drop for TransferReader {
    fn drop(&mut self) {
        let reader = self.reader;
        let mut state = self.transfer.lock();
        state.readers.remove(reader);
        self.transfer.drive(&mut state, Input::ReadOver { reader });
    }
}
