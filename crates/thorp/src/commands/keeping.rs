//! `thorp tracker --backup` and `--restore`: saves a group to a file, and restores it.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use thorp_node::api::{Command, ErrorKind, Event, JsonPath};
use thorp_node::backup::{self, Backup};
use thorp_node::launch;

use super::context::{Context, on_disk};
use crate::exit::{Exit, Result, broken_off, failure};
use crate::out::{self, Flow};
use crate::state::{self, NodeKind};
use crate::{units, words};

/// Stands for standard input or output.
const DASH: &str = "-";

/// Saves the group whose CA is on this machine.
pub async fn back_up(context: &Context, file: &Path) -> Result {
    let states = context.keepers()?;
    let place = match file {
        file if file == Path::new(DASH) => None,
        file => Some(unshared(context, file).await?),
    };
    let mut answers = launch::ask_keeper(&states, Command::Backup).await?;
    let mut text = None;
    loop {
        match answers.recv().await {
            Some(Event::Backup { backup }) => text = Some(backup),
            Some(Event::Error(failure)) => return Err(failure.into()),
            Some(Event::Done(_)) => break,
            Some(_) => {}
            None => return Err(broken_off()),
        }
    }
    let text = text.ok_or_else(broken_off)?;
    if let Some(path) = place {
        let file = path.clone();
        let is_private = on_disk(move |disk| backup::write_new(disk, &file, &text)).await??;
        if !is_private {
            context.say(&format!(
                "Others on this machine can read {}: its file system has no permissions. Move it \
                 to one that has.",
                words::escaped(&path)
            ));
        }
        if context.global.json {
            let object = json!({ "event": "saved", "file": JsonPath::of(&path) });
            let _ = out::data(&object.to_string())?;
        }
    } else if out::data(text.trim_end())? == Flow::Closed {
        let why =
            "the program that reads the backup ended before it had all of it: it is not saved";
        return Err(failure(ErrorKind::Unfinished, why));
    }
    context.say(
        "Saved. Anyone who has this file controls the group: keep it as you would a key, \
         and out of every directory that is shared.",
    );
    Ok(Exit::DONE)
}

/// Restores a saved group into this machine's tracker state.
pub async fn restore(context: &Context, file: &Path) -> Result {
    let state = context.state(NodeKind::Tracker)?;
    let file = file.to_owned();
    let read = on_disk(move |disk| {
        if file == Path::new(DASH) {
            Backup::read_from(disk, io::stdin().lock(), Path::new("standard input"))
        } else {
            Backup::read(disk, &file)
        }
    });
    let backup = read.await??;
    let others = context.keepers()?;
    let others = others.into_iter().filter(|other| *other != state);
    let members = launch::restore(state.clone(), backup, others.collect()).await?;
    if context.global.json {
        let object =
            json!({ "event": "restored", "state": JsonPath::of(&state), "members": members });
        let _ = out::data(&object.to_string())?;
    }
    let members = units::count(members as u64, "member");
    let shown = state.display();
    let start = if state::is_default(&state, NodeKind::Tracker) {
        "thorp tracker".to_owned()
    } else {
        // Without that it makes a new group.
        format!("thorp tracker {}", words::there(&state))
    };
    context.say(&format!(
        "Restored a group of {members} to {shown}. Start its tracker: {start}\n\
         Where it has another address now, each member is told once: thorp share --tracker ADDR"
    ));
    Ok(Exit::DONE)
}

async fn canonical(path: &Path) -> Result<io::Result<PathBuf>> {
    let path = path.to_owned();
    on_disk(move |_| path.canonicalize()).await
}

/// Returns where to write the backup. Refuses the share, from which every member could fetch it.
async fn unshared(context: &Context, file: &Path) -> Result<PathBuf> {
    let refuse = |why: &dyn Display| {
        let why = format!("{}: {why}: name another file", file.display());
        failure(ErrorKind::Usage, why)
    };
    let path = std::path::absolute(file).map_err(|e| refuse(&e))?;
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
        return Err(refuse(&"that is a directory"));
    };
    // Compared in canonical form, since dots and links could lead into the share.
    let parent = canonical(parent).await?.map_err(|e| refuse(&e))?;
    let share = match launch::shared_by(&context.state(NodeKind::Peer)?).await {
        Some(share) => canonical(&share).await?.ok(),
        None => None,
    };
    match share {
        Some(share) if parent.starts_with(&share) => {
            Err(refuse(&"that directory is shared, and a backup is a key"))
        }
        _ => Ok(parent.join(name)),
    }
}
