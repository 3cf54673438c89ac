//! Torrents that are kept, served to clients.
//!
//! Owns in which files of the share the bytes of a torrent's pieces are, and what a client is told
//! of the hashes of these files (BEP 52). A file is opened when bytes of it are asked for, and few
//! are open at a time.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thorp_disk::DiskThread;
use thorp_files::share::{KeptTorrent, Opened, ReadError, Share};
use thorp_wire::layout::{Layout, Piece};
use thorp_wire::merkle::{self, Hash, HashReply, LEAF, Tree, merged_layer};
use thorp_wire::session::HashRange;
use thorp_wire::session::message::MOST_HASHES;
use thorp_wire::torrent::{PieceSpace, TorrentError};
use thorp_wire::{Content, InfoHash, Root};

/// How many files of one torrent are open at a time.
const MOST_OPEN: usize = 8;

/// See the module.
pub(super) struct KeptBytes {
    share: Share,
    /// The info dictionary, and the info-hashes that follow.
    info: Arc<[u8]>,
    hashes: Vec<InfoHash>,
    space: PieceSpace,
    /// By the numbers of the torrent's files; `None` for those that pad.
    contents: Vec<Option<Content>>,
    piece_length: u32,
    is_v2: bool,
    /// Of files that members cut into longer pieces.
    layers: BTreeMap<Root, Vec<Hash>>,
    by_root: BTreeMap<Root, Content>,
    /// The file that was used last is the last one.
    open: Mutex<VecDeque<Arc<Opened>>>,
    /// Of the file whose hashes were asked for last.
    tree: Mutex<Option<Arc<Tree>>>,
}

impl KeptBytes {
    pub fn new(share: Share, kept: KeptTorrent) -> Result<Self, TorrentError> {
        let KeptTorrent {
            info,
            files,
            layers,
        } = kept;
        let mut files = files.into_iter().map(|(_, content)| content);
        let contents = info.files().iter();
        let contents = contents.map(|file| if file.padding { None } else { files.next() });
        let contents: Vec<Option<Content>> = contents.collect();
        let with_bytes = contents.iter().flatten().filter(|file| file.length > 0);
        Ok(Self {
            share,
            info: info.raw().into(),
            hashes: info.info_hashes().collect(),
            space: PieceSpace::of(&info)?,
            by_root: with_bytes.map(|content| (content.root, *content)).collect(),
            contents,
            piece_length: info.piece_length(),
            is_v2: info.v2().is_some(),
            layers,
            open: Mutex::default(),
            tree: Mutex::default(),
        })
    }

    /// What it is known by on this machine: how long it is, and what would be the root of its info
    /// dictionary. Its bytes as a whole have another root, which nobody knows.
    pub fn content(&self) -> Content {
        Content {
            length: self.layout().length(),
            root: merkle::content_of(&self.info).root,
        }
    }

    pub fn layout(&self) -> Layout {
        self.space.layout()
    }

    pub fn has(&self, info_hash: InfoHash) -> bool {
        self.hashes.contains(&info_hash)
    }

    pub fn info(&self) -> Arc<[u8]> {
        Arc::clone(&self.info)
    }

    /// How many hashes of files a client may ask for: all layers twice, and some leaves.
    pub fn hash_requests(&self) -> u32 {
        let pieces = self.layout().pieces().unwrap_or(0);
        let files = u32::try_from(self.by_root.len()).unwrap_or(u32::MAX);
        let runs = files.saturating_add(pieces / MOST_HASHES);
        runs.saturating_mul(2).saturating_add(64)
    }

    /// Reads bytes of the torrent's pieces. Those that are in no file are zeros.
    pub fn read(&self, disk: DiskThread, mut bytes: &mut [u8], offset: u64) -> io::Result<()> {
        for part in self.space.parts(offset, bytes.len() as u64) {
            // It is at most what is asked for.
            let length = usize::try_from(part.length).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at_mut(length.min(bytes.len()));
            bytes = rest;
            let content = part.file.map(|file| self.contents.get(file).copied());
            match content {
                None => now.fill(0),
                Some(Some(Some(content))) => self.read_file(disk, content, now, part.begin)?,
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn read_file(
        &self,
        disk: DiskThread,
        content: Content,
        bytes: &mut [u8],
        offset: u64,
    ) -> io::Result<()> {
        let opened = self.opened(disk, content).map_err(io::Error::other)?;
        if opened.read(disk, bytes, offset).is_ok() {
            return Ok(());
        }
        // It may be there under another name.
        self.let_go(&opened);
        let again = self.opened(disk, content).map_err(io::Error::other)?;
        let read = again.read(disk, bytes, offset);
        read.map_err(io::Error::other)
    }

    /// Answers a client that asks for hashes of a file.
    pub fn hashes(&self, disk: DiskThread, range: &HashRange) -> Option<Vec<Hash>> {
        let content = self.by_root.get(&range.root).filter(|_| self.is_v2)?;
        let layout = Layout::cut(content.length, self.piece_length)?;
        let tree = self.tree(disk, *content, layout)?;
        match tree.answer(range).ok()? {
            HashReply::Hashes(hashes) => Some(hashes),
            HashReply::AfterHashing(pieces) => {
                let leaves = self.leaves(disk, *content, layout, &pieces)?;
                tree.answer_with(range, leaves).ok()
            }
        }
    }

    fn tree(&self, disk: DiskThread, content: Content, layout: Layout) -> Option<Arc<Tree>> {
        let known = lock(&self.tree).clone();
        if let Some(known) = known.filter(|tree| tree.content() == content) {
            return Some(known);
        }
        let layer = if layout.pieces()? == 1 {
            vec![*content.root.as_bytes()]
        } else if let Some(layer) = self.layers.get(&content.root) {
            layer.clone()
        } else {
            let opened = self.opened(disk, content).ok()?;
            merged_layer(Layout::of(content.length), opened.layer(), layout)?
        };
        let tree = Arc::new(Tree::cut(layout, content.root, layer)?);
        *lock(&self.tree) = Some(Arc::clone(&tree));
        Some(tree)
    }

    /// The hashes of all leaves of these pieces, which follow one another. They are read by the
    /// pieces that members use, which prove them.
    fn leaves(
        &self,
        disk: DiskThread,
        content: Content,
        layout: Layout,
        pieces: &[Piece],
    ) -> Option<Vec<Hash>> {
        let (first, last) = (*pieces.first()?, *pieces.last()?);
        let begin = layout.begin_of(first);
        let end = layout.begin_of(last) + u64::from(layout.length_of(last));
        let own = Layout::of(content.length);
        let number = u32::try_from(begin / u64::from(own.piece_length())).ok()?;
        let opened = self.opened(disk, content).ok()?;
        let mut leaves = Vec::new();
        let pieces = (number..).map_while(|number| own.piece(number));
        for piece in pieces.take_while(|piece| own.begin_of(*piece) < end) {
            let read = opened.leaves(disk, piece);
            leaves.extend(read.inspect_err(|_| self.let_go(&opened)).ok()?);
        }
        let before = begin - own.begin_of(own.piece(number)?);
        let wanted = (end - begin).div_ceil(LEAF as u64);
        let before = usize::try_from(before).ok()? / LEAF;
        let wanted = leaves.get(before..before + usize::try_from(wanted).ok()?)?;
        Some(wanted.to_vec())
    }

    fn opened(&self, disk: DiskThread, content: Content) -> Result<Arc<Opened>, ReadError> {
        let mut open = lock(&self.open);
        let at = open.iter().position(|opened| opened.content() == content);
        if let Some(known) = at.and_then(|at| open.remove(at)) {
            open.push_back(Arc::clone(&known));
            return Ok(known);
        }
        drop(open);
        let opened = Arc::new(self.share.open_content(disk, content)?);
        let mut open = lock(&self.open);
        while open.len() >= MOST_OPEN {
            open.pop_front();
        }
        open.push_back(Arc::clone(&opened));
        Ok(opened)
    }

    fn let_go(&self, opened: &Arc<Opened>) {
        lock(&self.open).retain(|other| !Arc::ptr_eq(other, opened));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is remembered can be had anew.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
