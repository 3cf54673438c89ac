//! `thorp torrent`: writes a file by which ordinary BitTorrent clients fetch a shared file or
//! folder.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use data_encoding::BASE64;
use serde_json::json;
use thorp_disk::DiskThread;
use thorp_node::api::{Command, ErrorKind, Event, JsonPath, MadeTorrent, TorrentOf};
use thorp_node::printable::printable;

use super::asking::ask;
use super::context::{Context, on_disk};
use crate::args::TorrentArgs;
use crate::exit::{Exit, Result, broken_off, failure};
use crate::progress::Bar;
use crate::signals::{LastResort, Signals};
use crate::{out, words};

/// Standard output.
const DASH: &str = "-";

pub async fn run(context: &Context, args: TorrentArgs) -> Result {
    let of = TorrentOf {
        name: args.name,
        v2: args.which.v2,
        public: args.which.public,
        whole: true,
    };
    let mut signals = Signals::listen()?;
    let _last_resort = LastResort::listen()?;
    let made = Box::pin(made(context, of));
    let made = context.unless_interrupted(&mut signals, None, made).await?;
    let bytes = made.torrent.as_deref().ok_or_else(broken_off)?;
    let bytes = BASE64.decode(bytes.as_bytes()).map_err(|_| broken_off())?;
    if args.output == Path::new(DASH) {
        let written = on_disk(move |_| {
            let mut out = out::standard();
            out.write_all(&bytes).and_then(|()| out.flush())
        });
        written.await?.map_err(|error| {
            let why = format!("standard output takes no more ({error}): the torrent is not whole");
            failure(ErrorKind::Unfinished, why)
        })?;
    } else {
        let path = args.output.clone();
        on_disk(move |disk| write_new(disk, &path, &bytes)).await??;
        tell(context, &made, &args.output)?;
    }
    Ok(Exit::DONE)
}

/// Asks the peer, which may have to read the files first.
async fn made(context: &Context, of: TorrentOf) -> Result<MadeTorrent> {
    let on_note = |note| context.say(&words::note(&note));
    let mut answers = ask(context.visitor()?, None, Command::Torrent(of), on_note).await?;
    let mut made = None;
    let mut bar = Bar::new(
        context.terminals,
        !context.global.json && !context.global.quiet,
    );
    loop {
        match answers.recv().await {
            Some(Event::Torrent(torrent)) => made = Some(torrent),
            Some(Event::Progress(progress)) => bar.update(&progress),
            Some(Event::Error(failure)) => return Err(failure.into()),
            Some(Event::Done(_)) => return made.ok_or_else(broken_off),
            Some(_) => {}
            None => return Err(broken_off()),
        }
    }
}

fn tell(context: &Context, made: &MadeTorrent, file: &Path) -> Result<()> {
    if context.global.json {
        let object = json!({
            "event": "saved",
            "file": JsonPath::of(file),
            "info_hash": made.info_hash,
            "magnet": made.magnet,
        });
        let _ = out::data(&object.to_string())?;
    }
    context.say(&format!(
        "Wrote {}, the torrent of {}: info-hash {}",
        printable(&file.to_string_lossy()),
        printable(&made.name),
        made.info_hash
    ));
    Ok(())
}

/// Writes a file that is not there yet.
fn write_new(_: DiskThread, path: &Path, bytes: &[u8]) -> Result<()> {
    let shown = printable(&path.to_string_lossy()).to_string();
    let refused = |error: io::Error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            let why = format!("{shown} exists already: name another file");
            return failure(ErrorKind::Exists, why);
        }
        let why = format!("{shown} cannot be written ({error}): name another file");
        failure(ErrorKind::Other, why)
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(refused)?;
    file.write_all(bytes).map_err(|error| {
        // A part of a torrent is none.
        let _ = std::fs::remove_file(path);
        refused(error)
    })
}
