//! Which threads may wait for the disk.
//!
//! A disk may take minutes to answer, and a network file system may never answer at all. A thread
//! that serves links and timers must not wait for it, or its node would be taken for dead. So
//! every function that may wait for a disk, a pipe or a file's lock takes a [`DiskThread`], which
//! only the threads started here are given. In this way the compiler finds a call that would
//! stall a node.
//!
//! Nothing here opens a file; `group` and `files` do.

mod pile;

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::thread;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub use pile::{Handful, Pile};

/// Proof that the calling thread may wait for the disk. It cannot be sent to another thread.
#[derive(Clone, Copy, Debug)]
pub struct DiskThread(PhantomData<*const ()>);

thread_local! {
    static MAY_WAIT: Cell<bool> = const { Cell::new(false) };
}

/// Runs work that may wait for the disk on a blocking thread. The work continues if the handle is
/// dropped.
pub fn spawn<T: Send + 'static>(
    work: impl FnOnce(DiskThread) -> T + Send + 'static,
) -> JoinHandle<T> {
    tokio::task::spawn_blocking(|| here(work))
}

/// Starts a thread that may wait for the disk and ends with its work.
pub fn spawn_thread(
    name: impl Into<String>,
    work: impl FnOnce(DiskThread) + Send + 'static,
) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.into());
    thread.spawn(|| here(work)).map(drop)
}

/// Drops a value whose drop may wait for the disk, such as an open file. It is dropped on a
/// thread for the disk, unless the calling thread is one.
pub fn let_go(thing: impl Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) if !MAY_WAIT.get() => drop(runtime.spawn_blocking(move || drop(thing))),
        // Without a runtime, no other task depends on this thread.
        _ => drop(thing),
    }
}

/// What a file system has answered that was told to have a file, or a folder's names, on the disk.
/// One that cannot be told so (`EINVAL`, `ENOSYS`, `EOPNOTSUPP`), as some networks' cannot for
/// folders, does it in its own time: that is no failure.
pub fn synced(told: io::Result<()>) -> io::Result<()> {
    match told {
        Err(error) if UNTOLD.contains(&error.kind()) => Ok(()),
        told => told,
    }
}

const UNTOLD: [io::ErrorKind; 2] = [io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported];

fn here<T>(work: impl FnOnce(DiskThread) -> T) -> T {
    MAY_WAIT.set(true);
    let done = work(DiskThread(PhantomData));
    MAY_WAIT.set(false);
    done
}

/// Calls [`let_go`] on its value when dropped.
#[derive(Debug)]
pub struct LetGo<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> LetGo<T> {
    /// Wraps a value.
    pub fn new(thing: T) -> Self {
        Self(Some(thing))
    }

    /// Returns the value without dropping it.
    pub fn into_inner(mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T: Send + 'static> Deref for LetGo<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // The value is taken only on drop.
        match &self.0 {
            Some(thing) => thing,
            None => unreachable!("it was dropped"),
        }
    }
}

impl<T: Send + 'static> Drop for LetGo<T> {
    fn drop(&mut self) {
        if let Some(thing) = self.0.take() {
            let_go(thing);
        }
    }
}

/// For tests.
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;
    use std::thread::ThreadId;

    use super::*;

    struct SaysWhere(mpsc::Sender<ThreadId>);

    impl Drop for SaysWhere {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[tokio::test]
    async fn what_may_wait_for_the_disk_is_let_go_of_on_another_thread() {
        let (says, where_) = mpsc::channel();
        drop(LetGo::new(SaysWhere(says.clone())));
        let dropped = spawn(move |_| where_.recv().map(|at| (at, where_)));
        let (at, where_) = dropped.await.expect("ends").expect("was dropped");
        assert_ne!(at, thread::current().id());

        let here = spawn(move |_| {
            drop(LetGo::new(SaysWhere(says)));
            thread::current().id()
        });
        let here = here.await.expect("ends");
        assert_eq!(
            where_.recv(),
            Ok(here),
            "a thread for the disk does it itself"
        );
    }

    #[test]
    fn that_a_file_cannot_be_told_to_be_on_the_disk_is_no_failure() {
        let (_, end) = io::pipe().expect("a pipe");
        let told = File::from(OwnedFd::from(end)).sync_all();
        assert!(told.is_err());
        synced(told).expect("no failure");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        synced(Err(full)).expect_err("a failure");
    }

    #[test]
    fn without_a_runtime_it_is_let_go_of_at_once() {
        let (says, where_) = mpsc::channel();
        drop(LetGo::new(SaysWhere(says)));
        assert_eq!(where_.try_recv(), Ok(thread::current().id()));
    }
}
