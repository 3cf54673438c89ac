//! Small pieces of work for the disk, done many at a time by few threads.
//!
//! Handing a small file to a blocking thread, and being woken when it is done, takes longer than
//! writing it. And much of what is done for one is the same for those beside it: its folder is
//! opened, the share is looked for, and a task is woken. So what waits is dealt with by the
//! [handful](Handful), by a thread that goes on with what has come meanwhile: a fast disk keeps one
//! thread busy. Where that gets on slowly while much waits, the disk is a slow one, which works
//! best with many requests at once, so more threads are started, one after the other. And a disk
//! may not answer at all: so that the others' things do not wait with it, another thread is started
//! where nothing is taken up for long, however little waits and whether more comes or not. Only
//! where as many things as there may be threads wait for such a disk does all else wait, too.
//!
//! Long work needs a thread of its own: [`spawn`](crate::spawn).

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::DiskThread;

/// The maximum number of threads.
const THREADS: usize = 16;
/// Another thread is started only where more than this many things wait for each of them.
const WAITING_FOR_EACH: usize = 4;
/// How many things are in a handful.
const MOST: usize = 64;
/// For how long things are added to a handful: the first of them waits that long to be told of.
/// If no thing was taken up for as long, the disk is slow.
const MOMENT: Duration = Duration::from_millis(1);
/// If no thing was taken up for as long though one waits, a disk may not answer.
const STUCK: Duration = Duration::from_millis(100);

/// Things that wait for the disk, and what is done with them. Clones share it.
pub struct Pile<T> {
    state: Arc<Mutex<State<T>>>,
    deal: Arc<Deal<T>>,
}

type Deal<T> = dyn Fn(DiskThread, &mut Handful<T>) + Send + Sync;

struct State<T> {
    waiting: VecDeque<T>,
    threads: usize,
    /// Whether one of them has not begun yet.
    is_starting: bool,
    /// When a thing was taken up, or a thread began, last.
    taken: Option<Instant>,
    /// Whether it is looked now and then whether the threads get on.
    is_watched: bool,
}

/// Things that are dealt with one after the other.
pub struct Handful<T> {
    state: Arc<Mutex<State<T>>>,
    began: Instant,
    yielded: usize,
}

impl<T: Send + 'static> Pile<T> {
    /// Makes a pile. `deal` is called for one handful after the other, on threads for the disk;
    /// what it leaves in one is in the next one.
    pub fn new(deal: impl Fn(DiskThread, &mut Handful<T>) + Send + Sync + 'static) -> Self {
        Self {
            state: Arc::default(),
            deal: Arc::new(deal),
        }
    }

    /// Adds a thing. Things are taken up in the order of the calls. If the caller needs to know
    /// when it has been dealt with, `deal` has to report it.
    pub fn push(&self, thing: T) {
        let mut state = lock(&self.state);
        state.waiting.push_back(thing);
        let is_watched = std::mem::replace(&mut state.is_watched, true);
        self.begin_another_if_wanted(state);
        if !is_watched {
            // It keeps nothing alive: where nobody has the pile any more, nothing waits.
            let (state, deal) = (Arc::downgrade(&self.state), Arc::downgrade(&self.deal));
            tokio::spawn(async move {
                loop {
                    sleep(STUCK).await;
                    let (Some(state), Some(deal)) = (state.upgrade(), deal.upgrade()) else {
                        return;
                    };
                    if !(Self { state, deal }).goes_on() {
                        return;
                    }
                }
            });
        }
    }

    /// Whether things wait: then it is seen to that a thread takes them up.
    fn goes_on(&self) -> bool {
        let mut state = lock(&self.state);
        if state.waiting.is_empty() {
            state.is_watched = false;
            return false;
        }
        self.begin_another_if_wanted(state);
        true
    }

    fn begin_another_if_wanted(&self, mut state: MutexGuard<'_, State<T>>) {
        let wants_another = state.threads == 0 || state.is_slow();
        if state.is_starting || state.threads == THREADS || !wants_another {
            return;
        }
        state.threads += 1;
        state.is_starting = true;
        drop(state);
        let pile = self.clone();
        crate::spawn(move |thread| pile.deal_with_all(thread));
    }

    fn deal_with_all(&self, thread: DiskThread) {
        let mut state = lock(&self.state);
        state.is_starting = false;
        state.taken = Some(Instant::now());
        drop(state);
        loop {
            let mut state = lock(&self.state);
            if state.waiting.is_empty() {
                state.threads -= 1;
                return;
            }
            drop(state);
            let mut handful = Handful {
                state: Arc::clone(&self.state),
                began: Instant::now(),
                yielded: 0,
            };
            (self.deal)(thread, &mut handful);
        }
    }
}

impl<T> State<T> {
    /// Whether much waits, and nothing was taken up for a moment; or little, and nothing for long.
    fn is_slow(&self) -> bool {
        let is_much = self.waiting.len() > self.threads * WAITING_FOR_EACH;
        let long = if is_much { MOMENT } else { STUCK };
        self.taken.is_none_or(|taken| taken.elapsed() >= long)
    }
}

impl<T> Handful<T> {
    /// Takes things to deal with them at once: up to so many, but a single one where several
    /// threads deal with what waits. The disk is a slow one then, and takes one of each thread.
    pub fn together(&mut self, most: usize) -> Vec<T> {
        let Some(first) = self.next() else {
            return Vec::new();
        };
        let mut things = vec![first];
        let mut state = lock(&self.state);
        if state.threads == 1 {
            let more = (most - 1).min(MOST - self.yielded);
            let more = more.min(state.waiting.len());
            things.extend(state.waiting.drain(..more));
            self.yielded += more;
        }
        things
    }
}

impl<T> Iterator for Handful<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let now = Instant::now();
        let is_over = self.yielded == MOST || now - self.began >= MOMENT;
        if is_over && self.yielded > 0 {
            return None;
        }
        let mut state = lock(&self.state);
        let next = state.waiting.pop_front()?;
        state.taken = Some(now);
        self.yielded += 1;
        Some(next)
    }
}

impl<T> Default for State<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            threads: 0,
            is_starting: false,
            taken: None,
            is_watched: false,
        }
    }
}

impl<T> Clone for Pile<T> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            deal: Arc::clone(&self.deal),
        }
    }
}

impl<T> fmt::Debug for Pile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pile")
    }
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_waits_together_is_dealt_with_together_and_the_threads_go_when_there_is_no_more() {
        let gate = Arc::new(OnceLock::new());
        let (done, mut handfuls) = mpsc::unbounded_channel();
        let opens = Arc::clone(&gate);
        let pile = Pile::new(move |_, handful| {
            opens.wait();
            done.send(handful.collect::<Vec<usize>>())
                .expect("somebody waits");
        });
        for number in 0..1000 {
            pile.push(number);
        }
        gate.set(()).expect("nobody else has opened it");
        let (mut all, mut longest) = (Vec::new(), 0);
        while all.len() < 1000 {
            let handful = handfuls.recv().await.expect("the pile is there");
            longest = longest.max(handful.len());
            all.extend(handful);
        }
        assert!((2..=MOST).contains(&longest), "{longest}");
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
        while lock(&pile.state).threads > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn things_are_taken_together_by_one_thread_and_one_by_one_where_there_are_several() {
        let state = Arc::new(Mutex::new(State::default()));
        lock(&state).waiting.extend(0..MOST + 20);
        let handful = |threads| {
            lock(&state).threads = threads;
            Handful {
                state: Arc::clone(&state),
                began: Instant::now(),
                yielded: 0,
            }
        };
        assert!(handful(1).together(8).into_iter().eq(0..8));
        assert_eq!(handful(2).together(8), [8]);
        assert!(handful(1).together(1000).into_iter().eq(9..9 + MOST));
        assert!(handful(1).together(8).into_iter().eq(9 + MOST..17 + MOST));
        assert!(handful(1).together(8).into_iter().eq(17 + MOST..20 + MOST));
        assert_eq!(handful(1).together(8), []);
    }

    #[tokio::test]
    async fn one_thing_whose_disk_does_not_answer_keeps_no_other_waiting_though_none_comes_after_it()
     {
        let gate = Arc::new(OnceLock::new());
        let (done, mut ended) = mpsc::unbounded_channel();
        let opens = Arc::clone(&gate);
        let pile = Pile::new(move |_, handful| {
            for (is_stuck, number) in handful {
                if is_stuck {
                    opens.wait();
                }
                done.send(number).expect("somebody waits");
            }
        });
        pile.push((true, 0));
        for number in 1..=WAITING_FOR_EACH {
            pile.push((false, number));
        }
        let mut others = BTreeSet::new();
        while others.len() < WAITING_FOR_EACH {
            let next = timeout(Duration::from_secs(30), ended.recv());
            others.extend(next.await.expect("it is dealt with"));
        }
        assert!(others.into_iter().eq(1..=WAITING_FOR_EACH));
        gate.set(()).expect("nobody else has opened it");
        assert_eq!(ended.recv().await, Some(0));
        while lock(&pile.state).is_watched {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_slow_disk_is_asked_for_many_things_at_once_but_not_without_end() {
        let begun = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(OnceLock::new());
        let (done, mut ended) = mpsc::unbounded_channel::<()>();
        let (counts, opens) = (Arc::clone(&begun), Arc::clone(&gate));
        let pile = Pile::new(move |_, handful| {
            for thing in handful {
                counts.fetch_add(1, Ordering::Relaxed);
                opens.wait();
                drop(thing);
            }
        });
        // More is asked of a slow disk meanwhile.
        while begun.load(Ordering::Relaxed) < THREADS {
            pile.push(done.clone());
            tokio::task::yield_now().await;
        }
        for _ in 0..10 * THREADS * WAITING_FOR_EACH {
            pile.push(done.clone());
        }
        assert_eq!(lock(&pile.state).threads, THREADS);
        assert_eq!(begun.load(Ordering::Relaxed), THREADS);
        gate.set(()).expect("nobody else has opened it");
        drop(done);
        assert_eq!(ended.recv().await, None, "all of it is done");
    }
}
