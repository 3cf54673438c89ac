//! Reads an invite from a file, standard input, or a prompt. Never from an argument, because
//! arguments are visible in the process list.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use thorp_disk::DiskThread;
use thorp_node::api::ErrorKind;
use thorp_node::invite::Invite;

use super::context::{Context, on_disk};
use crate::exit::{Complaint, Result, failure};
use crate::{node, out, prompt, words};

/// The most bytes that are read; an invite is far shorter.
const MOST: u64 = 16 * 1024;

pub async fn read(context: &Context, place: Option<&Path>) -> Result<Invite> {
    let text = match place {
        Some(path) => {
            let path = path.to_owned();
            on_disk(move |disk| in_file(disk, &path)).await??
        }
        None if context.terminals.can_ask() => return ask().await,
        None => {
            let why = "say where the invite is: a FILE, or - for standard input";
            return Err(failure(ErrorKind::Usage, why));
        }
    };
    if text.trim().is_empty() {
        return Err(none());
    }
    node::invite(&text)
}

/// Asks until the user has entered an invite, or the input ends.
async fn ask() -> Result<Invite> {
    let mut text = String::new();
    let mut question = "Please paste the invite.";
    loop {
        let Some(line) = prompt::line(question).await? else {
            break;
        };
        let is_end = line.trim().is_empty();
        text.push_str(&line);
        match node::invite(&text) {
            Ok(invite) => {
                // What was pasted after it must not reach the shell.
                prompt::drop_pending();
                return Ok(invite);
            }
            // A message or a window has broken the invite into lines.
            Err(_) if !is_end && Invite::may_go_on(&text) => {
                question = "This is the beginning of an invite: paste the rest, or nothing to start again.";
                continue;
            }
            Err(_) if text.trim().is_empty() => {}
            Err(failure) => out::complain(&failure),
        }
        text.clear();
        question = "Please paste the invite.";
    }
    Err(none())
}

fn none() -> Complaint {
    let why = "there is no invite in it: `thorp invite` on the tracker's machine makes one";
    failure(ErrorKind::Usage, why)
}

fn in_file(_: DiskThread, path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return from("standard input", io::stdin().lock());
    }
    let name = path.display().to_string();
    // The name looks like a part of an invite, or like the value of a variable.
    if Invite::may_go_on(&name) && name.len() > "thorp1".len() && !path.exists() {
        return Err(failure(ErrorKind::Usage, words::INVITE_TYPED));
    }
    let file = File::open(path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "there is no permission to read it".to_owned(),
            _ => error.to_string(),
        };
        let why = format!("{name}: {why}: name the file that the invite is in");
        failure(ErrorKind::Usage, why)
    })?;
    from(&name, file)
}

fn from(name: &str, source: impl Read) -> Result<String> {
    let mut text = String::new();
    source
        .take(MOST)
        .read_to_string(&mut text)
        .map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
                io::ErrorKind::InvalidData => "there is no text in it".to_owned(),
                _ => error.to_string(),
            };
            let why = format!("{name}: {why}: name the file that the invite is in");
            failure(ErrorKind::Usage, why)
        })?;
    Ok(text)
}
