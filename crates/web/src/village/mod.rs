//! What the whole village has, as it said when it was last asked: when it is asked, and what is
//! remembered.
//!
//! ```text
//! list    the files in memory, searched and shown as folders
//! window  a part of a list, as it is asked for and answered
//! ```

pub(crate) mod list;
pub(crate) mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use thorp_node::api::{Command, Event};
use tokio::sync::watch;

use crate::refusal::Saying;
use crate::served::AskNode;
use list::{Collected, List};

/// The shortest time between two questions to the whole village.
const EVERY: Duration = Duration::from_secs(30);

/// What the village has said, and what it is being asked.
pub(crate) struct Village {
    state: Mutex<State>,
    /// Its value changes whenever the account does.
    news: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    list: Option<(Arc<List>, Instant)>,
    is_asking: bool,
    asked: Option<Instant>,
    error: Option<Value>,
}

/// What is told about asking the village, with the field names of `API.md`.
#[derive(Debug, Serialize)]
pub(crate) struct Account {
    asking: bool,
    /// How old the list is; `None` without one.
    age_ms: Option<u128>,
    files: usize,
    cut: bool,
    /// How long until it can be asked again, in seconds.
    wait_s: u64,
    /// Why the last answer was incomplete.
    error: Option<Value>,
}

impl Default for Village {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            news: watch::Sender::new(()),
        }
    }
}

impl Village {
    /// Begins to ask the village, or returns how many seconds are left until it may be asked.
    pub(crate) fn ask(self: &Arc<Self>, node: &AskNode, say: Saying) -> Result<(), u64> {
        {
            let mut state = self.state();
            if state.is_asking {
                return Ok(());
            }
            let wait = state.wait();
            if !wait.is_zero() {
                return Err(whole_seconds(wait));
            }
            state.is_asking = true;
            state.asked = Some(Instant::now());
        }
        self.news.send_replace(());
        let pattern = "**".to_owned();
        let mut answer = node(Command::Find { pattern });
        let village = Arc::clone(self);
        tokio::spawn(async move {
            let mut collected = Collected::default();
            let mut error = None;
            while let Some(event) = answer.recv().await {
                let is_over = match event {
                    Event::File(row) => !collected.add(row),
                    Event::Done(_) => true,
                    event @ Event::Error(_) => {
                        let said = say(&event);
                        error = Some(json!({ "code": said["kind"], "message": said["message"] }));
                        true
                    }
                    _ => false,
                };
                if is_over {
                    break;
                }
            }
            drop(answer);
            // Putting it in order takes longer than a node may be held up.
            let list = thorp_disk::spawn(move |_| collected.into_list()).await;
            village.on_answer(list.ok(), error);
        });
        Ok(())
    }

    fn on_answer(&self, list: Option<List>, error: Option<Value>) {
        let mut state = self.state();
        state.is_asking = false;
        // An answer that failed at once says nothing about what was known before.
        let says_something = |list: &List| list.len() > 0 || error.is_none();
        if let Some(list) = list.filter(says_something) {
            state.list = Some((Arc::new(list), Instant::now()));
        }
        state.error = error;
        drop(state);
        self.news.send_replace(());
    }

    /// Returns what the village said last.
    pub(crate) fn list(&self) -> Option<Arc<List>> {
        self.state().list.as_ref().map(|(list, _)| Arc::clone(list))
    }

    /// Returns what is told about it now.
    pub(crate) fn account(&self) -> Account {
        let state = self.state();
        let list = state.list.as_ref();
        Account {
            asking: state.is_asking,
            age_ms: list.map(|(_, since)| since.elapsed().as_millis()),
            files: list.map_or(0, |(list, _)| list.len()),
            cut: list.is_some_and(|(list, _)| list.is_cut),
            wait_s: whole_seconds(state.wait()),
            error: state.error.clone(),
        }
    }

    /// Returns a receiver that changes when the account does.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&self) -> Duration {
        let asked = self
            .asked
            .map(|asked| EVERY.saturating_sub(asked.elapsed()));
        asked.unwrap_or_default()
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_millis()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use thorp_node::api::{Done, Failure, FileRow};
    use tokio::sync::mpsc;

    use super::*;

    fn say(_: &Event) -> Value {
        json!({"kind": "network", "message": "The tracker is out of reach."})
    }

    /// A node whose answer is this.
    fn node(answer: Vec<Event>) -> AskNode {
        Arc::new(move |_| {
            let (sender, receiver) = mpsc::channel(answer.len());
            for event in &answer {
                sender.try_send(event.clone()).expect("there is room");
            }
            receiver
        })
    }

    fn file(name: &str) -> Event {
        Event::File(FileRow {
            name: name.into(),
            length: 1,
            mtime: 0,
            mtime_ns: 0,
            executable: false,
            root: None,
            holders: Vec::new(),
        })
    }

    /// Asks, and waits for the end of the answer.
    async fn ask(village: &Arc<Village>, answer: Vec<Event>) {
        let mut news = village.news();
        village.ask(&node(answer), say).expect("it may be asked");
        while village.account().asking {
            news.changed().await.expect("the village is there");
        }
    }

    #[tokio::test]
    async fn the_village_is_asked_again_only_after_a_while() {
        let village = Arc::new(Village::default());
        assert_eq!(village.account().wait_s, 0);
        let done = Event::Done(Done::default());
        ask(&village, vec![file("a"), file("b"), done.clone()]).await;
        assert_eq!(village.account().files, 2);
        let wait = village.ask(&node(vec![done]), say).expect_err("too soon");
        assert!((1..=30).contains(&wait), "{wait}");
        assert_eq!(village.account().files, 2);
    }

    #[tokio::test]
    async fn what_was_known_is_kept_where_nobody_answers() {
        let village = Arc::new(Village::default());
        let failed = Event::Error(Failure::AnswerCutShort);
        ask(&village, vec![failed.clone()]).await;
        assert!(village.list().is_none(), "it is not known to have nothing");
        village.state().asked = None;
        ask(&village, vec![file("a"), failed.clone()]).await;
        assert_eq!(village.account().files, 1, "a part is more than nothing");
        village.state().asked = None;
        ask(&village, vec![failed]).await;
        let account = village.account();
        assert_eq!(account.files, 1);
        let error = account.error.expect("it is told");
        assert_eq!(error["message"], "The tracker is out of reach.");
    }
}
