//! What was asked for on the page: begun, paused, taken up again, and kept for a while.
//!
//! A node knows no pause: a job that is paused is a command that was abandoned, and one that is
//! taken up again is the same command once more. What has arrived of a large file stays on the
//! disk meanwhile, and goes on from there.

mod job;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use thorp_node::api::{Command, Event, TorrentSource};
use tokio::sync::{oneshot, watch};

pub(crate) use job::{Job, JobState};

use crate::refusal::{Refusal, Saying};
use crate::served::ServedNode;

/// The most jobs that run at once.
const RUNNING: usize = 64;
/// The most jobs that are kept when they do not run any more.
const ENDED: usize = 100;
/// The most bytes of what all jobs have asked for, torrents above all.
const BYTES: usize = 64 << 20;

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
    runs: u64,
    change: u64,
}

struct Kept {
    job: Job,
    /// What is asked of the node, and asked again when the job is taken up again; `None` when
    /// there is nothing more to ask for.
    command: Option<Command>,
    /// The number of its latest change.
    changed: u64,
    /// While it runs.
    run: Option<Run>,
}

/// A run of a job.
struct Run {
    /// Its number among all runs: what an earlier one still tells is about that one.
    number: u64,
    /// Dropped, it ends the run.
    _stop: oneshot::Sender<()>,
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
        all.has_room(length_of(&command))?;
        all.last += 1;
        let id = all.last;
        let job = Job::new(id, title, since);
        let kept = Kept {
            job: job.clone(),
            command: Some(command),
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
                all.has_room(0)?;
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
        let Some(command) = kept.command.clone() else {
            return;
        };
        let (stop, mut stopped) = oneshot::channel();
        all.runs += 1;
        let number = all.runs;
        kept.run = Some(Run {
            number,
            _stop: stop,
        });
        let mut answer = (self.node.ask)(command);
        let jobs = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                // A stop comes first: what was told before it is about an earlier run.
                let event = tokio::select! {
                    biased;
                    _ = &mut stopped => return,
                    event = answer.recv() => event,
                };
                let is_last = event.as_ref().is_none_or(Event::is_last);
                if !jobs.on_event(id, number, event) || is_last {
                    return;
                }
            }
        });
        self.changed(all, id);
    }

    /// A run has told something. Returns whether it still runs.
    fn on_event(&self, id: u64, number: u64, event: Option<Event>) -> bool {
        let mut all = self.lock();
        let before = all.change;
        let runs = all.on_event(id, number, event, self.node.say);
        if all.jobs.get(&id).is_some_and(|kept| kept.changed > before) {
            all.forget_oldest();
            self.tell(&mut all);
        }
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
        all.on_changed(id);
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
    /// A run of a job has told something. Returns whether it still runs.
    fn on_event(&mut self, id: u64, number: u64, event: Option<Event>, say: Saying) -> bool {
        let Some(kept) = self.jobs.get_mut(&id) else {
            return false;
        };
        // The user may have stopped it in the meantime, and have taken the job up again.
        if kept.run.as_ref().is_none_or(|run| run.number != number) {
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
        if kept.job.state == JobState::Done {
            kept.command = None;
        }
        self.on_changed(id);
        runs
    }

    /// A job has changed; its readers are told next.
    fn on_changed(&mut self, id: u64) {
        let change = self.change + 1;
        if let Some(kept) = self.jobs.get_mut(&id) {
            kept.changed = change;
        }
    }

    /// Whether one more job may run that asks for so many bytes more.
    fn has_room(&self, more: usize) -> Result<(), Refusal> {
        let running = || self.jobs.values().filter(|kept| kept.run.is_some());
        let bytes: usize = running().map(Kept::bytes).sum();
        if running().count() < RUNNING && bytes.saturating_add(more) <= BYTES {
            Ok(())
        } else {
            Err(Refusal::TooMany)
        }
    }

    /// Forgets the oldest of those that do not run, where there are too many, or what they have
    /// asked for is too long: of paused ones the user expects more than of others.
    fn forget_oldest(&mut self) {
        let ended = self.jobs.iter().filter(|(_, kept)| kept.run.is_none());
        let mut ended: Vec<_> = ended
            .map(|(id, kept)| (kept.job.state == JobState::Paused, *id, kept.bytes()))
            .collect();
        ended.sort_unstable();
        let mut bytes: usize = self.jobs.values().map(Kept::bytes).sum();
        let mut many = ended.len();
        for (_, id, its) in ended {
            let is_long = bytes > BYTES && its > 0;
            if many > ENDED || is_long {
                self.jobs.remove(&id);
                many -= 1;
                bytes -= its;
            }
        }
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.command.as_ref().map_or(0, length_of)
    }
}

/// Returns the bytes of what is asked for, as far as users choose them.
fn length_of(command: &Command) -> usize {
    match command {
        Command::Get(get) => get.names.iter().map(String::len).sum(),
        Command::GetTorrent(get) => match &get.torrent {
            TorrentSource::Torrent(text) => text.as_str().len(),
            TorrentSource::Magnet(text) => text.len(),
        },
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use thorp_node::api::{Done, Failure, Get, GetTorrent, Wait};

    use super::*;

    fn kept(id: u64, state: JobState, bytes: usize, all: &mut All) {
        let mut job = Job::new(id, String::new(), 0);
        job.end(state);
        let run = (state == JobState::Running).then(|| Run {
            number: id,
            _stop: oneshot::channel().0,
        });
        let kept = Kept {
            job,
            command: Some(torrent(bytes)),
            changed: 0,
            run,
        };
        all.jobs.insert(id, kept);
    }

    fn torrent(bytes: usize) -> Command {
        Command::GetTorrent(GetTorrent {
            torrent: TorrentSource::Torrent("x".repeat(bytes).into()),
            given: String::new(),
            dir: None,
            overwrite: false,
            hidden: false,
            wait: Wait::Begun,
        })
    }

    fn ids(all: &All) -> Vec<u64> {
        all.jobs.keys().copied().collect()
    }

    #[test]
    fn what_jobs_ask_for_is_bounded_in_bytes() {
        let mut all = All::default();
        kept(1, JobState::Failed, BYTES / 4, &mut all);
        kept(2, JobState::Running, BYTES / 2, &mut all);
        assert!(all.has_room(BYTES / 2).is_ok());
        assert_eq!(all.has_room(BYTES / 2 + 1), Err(Refusal::TooMany));
        kept(3, JobState::Running, BYTES / 2, &mut all);
        all.forget_oldest();
        assert_eq!(ids(&all), [2, 3], "those that run are kept");
    }

    #[test]
    fn a_paused_job_is_forgotten_after_the_others() {
        let mut all = All::default();
        kept(0, JobState::Paused, 1, &mut all);
        for id in 1..=ENDED as u64 + 1 {
            kept(id, JobState::Done, 0, &mut all);
        }
        all.forget_oldest();
        assert!(all.jobs.len() == ENDED && all.jobs.contains_key(&0));
        assert!(!all.jobs.contains_key(&1) && !all.jobs.contains_key(&2));
    }

    #[test]
    fn what_an_earlier_run_still_tells_does_not_end_the_next_one() {
        let mut all = All::default();
        kept(7, JobState::Running, 1, &mut all);
        let say: Saying = |_| Value::Null;
        let late = Some(Event::Error(Failure::AnswerCutShort));
        assert!(!all.on_event(7, 6, late, say));
        assert_eq!(all.jobs[&7].job.state, JobState::Running);
        assert!(!all.on_event(7, 7, Some(Event::Done(Done::default())), say));
        let kept = &all.jobs[&7];
        assert!(kept.job.state == JobState::Done && kept.run.is_none());
        assert!(kept.command.is_none(), "nothing more is asked for");
    }

    #[test]
    fn a_torrent_is_there_once_however_often_its_job_runs() {
        let Command::GetTorrent(get) = torrent(100) else {
            unreachable!("it is a torrent")
        };
        let of = |get: &GetTorrent| match &get.torrent {
            TorrentSource::Torrent(text) => text.as_str().as_ptr(),
            TorrentSource::Magnet(link) => link.as_ptr(),
        };
        assert_eq!(of(&get.clone()), of(&get));
    }

    #[test]
    fn names_count_as_well() {
        let get = Get {
            names: vec!["ab".into(), "c".into()],
            ..Get::default()
        };
        assert_eq!(length_of(&Command::Get(get)), 3);
    }
}
