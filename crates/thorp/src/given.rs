//! Whether what a user types is a torrent: a magnet link, a file of that kind, or either on
//! standard input. A name that is no file here is one of the group's.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use data_encoding::BASE64;
use thorp_disk::DiskThread;
use thorp_node::api::{ErrorKind, TorrentSource};
use thorp_node::launch::LaunchError;
use thorp_node::torrent::{LONGEST_TORRENT, Magnet};

use crate::exit::{Complaint, Result, failure};
use crate::quoting::quoted;

/// What a torrent's file is called at the end.
const ENDING: &str = ".torrent";

/// Returns the torrent that a user of the menu means, if it is one.
pub async fn at_menu(given: String) -> Result<Option<TorrentSource>> {
    let read = thorp_disk::spawn(move |disk| {
        let is_meant = may_be_torrent(&given) && is_meant(disk, &given);
        is_meant.then(|| source(disk, &given)).transpose()
    });
    read.await.map_err(LaunchError::from)?
}

/// Whether a name could be a torrent, as far as it says itself.
pub fn may_be_torrent(name: &str) -> bool {
    Magnet::is_meant_by(name) || name.ends_with(ENDING)
}

/// Whether a name can be nothing but a torrent.
fn must_be_torrent(name: &str) -> bool {
    name == "-" || Magnet::is_meant_by(name)
}

/// Whether this is a torrent.
pub fn is_meant(_: DiskThread, name: &str) -> bool {
    must_be_torrent(name) || name.ends_with(ENDING) && Path::new(name).is_file()
}

/// Reads a torrent.
pub fn source(disk: DiskThread, given: &str) -> Result<TorrentSource> {
    if Magnet::is_meant_by(given) {
        return magnet(given);
    }
    let bytes = read(disk, given)?;
    let text = std::str::from_utf8(&bytes).map(str::trim);
    match text {
        Ok(text) if Magnet::is_meant_by(text) => magnet(text),
        _ => Ok(TorrentSource::Torrent(BASE64.encode(&bytes).into())),
    }
}

fn magnet(link: &str) -> Result<TorrentSource> {
    let read = link.parse::<Magnet>();
    read.map_err(|why| {
        let why = format!("{why}: copy the whole link, and put it in quotation marks");
        failure(ErrorKind::Usage, why)
    })?;
    Ok(TorrentSource::Magnet(link.to_owned()))
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
