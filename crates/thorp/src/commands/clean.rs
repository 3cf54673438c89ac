//! `thorp clean`: removes what interrupted fetches have left.

use std::path::{Path, PathBuf};

use serde_json::json;
use thorp_node::api::{ErrorKind, JsonPath};
use thorp_node::launch;
use thorp_node::leftovers::Leftovers;

use super::context::Context;
use crate::args::CleanArgs;
use crate::exit::{Exit, Result, failure};
use crate::listing::RowTable;
use crate::state::NodeKind;
use crate::{out, units, words, wrap};

pub async fn run(context: &Context, args: CleanArgs) -> Result {
    let directory = match args.dir {
        Some(directory) => directory,
        None => launch::shared_by(&context.state(NodeKind::Peer)?)
            .await
            .unwrap_or_else(|| PathBuf::from(".")),
    };
    let shown = if directory == Path::new(".") {
        "this directory".to_owned()
    } else {
        words::escaped(&directory)
    };
    let found = launch::leftovers(directory.clone()).await?;
    let found = found.map_err(|error| {
        let why = format!("{shown}: {error}: name a directory to look through");
        failure(ErrorKind::Usage, why)
    })?;
    list(context, &found)?;
    let in_part = found.in_part;
    if in_part {
        context.say("Not every folder could be looked into, so there may be more.");
    }
    if found.files.is_empty() {
        if context.global.json && args.yes {
            cleaned(0, 0)?;
        }
        if !in_part {
            context.say(&format!("No fetch has left anything in {shown}."));
        }
        return looked(in_part);
    }
    let count = units::count(found.files.len() as u64, "partial file");
    let question = format!(
        "This removes {count}, {}, from {shown}: fetches of them begin anew",
        units::size(found.bytes())
    );
    context.confirm(&question, "Remove them.", args.yes).await?;
    let (mut files, mut bytes) = (found.files.len(), found.bytes());
    let stayed = launch::remove_leftovers(directory, found.files).await?;
    files -= stayed.len();
    bytes -= stayed.iter().map(|(file, _)| file.bytes).sum::<u64>();
    if context.global.json {
        cleaned(files, bytes)?;
    } else {
        let count = units::count(files as u64, "partial file");
        context.say(&format!("{count} removed, {}.", units::size(bytes)));
    }
    let Some((file, error)) = stayed.first() else {
        return looked(in_part);
    };
    let path = words::escaped(&file.path);
    let why = format!(
        "not all were removed, such as {path} ({error}): see whether it is being fetched, and \
         the folder's permissions"
    );
    Err(failure(ErrorKind::Unfinished, why))
}

/// What is there may be more than was found.
fn looked(in_part: bool) -> Result {
    if in_part {
        let why = "there may be more: see the permissions of the folders, and run it again";
        return Err(failure(ErrorKind::Unfinished, why));
    }
    Ok(Exit::DONE)
}

fn cleaned(files: usize, bytes: u64) -> Result<()> {
    let object = json!({ "event": "cleaned", "files": files, "bytes": bytes });
    out::data(&object.to_string()).map(drop)
}

fn list(context: &Context, found: &Leftovers) -> Result<()> {
    let mut table = RowTable::within(wrap::width(std::io::stdout()));
    for file in &found.files {
        if context.global.json {
            let object = json!({
                "event": "leftover",
                "path": JsonPath::of(&file.path),
                "bytes": file.bytes,
                "mtime": file.written,
            });
            let _ = out::data(&object.to_string())?;
        } else if let Some(text) = table.leftover(file) {
            let _ = out::data(&text)?;
        }
    }
    if let Some(text) = table.finish() {
        let _ = out::data(&text)?;
    }
    Ok(())
}
