//! Where the files of a get are put, and on what terms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thorp_core::get::{DiskError, Item, Look, Looked, NotStored, Storage};
use thorp_disk::DiskThread;
use thorp_files::share::{self, Arriving, ReadError, Share};
use thorp_files::store::{
    self, Destination, FileIdentity, Partial, Replace, SmallFile, Store, StoreError, Stored,
};
use thorp_wire::merkle::{Hash, Hashed};
use thorp_wire::{Attributes, Content, InfoHash, Name};

use crate::api::{Failure, Note};

/// A directory that files are put into.
#[derive(Clone)]
pub(super) enum Folder {
    Share(Share),
    Directory(Arc<Store>),
}

/// Small files that are put into such a directory one right after the other.
pub(super) enum Batch<'a> {
    Share(share::ShareBatch<'a>),
    Directory(store::Batch<'a>),
}

/// Where all files of a get are put.
#[derive(Clone)]
pub(super) struct Terms {
    pub folder: Folder,
    pub replace: Replace,
    /// What is in the way gets this name first.
    pub set_aside: Option<String>,
    /// Each is named by its content.
    pub by_content: bool,
    pub errors: Errors,
    pub arrived: Arrived,
}

/// The files that a get has put in their places, where it replaces what is there: none of them
/// makes way for another one of it, whose name is the same to the file system or leads there.
/// Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Arrived(Arc<Mutex<BTreeSet<FileIdentity>>>);

/// Where one fetched file is to be put.
#[derive(Clone)]
pub(super) struct Delivery {
    terms: Terms,
    item: Item,
}

impl Folder {
    pub fn store(&self) -> &Store {
        match self {
            Self::Share(share) => share.as_store(),
            Self::Directory(store) => store,
        }
    }

    pub fn path_of(&self, name: &Name) -> PathBuf {
        self.store().path_of(name)
    }

    /// Whether this is the same directory, opened once.
    fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.store(), other.store())
    }

    fn batch(&self) -> Batch<'_> {
        match self {
            Self::Share(share) => Batch::Share(share.batch()),
            Self::Directory(store) => Batch::Directory(store.batch()),
        }
    }

    /// Whether exactly this content goes by that name. Reads the file, for as long as `go_on` says,
    /// unless it is one of a share that was hashed and has not changed since.
    pub fn holds(
        &self,
        disk: DiskThread,
        name: &Name,
        content: Content,
        go_on: impl Fn() -> bool,
    ) -> Result<bool, StoreError> {
        if let Self::Share(share) = self
            && share.is_known_to_hold(disk, name, content)
        {
            return Ok(true);
        }
        self.store().holds(disk, name, content, go_on)
    }

    /// Waits until nothing more may be written to a file that comes into it: the directory, or the
    /// file's folder in it, is not where it was.
    pub async fn closed(&self, partial: &Arc<Partial>) -> StoreError {
        match self {
            Self::Share(share) => share.moved(partial).await,
            Self::Directory(store) => store.moved(partial).await,
        }
    }

    /// What is to be remarked once about where files were put; a share says it itself.
    pub fn remark(&self) -> Option<Note> {
        match self {
            Self::Directory(store) if store.has_looked_first() => Some(Note::LooksFirst {
                path: store.path().to_owned(),
            }),
            _ => None,
        }
    }

    /// What is where files are to go. A file that may be the one is read for as long
    /// as `go_on` says.
    pub fn look_at_all(
        &self,
        disk: DiskThread,
        looks: &[Look],
        errors: &Errors,
        go_on: impl Fn() -> bool,
    ) -> Vec<Looked> {
        let mut looking = self.store().looking();
        let looked = looks.iter().map(|look| {
            let seen = looking.check(disk, &look.target);
            self.looked(disk, look, seen, errors, &go_on)
        });
        looked.collect()
    }

    fn looked(
        &self,
        disk: DiskThread,
        look: &Look,
        seen: Result<Destination, StoreError>,
        errors: &Errors,
        go_on: impl Fn() -> bool,
    ) -> Looked {
        let is_equal = |content: Content| self.holds(disk, &look.target, content, go_on);
        match seen {
            Ok(Destination::Free) => Looked::Free,
            Ok(Destination::Exists { .. }) => match look.content.map(is_equal) {
                Some(Ok(true)) => Looked::Equal,
                _ => Looked::SameName,
            },
            Err(error @ StoreError::FolderInTheWay { .. }) => Looked::Folder(errors.note(error)),
            Err(error) => Looked::Blocked(errors.note(error)),
        }
    }
}

impl Delivery {
    pub fn new(terms: Terms, mut item: Item) -> Self {
        if terms.by_content
            && let Some(name) = name_of(item.content)
        {
            item.target = name;
        }
        Self { terms, item }
    }

    /// The name under which it was listed.
    pub fn name(&self) -> &Name {
        &self.item.listed
    }

    /// The info-hash of its v1 torrent, if a holder said one.
    pub fn v1(&self) -> Option<InfoHash> {
        self.item.v1
    }

    /// What the core is told of an error.
    pub fn note(&self, error: StoreError) -> NotStored {
        self.terms.errors.note(error)
    }

    /// Puts the bytes of small files where they belong, and tells what becomes of each in the
    /// core's words: of those of one directory together, and before the next one, whose disk may
    /// not answer.
    pub fn store_all<T: Copy>(
        disk: DiskThread,
        files: &[(T, Self, Vec<u8>)],
        mut tell: impl FnMut(Vec<(T, Storage)>),
    ) {
        let hashed = Hashed::all(files.iter().map(|(_, _, bytes)| &bytes[..]));
        let mut files = files.iter().zip(hashed).peekable();
        while let Some(((_, first, _), _)) = files.peek() {
            let folder = &first.terms.folder;
            let (mut batch, mut stored) = (folder.batch(), Vec::new());
            while let Some(((what, delivery, _), came)) =
                files.next_if(|((_, next, _), _)| next.terms.folder.is(folder))
            {
                stored.push((*what, delivery.store(disk, &mut batch, came)));
            }
            tell(stored);
        }
    }

    fn store(&self, disk: DiskThread, batch: &mut Batch<'_>, came: Hashed<'_>) -> Storage {
        match self.put(disk, batch, came) {
            Ok(()) => Storage::Kept,
            // The next holder may send the right thing.
            Err(StoreError::Mismatch { .. }) => Storage::Mismatch,
            // The bytes were right; the place for them is not.
            Err(error) => Storage::Failed(self.note(error)),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.terms.folder.path_of(&self.item.target)
    }

    /// Copies a file of the share to where it belongs, and says what became of it in
    /// the core's words.
    pub fn copy(&self, disk: DiskThread, share: &Share) -> Storage {
        let (name, content, attributes) = self.listed();
        let file = match share.open_listed(disk, &self.item.listed, content) {
            Ok(file) => file,
            Err(ReadError::NotNow { .. }) => return Storage::NotNow,
            Err(_) => return Storage::Mismatch,
        };
        let store = self.terms.folder.store();
        let place = (self.terms.replace, self.terms.set_aside.as_deref());
        let copy = || store.copy(disk, name, content, attributes, &file, place);
        match self.place(disk, copy) {
            Ok(_) => Storage::Kept,
            Err(StoreError::Mismatch { .. }) => Storage::Mismatch,
            Err(error) => Storage::Failed(self.note(error)),
        }
    }

    /// Verifies the bytes and puts them where they belong.
    fn put(
        &self,
        disk: DiskThread,
        batch: &mut Batch<'_>,
        came: Hashed<'_>,
    ) -> Result<(), StoreError> {
        let (name, content, attributes) = self.listed();
        let file = SmallFile {
            name,
            content,
            attributes,
            came,
            replace: self.terms.replace,
            set_aside: self.terms.set_aside.as_deref(),
        };
        self.place(disk, || match batch {
            Batch::Share(share) => share.store(disk, file).map(drop),
            Batch::Directory(store) => store.put(disk, file),
        })
    }

    /// Puts it in its place, unless this get has put another file there.
    fn place<T>(
        &self,
        disk: DiskThread,
        put: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.terms.replace == Replace::No {
            return put();
        }
        let (store, target) = (self.terms.folder.store(), &self.item.target);
        let Arrived(placed) = &self.terms.arrived;
        // Held, or two could look before either is there.
        let mut placed = placed.lock().unwrap_or_else(PoisonError::into_inner);
        let there = store.identity(disk, target);
        if there.is_some_and(|there| placed.contains(&there)) {
            return Err(StoreError::Exists { path: self.path() });
        }
        let stored = put()?;
        placed.extend(store.identity(disk, target));
        Ok(stored)
    }

    /// The file in which a large one arrives, unless something is in the way that
    /// is to stay where it is.
    pub fn partial(&self, disk: DiskThread) -> Result<Partial, StoreError> {
        let (name, content, _) = self.listed();
        let keeps = self.terms.replace == Replace::No && self.terms.set_aside.is_none();
        if keeps && let Ok(Destination::Exists { .. }) = self.terms.folder.store().check(disk, name)
        {
            return Err(StoreError::Exists { path: self.path() });
        }
        match &self.terms.folder {
            Folder::Share(share) => share.partial(disk, name, content),
            Folder::Directory(store) => store.partial(disk, name, content),
        }
    }

    /// Waits until nothing more may be written there.
    pub async fn closed(&self, partial: &Arc<Partial>) -> StoreError {
        self.terms.folder.closed(partial).await
    }

    /// Lists what there is of it, for as long as that is held, where it arrives
    /// in the share.
    pub fn arriving(&self, disk: DiskThread) -> Option<Arriving> {
        let (name, content, _) = self.listed();
        let attributes = self.item.attributes;
        match &self.terms.folder {
            Folder::Share(share) => Some(share.arriving(disk, name, content, attributes)),
            Folder::Directory(_) => None,
        }
    }

    /// Puts it where it belongs, now that it is verified.
    pub fn finish(
        &self,
        disk: DiskThread,
        partial: &Partial,
        layer: &[Hash],
    ) -> Result<Stored, StoreError> {
        let (_, _, attributes) = self.listed();
        let (replace, aside) = (self.terms.replace, self.terms.set_aside.as_deref());
        self.place(disk, || match &self.terms.folder {
            Folder::Share(share) => share.finish(disk, partial, layer, attributes, replace, aside),
            Folder::Directory(store) => store.finish(disk, partial, attributes, replace, aside),
        })
    }

    fn listed(&self) -> (&Name, Content, Option<Attributes>) {
        let Item {
            target,
            content,
            attributes,
            ..
        } = &self.item;
        (target, *content, Some(*attributes))
    }
}

/// The name of a file that is named by its content.
pub(super) fn name_of(content: Content) -> Option<Name> {
    format!("{}-{}", content.root, content.length).parse().ok()
}

/// What a disk has refused and no caller was told yet: more than a get has on its way.
const MOST_NOTED: usize = 4096;

/// What the disk has refused for a get: the core knows it by a number. Clones
/// are the same.
#[derive(Clone, Default)]
pub(super) struct Errors(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    last: usize,
    /// The one that was told first.
    first: Option<usize>,
    kept: BTreeMap<usize, Failure>,
}

impl Errors {
    /// What the core is told of an error.
    pub fn note(&self, error: StoreError) -> NotStored {
        let in_core: fn(DiskError) -> NotStored = match &error {
            StoreError::Exists { .. } => return NotStored::Exists,
            StoreError::FileInTheWay { .. }
            | StoreError::FolderInTheWay { .. }
            | StoreError::SpecialInTheWay { .. } => NotStored::InTheWay,
            StoreError::Mismatch { .. } => NotStored::Changed,
            StoreError::Full { .. } => NotStored::Full,
            _ => NotStored::Other,
        };
        let mut noted = self.noted();
        let number = noted.last + 1;
        noted.last = number;
        noted.kept.insert(number, error.into());
        if noted.kept.len() > MOST_NOTED {
            let first = noted.first;
            let oldest = noted.kept.keys().copied().find(|kept| Some(*kept) != first);
            oldest.and_then(|oldest| noted.kept.remove(&oldest));
        }
        in_core(DiskError(number))
    }

    /// What was meant by what the core was told; nothing, where that is not known any more.
    pub fn meant(&self, why: &NotStored) -> Option<Failure> {
        match why.error() {
            None => Some(Failure::Exists),
            Some(error) => self.noted().kept.get(&error.0).cloned(),
        }
    }

    /// A caller was told. Of several files that fail, the end of the get may say once more
    /// why the first one did; of the others it is not asked again.
    pub fn was_told(&self, why: &NotStored) {
        let Some(error) = why.error() else { return };
        let mut noted = self.noted();
        if *noted.first.get_or_insert(error.0) != error.0 {
            noted.kept.remove(&error.0);
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::time::{Duration, Instant, SystemTime};

    use thorp_disk::testing::DISK;
    use thorp_files::share::Options;
    use thorp_wire::merkle;

    use super::*;

    fn terms(folder: Folder) -> Terms {
        Terms {
            folder,
            replace: Replace::No,
            set_aside: None,
            by_content: false,
            errors: Errors::default(),
            arrived: Arrived::default(),
        }
    }

    fn denied(path: &str) -> StoreError {
        StoreError::Denied { path: path.into() }
    }

    /// Where a file of this name goes.
    fn delivery_to(to: &Path, name: &str, content: Content, set_aside: Option<&str>) -> Delivery {
        let store = Store::open(DISK, to).expect("a store");
        let name: Name = name.parse().expect("a name");
        let terms = Terms {
            set_aside: set_aside.map(str::to_owned),
            ..terms(Folder::Directory(Arc::new(store)))
        };
        let item = Item {
            listed: name.clone(),
            target: name,
            attributes: Attributes::default(),
            content,
            v1: None,
        };
        Delivery::new(terms, item)
    }

    #[tokio::test]
    async fn a_file_of_the_own_share_that_cannot_be_read_now_is_not_told_as_missing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, to) = (dir.path().join("share"), dir.path().join("to"));
        for made in [&path, &to] {
            std::fs::create_dir(made).expect("is made");
        }
        std::fs::write(path.join("f"), b"bytes").expect("is written");
        let (share, mut events) = Share::open(DISK, &path, Options::default()).expect("a share");
        let content = merkle::content_of(b"bytes");
        let name: Name = "f".parse().expect("a name");
        while share.open_listed(DISK, &name, content).is_err() {
            events.recv().await.expect("the share is open");
        }
        let delivery = delivery_to(&to, "f", content, None);
        // Looking at the share leads in a circle: no disk says so of what is gone.
        std::fs::rename(&path, dir.path().join("elsewhere")).expect("is moved");
        std::os::unix::fs::symlink("share", &path).expect("links");
        assert_eq!(delivery.copy(DISK, &share), Storage::NotNow);
        std::fs::remove_file(&path).expect("is removed");
        std::fs::rename(dir.path().join("elsewhere"), &path).expect("is back");
        assert_eq!(delivery.copy(DISK, &share), Storage::Kept);
    }

    #[tokio::test]
    async fn what_is_to_be_set_aside_keeps_its_name_where_nothing_takes_its_place() {
        let [path, to] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        std::fs::write(path.path().join("f"), b"bytes").expect("is written");
        let options = Options {
            watch: false,
            ..Options::default()
        };
        let (share, mut events) = Share::open(DISK, path.path(), options).expect("a share");
        let content = merkle::content_of(b"bytes");
        let name: Name = "f".parse().expect("a name");
        while share.open_listed(DISK, &name, content).is_err() {
            events.recv().await.expect("the share is open");
        }
        std::fs::write(to.path().join("f"), b"mine").expect("is written");
        let delivery = delivery_to(to.path(), "f", content, Some("old"));
        let read = |name: &str| std::fs::read(to.path().join(name)).ok();
        // It is written to where it lies: it may have grown.
        let file = File::options().write(true).open(path.path().join("f"));
        file.and_then(|file| file.write_all_at(b"other", 0))
            .expect("is written");
        assert_eq!(delivery.copy(DISK, &share), Storage::Mismatch);
        let stored = |files: [((), Delivery, Vec<u8>); 1]| {
            let mut all = Vec::new();
            Delivery::store_all(DISK, &files, |some| all.extend(some));
            all
        };
        let wrong = [((), delivery.clone(), b"wrong".to_vec())];
        assert_eq!(stored(wrong), [((), Storage::Mismatch)]);
        assert_eq!((read("f"), read("old")), (Some(b"mine".to_vec()), None));
        let right = [((), delivery, b"bytes".to_vec())];
        assert_eq!(stored(right), [((), Storage::Kept)]);
        let both = (Some(b"bytes".to_vec()), Some(b"mine".to_vec()));
        assert_eq!((read("f"), read("old")), both);
    }

    #[tokio::test]
    async fn what_the_share_has_hashed_is_known_to_be_here_and_what_has_changed_since_is_read() {
        let [path, state] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let at = path.path().join("f");
        std::fs::write(&at, b"bytes").expect("is written");
        let file = File::options().write(true).open(&at).expect("opens");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("is set");
        let options = Options {
            cache: Some(state.path().to_owned()),
            watch: false,
            ..Options::default()
        };
        let (share, mut events) = Share::open(DISK, path.path(), options).expect("a share");
        let look = Look {
            target: "f".parse().expect("a name"),
            content: Some(merkle::content_of(b"bytes")),
            mtime: None,
        };
        let is_hashed = || share.listed(&look.target)?.root;
        while is_hashed().is_none() {
            events.recv().await.expect("the share is open");
        }
        // It is remembered a moment after it is listed.
        let content = look.content.expect("is asked for");
        let begun = Instant::now();
        while !share.is_known_to_hold(DISK, &look.target, content) {
            assert!(begun.elapsed() < Duration::from_secs(30), "not remembered");
            std::thread::yield_now();
        }
        let folder = Folder::Share(share);
        let looked = |look: &Look| {
            let read = Cell::new(false);
            let go_on = || {
                read.set(true);
                true
            };
            let looks = std::slice::from_ref(look);
            let looked = folder.look_at_all(DISK, looks, &Errors::default(), go_on);
            (looked, read.get())
        };
        assert_eq!(looked(&look), (vec![Looked::Equal], false));
        // As long as before.
        file.write_all_at(b"other", 0).expect("is written");
        assert_eq!(looked(&look), (vec![Looked::SameName], true));
        let other = Look {
            content: Some(merkle::content_of(b"other")),
            ..look
        };
        assert_eq!(looked(&other), (vec![Looked::Equal], true));
    }

    #[test]
    fn what_has_become_of_small_files_is_told_before_another_directory_is_written_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let folders = ["one", "other"].map(|folder| {
            let path = dir.path().join(folder);
            std::fs::create_dir(&path).expect("is made");
            Folder::Directory(Arc::new(Store::open(DISK, &path).expect("a store")))
        });
        let [one, other] = folders;
        let file = |number: u8, folder: &Folder| {
            let item = Item {
                listed: "f".parse().expect("a name"),
                target: number.to_string().parse().expect("a name"),
                attributes: Attributes::default(),
                content: merkle::content_of(b"bytes"),
                v1: None,
            };
            (
                number,
                Delivery::new(terms(folder.clone()), item),
                b"bytes".to_vec(),
            )
        };
        let files = [file(1, &one), file(2, &one), file(3, &other)];
        let mut told = Vec::new();
        Delivery::store_all(DISK, &files, |stored| {
            let is_in_other = dir.path().join("other/3").exists();
            told.push((stored, is_in_other));
        });
        let (first, second) = (
            vec![(1, Storage::Kept), (2, Storage::Kept)],
            vec![(3, Storage::Kept)],
        );
        assert_eq!(told, [(first, false), (second, true)]);
    }

    #[test]
    fn what_a_disk_refuses_is_kept_until_it_is_told_and_never_more_than_the_bound() {
        let errors = Errors::default();
        let first = errors.note(denied("first"));
        errors.was_told(&first);
        for number in 0..3 * MOST_NOTED {
            let why = errors.note(denied(&number.to_string()));
            assert!(errors.meant(&why).is_some());
            errors.was_told(&why);
            assert_eq!(errors.noted().kept.len(), 1);
        }
        // Of callers that read nothing.
        let oldest = errors.note(denied("oldest"));
        for _ in 0..3 * MOST_NOTED {
            errors.note(denied("f"));
            assert!(errors.noted().kept.len() <= MOST_NOTED);
        }
        assert!(errors.meant(&first).is_some(), "the end may say it");
        assert_eq!(errors.meant(&oldest), None);
    }
}
