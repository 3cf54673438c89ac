//! A job: what was asked for on the page, and what became of it so far. Pure: events in, fields
//! out.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::{Value, json};
use thorp_node::api::{Event, Failure, Fetched, Member, Progress};

use crate::refusal::{self, Saying};
use crate::variant::Variant;

/// How many files, failures and remarks of a job are kept, the last ones.
const KEPT: usize = 20;

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum JobState {
    /// The node fetches.
    Running,
    /// The user has stopped it for now. What has arrived of a large file is kept.
    Paused,
    /// All has arrived.
    Done,
    /// Some of it has not arrived.
    Failed,
    /// The user has ended it.
    Cancelled,
}

/// See the module. Serialised as API.md describes it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Job {
    pub(crate) id: u64,
    /// What is fetched, for people.
    pub(crate) title: String,
    pub(crate) state: JobState,
    #[serde(flatten)]
    progress: Progress,
    fetched: VecDeque<Fetched>,
    failed: VecDeque<Value>,
    notes: VecDeque<String>,
    variants: Vec<Variant>,
    /// What the job waits for.
    waiting: Option<String>,
    /// A wanted file that is being hashed where it is.
    hashing: Option<Value>,
    error: Option<Value>,
    /// When it began, in seconds since 1970.
    since: u64,
}

impl Job {
    pub(crate) fn new(id: u64, title: String, since: u64) -> Self {
        Self {
            id,
            title,
            state: JobState::Running,
            progress: Progress::default(),
            fetched: VecDeque::new(),
            failed: VecDeque::new(),
            notes: VecDeque::new(),
            variants: Vec::new(),
            waiting: None,
            hashing: None,
            error: None,
            since,
        }
    }

    /// The node has told something about it.
    pub(crate) fn on_event(&mut self, event: Event, say: Saying) {
        let said = |event: &Event| say(event)["message"].as_str().map(str::to_owned);
        match event {
            Event::Progress(progress) => {
                self.progress = progress;
                self.waiting = None;
                self.hashing = None;
            }
            Event::Fetched(fetched) => keep(&mut self.fetched, fetched),
            Event::Choice { variants, .. } => self.variants = Variant::first(variants),
            event @ Event::Failed { .. } => {
                let said = say(&event);
                let failed = json!({
                    "name": said["name"], "kind": said["kind"], "message": said["message"],
                });
                keep(&mut self.failed, failed);
            }
            event @ Event::Waiting { .. } => self.waiting = said(&event),
            event @ Event::Note(_) => {
                if let Some(note) = said(&event) {
                    keep(&mut self.notes, note);
                }
            }
            Event::Hashing(hashing) => self.hashing = serde_json::to_value(hashing).ok(),
            Event::Done(_) => self.end(JobState::Done),
            Event::Error(failure) => {
                self.error = Some(refusal::said(failure, say));
                self.end(JobState::Failed);
            }
            _ => {}
        }
    }

    /// The node has not come to the end of its answer.
    pub(crate) fn on_broken_off(&mut self, say: Saying) {
        self.on_event(Event::Error(Failure::AnswerCutShort), say);
    }

    /// It runs no more.
    pub(crate) fn end(&mut self, state: JobState) {
        self.state = state;
        self.waiting = None;
        self.hashing = None;
        self.progress.rate = 0;
        self.progress.eta = None;
        self.progress.sources = 0;
        self.progress.silent = None;
        self.progress.waiting_for = Vec::<Member>::new();
    }

    /// It is asked for again.
    pub(crate) fn begin_again(&mut self) {
        self.state = JobState::Running;
        self.error = None;
        self.failed.clear();
        self.variants.clear();
    }
}

fn keep<T>(kept: &mut VecDeque<T>, more: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(more);
}

#[cfg(test)]
mod tests {
    use thorp_node::api::Done;

    use super::*;

    fn say(event: &Event) -> Value {
        match event {
            Event::Error(_) => json!({ "kind": "unfinished", "message": "It broke off." }),
            Event::Failed { name, .. } => {
                json!({ "name": name, "kind": "not-found", "message": "Nobody." })
            }
            _ => json!({ "message": "a remark" }),
        }
    }

    fn job() -> Job {
        Job::new(7, "a.txt".into(), 1)
    }

    fn failed(number: usize) -> Event {
        Event::Failed {
            name: number.to_string(),
            failure: Failure::Exists,
        }
    }

    #[test]
    fn a_job_is_done_or_failed_with_the_sentence_of_its_failure() {
        let mut done = job();
        done.on_event(Event::Done(Done::default()), say);
        assert_eq!(done.state, JobState::Done);
        let mut broken = job();
        broken.on_broken_off(say);
        assert_eq!(broken.state, JobState::Failed);
        let shown = serde_json::to_value(&broken).expect("JSON");
        assert_eq!(shown["error"]["message"], "It broke off.");
        assert_eq!(shown["error"]["code"], "unfinished");
        broken.begin_again();
        let shown = serde_json::to_value(&broken).expect("JSON");
        assert_eq!(
            (&shown["state"], &shown["error"]),
            (&json!("running"), &Value::Null)
        );
    }

    #[test]
    fn of_many_failures_the_last_are_kept() {
        let mut job = job();
        for number in 0..100 {
            job.on_event(failed(number), say);
        }
        let shown = serde_json::to_value(&job).expect("JSON");
        let failed = shown["failed"].as_array().expect("a list");
        assert_eq!(failed.len(), KEPT);
        assert_eq!(failed[KEPT - 1]["name"], "99");
    }

    #[test]
    fn what_has_ended_has_no_rate() {
        let mut job = job();
        let progress = Progress {
            bytes: 5,
            rate: 9,
            eta: Some(1),
            sources: 2,
            ..Progress::default()
        };
        job.on_event(Event::Progress(progress), say);
        job.end(JobState::Paused);
        let shown = serde_json::to_value(&job).expect("JSON");
        let fields = ["bytes", "rate", "eta", "sources"].map(|field| shown[field].clone());
        assert_eq!(fields, [json!(5), json!(0), Value::Null, json!(0)]);
    }
}
