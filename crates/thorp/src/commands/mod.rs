//! One verb a file, each thin: options for the node, then the right way to show
//! what comes back. Here is what they share.

mod completions;
mod demo;
mod find;
mod get;
mod invitation;
mod invite;
mod join;
mod keeping;
mod leave;
mod ls;
mod members;
mod neighbours;
mod peers;
mod remove;
mod share;
mod status;
mod stop;
mod tracker;

use std::io;
use std::path::PathBuf;

use thorp_node::api::{Command, ErrorKind};
use thorp_node::config::Setting;
use thorp_node::launch::{self, Common, EMBEDDED, Standing};

use crate::answer::{AnswerStyle, Renderer};
use crate::args::{Args, Global, Verb};
use crate::exit::{Complaint, Exit, Result, broken_off, failure, interrupted};
use crate::lines;
use crate::node::{self, Answers};
use crate::out::{self, Flow, Terminals};
use crate::progress::Bar;
use crate::signals::Signals;
use crate::state::{self, NodeKind};
use crate::{choose, json, prompt, wrap};
use thorp_node::address::NetAddress;

/// What every verb may look at.
pub struct Context {
    global: Global,
    settings: Vec<Setting>,
    terminals: Terminals,
}

/// Does what was typed.
pub async fn run(args: Args) -> Result {
    let context = Context {
        global: args.global,
        settings: args.settings,
        terminals: Terminals::look(),
    };
    match args.verb {
        Verb::Share(share) => share::run(context, share).await,
        Verb::Tracker(tracker) => tracker::run(context, tracker).await,
        Verb::Invite(invite) => invite::run(&context, &invite).await,
        Verb::Join(join) => join::run(&context, &join).await,
        Verb::Members => members::run(&context).await,
        Verb::Remove(remove) => remove::run(&context, &remove).await,
        Verb::Get(get) => get::run(&context, get).await,
        Verb::Find(find) => find::run(&context, find).await,
        Verb::Ls(ls) => ls::run(&context, ls).await,
        Verb::Peers(visiting) => peers::run(&context, visiting).await,
        Verb::Neighbours => neighbours::run(&context).await,
        Verb::Status => status::run(&context).await,
        Verb::Stop => stop::run(&context).await,
        Verb::Leave(leave) => leave::run(&context, &leave).await,
        Verb::Demo => demo::run(&context).await,
        Verb::Completions(completions) => Ok(completions::run(&completions)),
    }
}

/// A failure that nobody has told yet: the last line, whichever form.
pub fn tell(failure: &Complaint, json: bool) {
    if json && let Ok(line) = json::failure(failure) {
        let _ = out::data(&line);
        return;
    }
    out::complain(failure);
}

impl Context {
    fn state(&self, kind: NodeKind) -> Result<PathBuf> {
        state::directory(self.global.state.as_deref(), kind)
    }

    /// Where the CA of a group may be: with the tracker inside a peer, or with a
    /// tracker alone. With `--state`, the latter may be a peer's too, which has
    /// none but knows where it is.
    fn keepers(&self) -> Result<[PathBuf; 2]> {
        let peer = self.state(NodeKind::Peer)?;
        Ok([peer.join(EMBEDDED), self.state(NodeKind::Tracker)?])
    }

    /// Goes on after a yes: typed beforehand, or to a question in a terminal.
    async fn confirm(&self, question: &str, yes: &str, given: bool) -> Result<()> {
        if given {
            return Ok(());
        }
        if !self.terminals.can_ask() {
            let why = format!("{question}. This needs a yes: --yes, or a terminal to ask in");
            return Err(failure(ErrorKind::Usage, why));
        }
        if self.asked(question, yes).await? {
            return Ok(());
        }
        Err(failure(ErrorKind::Other, "cancelled: nothing was changed"))
    }

    /// Asks in a terminal until the answer is one.
    async fn asked(&self, question: &str, yes: &str) -> Result<bool> {
        let mut question = format!("{question}\n1. {yes}\n2. Cancel.");
        while let Some(line) = prompt::line(&question).await? {
            match choose::pick(&line, 2) {
                choose::Pick::At(0) => return Ok(true),
                choose::Pick::At(_) | choose::Pick::Cancel => return Ok(false),
                choose::Pick::Nonsense => "Please type 1 or 2.".clone_into(&mut question),
            }
        }
        Ok(false)
    }

    /// What a visitor is started with, where no peer is running.
    fn visitor(&self) -> Result<Common> {
        let state = self.state(NodeKind::Peer)?;
        Ok(node::common(state, self.settings.clone(), None, None))
    }

    fn line_manner(&self) -> lines::Manner {
        lines::Manner {
            json: self.global.json,
            quiet: self.global.quiet,
        }
    }

    fn answer_style(&self) -> AnswerStyle {
        AnswerStyle {
            json: self.global.json,
            quiet: self.global.quiet,
            asked: false,
            nothing: None,
        }
    }

    /// A screen or a menu, or plain lines.
    fn draws(&self, lines: bool) -> bool {
        !lines && !self.global.json && self.terminals.can_draw(self.global.verbose > 0)
    }

    /// Talk that `--quiet` and `--json` leave out.
    fn say(&self, text: &str) {
        if !self.global.quiet && !self.global.json {
            out::talk(text);
        }
    }

    fn renderer(&self, style: AnswerStyle) -> Renderer<io::Stdout, io::Stderr> {
        let bar = Bar::new(self.terminals, !style.json && !style.quiet);
        Renderer::new(io::stdout(), io::stderr(), style, bar)
            .fitting(wrap::width(io::stdout()), wrap::width(io::stderr()))
    }

    /// Sends `command` to the peer that runs here, or else to the tracker, shows
    /// the answer, and says which state directory that one runs on.
    async fn answer_of_running(&self, command: Command) -> Result<(PathBuf, Exit)> {
        let (peer, tracker) = (self.state(NodeKind::Peer)?, self.state(NodeKind::Tracker)?);
        let states = [peer, tracker];
        if let Some((state, mut answers)) = launch::ask_running(&states, &command).await {
            let mut renderer = self.renderer(self.answer_style());
            // One that was about to end leaves no answer behind.
            if let Some(first) = answers.recv().await {
                let exit = match renderer.event(&first)? {
                    Some(exit) => exit,
                    None => show(&mut answers, &mut renderer, false).await?,
                };
                return Ok((state.to_owned(), exit));
            }
        }
        let [peer, tracker] = states;
        let here = peer.display();
        if peer != tracker && launch::has_ca(&tracker) && node::is_new(&peer) {
            let why = format!(
                "No tracker is running on the state directory {}, and no peer on {here}. \
                 Start the tracker: thorp tracker",
                tracker.display()
            );
            return Err(failure(ErrorKind::Other, why));
        }
        if matches!(
            launch::standing(&peer)?,
            Standing::Nothing | Standing::Alone
        ) {
            let why = format!(
                "No peer is running on {here}, and this machine is in no group. \
                 Join one: thorp join; or make a new one: thorp share"
            );
            return Err(failure(ErrorKind::Other, why));
        }
        // One that is about to start or to end is waited for.
        let exit = self.answer(None, command).await?;
        Ok((peer, exit))
    }

    /// Sends `command` and shows the answer.
    async fn answer(&self, tracker: Option<NetAddress>, command: Command) -> Result {
        let mut signals = Signals::listen()?;
        let visitor = self.visitor()?;
        let mut renderer = self.renderer(AnswerStyle {
            nothing: nothing(&command),
            ..self.answer_style()
        });
        // A listing that nobody reads has no purpose; a fetch has.
        let listing = !matches!(command, Command::Get(_) | Command::Stop);
        let fetch = match &command {
            Command::Get(get) => Some(get.clone()),
            _ => None,
        };
        let work = async {
            let mut answers = node::ask(visitor, tracker, command).await?;
            show(&mut answers, &mut renderer, listing).await
        };
        tokio::select! {
            exit = work => exit,
            () = signals.next() => Err(interrupted(fetch.as_ref())),
        }
    }
}

/// What a listing without a row means.
fn nothing(command: &Command) -> Option<&'static str> {
    match command {
        Command::Find { .. } => Some("Nothing matches: try a wider pattern, such as '*.txt'."),
        Command::Ls { .. } => Some("There are no files."),
        Command::Peers => Some("Nobody else is here."),
        Command::Neighbours => {
            Some("No neighbours yet: fetching from a peer makes both of you neighbours.")
        }
        Command::Get(_)
        | Command::Status
        | Command::Stop
        | Command::Invite { .. }
        | Command::Members
        | Command::Remove { .. }
        | Command::Backup
        | Command::Snapshot(_)
        | Command::Watch { .. } => None,
    }
}

/// Shows an answer to its end.
async fn show<O: io::Write, T: io::Write>(
    answers: &mut Answers,
    renderer: &mut Renderer<O, T>,
    listing: bool,
) -> Result {
    while let Some(event) = answers.recv().await {
        if let Some(exit) = renderer.event(&event)? {
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
    use thorp_node::api::Event;
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
