//! Sends a command to a node and shows its whole answer.

use std::io;
use std::path::PathBuf;

use thorp_node::address::NetAddress;
use thorp_node::api::{Command, ErrorKind, Event, Get, GetTorrent, Member, Note};
use thorp_node::launch::{self, Common, LaunchError, Standing};
use thorp_node::printable::printable;
use tokio::sync::mpsc;

use super::context::{Context, on_disk};
use crate::answer::{AnswerStyle, Renderer};
use crate::args::ListArgs;
use crate::exit::{Exit, Result, broken_off, failure, interrupted};
use crate::node::{self, Answers};
use crate::out::{self, Flow, StandardOutput};
use crate::pager::{Paged, Pager};
use crate::progress::Bar;
use crate::signals::{LastResort, Signals};
use crate::sorting::{Order, Sorting};
use crate::state::{self, NodeKind};
use crate::whereabouts::{self, Whereabouts};
use crate::{threads, words, wrap};

/// The most events that are shown together.
const TOGETHER: usize = 256;

/// The renderer of answers on the standard streams, or in a pager.
type Standard = Renderer<Paged<StandardOutput>, Paged<io::Stderr>>;

impl Context {
    pub fn renderer(&self, style: AnswerStyle) -> Standard {
        self.renderer_in(&Pager::none(), style, out::standard())
    }

    /// Returns the renderer of a fetch, whose files come whether or not that is told.
    pub fn renderer_of_fetch(&self, style: AnswerStyle) -> Standard {
        self.renderer_in(&Pager::none(), style, out::standard_if_any())
    }

    /// Prepares to tell where the files of a fetch are.
    pub async fn whereabouts(&self, get: &Get) -> Result<Whereabouts> {
        let state = self.state(NodeKind::Peer)?;
        // To a user who has named a directory nothing is explained.
        let is_new =
            get.dir.is_none() && on_disk(move |disk| whereabouts::is_new(disk, &state)).await?;
        Ok(Whereabouts::new(get, here()?, is_new))
    }

    /// Records that the reason was given, so that it is not given again.
    pub async fn was_told(&self, has_explained: bool) -> Result<()> {
        if has_explained {
            let state = self.state(NodeKind::Peer)?;
            on_disk(move |disk| whereabouts::explained(disk, &state)).await?;
        }
        Ok(())
    }

    fn renderer_in(&self, pager: &Pager, style: AnswerStyle, out: StandardOutput) -> Standard {
        let bar = Bar::new(self.terminals, !style.json && !style.quiet);
        let (out, talk) = (pager.data(out), pager.talk(self.terminals.stderr));
        Renderer::new(out, talk, style, bar)
            .fitting(wrap::width(io::stdout()), wrap::width(io::stderr()))
    }

    /// Sends `command` to the peer that runs here, otherwise to the tracker, and shows the answer.
    /// Returns the state directory on which that node runs.
    pub async fn answer_of_running(&self, command: Command) -> Result<(PathBuf, Exit)> {
        let (peer, tracker) = (self.state(NodeKind::Peer)?, self.state(NodeKind::Tracker)?);
        let states = [peer, tracker];
        if let Some((state, mut answers)) = launch::ask_running(&states, &command).await {
            let mut renderer = self.renderer(self.answer_style());
            // A node that was about to end gives no answer.
            if let Some(first) = answers.recv().await {
                let exit = match renderer.render(&first)? {
                    Some(exit) => exit,
                    None => show(&mut answers, &mut renderer, false).await?,
                };
                return Ok((state.to_owned(), exit));
            }
        }
        let [peer, tracker] = states;
        let here = peer.display();
        let is_named = peer == tracker;
        if launch::has_ca(&tracker).await? && (is_named || node::is_new(&peer).await) {
            let no_peer = if is_named {
                String::new()
            } else {
                format!(", and no peer on {here}")
            };
            let why = format!(
                "No tracker is running on the state directory {}{no_peer}. \
                 Start the tracker: thorp tracker{}",
                tracker.display(),
                state::told(&tracker, NodeKind::Tracker)
            );
            return Err(failure(ErrorKind::Other, why));
        }
        if matches!(
            launch::standing(&peer).await?,
            Standing::Nothing | Standing::Alone
        ) {
            let why = format!(
                "No peer is running on {here}, and this machine is in no group. \
                 Join one: thorp join{at}; or make a new one: thorp share DIR{at}",
                at = state::told(&peer, NodeKind::Peer)
            );
            return Err(failure(ErrorKind::Other, why));
        }
        // Waits for a node that is starting or ending.
        let exit = self.answer(None, command).await?;
        Ok((peer, exit))
    }

    /// Sends `command` to the peer that runs here, otherwise to a visitor, and shows the answer.
    pub async fn answer(&self, tracker: Option<NetAddress>, command: Command) -> Result {
        let (pager, style) = (Pager::none(), self.answer_style());
        self.answer_in(pager, style, tracker, command).await
    }

    /// Shows a list of files in the same way: for a user in a pager, and in natural order.
    pub async fn list(
        &self,
        tracker: Option<NetAddress>,
        command: Command,
        listing: ListArgs,
    ) -> Result {
        let is_looked_at = self.terminals.stdout && !self.global.json;
        let order = listing.sort.or(is_looked_at.then_some(Order::Name));
        let style = AnswerStyle {
            order: order.map(|order| Sorting {
                order,
                is_asked_for: listing.sort.is_some(),
            }),
            ..self.answer_style()
        };
        let pager = if is_looked_at && self.terminals.able && !listing.no_pager {
            Pager::wanted()
        } else {
            Pager::none()
        };
        self.answer_in(pager, style, tracker, command).await
    }

    async fn answer_in(
        &self,
        pager: Pager,
        style: AnswerStyle,
        tracker: Option<NetAddress>,
        command: Command,
    ) -> Result {
        let mut signals = Signals::listen()?;
        let last_resort = LastResort::listen()?;
        let visitor = self.visitor()?;
        // A listing without a reader has no purpose, but a fetch has.
        let listing = !matches!(
            command,
            Command::Get(_) | Command::GetTorrent(_) | Command::Stop
        );
        let out = if listing || style.json {
            out::standard()
        } else {
            out::standard_if_any()
        };
        let nothing = nothing(&command);
        let mut renderer = self.renderer_in(&pager, AnswerStyle { nothing, ..style }, out);
        let fetch = match &command {
            Command::Get(get) => Some(get.clone()),
            Command::GetTorrent(get) => Some(as_get(get, vec![get.given.clone()])),
            _ => None,
        };
        let shown = match &command {
            // What is advised about names is not of use.
            Command::GetTorrent(get) => Some(as_get(get, Vec::new())),
            _ => fetch.clone(),
        };
        if let Some(get) = &shown {
            let places = self.whereabouts(get);
            let places = self
                .unless_interrupted(&mut signals, fetch.as_ref(), places)
                .await?;
            renderer = renderer.of_fetch(get.clone(), places);
        }
        let work = async {
            let mut answers = match self.of_tracker_here(tracker.as_ref(), &command).await? {
                Some(answers) => answers,
                None => ask(visitor, tracker, command, remarks_to(&mut renderer)).await?,
            };
            show(&mut answers, &mut renderer, listing).await
        };
        let end = self
            .unless_interrupted(&mut signals, fetch.as_ref(), Box::pin(work))
            .await;
        let told = self.was_told(renderer.has_explained());
        self.unless_interrupted(&mut signals, fetch.as_ref(), told)
            .await?;
        // A pager may be read for as long as its user likes.
        drop(last_resort);
        pager.close(&mut signals).await;
        end
    }
}

impl Context {
    /// Returns the answer of the tracker that runs here, if this machine is in no other group and
    /// so has no peer to ask.
    async fn of_tracker_here(
        &self,
        tracker: Option<&NetAddress>,
        command: &Command,
    ) -> Result<Option<Answers>> {
        let is_listing = matches!(
            command,
            Command::Find { .. } | Command::Ls { .. } | Command::Peers
        );
        if tracker.is_some() || !is_listing {
            return Ok(None);
        }
        let standing = launch::standing(&self.state(NodeKind::Peer)?).await?;
        if !matches!(standing, Standing::Nothing | Standing::Alone) {
            return Ok(None);
        }
        let states = [self.state(NodeKind::Tracker)?];
        let asked = launch::ask_running(&states, command).await;
        Ok(asked.map(|(_, answers)| answers))
    }

    /// Returns the result of some work, unless a signal comes before.
    pub(super) async fn unless_interrupted<T>(
        &self,
        signals: &mut Signals,
        fetch: Option<&Get>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            done = work => done,
            () = signals.next() => {
                self.terminals.erase_interrupt();
                Err(interrupted(fetch))
            }
        }
    }
}

/// Sends `command` to the peer that runs on the state directory, otherwise to a visitor that joins
/// for this command. What there is to say while that has to wait is given to `on_note`.
pub async fn ask(
    common: Common,
    tracker: Option<NetAddress>,
    command: Command,
    mut on_note: impl FnMut(Note),
) -> Result<Answers> {
    if let Some(answers) = launch::ask_node(&common.state, &command).await {
        return Ok(answers);
    }
    if tracker.is_none() && node::is_new(&common.state).await {
        return Err(LaunchError::NotAMember.into());
    }
    let here = here()?;
    // As few as there are while a machine joins.
    let (notes, mut said) = mpsc::unbounded_channel();
    let say = move |note| drop(notes.send(note));
    let asking = async move { launch::ask(common, tracker, &here, command, say).await };
    let mut asking = threads::of_visitor()?.spawn(asking);
    loop {
        tokio::select! {
            biased;
            Some(note) = said.recv() => on_note(note),
            asked = &mut asking => return Ok(asked.map_err(LaunchError::from)??),
        }
    }
}

/// Shows remarks before there is an answer.
pub fn remarks_to<O: io::Write, T: io::Write>(
    renderer: &mut Renderer<O, T>,
) -> impl FnMut(Note) + use<'_, O, T> {
    |note| {
        // A remark ends nothing; that its reader is gone is noticed with the answer.
        let _ = renderer.render(&Event::Note(note));
    }
}

fn here() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| {
        let why = format!("the current directory cannot be used ({error}): go to another");
        failure(ErrorKind::Other, why)
    })
}

/// Returns a get of a torrent as messages are about one of a file.
fn as_get(get: &GetTorrent, names: Vec<String>) -> Get {
    Get {
        names,
        dir: get.dir.clone(),
        overwrite: get.overwrite,
        hidden: get.hidden,
        wait: get.wait,
        ..Get::default()
    }
}

/// Returns what to say of a listing without rows.
fn nothing(command: &Command) -> Option<String> {
    match command {
        Command::Find { pattern, .. } => Some(words::nothing_matches(pattern)),
        Command::Ls { .. } => Some("There are no files.".into()),
        Command::Peers => Some("No other peer is here.".into()),
        Command::Neighbours => Some(
            "No neighbours yet: a peer becomes one when a file is fetched from it, or by it."
                .into(),
        ),
        Command::Get(_)
        | Command::Read(_)
        | Command::GetTorrent(_)
        | Command::Status
        | Command::Snapshot(_)
        | Command::Watch { .. }
        | Command::Stop
        | Command::Page
        | Command::Invite { .. }
        | Command::Members
        | Command::Remove { .. }
        | Command::Backup
        | Command::Torrent(_) => None,
    }
}

/// Logs an event for `-v`: what the asked node may have logged in another process.
pub fn log(event: &Event) {
    match event {
        Event::Fetched(fetched) => {
            let called = |member: &Member| member.name.clone().unwrap_or(member.address.clone());
            let from: Vec<String> = fetched.sources.iter().map(called).collect();
            tracing::info!(
                name = %printable(&fetched.name),
                stage = ?fetched.answer.source,
                via = fetched.answer.via.as_ref().map(called),
                tracker_asked = fetched.answer.tracker_asked,
                from = from.join(" "),
                received = fetched.received,
                ms = fetched.ms,
                "has come"
            );
        }
        Event::Failed { name, failure } => {
            let kind = failure.kind();
            tracing::info!(name = %printable(name), ?kind, "has not come");
        }
        Event::Done(done) => {
            tracing::info!(count = done.count, bytes = done.bytes, ms = done.ms, "done");
        }
        _ => {}
    }
}

/// Shows an answer to its end.
pub async fn show<O: io::Write, T: io::Write>(
    answers: &mut Answers,
    renderer: &mut Renderer<O, T>,
    listing: bool,
) -> Result {
    let mut events = Vec::new();
    while answers.recv_many(&mut events, TOGETHER).await > 0 {
        events.iter().for_each(log);
        if let Some(exit) = renderer.render_all(events.drain(..))? {
            return Ok(exit);
        }
        if listing && renderer.flow() == Flow::Closed {
            return Ok(Exit::DONE);
        }
    }
    Err(broken_off())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use tokio::sync::mpsc;

    async fn answer_of(events: Vec<Event>) -> (Result, String) {
        let (sender, mut answers) = mpsc::channel(16);
        for event in events {
            sender.send(event).await.expect("room");
        }
        drop(sender);
        let mut out = Vec::new();
        let mut renderer = Renderer::new(&mut out, Vec::new(), AnswerStyle::default(), Bar::none());
        let exit = show(&mut answers, &mut renderer, true).await;
        (exit, String::from_utf8(out).expect("UTF-8"))
    }

    #[tokio::test]
    async fn an_answer_ends_with_its_last_event() {
        let done = Event::Done(thorp_node::api::Done::default());
        let (exit, out) = answer_of(vec![Event::File(samples::file("2.txt")), done]).await;
        assert_eq!(exit, Ok(Exit::DONE));
        assert_eq!(out.lines().count(), 2);
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_unfinished() {
        let (exit, _) = answer_of(vec![Event::File(samples::file("2.txt"))]).await;
        assert_eq!(exit.expect_err("unfinished").kind, ErrorKind::Unfinished);
    }
}
