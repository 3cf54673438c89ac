//! Torrents of shared files.
//!
//! All members make the same info dictionary of the same file, so that its info-hash is the same
//! wherever it was made: the keys of the BEP and `private`, no others. The length of the pieces
//! is the one that follows from the file's length ([`Layout::of`]), and the name is the last part
//! of the file's path.

use std::collections::BTreeMap;

use crate::announce::TrackerUrl;
use crate::bencode::{Dictionary, encoded_list, encoded_string};
use crate::layout::Layout;
use crate::merkle::Hash;
use crate::{Content, InfoHash, Name, Root};

use super::info_hash_v2;

/// Whether clients may learn of one another elsewhere than from the torrent's trackers (BEP 27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Clients ask the torrent's trackers alone, and do not put the torrent into the DHT.
    Private,
    /// Clients may look for peers everywhere.
    Public,
}

/// Encodes the v1 info dictionary of one file, of which these are the hashes of all pieces.
pub fn v1_info(base: &str, length: u64, pieces: &[[u8; 20]], privacy: Privacy) -> Vec<u8> {
    let piece_length = Layout::of(length).piece_length();
    common(base, piece_length, privacy)
        .integer("length", signed(length))
        .string("pieces", pieces.as_flattened())
        .encode()
}

/// Encodes the v2 info dictionary of one file. It needs no hash but the root.
pub fn v2_info(base: &str, content: Content, privacy: Privacy) -> Vec<u8> {
    let piece_length = Layout::of(content.length).piece_length();
    let mut tree = Branch::default();
    tree.add(&mut [base].into_iter(), content);
    common(base, piece_length, privacy)
        .dictionary("file tree", &tree.encode())
        .integer("meta version", 2)
        .encode()
}

/// The info-hashes of the private and of the public v2 torrent that members make of a file.
pub fn v2_info_hashes(name: &Name, content: Content) -> [InfoHash; 2] {
    [Privacy::Private, Privacy::Public]
        .map(|privacy| info_hash_v2(&v2_info(name.base(), content, privacy)).truncated())
}

/// A file of a folder that becomes a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderFile {
    /// The path within the folder.
    pub name: Name,
    /// The content.
    pub content: Content,
}

/// Returns the length of the pieces of a folder's torrent: that of a file as long as all of its
/// files. So no piece is shorter than those of one of its files, and their number is bounded.
pub fn folder_piece_length(files: &[FolderFile]) -> u32 {
    let lengths = files.iter().map(|file| file.content.length);
    Layout::of(lengths.fold(0, u64::saturating_add)).piece_length()
}

/// Puts the files of a folder into the order that they have in a torrent: that of the file tree.
pub fn sort(files: &mut [FolderFile]) {
    files.sort_by(|a, b| a.name.as_str().split('/').cmp(b.name.as_str().split('/')));
}

/// Encodes the v1 info dictionary of a folder, whose files are [sorted](sort). The pieces go over
/// the ends of files, and their length is [`folder_piece_length`].
pub fn v1_folder_info(
    folder: &str,
    files: &[FolderFile],
    pieces: &[[u8; 20]],
    privacy: Privacy,
) -> Vec<u8> {
    let listed = files.iter().map(|file| {
        let parts = file.name.as_str().split('/');
        Dictionary::default()
            .integer("length", signed(file.content.length))
            .list("path", parts.map(|part| encoded_string(part.as_bytes())))
            .encode()
    });
    common(folder, folder_piece_length(files), privacy)
        .list("files", listed)
        .string("pieces", pieces.as_flattened())
        .encode()
}

/// Encodes the v2 info dictionary of a folder.
pub fn v2_folder_info(folder: &str, files: &[FolderFile], privacy: Privacy) -> Vec<u8> {
    let mut tree = Branch::default();
    for file in files {
        tree.add(&mut file.name.as_str().split('/'), file.content);
    }
    common(folder, folder_piece_length(files), privacy)
        .dictionary("file tree", &tree.encode())
        .integer("meta version", 2)
        .encode()
}

/// Encodes a whole torrent. `info` is an info dictionary, `layers` has the hashes of the pieces of
/// each file of a v2 torrent with more than one piece.
pub fn torrent(
    info: &[u8],
    tiers: &[Vec<TrackerUrl>],
    layers: &BTreeMap<Root, Vec<Hash>>,
) -> Vec<u8> {
    let mut torrent = Dictionary::default()
        .string("created by", CREATED_BY.as_bytes())
        .encoded("info", info.to_vec());
    let mut urls = tiers.iter().flatten();
    if let Some(first) = urls.next() {
        torrent = torrent.string("announce", first.to_string().as_bytes());
    }
    if urls.next().is_some() {
        let tiers = tiers.iter().filter(|tier| !tier.is_empty()).map(|tier| {
            encoded_list(
                tier.iter()
                    .map(|url| encoded_string(url.to_string().as_bytes())),
            )
        });
        torrent = torrent.list("announce-list", tiers);
    }
    // Clients recognise a v2 torrent by it, even where no file has more than one piece.
    if info_is_v2(info) {
        let mut written = Dictionary::default();
        for (root, layer) in layers {
            written = written.string(root.as_bytes().to_vec(), layer.as_flattened());
        }
        torrent = torrent.dictionary("piece layers", &written);
    }
    torrent.encode()
}

const CREATED_BY: &str = concat!("thorp ", env!("CARGO_PKG_VERSION"));

fn info_is_v2(info: &[u8]) -> bool {
    crate::bencode::Value::parse(info).is_ok_and(|info| info.get("meta version").is_some())
}

fn common(name: &str, piece_length: u32, privacy: Privacy) -> Dictionary {
    let info = Dictionary::default()
        .string("name", name.as_bytes())
        .integer("piece length", piece_length);
    match privacy {
        Privacy::Private => info.integer("private", 1),
        Privacy::Public => info,
    }
}

/// No file is longer than 2^63 bytes.
fn signed(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// A folder of a file tree.
#[derive(Default)]
struct Branch {
    folders: BTreeMap<String, Branch>,
    files: BTreeMap<String, Content>,
}

impl Branch {
    fn add(&mut self, parts: &mut dyn Iterator<Item = &str>, content: Content) {
        let mut parts = parts.peekable();
        let Some(part) = parts.next() else { return };
        if parts.peek().is_none() {
            self.files.insert(part.to_owned(), content);
        } else {
            let folder = self.folders.entry(part.to_owned()).or_default();
            folder.add(&mut parts, content);
        }
    }

    fn encode(&self) -> Dictionary {
        let mut tree = Dictionary::default();
        for (name, content) in &self.files {
            let mut file = Dictionary::default().integer("length", signed(content.length));
            if content.length > 0 {
                file = file.string("pieces root", content.root.as_bytes());
            }
            let file = Dictionary::default().dictionary("", &file);
            tree = tree.dictionary(name.clone().into_bytes(), &file);
        }
        for (name, folder) in &self.folders {
            tree = tree.dictionary(name.clone().into_bytes(), &folder.encode());
        }
        tree
    }
}
