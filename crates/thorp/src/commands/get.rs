//! `thorp get`: fetches files by name; in a terminal it asks back where it must.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use thorp_node::api::{Command, ErrorKind, Folders, Get, GetTorrent, TorrentSource, Wait};

use super::asking::{ask, log, remarks_to};
use super::context::{Context, on_disk};
use super::reading;
use crate::answer::AnswerStyle;
use crate::args::{GetArgs, HowLong};
use crate::conversation::{Conversation, Step};
use crate::exit::{Exit, Result, broken_off, failure, interrupted};
use crate::quoting::quoted;
use crate::signals::{LastResort, Signals};
use crate::{given, out, prompt, words};
use thorp_node::address::NetAddress;

pub async fn run(context: &Context, args: GetArgs) -> Result {
    if args.names.iter().any(String::is_empty) {
        let why = "an empty name is no name of a file: see what there is with thorp ls";
        return Err(failure(ErrorKind::Usage, why));
    }
    if reading::is_wanted(&args) {
        return reading::run(context, args).await;
    }
    let is_watched = !context.global.json && context.terminals.can_ask();
    let wait = match args.wait {
        Some(HowLong(time)) => Wait::All(time.map(|time| time.as_secs())),
        // A user at the terminal can interrupt it.
        None if is_watched => Wait::Begun,
        None => Wait::No,
    };
    let mut signals = Signals::listen()?;
    let dir = args.out.as_deref().map(absolute).transpose()?;
    let given = torrent(&args);
    let given = context.unless_interrupted(&mut signals, None, given);
    if let Some((given, torrent)) = given.await? {
        let get = GetTorrent {
            torrent,
            given,
            dir,
            overwrite: args.overwrite,
            hidden: args.hidden,
            wait,
        };
        let tracker = args.visiting.tracker;
        return context.answer(tracker, Command::GetTorrent(get)).await;
    }
    let get = Get {
        wait,
        names: args.names,
        exact: false,
        dir,
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
    let _last_resort = LastResort::listen()?;
    let asked = get.clone();
    let is_asking = Cell::new(false);
    tokio::select! {
        exit = converse(context, tracker, get, &is_asking) => exit,
        () = signals.next() => {
            context.terminals.erase_interrupt();
            Err(if is_asking.get() {
                failure(ErrorKind::Unfinished, "cancelled: what was asked about was not fetched")
            } else {
                interrupted(Some(&asked))
            })
        }
    }
}

/// Returns the torrent that is asked for, and by what. `None` if files are asked for by name.
async fn torrent(args: &GetArgs) -> Result<Option<(String, TorrentSource)>> {
    let may_be_meant = |name: &&String| *name == "-" || given::may_be_torrent(name);
    let names: Vec<String> = args.names.iter().filter(may_be_meant).cloned().collect();
    if names.is_empty() {
        return Ok(None);
    }
    let given = on_disk(move |disk| {
        let is_meant = |name: &&String| given::is_meant(disk, name);
        names.iter().find(is_meant).cloned()
    });
    let Some(given) = given.await? else {
        return Ok(None);
    };
    let beside = [
        (args.names.len() > 1, "another NAME"),
        (args.rename.is_some(), "--as"),
        (args.from.is_some(), "--from"),
        (args.root.is_some(), "--root"),
    ];
    if let Some((_, beside)) = beside.iter().find(|(is_given, _)| *is_given) {
        let why = format!(
            "{} is a torrent, which is fetched alone: leave out {beside}",
            quoted(&given)
        );
        return Err(failure(ErrorKind::Usage, why));
    }
    let name = given.clone();
    let source = on_disk(move |disk| given::source(disk, &name)).await??;
    Ok(Some((given, source)))
}

async fn converse(
    context: &Context,
    tracker: Option<NetAddress>,
    get: Get,
    is_asking: &Cell<bool>,
) -> Result {
    let visitor = context.visitor()?;
    let style = AnswerStyle {
        asked: true,
        ..context.answer_style()
    };
    let places = context.whereabouts(&get).await?;
    let mut renderer = context
        .renderer_of_fetch(style)
        .of_fetch(get.clone(), places);
    let (mut conversation, mut step) = Conversation::new(get);
    loop {
        step = match step {
            Step::Request(get) => {
                let (visitor, tracker) = (visitor.clone(), tracker.clone());
                let on_note = remarks_to(&mut renderer);
                let mut answers = ask(visitor, tracker, Command::Get(*get), on_note).await?;
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
                is_asking.set(true);
                let line = prompt::line(&question).await?.unwrap_or_default();
                is_asking.set(false);
                conversation.on_line(&line)
            }
            Step::Over(None) => return Ok(Exit::DONE),
            Step::Over(Some(failure)) => {
                out::complain(&failure);
                if let Some(hint) = words::odd_name(failure.kind, &conversation.wanted().names) {
                    out::talk(hint);
                }
                return Ok(failure.kind.into());
            }
        };
    }
}

/// Returns the absolute path, since the node may run in another directory.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| {
        let why = format!("{}: {e}: name a directory to write to", path.display());
        failure(ErrorKind::Usage, why)
    })
}
