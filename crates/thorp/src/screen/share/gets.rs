//! Fetches that were begun on the screen: how far they are, what they ask, what came of them.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use thorp_node::api::{Command, Event, Get, Progress};

use crate::answer::FetchTotals;
use crate::conversation::{Conversation, Step};
use crate::exit::{self, Complaint};
use crate::node::Answers;
use crate::quoting::quoted;
use crate::told;

/// The most fetches at once.
const MOST: usize = 32;
/// The most ended fetches that are remembered.
const REMEMBERED: usize = 50;

/// Sends a command to the peer.
pub type SendCommand = dyn Fn(Command) -> Answers + Send;

/// The fetches.
#[derive(Debug, Default)]
pub struct Gets {
    running: Vec<RunningGet>,
    /// The latest last.
    ended: VecDeque<EndedGet>,
}

/// A fetch that goes on.
#[derive(Debug)]
pub struct RunningGet {
    /// What the user wants.
    pub what: String,
    pub progress: Option<Progress>,
    /// A question that waits for the user.
    pub question: Option<String>,
    conversation: Conversation,
    answers: Option<Answers>,
    totals: FetchTotals,
    /// The last line that was said of it.
    said: Option<String>,
}

/// A fetch that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedGet {
    pub what: String,
    /// What came of it.
    pub outcome: String,
}

impl Gets {
    pub fn running(&self) -> &[RunningGet] {
        &self.running
    }

    /// Returns the fetches that are over, the latest first.
    pub fn ended(&self) -> impl ExactSizeIterator<Item = &EndedGet> {
        self.ended.iter().rev()
    }

    /// Begins a fetch. Returns what to tell the user, if it does not begin.
    pub fn begin(&mut self, get: Get, request: &SendCommand) -> Option<String> {
        let what = get.names.join(" ");
        if self.running.iter().any(|running| running.what == what) {
            return Some(format!("{} is on its way already.", quoted(&what)));
        }
        if self.running.len() == MOST {
            return Some(format!(
                "{MOST} fetches at once are the most: wait for one of them."
            ));
        }
        let (conversation, step) = Conversation::new(get);
        self.running.push(RunningGet {
            what,
            progress: None,
            question: None,
            conversation,
            answers: None,
            totals: FetchTotals::default(),
            said: None,
        });
        self.step(self.running.len() - 1, step, request);
        None
    }

    /// Returns the next event of a fetch; `None` where its answer has ended without a last event.
    pub fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<(usize, Option<Event>)> {
        for (at, get) in self.running.iter_mut().enumerate() {
            if let Some(answers) = &mut get.answers
                && let Poll::Ready(event) = answers.poll_recv(context)
            {
                return Poll::Ready((at, event));
            }
        }
        Poll::Pending
    }

    /// Handles an event of a fetch. Returns what to tell the user.
    pub fn on_event(
        &mut self,
        at: usize,
        event: Option<Event>,
        request: &SendCommand,
    ) -> Vec<String> {
        let Some(get) = self.running.get_mut(at) else {
            return Vec::new();
        };
        let Some(event) = event else {
            get.answers = None;
            let step = Step::Over(Some(exit::broken_off()));
            return self.step(at, step, request).into_iter().collect();
        };
        if let Event::Progress(progress) = &event {
            get.progress = Some(progress.clone());
        }
        if event.is_last() {
            get.answers = None;
        }
        let summary = get.totals.on_event(&event);
        let mut said: Vec<_> = told::event(&event).into_iter().chain(summary).collect();
        if let Some(last) = said.last() {
            get.said = Some(last.clone());
        }
        if let Some(step) = get.conversation.on_event(&event) {
            said.extend(self.step(at, step, request));
        }
        said
    }

    /// Returns the fetch that asks something, and its question.
    pub fn question(&self) -> Option<(&str, &str)> {
        self.running
            .iter()
            .find_map(|get| Some((get.what.as_str(), get.question.as_deref()?)))
    }

    /// Handles the answer to [`question`](Self::question). Returns what to tell the user.
    pub fn on_line(&mut self, line: &str, request: &SendCommand) -> Option<String> {
        let at = self.running.iter().position(|get| get.question.is_some())?;
        let get = &mut self.running[at];
        get.question = None;
        let step = get.conversation.on_line(line);
        self.step(at, step, request)
    }

    /// Ends a fetch. What has come of a large file stays for the next one.
    pub fn cancel(&mut self, what: &str) {
        if let Some(at) = self.running.iter().position(|get| get.what == what) {
            // Dropping the answer abandons the request.
            let get = self.running.remove(at);
            self.remember(get.what, "cancelled".into());
        }
    }

    fn step(&mut self, at: usize, step: Step, request: &SendCommand) -> Option<String> {
        match step {
            Step::Request(get) => {
                self.running[at].answers = Some(request(Command::Get(*get)));
                None
            }
            Step::Ask(text) => {
                self.running[at].question = Some(text);
                None
            }
            Step::Over(failure) => {
                let get = self.running.remove(at);
                let failed = failure.map(|failure: Complaint| told::failure(&failure));
                let told = failed
                    .as_ref()
                    .map(|failed| format!("{}: {failed}", quoted(&get.what)));
                let outcome = failed.or(get.said).unwrap_or_else(|| "done".into());
                self.remember(get.what, outcome);
                told
            }
        }
    }

    fn remember(&mut self, what: String, outcome: String) {
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(EndedGet { what, outcome });
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::samples;
    use thorp_node::api::{AnswerSource, Done, ErrorKind};
    use tokio::sync::mpsc;

    /// A peer that is asked, and whose answers a test gives.
    #[derive(Clone, Default)]
    struct Asked(Arc<Mutex<Vec<Question>>>);

    type Question = (Command, mpsc::Sender<Event>);

    impl Asked {
        fn request(&self) -> Box<SendCommand> {
            let asked = self.clone();
            Box::new(move |command| {
                let (sender, answers) = mpsc::channel(8);
                asked.0.lock().expect("no panic").push((command, sender));
                answers
            })
        }

        fn count(&self) -> usize {
            self.0.lock().expect("no panic").len()
        }

        fn command(&self, at: usize) -> Command {
            self.0.lock().expect("no panic")[at].0.clone()
        }

        fn answer(&self, at: usize, event: Event) {
            let sender = self.0.lock().expect("no panic")[at].1.clone();
            sender.try_send(event).expect("room");
        }
    }

    fn get(name: &str) -> Get {
        Get {
            names: vec![name.to_owned()],
            ..Get::default()
        }
    }

    async fn next(gets: &mut Gets, request: &SendCommand) -> Vec<String> {
        let (at, event) = poll_fn(|context| gets.poll_event(context)).await;
        gets.on_event(at, event, request)
    }

    #[tokio::test]
    async fn two_fetches_go_on_side_by_side_and_their_end_is_told() {
        let asked = Asked::default();
        let request = asked.request();
        let mut gets = Gets::default();
        assert_eq!(gets.begin(get("1.txt"), &request), None);
        assert_eq!(gets.begin(get("2.txt"), &request), None);
        let told = gets.begin(get("1.txt"), &request);
        assert!(told.expect("told").contains("on its way already"));
        assert_eq!(asked.count(), 2);
        asked.answer(1, Event::Fetched(samples::fetched(AnswerSource::Memory)));
        let said = next(&mut gets, &request).await;
        assert!(
            said[0].starts_with("2.txt  1.2 KiB  from neighbour"),
            "{said:?}"
        );
        asked.answer(1, Event::Done(Done::default()));
        assert_eq!(next(&mut gets, &request).await, [""; 0]);
        assert_eq!(gets.running().len(), 1);
        let ended: Vec<_> = gets.ended().collect();
        assert_eq!((ended.len(), ended[0].what.as_str()), (1, "2.txt"));
        assert!(ended[0].outcome.contains("from neighbour"), "{ended:?}");
        gets.cancel("1.txt");
        assert_eq!((gets.running().len(), gets.ended().len()), (0, 2));
    }

    #[tokio::test]
    async fn a_question_of_a_fetch_is_answered_and_leads_to_another_request() {
        let asked = Asked::default();
        let request = asked.request();
        let mut gets = Gets::default();
        gets.begin(get("1.txt"), &request);
        asked.answer(0, Event::Error(samples::failure(ErrorKind::Exists, "why")));
        assert_eq!(next(&mut gets, &request).await, [""; 0]);
        let (what, question) = gets.question().expect("a question");
        assert_eq!(what, "1.txt");
        assert!(
            question.contains("2. Save the requested file"),
            "{question}"
        );
        assert_eq!(gets.on_line("2", &request), None);
        assert!(
            gets.question()
                .expect("another")
                .1
                .contains("type the name")
        );
        assert_eq!(gets.on_line("new.txt", &request), None);
        assert_eq!(gets.question(), None);
        let Command::Get(again) = asked.command(1) else {
            panic!("it fetches");
        };
        assert_eq!(again.rename.as_deref(), Some("new.txt"));
    }

    #[tokio::test]
    async fn a_failure_and_a_peer_that_goes_are_told() {
        let asked = Asked::default();
        let request = asked.request();
        let mut gets = Gets::default();
        gets.begin(get("1.txt"), &request);
        asked.answer(0, Event::Error(samples::nobody()));
        let said = next(&mut gets, &request).await;
        assert!(said[0].starts_with("1.txt: No peer is sharing"), "{said:?}");
        gets.begin(get("2.txt"), &request);
        asked.0.lock().expect("no panic").clear();
        let said = next(&mut gets, &request).await;
        assert!(said[0].starts_with("2.txt: "), "{said:?}");
        assert_eq!(gets.running().len(), 0);
    }

    #[test]
    fn no_more_than_a_bound_go_on_at_once() {
        let asked = Asked::default();
        let request = asked.request();
        let mut gets = Gets::default();
        for number in 0..MOST {
            assert_eq!(gets.begin(get(&number.to_string()), &request), None);
        }
        let told = gets.begin(get("one more"), &request).expect("told");
        assert!(told.starts_with("32 fetches at once"), "{told}");
        assert_eq!(asked.count(), MOST);
    }
}
