//! The files that an info dictionary names, in the order of their bytes.

use std::collections::BTreeSet;

use super::{MOST_FILES, TorrentError};
use crate::bencode::Value;
use crate::{Name, NameError, Root};

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentFile {
    /// The path, which begins with the torrent's name if the torrent is a folder.
    pub name: Name,
    /// The length in bytes.
    pub length: u64,
    /// Where it begins among the bytes of all pieces.
    pub offset: u64,
    /// The Merkle root, in a v2 torrent. [`Root::EMPTY`] if the file is empty.
    pub root: Option<Root>,
    /// The file's owner may execute it (BEP 47).
    pub executable: bool,
    /// It contains only zeros, so that the next file begins with a piece (BEP 47). It is neither
    /// written nor listed.
    pub padding: bool,
}

/// Returns the torrent's own name, which is one part of a path.
pub(super) fn own_name(info: Value<'_>) -> Result<Name, TorrentError> {
    let name = info.get("name.utf-8").or_else(|| info.get("name"));
    let name = name.ok_or(TorrentError::Missing("name"))?;
    let name = name.string().ok_or(TorrentError::Impossible("name"))?;
    path(&[name])
}

/// Reads the files of a v1 info dictionary.
pub(super) fn of_v1(info: Value<'_>, own: &Name) -> Result<Vec<TorrentFile>, TorrentError> {
    let Some(listed) = info.get("files") else {
        let length = length(info)?;
        let file = file(info, own.clone(), length, 0)?;
        return Ok(vec![file]);
    };
    if !listed.is_list() {
        return Err(TorrentError::Impossible("files"));
    }
    let mut files = Vec::new();
    let mut offset = 0u64;
    for entry in listed.list() {
        if files.len() == MOST_FILES {
            return Err(TorrentError::TooLarge);
        }
        let parts = entry.get("path.utf-8").or_else(|| entry.get("path"));
        let parts = parts.ok_or(TorrentError::Missing("path"))?;
        let mut all = vec![own.as_str().as_bytes()];
        for part in parts.list() {
            all.push(part.string().ok_or(TorrentError::Impossible("path"))?);
        }
        if all.len() == 1 {
            return Err(TorrentError::Impossible("path"));
        }
        let length = length(entry)?;
        files.push(file(entry, path(&all)?, length, offset)?);
        let end = offset.checked_add(length);
        offset = end.ok_or(TorrentError::Impossible("length"))?;
    }
    Ok(files)
}

/// Reads the file tree of a v2 info dictionary. Each file begins with a piece.
pub(super) fn of_v2(
    tree: Value<'_>,
    own: &Name,
    piece_length: u32,
) -> Result<Vec<TorrentFile>, TorrentError> {
    if !tree.is_dictionary() {
        return Err(TorrentError::Impossible("file tree"));
    }
    let mut files = Vec::new();
    let mut parts = Vec::new();
    let is_single = is_single(tree, own);
    if !is_single {
        parts.push(own.as_str().as_bytes());
    }
    branch(tree, &mut parts, &mut files)?;
    let mut offset = 0u64;
    for file in &mut files {
        file.offset = offset;
        let end = offset.checked_add(file.length);
        let end = end.and_then(|end| end.checked_next_multiple_of(piece_length.into()));
        offset = end.ok_or(TorrentError::Impossible("length"))?;
    }
    Ok(files)
}

/// Whether the tree has one file, which has the torrent's own name: the torrent is no folder.
fn is_single(tree: Value<'_>, own: &Name) -> bool {
    let mut entries = tree.dictionary();
    match (entries.next(), entries.next()) {
        (Some((name, entry)), None) => name == own.as_str().as_bytes() && entry.get("").is_some(),
        _ => false,
    }
}

/// Reads a folder of the file tree. Bencode ends its depth.
fn branch<'a>(
    folder: Value<'a>,
    parts: &mut Vec<&'a [u8]>,
    files: &mut Vec<TorrentFile>,
) -> Result<(), TorrentError> {
    for (name, entry) in folder.dictionary() {
        if !entry.is_dictionary() || name.is_empty() {
            return Err(TorrentError::Impossible("file tree"));
        }
        parts.push(name);
        match entry.get("") {
            Some(properties) => {
                if files.len() == MOST_FILES {
                    return Err(TorrentError::TooLarge);
                }
                if entry.dictionary().count() > 1 {
                    return Err(TorrentError::Twice(path(parts)?.to_string()));
                }
                let length = length(properties)?;
                let mut file = file(properties, path(parts)?, length, 0)?;
                file.root = Some(root(properties, length)?);
                files.push(file);
            }
            None => branch(entry, parts, files)?,
        }
        parts.pop();
    }
    Ok(())
}

fn root(properties: Value<'_>, length: u64) -> Result<Root, TorrentError> {
    if length == 0 {
        return Ok(Root::EMPTY);
    }
    let root = properties.get("pieces root");
    let root = root.ok_or(TorrentError::Missing("pieces root"))?;
    let root = root.string().and_then(|root| root.try_into().ok());
    root.map(Root::new)
        .ok_or(TorrentError::Impossible("pieces root"))
}

fn length(properties: Value<'_>) -> Result<u64, TorrentError> {
    let length = properties.get("length");
    let length = length.ok_or(TorrentError::Missing("length"))?;
    let length = length.integer().and_then(|length| length.try_into().ok());
    length.ok_or(TorrentError::Impossible("length"))
}

fn file(
    properties: Value<'_>,
    name: Name,
    length: u64,
    offset: u64,
) -> Result<TorrentFile, TorrentError> {
    let attributes = properties.get("attr").and_then(Value::string);
    let attributes = attributes.unwrap_or_default();
    let is_link = attributes.contains(&b'l') || properties.get("symlink path").is_some();
    if is_link {
        return Err(TorrentError::Link(name.to_string()));
    }
    Ok(TorrentFile {
        name,
        length,
        offset,
        root: None,
        executable: attributes.contains(&b'x'),
        padding: attributes.contains(&b'p'),
    })
}

/// Joins the parts of a path. No part may contain a slash: it would be more than one.
fn path(parts: &[&[u8]]) -> Result<Name, TorrentError> {
    let mut path = String::new();
    for part in parts {
        let part = std::str::from_utf8(part).map_err(|_| TorrentError::NotUtf8)?;
        let refused = |why| TorrentError::Name {
            name: part.to_owned(),
            why,
        };
        if part.contains('/') {
            return Err(refused(NameError::DotPart));
        }
        part.parse::<Name>().map_err(refused)?;
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part);
    }
    path.parse().map_err(|why| TorrentError::Name {
        name: path.clone(),
        why,
    })
}

/// Checks that no two files are in each other's way. Those that pad are not written.
pub(super) fn check_ways(files: &[TorrentFile]) -> Result<(), TorrentError> {
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| !file.padding) {
        if !names.insert(file.name.as_str()) {
            return Err(TorrentError::Twice(file.name.to_string()));
        }
    }
    for name in &names {
        let folders = name.match_indices('/').map(|(end, _)| &name[..end]);
        if let Some(folder) = folders.into_iter().find(|folder| names.contains(folder)) {
            return Err(TorrentError::Twice(folder.to_owned()));
        }
    }
    Ok(())
}
