//! Where an invite is read from: a file, standard input, a prompt. Never an
//! argument, for arguments are in the process list.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use thorp_node::api::ErrorKind;

use super::Context;
use crate::exit::{Result, failure};
use crate::prompt;

/// An invite is far shorter.
const MOST: u64 = 16 * 1024;

pub async fn read(context: &Context, place: Option<&Path>) -> Result<String> {
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
        None if context.streams.can_ask() => prompt::line("Please paste the invite.")
            .await?
            .unwrap_or_default(),
        None => {
            let why = "say where the invite is: a FILE, or - for standard input";
            return Err(failure(ErrorKind::Usage, why));
        }
    };
    let text = text.trim();
    if text.is_empty() {
        let why = "there is no invite in it: `thorp invite` on the tracker's machine makes one";
        return Err(failure(ErrorKind::Usage, why));
    }
    Ok(text.to_owned())
}

fn from(name: &str, source: impl Read) -> Result<String> {
    let mut text = String::new();
    source
        .take(MOST)
        .read_to_string(&mut text)
        .map_err(|e| failure(ErrorKind::Usage, format!("{name}: {e}: that is no invite")))?;
    Ok(text)
}
