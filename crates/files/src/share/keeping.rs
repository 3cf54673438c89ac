//! Torrents that are kept: made of this share beside those that follow from its entries, or
//! fetched into it from elsewhere.
//!
//! Owns how they are written and read. Their info dictionaries are on disk (`cache`), and read when
//! a client comes; which of them the share has is in `kept`.

use std::collections::BTreeMap;

use thiserror::Error;
use thorp_disk::DiskThread;
use thorp_wire::bencode::{Dictionary, Value, encoded_list, encoded_string};
use thorp_wire::layout::Layout;
use thorp_wire::merkle::Hash;
use thorp_wire::torrent::{Info, TorrentError, TorrentFile};
use thorp_wire::{Content, InfoHash, Name, Root};

use super::kept::Row;
use super::locks::{lock, read, write};
use super::shared::{Share, Shared};
use super::warning::ShareWarning;

/// A torrent that is kept, as it is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTorrent {
    /// The info dictionary.
    pub info: Info,
    /// The files of the share that have the bytes, in the order of the torrent's files without
    /// those that only pad.
    pub files: Vec<(Name, Content)>,
    /// The hashes of the pieces of those files that members cut into longer pieces, where they are
    /// known.
    pub layers: BTreeMap<Root, Vec<Hash>>,
}

/// Why a torrent is not kept.
#[derive(Debug, Error)]
pub enum KeepError {
    /// The share is not served to clients.
    #[error("the share is not served to BitTorrent clients")]
    ServesNoClients,
    /// It is no torrent.
    #[error("{0}")]
    NoTorrent(#[from] TorrentError),
    /// A file is not listed as the torrent has it.
    #[error("{} is not in the share as the torrent has it", name.as_str().escape_debug())]
    Differs {
        /// The file.
        name: Name,
    },
    /// It has too many files, or is too long.
    #[error("it has more files, or takes more bytes, than are kept of all torrents")]
    TooLarge,
    /// It cannot be written down.
    #[error("it cannot be written to the state directory ({0})")]
    Unsaved(String),
}

impl Share {
    /// Keeps a torrent, and serves it to clients under its own info-hashes for as long as all its
    /// files are listed as they are now. `names` are those of its files in the share, in the order
    /// of the info dictionary and without files that only pad. `layers` has the hashes of the
    /// pieces of its files, as far as they are known: they are needed of a v2 torrent with shorter
    /// pieces than members use.
    ///
    /// Nothing is written for a torrent that follows from an entry of the share.
    pub fn keep_torrent(
        &self,
        _: DiskThread,
        info: &[u8],
        names: &[Name],
        layers: &BTreeMap<Root, Vec<Hash>>,
    ) -> Result<Info, KeepError> {
        let shared = &*self.shared;
        if !self.serves_clients() {
            return Err(KeepError::ServesNoClients);
        }
        let info = Info::decode(info)?;
        let files = shared.files_of(&info, names)?;
        let contents = files.iter().map(|(_, content)| *content);
        let lengths: BTreeMap<Root, u64> = contents.map(|of| (of.root, of.length)).collect();
        let is_shorter = |root: &Root| {
            let length = lengths.get(root).copied().unwrap_or(0);
            Layout::of(length).piece_length() > info.piece_length()
        };
        let layers = layers.iter().filter(|(root, _)| is_shorter(root));
        let layers = layers.map(|(root, layer)| (*root, layer.clone()));
        let kept = KeptTorrent {
            layers: layers.collect(),
            info,
            files,
        };
        shared.keep(&kept)?;
        Ok(kept.info)
    }

    /// Whether there is a kept torrent with this info-hash, and all its files are listed.
    pub fn has_kept(&self, info_hash: InfoHash) -> bool {
        read(&self.shared.index).kept().has(info_hash)
    }

    /// The kept torrent with this info-hash, if all its files are listed.
    pub fn kept_torrent(&self, _: DiskThread, info_hash: InfoHash) -> Option<KeptTorrent> {
        let first = read(&self.shared.index).kept().first_hash(info_hash)?;
        KeptTorrent::decode(&self.shared.cache.torrent(first)?)
    }

    /// A kept torrent of just these files, in this order, that is the one meant.
    pub fn kept_of(
        &self,
        disk: DiskThread,
        files: &[(Name, Content)],
        is_meant: impl Fn(&Info) -> bool,
    ) -> Option<KeptTorrent> {
        let alike = read(&self.shared.index).kept().with_files(files);
        let kept = alike
            .into_iter()
            .filter_map(|hash| self.kept_torrent(disk, hash));
        let mut meant = kept.filter(|kept| kept.files == files && is_meant(&kept.info));
        meant.next()
    }
}

impl Shared {
    /// The contents that these files have in the share, if they are those of the torrent.
    fn files_of(&self, info: &Info, names: &[Name]) -> Result<Vec<(Name, Content)>, KeepError> {
        let written: Vec<&TorrentFile> = info.files().iter().filter(|file| !file.padding).collect();
        let index = read(&self.index);
        let contents = names.iter().enumerate().map(|(at, name)| {
            let entry = index.entry(name).filter(|entry| !entry.partial);
            let content = entry.and_then(|entry| entry.content());
            let is_its = |content: &Content| {
                written.get(at).is_some_and(|file| {
                    file.length == content.length
                        && file.root.is_none_or(|root| root == content.root)
                })
            };
            let content = content.filter(is_its);
            let content = content.ok_or_else(|| KeepError::Differs { name: name.clone() })?;
            Ok((name.clone(), content))
        });
        let contents = contents.collect::<Result<Vec<_>, KeepError>>()?;
        match written.get(contents.len()) {
            Some(file) => Err(KeepError::Differs {
                name: file.name.clone(),
            }),
            None => Ok(contents),
        }
    }

    fn keep(&self, torrent: &KeptTorrent) -> Result<(), KeepError> {
        // Else it could be written to the place of one that is just being removed from there.
        let _keeping = lock(&self.keeping);
        let hashes: Vec<InfoHash> = torrent.info.info_hashes().collect();
        {
            let index = read(&self.index);
            let is_known = |hash: &InfoHash| index.kept().has(*hash) || index.follows(*hash);
            if hashes.iter().all(is_known) {
                return Ok(());
            }
        }
        let number = write(&self.index).kept_mut().next_number();
        let value = torrent.encode(number);
        let row = Row::of(hashes, &torrent.files, value.len());
        if row.is_too_large() {
            return Err(KeepError::TooLarge);
        }
        let written = self.cache.keep_torrent(row.first_hash(), &value);
        written.map_err(KeepError::Unsaved)?;
        write(&self.index).keep(number, row);
        self.inbox.poke();
        Ok(())
    }

    /// Removes the torrents that are not kept any more from the disk. Returns the info-hashes of
    /// those that are, if they are others than before.
    pub(super) fn forget_torrents(&self) -> (Option<Vec<InfoHash>>, Result<(), ShareWarning>) {
        let _keeping = lock(&self.keeping);
        let (news, forgotten) = {
            let mut index = write(&self.index);
            let kept = index.kept_mut();
            (kept.take_news(), kept.take_forgotten())
        };
        (news, self.cache.forget_torrents(&forgotten))
    }

    /// Reads the torrents that were kept when the share was last open.
    pub(super) fn remember_torrents(&self) {
        if !self.options.bittorrent {
            return;
        }
        // One after the other: each may be long.
        for first in self.cache.torrents() {
            let Some(value) = self.cache.torrent(first) else {
                continue;
            };
            let torrent = KeptTorrent::decode(&value);
            let number = Value::parse_in_any_order(&value).ok();
            let number = number.and_then(|value| value.get("number")?.integer());
            let number = number.and_then(|number| u64::try_from(number).ok());
            let (Some(torrent), Some(number)) = (torrent, number) else {
                // A version that is to come may write other rows.
                continue;
            };
            let hashes = torrent.info.info_hashes().collect();
            let row = Row::of(hashes, &torrent.files, value.len());
            write(&self.index).keep(number, row);
        }
    }
}

impl KeptTorrent {
    fn encode(&self, number: u64) -> Vec<u8> {
        let files = self.files.iter().map(|(name, content)| {
            // Lengths and numbers are below 2^63.
            let length = content.length.to_string();
            encoded_list([
                encoded_string(name.as_str().as_bytes()),
                encoded_string(length.as_bytes()),
                encoded_string(content.root.as_bytes()),
            ])
        });
        let mut layers = Dictionary::default();
        for (root, layer) in &self.layers {
            layers = layers.string(root.as_bytes().to_vec(), layer.as_flattened());
        }
        Dictionary::default()
            .list("files", files)
            .encoded("info", self.info.raw().to_vec())
            .dictionary("layers", &layers)
            .integer("number", i64::try_from(number).unwrap_or(i64::MAX))
            .encode()
    }

    /// Checks what is read of a value, for fuzzing: it can be written, and is the same then.
    #[cfg(feature = "testing")]
    pub fn check(value: &[u8]) {
        if let Some(read) = Self::decode(value) {
            let again = Self::decode(&read.encode(1));
            assert_eq!(again, Some(read));
        }
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let value = Value::parse_in_any_order(value).ok()?;
        let file = |file: Value<'_>| {
            let mut parts = file.list();
            let mut text = || std::str::from_utf8(parts.next()?.string()?).ok();
            let name: Name = text()?.parse().ok()?;
            let length = text()?.parse().ok()?;
            let root = Root::new(parts.next()?.string()?.try_into().ok()?);
            Some((name, Content { length, root }))
        };
        let layer = |(root, layer): (&[u8], Value<'_>)| {
            let (layer, []) = layer.string()?.as_chunks() else {
                return None;
            };
            Some((Root::new(root.try_into().ok()?), layer.to_vec()))
        };
        Some(Self {
            info: Info::decode(value.get("info")?.raw()).ok()?,
            files: value
                .get("files")?
                .list()
                .map(file)
                .collect::<Option<_>>()?,
            layers: value
                .get("layers")?
                .dictionary()
                .map(layer)
                .collect::<Option<_>>()?,
        })
    }
}
