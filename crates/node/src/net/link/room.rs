//! The memory of frames that wait for a node, over all its links.
//!
//! A frame that was read cannot be discarded, so no account loses room that it has. Instead, room
//! that becomes free goes to the account that holds least, not to the one that asked first: an
//! account that always has more to deliver waits for the others, not they for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thorp_core::bound::{Account, SharedBound};
use tokio::sync::oneshot;

/// A handle to this memory. Clones share it.
#[derive(Clone)]
pub(super) struct Room(Arc<Mutex<State>>);

struct State {
    in_all: u64,
    bound: SharedBound<u64>,
    /// The waiting requests, ordered by what their accounts held when they asked, then by their
    /// number.
    waiting: BTreeMap<(u64, u64), Waiter>,
    last: u64,
}

struct Waiter {
    account: Account,
    bytes: u64,
    granted: oneshot::Sender<Taken>,
}

/// Room that has been granted. It is released on drop.
#[derive(Debug)]
pub(super) struct Taken {
    room: Room,
    number: u64,
}

impl Room {
    pub(super) fn new(in_all: usize) -> Self {
        let in_all = in_all as u64;
        Self(Arc::new(Mutex::new(State {
            in_all,
            bound: SharedBound::new(in_all),
            waiting: BTreeMap::new(),
            last: 0,
        })))
    }

    /// Waits for this many bytes of room; a larger request waits until it is alone. A caller that
    /// is cancelled leaves nothing behind.
    pub(super) async fn take(&self, account: Account, bytes: usize) -> Option<Taken> {
        let granted = {
            let mut state = self.state();
            let bytes = (bytes as u64).min(state.in_all);
            state.last += 1;
            if state.waiting.is_empty() && bytes <= state.bound.free() {
                let number = state.last;
                // There is enough room, so no account loses any.
                let _ = state.bound.ask(number, account, bytes);
                let room = self.clone();
                return Some(Taken { room, number });
            }
            let (granted, grants) = oneshot::channel();
            let place = (state.bound.held_by(account), state.last);
            let waiter = Waiter {
                account,
                bytes,
                granted,
            };
            state.waiting.insert(place, waiter);
            grants
        };
        self.grant();
        granted.await.ok()
    }

    /// Grants room to waiting requests, in order, as long as there is enough.
    fn grant(&self) {
        loop {
            let mut state = self.state();
            let Some(first) = state.waiting.first_entry() else {
                return;
            };
            if first.get().granted.is_closed() {
                first.remove();
                continue;
            }
            let bytes = first.get().bytes;
            let (_, number) = *first.key();
            if bytes > state.bound.free() {
                return;
            }
            let Some((_, waiter)) = state.waiting.pop_first() else {
                return;
            };
            // There is enough room, so no account loses any.
            let _ = state.bound.ask(number, waiter.account, bytes);
            drop(state);
            let room = self.clone();
            // If the caller was cancelled meanwhile, the room is released at once.
            let _ = waiter.granted.send(Taken { room, number });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every step under the lock is short and leaves the state consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Room")
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.state().bound.give_back(self.number);
        self.room.grant();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use thorp_wire::PeerId;

    use super::*;

    fn account(n: u8) -> Account {
        Account::Member(PeerId::new([n; 32]))
    }

    fn now<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_holds_least_gets_room_first_and_who_gives_up_is_passed_over() {
        let room = Room::new(100);
        let mut held: Vec<_> = (0..10)
            .map(|_| {
                now(pin!(room.take(account(1), 10)))
                    .flatten()
                    .expect("is free")
            })
            .collect();
        let mut greedy = pin!(room.take(account(1), 10));
        assert!(now(greedy.as_mut()).is_none());
        let mut modest = pin!(room.take(account(2), 20));
        assert!(now(modest.as_mut()).is_none());
        {
            let mut gone = pin!(room.take(account(3), 1));
            assert!(now(gone.as_mut()).is_none());
        }
        drop(held.pop());
        assert!(now(modest.as_mut()).is_none() && now(greedy.as_mut()).is_none());
        drop(held.pop());
        let modest = now(modest.as_mut()).flatten().expect("comes first");
        assert!(now(greedy.as_mut()).is_none());
        drop(modest);
        let greedy = now(greedy.as_mut()).flatten().expect("comes, too");
        drop((held, greedy));
        let all = now(pin!(room.take(account(1), 1000))).flatten();
        assert!(all.is_some(), "what is larger waits until it is alone");
        assert!(now(pin!(room.take(account(2), 1))).is_none());
    }
}
