//! A whole torrent: its info dictionary, and what stands beside it.

use std::collections::BTreeMap;

use super::{Info, LONGEST_TORRENT, MOST_TRACKERS, TorrentError};
use crate::Root;
use crate::announce::TrackerUrl;
use crate::bencode::Value;
use crate::layout::Layout;
use crate::merkle::{Hash, root_of_layer};

/// A torrent that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torrent {
    info: Info,
    tiers: Vec<Vec<String>>,
    layers: BTreeMap<Root, Vec<Hash>>,
}

impl Torrent {
    /// Reads a torrent and checks it as far as that is possible without its files. What follows its
    /// dictionary is ignored, as other programs ignore it.
    pub fn decode(bytes: &[u8]) -> Result<Self, TorrentError> {
        if bytes.len() > LONGEST_TORRENT {
            return Err(TorrentError::TooLong(bytes.len()));
        }
        // Some editors and web pages add a line's end.
        let (torrent, _) = Value::first_of(bytes)?;
        let info = torrent.get("info").ok_or(TorrentError::Missing("info"))?;
        let info = Info::decode(info.raw())?;
        let layers = match info.v2() {
            Some(_) => layers(torrent, &info)?,
            None => BTreeMap::new(),
        };
        Ok(Self {
            tiers: tiers(torrent),
            info,
            layers,
        })
    }

    /// Returns the info dictionary.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Returns the URLs of the trackers in tiers: those of one tier are as good as one another,
    /// and are asked before those of the next one (BEP 12). They are at most [`MOST_TRACKERS`],
    /// and may be such as [`TrackerUrl`] refuses.
    pub fn tiers(&self) -> &[Vec<String>] {
        &self.tiers
    }

    /// Returns the hash of each piece of a v2 torrent's file with this root. `None` if it has only
    /// one piece.
    pub fn layer(&self, root: &Root) -> Option<&[Hash]> {
        self.layers.get(root).map(|layer| &layer[..])
    }
}

/// Reads the trackers. Where there are tiers, the one tracker beside them does not count.
fn tiers(torrent: Value<'_>) -> Vec<Vec<String>> {
    let mut room = MOST_TRACKERS;
    let mut urls = |values: &mut dyn Iterator<Item = Value<'_>>| -> Vec<String> {
        let texts = values.filter_map(|value| {
            let url = std::str::from_utf8(value.string()?).ok()?;
            (!url.is_empty() && url.len() <= TrackerUrl::MAX).then(|| url.to_owned())
        });
        let urls: Vec<String> = texts.take(room).collect();
        room -= urls.len();
        urls
    };
    let mut tiers = Vec::new();
    for tier in torrent
        .get("announce-list")
        .into_iter()
        .flat_map(Value::list)
    {
        let tier = urls(&mut tier.list());
        if !tier.is_empty() {
            tiers.push(tier);
        }
    }
    if tiers.is_empty() {
        let only = urls(&mut torrent.get("announce").into_iter());
        tiers.extend((!only.is_empty()).then_some(only));
    }
    tiers
}

/// Reads the piece layers, of which each must lead to the root of its file.
fn layers(torrent: Value<'_>, info: &Info) -> Result<BTreeMap<Root, Vec<Hash>>, TorrentError> {
    let given = torrent.get("piece layers");
    let given = given.ok_or(TorrentError::Missing("piece layers"))?;
    let given: BTreeMap<&[u8], Value<'_>> = given.dictionary().collect();
    let mut layers = BTreeMap::new();
    for file in info.files().iter().filter(|file| !file.padding) {
        let Some(root) = file.root else { continue };
        if file.length <= info.piece_length().into() || layers.contains_key(&root) {
            continue;
        }
        let layer = given.get(&root.as_bytes()[..]).and_then(|value| {
            let (layer, []) = value.string()?.as_chunks() else {
                return None;
            };
            let layout = Layout::cut(file.length, info.piece_length())?;
            (root_of_layer(layout, layer) == Some(root)).then(|| layer.to_vec())
        });
        let layer = layer.ok_or_else(|| TorrentError::Layer(file.name.to_string()))?;
        layers.insert(root, layer);
    }
    Ok(layers)
}
