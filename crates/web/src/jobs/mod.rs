//! What was asked for on the page: begun, paused, taken up again, and kept for a while.
//!
//! A node knows no pause: a job that is paused is a command that was abandoned, and one that is
//! taken up again is the same command once more. What has arrived of a large file stays on the
//! disk meanwhile, and goes on from there.

mod job;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use thorp_node::api::{Command, Event};
use tokio::sync::{oneshot, watch};

pub(crate) use job::{Job, JobState};

use crate::refusal::Refusal;
use crate::served::ServedNode;

/// The most jobs that run at once.
const RUNNING: usize = 64;
/// The most jobs that are kept when they do not run any more.
const ENDED: usize = 100;

/// All jobs of a node's page.
pub(crate) struct Jobs {
    node: ServedNode,
    all: Mutex<All>,
    /// The number of the latest change.
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct All {
    jobs: BTreeMap<u64, Kept>,
    last: u64,
    change: u64,
}

struct Kept {
    job: Job,
    /// The number of its latest change.
    changed: u64,
    /// While it runs; dropped, it ends the run.
    run: Option<oneshot::Sender<()>>,
}

/// What the user wants to be done with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Pause,
    Resume,
    Cancel,
}

impl Jobs {
    pub(crate) fn new(node: ServedNode) -> Self {
        Self {
            node,
            all: Mutex::default(),
            news: watch::Sender::new(0),
        }
    }

    /// Begins a job.
    pub(crate) fn begin(self: &Arc<Self>, title: String, command: Command) -> Result<Job, Refusal> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.map_or(0, |since| since.as_secs());
        let mut all = self.lock();
        all.has_room()?;
        all.last += 1;
        let id = all.last;
        let job = Job::new(id, title, command, since);
        let kept = Kept {
            job: job.clone(),
            changed: 0,
            run: None,
        };
        all.jobs.insert(id, kept);
        self.run(&mut all, id);
        Ok(job)
    }

    /// Does with a job what the user wants.
    pub(crate) fn turn(self: &Arc<Self>, id: u64, turn: Turn) -> Result<Job, Refusal> {
        let mut all = self.lock();
        let state = all.jobs.get(&id).ok_or(Refusal::NotFound)?.job.state;
        match (turn, state) {
            (Turn::Pause, JobState::Running) => self.stop(&mut all, id, JobState::Paused),
            (Turn::Cancel, JobState::Running | JobState::Paused) => {
                self.stop(&mut all, id, JobState::Cancelled);
            }
            (Turn::Resume, JobState::Paused | JobState::Failed | JobState::Cancelled) => {
                all.has_room()?;
                if let Some(kept) = all.jobs.get_mut(&id) {
                    kept.job.begin_again();
                }
                self.run(&mut all, id);
            }
            _ => return Err(Refusal::NotNow),
        }
        let kept = all.jobs.get(&id).ok_or(Refusal::NotFound)?;
        Ok(kept.job.clone())
    }

    /// Forgets a job that does not run.
    pub(crate) fn dismiss(&self, id: u64) -> Result<(), Refusal> {
        let mut all = self.lock();
        match all.jobs.get(&id) {
            None => Err(Refusal::NotFound),
            Some(kept) if kept.run.is_some() => Err(Refusal::NotNow),
            Some(_) => {
                all.jobs.remove(&id);
                self.tell(&mut all);
                Ok(())
            }
        }
    }

    /// Returns all jobs, the oldest first.
    pub(crate) fn all(&self) -> Vec<Job> {
        let all = self.lock();
        all.jobs.values().map(|kept| kept.job.clone()).collect()
    }

    /// Returns what a reader has missed that knows everything up to a change: the jobs that have
    /// changed, the ids of all jobs, and the number of the latest change.
    pub(crate) fn since(&self, change: u64) -> (Vec<Job>, Vec<u64>, u64) {
        let all = self.lock();
        let changed = all.jobs.values().filter(|kept| kept.changed > change);
        let changed = changed.map(|kept| kept.job.clone()).collect();
        (changed, all.jobs.keys().copied().collect(), all.change)
    }

    /// Returns the number of the latest change, and its later values.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Sends a job's command to the node, and follows the answer.
    fn run(self: &Arc<Self>, all: &mut All, id: u64) {
        let Some(kept) = all.jobs.get_mut(&id) else {
            return;
        };
        let (run, mut stopped) = oneshot::channel();
        kept.run = Some(run);
        let mut answer = (self.node.ask)(kept.job.command.clone());
        let jobs = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                // A stop comes first: what was told before it is about an earlier run.
                let event = tokio::select! {
                    biased;
                    _ = &mut stopped => return,
                    event = answer.recv() => event,
                };
                let is_last = matches!(event, Some(Event::Done(_) | Event::Error(_)) | None);
                if !jobs.on_event(id, event) || is_last {
                    return;
                }
            }
        });
        self.changed(all, id);
    }

    /// Returns whether the job still runs.
    fn on_event(&self, id: u64, event: Option<Event>) -> bool {
        let mut all = self.lock();
        let say = self.node.say;
        let Some(kept) = all.jobs.get_mut(&id) else {
            return false;
        };
        // The user may have stopped it in the meantime.
        if kept.job.state != JobState::Running {
            return false;
        }
        match event {
            Some(event) => kept.job.on_event(event, say),
            None => kept.job.on_broken_off(say),
        }
        let runs = kept.job.state == JobState::Running;
        if !runs {
            kept.run = None;
        }
        self.changed(&mut all, id);
        runs
    }

    fn stop(&self, all: &mut All, id: u64, state: JobState) {
        if let Some(kept) = all.jobs.get_mut(&id) {
            kept.run = None;
            kept.job.end(state);
        }
        self.changed(all, id);
    }

    fn changed(&self, all: &mut All, id: u64) {
        let change = all.change + 1;
        if let Some(kept) = all.jobs.get_mut(&id) {
            kept.changed = change;
        }
        all.forget_oldest();
        self.tell(all);
    }

    fn tell(&self, all: &mut All) {
        all.change += 1;
        self.news.send_replace(all.change);
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn has_room(&self) -> Result<(), Refusal> {
        let running = self.jobs.values().filter(|kept| kept.run.is_some());
        if running.count() < RUNNING {
            Ok(())
        } else {
            Err(Refusal::TooMany)
        }
    }

    /// Forgets the oldest of those that do not run, where there are too many.
    fn forget_oldest(&mut self) {
        let ended = self.jobs.iter().filter(|(_, kept)| kept.run.is_none());
        let ended: Vec<u64> = ended.map(|(id, _)| *id).collect();
        let many = ended.len().saturating_sub(ENDED);
        for id in &ended[..many] {
            self.jobs.remove(id);
        }
    }
}
