//! Where an invite is read from: a file, standard input, a prompt. Never an
//! argument, for arguments are in the process list.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use thorp_node::api::ErrorKind;
use thorp_node::invite::Invite;

use super::Context;
use crate::exit::{Result, failure};
use crate::{node, out, prompt};

/// An invite is far shorter.
const MOST: u64 = 16 * 1024;

/// What is said where an invite should be and nothing is.
const NOTHING: &str = "there is no invite in it: `thorp invite` on the tracker's machine makes one";

pub async fn read(context: &Context, place: Option<&Path>) -> Result<Invite> {
    let text = match place {
        Some(path) if path == Path::new("-") => from("standard input", io::stdin().lock())?,
        Some(path) => {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|e| {
                failure(
                    ErrorKind::Usage,
                    format!("{name}: {e}: where is the invite?"),
                )
            })?;
            from(&name, file)?
        }
        None if context.streams.can_ask() => return pasted().await,
        None => {
            let why = "say where the invite is: a FILE, or - for standard input";
            return Err(failure(ErrorKind::Usage, why));
        }
    };
    if text.trim().is_empty() {
        return Err(failure(ErrorKind::Usage, NOTHING));
    }
    node::invite(&text)
}

/// Asks until an invite is pasted, or the input ends.
async fn pasted() -> Result<Invite> {
    while let Some(line) = prompt::line("Please paste the invite.").await? {
        match node::invite(&line) {
            Ok(invite) => return Ok(invite),
            Err(why) => out::complain(&why),
        }
    }
    Err(failure(ErrorKind::Usage, NOTHING))
}

fn from(name: &str, source: impl Read) -> Result<String> {
    let mut text = String::new();
    source
        .take(MOST)
        .read_to_string(&mut text)
        .map_err(|e| failure(ErrorKind::Usage, format!("{name}: {e}: that is no invite")))?;
    Ok(text)
}
