//! `thorp get`: fetches files by name; in a terminal it asks back where it must.

use thorp_node::api::{Command, Folders, Get, Wait};

use super::asking::{ask, log};
use super::context::Context;
use crate::answer::AnswerStyle;
use crate::args::{GetArgs, HowLong};
use crate::conversation::{Conversation, Step};
use crate::exit::{Exit, Result, broken_off, interrupted};
use crate::signals::Signals;
use crate::{out, prompt};
use thorp_node::address::NetAddress;

pub async fn run(context: &Context, args: GetArgs) -> Result {
    let is_watched = !context.global.json && context.terminals.can_ask();
    let get = Get {
        wait: match args.wait {
            Some(HowLong(time)) => Wait::All(time.map(|time| time.as_secs())),
            // A user at the terminal can interrupt it.
            None if is_watched => Wait::Begun,
            None => Wait::No,
        },
        names: args.names,
        dir: args.out.as_deref().map(absolute).transpose()?,
        rename: args.rename,
        overwrite: args.overwrite,
        set_aside: None,
        from: args.from,
        root: args.root,
        hidden: args.hidden,
        folders: Folders::No,
    };
    let tracker = args.visiting.tracker;
    if !is_watched {
        return context.answer(tracker, Command::Get(get)).await;
    }
    let mut signals = Signals::listen()?;
    let asked = get.clone();
    tokio::select! {
        exit = converse(context, tracker, get) => exit,
        () = signals.next() => Err(interrupted(Some(&asked))),
    }
}

async fn converse(context: &Context, tracker: Option<NetAddress>, get: Get) -> Result {
    let visitor = context.visitor()?;
    let style = AnswerStyle {
        asked: true,
        ..context.answer_style()
    };
    let places = context.whereabouts(&get).await?;
    let mut renderer = context.renderer(style).of_fetch(get.clone(), places);
    let (mut conversation, mut step) = Conversation::new(get);
    loop {
        step = match step {
            Step::Request(get) => {
                let mut answers = ask(visitor.clone(), tracker.clone(), Command::Get(*get)).await?;
                let next = loop {
                    let Some(event) = answers.recv().await else {
                        return Err(broken_off());
                    };
                    log(&event);
                    renderer.render(&event)?;
                    if let Some(step) = conversation.on_event(&event) {
                        break step;
                    }
                };
                context.was_told(renderer.has_explained()).await?;
                next
            }
            // The end of the input counts as an empty answer.
            Step::Ask(question) => {
                let line = prompt::line(&question).await?.unwrap_or_default();
                conversation.on_line(&line)
            }
            Step::Over(None) => return Ok(Exit::DONE),
            Step::Over(Some(failure)) => {
                out::complain(&failure);
                return Ok(failure.kind.into());
            }
        };
    }
}

/// Returns the absolute path, since the node may run in another directory.
fn absolute(path: &std::path::Path) -> Result<std::path::PathBuf> {
    std::path::absolute(path).map_err(|e| {
        let why = format!("{}: {e}: name a directory to write to", path.display());
        crate::exit::failure(thorp_node::api::ErrorKind::Usage, why)
    })
}
