//! `thorp tracker --backup` and `--restore`: a group in a file, and back.

use std::path::{Path, PathBuf};

use serde_json::json;
use thorp_node::api::{Command, ErrorKind, Event};
use thorp_node::backup::{self, Backup};
use thorp_node::launch;

use super::{Context, broken_off};
use crate::exit::{Exit, Result, failure};
use crate::out::{self, Flow};
use crate::state::Role;
use crate::units;

/// For standard input or output.
const DASH: &str = "-";

/// Saves the group whose CA is on this machine.
pub async fn back_up(context: &Context, file: &Path) -> Result {
    let states = context.keepers()?;
    let mut answers = launch::ask_keeper(&states, Command::Backup).await?;
    let mut text = None;
    loop {
        match answers.recv().await {
            Some(Event::Backup { backup }) => text = Some(backup),
            Some(Event::Error(failure)) => return Err(failure),
            Some(Event::Done(_)) => break,
            Some(_) => {}
            None => return Err(broken_off()),
        }
    }
    let text = text.ok_or_else(broken_off)?;
    if file == Path::new(DASH) {
        if out::data(text.trim_end()) == Flow::Closed {
            let why = "nobody has read the backup to its end: it is not saved";
            return Err(failure(ErrorKind::Unfinished, why));
        }
    } else {
        let path = absolute(file)?;
        backup::write_new(&path, &text)?;
        if context.global.json {
            let object = json!({ "event": "saved", "file": path });
            let _ = out::data(&object.to_string());
        }
    }
    context.say(
        "Saved. Whoever has this backup has the group: keep it as you would a key, \
         and out of every directory that is shared.",
    );
    Ok(Exit::DONE)
}

/// Puts a saved group into this machine's tracker state.
pub async fn restore(context: &Context, file: &Path) -> Result {
    let state = context.state(Role::Tracker)?;
    let backup = if file == Path::new(DASH) {
        Backup::read_from(std::io::stdin().lock(), Path::new("standard input"))?
    } else {
        Backup::read(file)?
    };
    let members = launch::restore(state.clone(), backup).await?;
    if context.global.json {
        let object = json!({ "event": "restored", "state": state, "members": members });
        let _ = out::data(&object.to_string());
    }
    let members = units::count(members as u64, "member");
    context.say(&format!(
        "Restored a group of {members} to {}. Start its tracker: thorp tracker\n\
         Where it has another address now, each member is told once: thorp share --tracker ADDR",
        state.display()
    ));
    Ok(Exit::DONE)
}

fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).map_err(|e| {
        let why = format!("{}: {e}: name another file", file.display());
        failure(ErrorKind::Usage, why)
    })
}
