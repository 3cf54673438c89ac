//! How much of small files may be in memory on their way to members, in all.
//!
//! Room is taken before a file is read, by the [rule](thorp_core::bound) for what is
//! shared: where there is none, the member that has most on its way waits, and what was
//! queued for it last is taken back and refused. Besides, each link has what it is
//! writing at this moment.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thorp_core::bound::{Account, Full, SharedBound};
use thorp_wire::frame::RequestId;
use tokio::sync::Notify;

use crate::net::link::LinkSender;

/// Bytes of all files that are on their way.
pub(super) const IN_ALL: u64 = 64 * 1024 * 1024;
/// What a file takes besides its bytes.
const EACH: u64 = 1024;

/// All contents that are on their way. Clones are the same.
#[derive(Clone)]
pub(super) struct Contents(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Some of it was given back.
    freed: Notify,
}

struct State {
    /// Of one account the last one gives way first.
    bound: SharedBound<Reverse<u64>>,
    ways: BTreeMap<u64, Way>,
    last: u64,
}

/// What is on its way.
struct Way {
    link: LinkSender,
    request: RequestId,
}

/// Room for one content, for as long as it is on its way.
pub(super) struct Room {
    contents: Contents,
    number: u64,
}

impl Contents {
    pub(super) fn new(in_all: u64) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                bound: SharedBound::new(in_all),
                ways: BTreeMap::new(),
                last: 0,
            }),
            freed: Notify::new(),
        }))
    }

    /// Takes room for so many bytes, if there is some, or others have clearly more.
    /// Those that lose theirs are told that this peer is busy.
    pub(super) fn take(
        &self,
        account: Account,
        link: &LinkSender,
        request: RequestId,
        bytes: u64,
    ) -> Result<Room, Full> {
        let mut state = self.state();
        let number = state.last + 1;
        let lost = state.bound.ask(Reverse(number), account, bytes + EACH)?;
        state.last = number;
        let way = Way {
            link: link.clone(),
            request,
        };
        state.ways.insert(number, way);
        let lost: Vec<Way> = lost
            .into_iter()
            .filter_map(|Reverse(number)| state.ways.remove(&number))
            .collect();
        drop(state);
        for way in lost {
            // One that is being read is refused when that is done; one that is being
            // written is as good as sent.
            way.link.take_back(way.request);
        }
        Ok(Room {
            contents: self.clone(),
            number,
        })
    }

    /// The same, once there is room.
    pub(super) async fn wait(
        &self,
        account: Account,
        link: &LinkSender,
        request: RequestId,
        bytes: u64,
    ) -> Room {
        loop {
            let freed = self.0.freed.notified();
            if let Ok(room) = self.take(account, link, request, bytes) {
                return room;
            }
            freed.await;
        }
    }

    /// Bytes that are on their way.
    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        self.state().bound.total()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every locked step is short and leaves the state whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Whether another member has it now.
    pub(super) fn is_lost(&self) -> bool {
        !self.contents.state().ways.contains_key(&self.number)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.contents.state();
        state.ways.remove(&self.number);
        state.bound.give_back(Reverse(self.number));
        drop(state);
        self.contents.0.freed.notify_waiters();
    }
}
