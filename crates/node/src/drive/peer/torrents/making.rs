//! What a torrent is made of: a file of the share, or a folder with all that is shared in it.
//!
//! Owns what is read for it. A folder of v2 needs no byte of its files but those that are not
//! hashed yet; of v1 all are read once, for its pieces go over the ends of files. What follows
//! from no entry of the share is kept, or this peer could not serve it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thorp_disk::DiskThread;
use thorp_files::share::{ReadError, Share};
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{Hash, merged_layer};
use thorp_wire::session::metadata::LONGEST_METADATA;
use thorp_wire::torrent::MOST_FILES;
use thorp_wire::torrent::build::{self, FolderFile, Privacy, folder_piece_length};
use thorp_wire::{Content, Entry, Name, Root};
use tokio::time::interval;

use crate::api::{Event, Failure, Progress, TorrentOf};
use crate::drive::caller::{Events, tell};

/// How often it is told how far the reading has come.
const TOLD_EVERY: Duration = Duration::from_millis(500);
/// How many paths are told where a name is not enough.
const MOST_PATHS: usize = 8;

/// What a user means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    File(Name),
    /// A folder by its path in the share; the whole share if there is none.
    Folder(Option<String>),
}

/// A torrent that was made.
pub(super) struct Made {
    /// The path of the file or folder in the share.
    pub path: String,
    /// The torrent's own name.
    pub name: String,
    pub files: u64,
    pub length: u64,
    /// What of the share the tracker has to know before a client can be told of this peer.
    pub follows: Follows,
    /// The info dictionary.
    pub info: Vec<u8>,
    /// The hashes of the pieces of files with more than one, if they are wanted.
    pub layers: Layers,
}

/// What the tracker derives a torrent's info-hash from.
pub(super) enum Follows {
    /// From the entry of its file.
    From(Entry),
    /// From nothing: it is kept, and its info-hash told.
    Kept,
}

type Layers = BTreeMap<Root, Vec<Hash>>;

/// The file or the folder of the share that a user means. A path goes before the last part of one.
pub(super) async fn meant(share: &Share, text: &str) -> Result<Meant, Failure> {
    let path = Name::meant_by(text);
    let not_here = || Failure::NotInShare {
        name: text.to_owned(),
    };
    let nothing_shared = || Failure::NothingShared {
        name: text.to_owned(),
    };
    if path.is_empty() {
        return match share.beneath(None).is_empty() {
            _ if !text.starts_with('.') => Err(not_here()),
            true => Err(nothing_shared()),
            false => Ok(Meant::Folder(None)),
        };
    }
    let mut files = share.called(&path);
    if matches!(&files[..], [name] if name.as_str() == path) {
        return Ok(Meant::File(files.swap_remove(0)));
    }
    if !share.beneath(Some(&path)).is_empty() {
        return Ok(Meant::Folder(Some(path)));
    }
    let folders = share.folders_called(&path);
    let files = files.into_iter().map(Meant::File);
    let folders = folders
        .into_iter()
        .map(|folder| Meant::Folder(Some(folder)));
    let mut all: Vec<Meant> = files.chain(folders).collect();
    match all.len() {
        0 => {
            let share = share.clone();
            let looked = thorp_disk::spawn(move |disk| share.has_folder(disk, &path));
            match looked.await {
                Ok(true) => Err(nothing_shared()),
                _ => Err(not_here()),
            }
        }
        1 => Ok(all.swap_remove(0)),
        _ => Err(Failure::SeveralInShare {
            name: text.to_owned(),
            paths: all.iter().take(MOST_PATHS).map(Meant::path).collect(),
        }),
    }
}

/// Whether there is a file of this path in the share's directory, listed or not.
pub(super) async fn is_in_directory(share: &Share, text: &str) -> bool {
    let (share, path) = (share.clone(), Name::meant_by(text));
    let there = thorp_disk::spawn(move |disk| share.has_file(disk, &path));
    there.await.unwrap_or(false)
}

impl Meant {
    fn path(&self) -> String {
        match self {
            Self::File(name) => name.to_string(),
            Self::Folder(Some(folder)) => format!("{folder}/"),
            Self::Folder(None) => ".".to_owned(),
        }
    }
}

/// Makes the torrent of one file.
pub(super) async fn of_file(share: &Share, of: &TorrentOf, name: Name) -> Result<Made, Failure> {
    let hashed = if of.v2 {
        share.hash_now(&name).await
    } else {
        share.hash_for_v1(&name).await
    };
    let entry = hashed.map_err(|error| unhashed(name.as_str(), &error))?;
    let content = content_of(&entry)?;
    if content.length == 0 {
        return Err(Failure::Empty {
            name: name.to_string(),
        });
    }
    let (v2, whole, privacy) = (of.v2, of.whole, privacy(of));
    let share = share.clone();
    let made = thorp_disk::spawn(move |disk| {
        let refused = |error: &dyn ToString| unhashed(name.as_str(), error);
        let mut layers = Layers::new();
        let info = if v2 {
            if whole {
                let layout = Layout::of(content.length);
                layers.extend(layer(disk, &share, content, layout).map_err(|e| refused(&e))?);
            }
            build::v2_info(name.base(), content, privacy)
        } else {
            let info = share.v1_info(disk, &name, privacy);
            let info = info.map_err(|error| refused(&why_unread(&error)))?;
            info.ok_or_else(|| refused(&"it has changed"))?
        };
        if !whole {
            must_fit_a_link(name.as_str(), info.len())?;
        }
        // The other torrents of a file follow from its entry.
        let is_kept = !v2 && privacy == Privacy::Public;
        if is_kept {
            keep(
                disk,
                &share,
                name.as_str(),
                &info,
                std::slice::from_ref(&name),
            )?;
        }
        Ok(Made {
            path: name.to_string(),
            name: name.base().to_owned(),
            files: 1,
            length: content.length,
            follows: if is_kept {
                Follows::Kept
            } else {
                Follows::From(entry)
            },
            info,
            layers,
        })
    });
    made.await.unwrap_or(Err(Failure::PeerStopping))
}

/// Makes the torrent of a folder, or of the whole share.
pub(super) async fn of_folder(
    share: &Share,
    of: &TorrentOf,
    folder: Option<String>,
    events: &Events,
) -> Result<Made, Failure> {
    let path = folder.clone().unwrap_or_else(|| ".".to_owned());
    let names = share.beneath(folder.as_deref());
    if names.len() > MOST_FILES {
        let why = format!(
            "a torrent has at most {MOST_FILES} files, it has {}",
            names.len()
        );
        return Err(Failure::TorrentNotKept { name: path, why });
    }
    let mut files = Vec::with_capacity(names.len());
    for name in &names {
        let entry = share.hash_now(name).await;
        let entry = entry.map_err(|error| unhashed(name.as_str(), &error))?;
        let within = match &folder {
            Some(folder) => name.as_str().strip_prefix(folder.as_str()),
            None => Some(name.as_str()),
        };
        let within = within.map(|within| within.trim_start_matches('/').parse());
        let Some(Ok(within)) = within else { continue };
        files.push(FolderFile {
            name: within,
            content: content_of(&entry)?,
        });
    }
    build::sort(&mut files);
    let length: u64 = files.iter().map(|file| file.content.length).sum();
    if length == 0 {
        return Err(Failure::Empty { name: path });
    }
    let folder_of = FolderOf {
        share: share.clone(),
        name: own_name(share, folder.as_deref()),
        folder,
        files,
        of: of.clone(),
        length,
        reading: Reading::default(),
    };
    let reading = folder_of.reading.clone();
    let stops = Stops(reading.clone());
    let path_read = path.clone();
    let mut made = std::pin::pin!(thorp_disk::spawn(
        move |disk| folder_of.make(disk, &path_read)
    ));
    let (begun, mut told) = (Instant::now(), interval(TOLD_EVERY));
    told.tick().await;
    let made = loop {
        tokio::select! {
            made = &mut made => break made,
            _ = told.tick() => {
                let bytes = reading.bytes.load(Ordering::Relaxed);
                if bytes > 0 {
                    let read = reading.files.load(Ordering::Relaxed);
                    let progress = progress((read, names.len() as u64), (bytes, length), begun);
                    tell(events, Event::Progress(progress)).await;
                }
            }
        }
    };
    drop(stops);
    made.unwrap_or(Err(Failure::PeerStopping))
}

/// How far the files of a folder were read.
#[derive(Clone, Default)]
struct Reading {
    bytes: Arc<AtomicU64>,
    files: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

/// Stops the reading when its caller has gone.
struct Stops(Reading);

impl Drop for Stops {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// A folder of which a torrent is made.
struct FolderOf {
    share: Share,
    /// Its path; none of the whole share.
    folder: Option<String>,
    /// Its own name.
    name: String,
    /// In the order of the torrent.
    files: Vec<FolderFile>,
    of: TorrentOf,
    length: u64,
    reading: Reading,
}

impl FolderOf {
    fn make(self, disk: DiskThread, path: &str) -> Result<Made, Failure> {
        let (share, privacy) = (&self.share, privacy(&self.of));
        let names = self.names()?;
        let piece_length = folder_piece_length(&self.files);
        if !self.of.whole {
            // Before its files are read for it.
            must_fit_a_link(path, self.info_length(privacy))?;
        }
        let mut layers = Layers::new();
        let info = if self.of.v2 {
            if self.of.whole {
                for file in &self.files {
                    let refused = |error: String| unhashed(file.name.as_str(), &error);
                    let content = file.content;
                    let layout = Layout::cut(content.length, piece_length);
                    let layout = layout.unwrap_or(Layout::of(content.length));
                    layers.extend(layer(disk, share, content, layout).map_err(refused)?);
                }
            }
            build::v2_folder_info(&self.name, &self.files, privacy)
        } else {
            self.v1_info(disk, &names, privacy)?
        };
        keep(disk, share, path, &info, &names)?;
        Ok(Made {
            path: path.to_owned(),
            files: names.len() as u64,
            length: self.length,
            follows: Follows::Kept,
            name: self.name,
            info,
            layers,
        })
    }

    /// How long its info dictionary will be.
    fn info_length(&self, privacy: Privacy) -> usize {
        if self.of.v2 {
            return build::v2_folder_info(&self.name, &self.files, privacy).len();
        }
        let pieces = self
            .length
            .div_ceil(folder_piece_length(&self.files).into());
        let hashes = usize::try_from(pieces.saturating_mul(20)).unwrap_or(usize::MAX);
        // The hashes have their length before them.
        let more = hashes.saturating_add(hashes.to_string().len() - "0".len());
        let rest = build::v1_folder_info(&self.name, &self.files, &[], privacy);
        rest.len().saturating_add(more)
    }

    /// The paths of the files in the share.
    fn names(&self) -> Result<Vec<Name>, Failure> {
        let in_share = self.files.iter().map(|file| match &self.folder {
            Some(folder) => format!("{folder}/{}", file.name).parse(),
            None => Ok(file.name.clone()),
        });
        let names = in_share.collect::<Result<Vec<Name>, _>>();
        names.map_err(|error| unhashed(&self.name, &error))
    }

    /// The info dictionary of v1. All bytes are read for it, unless such a torrent was kept.
    fn v1_info(
        &self,
        disk: DiskThread,
        names: &[Name],
        privacy: Privacy,
    ) -> Result<Vec<u8>, Failure> {
        let contents = self.files.iter().map(|file| file.content);
        let of_share: Vec<(Name, Content)> = names.iter().cloned().zip(contents).collect();
        let piece_length = folder_piece_length(&self.files);
        let info = |pieces: &[_]| build::v1_folder_info(&self.name, &self.files, pieces, privacy);
        // The private one and the public one have the same pieces.
        let kept = self.share.kept_of(disk, &of_share, |info| {
            let is_alike = info.v2().is_none() && info.piece_length() == piece_length;
            is_alike && info.files().iter().all(|file| !file.padding)
        });
        if let Some(v1) = kept.as_ref().and_then(|kept| kept.info.v1()) {
            return Ok(info(&v1.hashes));
        }
        let Reading {
            bytes,
            files,
            is_over,
        } = &self.reading;
        let hashed = self
            .share
            .hash_together(disk, &of_share, piece_length, |read| {
                bytes.store(read.bytes, Ordering::Relaxed);
                files.store(read.files, Ordering::Relaxed);
                !is_over.load(Ordering::Relaxed)
            });
        let pieces =
            hashed.map_err(|(name, error)| unhashed(name.as_str(), &why_unread(&error)))?;
        let pieces = pieces.ok_or(Failure::PeerStopping)?;
        Ok(info(&pieces))
    }
}

/// Refuses what clients could not fetch by a link: they are sent the info dictionary first.
fn must_fit_a_link(path: &str, info_length: usize) -> Result<(), Failure> {
    if info_length > LONGEST_METADATA as usize {
        return Err(Failure::TooLongForLink {
            name: path.to_owned(),
            bytes: info_length as u64,
        });
    }
    Ok(())
}

/// Keeps a torrent that follows from no entry of the share.
fn keep(
    disk: DiskThread,
    share: &Share,
    path: &str,
    info: &[u8],
    names: &[Name],
) -> Result<(), Failure> {
    let kept = share.keep_torrent(disk, info, names, &Layers::new());
    kept.map(drop).map_err(|error| Failure::TorrentNotKept {
        name: path.to_owned(),
        why: error.to_string(),
    })
}

/// The hashes of a file's pieces, as a torrent has them: none if the file is one piece.
fn layer(
    disk: DiskThread,
    share: &Share,
    content: Content,
    layout: Layout,
) -> Result<Option<(Root, Vec<Hash>)>, String> {
    if content.length <= layout.piece_length().into() {
        return Ok(None);
    }
    let opened = share.open_content(disk, content);
    let opened = opened.map_err(|error| why_unread(&error))?;
    let layer = merged_layer(Layout::of(content.length), opened.layer(), layout);
    Ok(layer.map(|layer| (content.root, layer)))
}

/// The name of a folder's torrent: the last part of its path.
fn own_name(share: &Share, folder: Option<&str>) -> String {
    let name = match folder {
        Some(folder) => folder.rsplit('/').next(),
        None => share.path().file_name().and_then(|name| name.to_str()),
    };
    name.unwrap_or("share").to_owned()
}

fn privacy(of: &TorrentOf) -> Privacy {
    if of.public {
        Privacy::Public
    } else {
        Privacy::Private
    }
}

fn content_of(entry: &Entry) -> Result<Content, Failure> {
    let content = entry.content();
    content.ok_or_else(|| unhashed(entry.name.as_str(), &"it has changed"))
}

/// Why a file of this share cannot be read, for the user that it belongs to.
fn why_unread(error: &ReadError) -> String {
    match error {
        ReadError::Changed { .. } | ReadError::NotHere => "it has changed meanwhile".to_owned(),
        ReadError::NotNow { source } => format!("the disk does not give it now ({source})"),
        ReadError::Io { source, .. } => format!("it cannot be read ({source})"),
        ReadError::TooLarge { .. } => error.to_string(),
    }
}

fn unhashed(name: &str, why: &(impl ToString + ?Sized)) -> Failure {
    Failure::Unhashed {
        name: name.to_owned(),
        why: why.to_string(),
    }
}

fn progress(files: (u64, u64), bytes: (u64, u64), begun: Instant) -> Progress {
    let (read, length) = bytes;
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let rate = read.saturating_mul(1000) / millis.max(1);
    Progress {
        files: files.0,
        of_files: files.1,
        bytes: read,
        of_bytes: length,
        rate,
        eta: length.saturating_sub(read).checked_div(rate),
        ..Progress::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_no_client_could_use_is_refused() {
        let longest = LONGEST_METADATA as usize;
        assert_eq!(must_fit_a_link("d", longest), Ok(()));
        let refused = Failure::TooLongForLink {
            name: "d".to_owned(),
            bytes: longest as u64 + 1,
        };
        assert_eq!(must_fit_a_link("d", longest + 1), Err(refused));
    }
}
