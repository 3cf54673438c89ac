//! A queue of small pieces of work for the disk, done by few threads.
//!
//! Handing a small file to a blocking thread, and being woken when it is done, takes longer than
//! reading it. So work is queued here, and a running thread goes on with what was queued
//! meanwhile: a fast disk keeps one or two threads busy. A long queue means a slow disk, which
//! works best with many requests at once, so more threads are started.
//!
//! Long work needs a thread of its own: [`spawn`](crate::spawn).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::DiskThread;

/// The maximum number of threads.
const THREADS: usize = 16;
/// A thread is started when more than this many jobs wait for each running thread.
const WAITING_FOR_EACH: usize = 4;

type Work = Box<dyn FnOnce(DiskThread) + Send>;

/// A handle to the queue. Clones share its threads.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    running: usize,
}

impl Disk {
    /// Queues a job. Jobs start in the order of the calls. If the caller needs to know when the
    /// job is done, the job itself has to report it.
    pub fn run(&self, work: impl FnOnce(DiskThread) + Send + 'static) {
        let mut state = self.state();
        state.waiting.push_back(Box::new(work));
        let enough = state.waiting.len() <= state.running * WAITING_FOR_EACH;
        if state.running == THREADS || enough {
            return;
        }
        state.running += 1;
        drop(state);
        let disk = self.clone();
        crate::spawn(move |thread| while disk.run_next(thread) {});
    }

    fn run_next(&self, thread: DiskThread) -> bool {
        let mut state = self.state();
        let Some(work) = state.waiting.pop_front() else {
            state.running -= 1;
            return false;
        };
        drop(state);
        work(thread);
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn all_that_is_left_is_done_and_the_threads_go_when_there_is_no_more() {
        let disk = Disk::default();
        let (done, mut ended) = mpsc::unbounded_channel();
        for number in 0..1000 {
            let done = done.clone();
            disk.run(move |_| done.send(number).expect("somebody waits"));
        }
        drop(done);
        let mut all = Vec::new();
        while let Some(number) = ended.recv().await {
            all.push(number);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
        while disk.state().running > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_slow_disk_is_asked_for_many_things_at_once_but_not_without_end() {
        let disk = Disk::default();
        let begun = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(OnceLock::new());
        let (done, mut ended) = mpsc::unbounded_channel::<()>();
        for _ in 0..10 * THREADS * WAITING_FOR_EACH {
            let (begun, gate, done) = (Arc::clone(&begun), Arc::clone(&gate), done.clone());
            disk.run(move |_| {
                begun.fetch_add(1, Ordering::Relaxed);
                gate.wait();
                drop(done);
            });
        }
        assert_eq!(disk.state().running, THREADS);
        while begun.load(Ordering::Relaxed) < THREADS {
            tokio::task::yield_now().await;
        }
        gate.set(()).expect("nobody else has opened it");
        drop(done);
        assert_eq!(ended.recv().await, None, "all of it is done");
    }
}
