//! What the whole village has, as it said when it was last asked: when it is asked, and what is
//! remembered.
//!
//! ```text
//! list     the files in memory, searched and shown as folders
//! window   a part of a list, as it is asked for and answered
//! tracked  a search through all files of a tracker, which needs no list
//! survey   the files of a folder, as they are listed now, or a moment ago
//! ```

pub(crate) mod list;
pub(crate) mod survey;
pub(crate) mod tracked;
pub(crate) mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use thorp_node::api::{Command, Event, Failure};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::refusal::{Saying, said};
use crate::served::AskNode;
use list::{Collected, List};

/// The shortest time between two questions to the whole village.
const EVERY: Duration = Duration::from_secs(30);
/// An answer that says nothing for this long has broken off.
const SILENT_FOR: Duration = Duration::from_mins(2);

/// What the village has said, and what it is being asked.
pub(crate) struct Village {
    state: Mutex<State>,
    /// Its value changes whenever the account does.
    news: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    list: Option<(Arc<List>, Instant)>,
    /// The number of lists that there have been.
    lists: u64,
    is_asking: bool,
    asked: Option<Instant>,
    error: Option<Value>,
}

/// What is told about asking the village, with the field names of `API.md`.
#[derive(Debug, Serialize)]
pub(crate) struct Account {
    asking: bool,
    /// Which list it is: an answer that comes at once is seen by this alone.
    list: u64,
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
        let broken_off = said(Failure::AnswerCutShort, say);
        let asking = Asking {
            village: Arc::clone(self),
            broken_off: Some(broken_off.clone()),
        };
        tokio::spawn(async move {
            let mut collected = Collected::default();
            let error = loop {
                match timeout(SILENT_FOR, answer.recv()).await {
                    Ok(Some(Event::File(row))) => {
                        if !collected.add(row) {
                            break None;
                        }
                    }
                    Ok(Some(Event::Done(_))) => break None,
                    Ok(Some(Event::Error(failure))) => break Some(said(failure, say)),
                    Ok(Some(_)) => {}
                    // The node has not come to the end of its answer.
                    Ok(None) | Err(_) => break Some(broken_off),
                }
            };
            drop(answer);
            // Putting it in order takes longer than a node may be held up.
            let list = thorp_disk::spawn(move |_| collected.into_list()).await;
            asking.on_answered(list.ok(), error);
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
            state.lists += 1;
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
            list: state.lists,
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

/// A question to the village, which ends with this, however that comes.
struct Asking {
    village: Arc<Village>,
    /// What is told if it ends before it was answered.
    broken_off: Option<Value>,
}

impl Asking {
    fn on_answered(mut self, list: Option<List>, error: Option<Value>) {
        self.broken_off = None;
        self.village.on_answer(list, error);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(error) = self.broken_off.take() {
            self.village.on_answer(None, Some(error));
        }
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
    use serde_json::json;
    use thorp_node::api::{Done, FileRow};
    use tokio::sync::mpsc;

    use super::*;

    fn say(_: &Event) -> Value {
        json!({"kind": "network", "message": "The tracker is out of reach."})
    }

    /// A node whose answer is this.
    fn node(answer: Vec<Event>) -> AskNode {
        Arc::new(move |_| {
            let (sender, receiver) = mpsc::channel(answer.len().max(1));
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
        let account = village.account();
        assert_eq!((account.files, account.list), (2, 1));
        let wait = village.ask(&node(vec![done]), say).expect_err("too soon");
        assert!((1..=30).contains(&wait), "{wait}");
        assert_eq!(village.account().files, 2);
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_not_the_whole_village() {
        let village = Arc::new(Village::default());
        let done = Event::Done(Done::default());
        ask(&village, vec![file("a"), file("b"), done]).await;
        assert_eq!(village.account().error, None);
        village.state().asked = None;
        ask(&village, Vec::new()).await;
        let account = village.account();
        assert_eq!(account.files, 2, "nothing was said about what was known");
        assert_eq!(account.list, 1, "it is the same list");
        assert_eq!(account.error.expect("it is told")["code"], "network");
        village.state().asked = None;
        ask(&village, vec![file("a")]).await;
        assert!(village.account().error.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_says_nothing_more_ends() {
        let village = Arc::new(Village::default());
        let (sender, receiver) = mpsc::channel(1);
        let receiver = Mutex::new(Some(receiver));
        let silent: AskNode = Arc::new(move |_| {
            let receiver = receiver.lock().expect("it is whole").take();
            receiver.expect("it is asked once")
        });
        let mut news = village.news();
        village.ask(&silent, say).expect("it may be asked");
        while village.account().asking {
            news.changed().await.expect("the village is there");
        }
        assert!(village.account().error.is_some());
        drop(sender);
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
