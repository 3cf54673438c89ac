//! Whether what a user asks for is a torrent: a magnet link, a file of that kind, or either on
//! standard input. A name that is no file here is one of the group's.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use data_encoding::BASE64;
use thorp_disk::DiskThread;
use thorp_node::api::{ErrorKind, TorrentSource};
use thorp_node::torrent::{LONGEST_TORRENT, Magnet};

use super::context::on_disk;
use crate::args::GetArgs;
use crate::exit::{Complaint, Result, failure};
use crate::quoting::quoted;

/// What a torrent's file is called at the end.
const ENDING: &str = ".torrent";

/// Returns the torrent that is asked for, and by what. `None` if files are asked for by name.
pub async fn torrent(args: &GetArgs) -> Result<Option<(String, TorrentSource)>> {
    let names = args.names.clone();
    let given = on_disk(move |disk| {
        let is_meant = |name: &&String| is_meant(disk, name);
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
    if Magnet::is_meant_by(&given) {
        let link = magnet(&given)?;
        return Ok(Some((given, link)));
    }
    let path = given.clone();
    let bytes = on_disk(move |disk| read(disk, &path)).await??;
    let text = std::str::from_utf8(&bytes).map(str::trim);
    let source = match text {
        Ok(text) if Magnet::is_meant_by(text) => magnet(text)?,
        _ => TorrentSource::Torrent(BASE64.encode(&bytes)),
    };
    Ok(Some((given, source)))
}

fn magnet(link: &str) -> Result<TorrentSource> {
    let read = link.parse::<Magnet>();
    read.map_err(|why| {
        let why = format!("{why}: copy the whole link, and put it in quotation marks");
        failure(ErrorKind::Usage, why)
    })?;
    Ok(TorrentSource::Magnet(link.to_owned()))
}

fn is_meant(_: DiskThread, name: &str) -> bool {
    name == "-" || Magnet::is_meant_by(name) || name.ends_with(ENDING) && Path::new(name).is_file()
}

fn read(_: DiskThread, path: &str) -> Result<Vec<u8>> {
    let unread = |error: io::Error| -> Complaint {
        let why = format!("{}: {error}: name a torrent that can be read", quoted(path));
        failure(ErrorKind::Other, why)
    };
    let mut bytes = Vec::new();
    // One byte more, so that what is too long is told as such.
    let most = LONGEST_TORRENT as u64 + 1;
    if path == "-" {
        io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        let file = File::open(path).map_err(unread)?;
        file.take(most).read_to_end(&mut bytes)
    }
    .map_err(unread)?;
    Ok(bytes)
}
