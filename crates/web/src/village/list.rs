//! What the village has, in memory: packed rows, and in which order they are shown. It knows
//! nothing of how they were asked for.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use thorp_node::Words;
use thorp_node::api::{FileRow, Member};

use super::window::{Order, Row, Shown, Window, Windowed};

/// The most files that are kept.
pub(crate) const MOST_FILES: usize = 250_000;
/// The most bytes of names that are kept.
const MOST_NAMES: usize = 64 << 20;
/// The most holders of a file that are kept; the others are counted.
const MOST_HOLDERS: usize = 16;

/// Collects the rows of an answer.
#[derive(Default)]
pub(crate) struct Collected {
    files: Vec<File>,
    names: usize,
    members: Vec<Member>,
    by_id: HashMap<String, u32>,
    is_cut: bool,
}

/// Every file of the village, as it was when it was asked.
pub(crate) struct List {
    /// In the order of their names' bytes, so that a folder is a range of them.
    files: Vec<File>,
    members: Vec<Member>,
    /// The bytes in all files before each one.
    bytes_before: Vec<u64>,
    /// The places of all files, in each order.
    orders: [Vec<u32>; Order::ALL.len()],
    /// Whether there were more files than are kept.
    pub(crate) is_cut: bool,
}

struct File {
    name: Box<str>,
    length: u64,
    mtime: i64,
    executable: bool,
    root: Option<[u8; 32]>,
    /// Its number among the files of this name.
    nth: u32,
    has_twin: bool,
    holders: Box<[u32]>,
    holders_total: u32,
    partial_total: u32,
}

impl Collected {
    /// Adds a row. Returns whether there is room for more.
    pub(crate) fn add(&mut self, row: FileRow) -> bool {
        if self.files.len() == MOST_FILES || self.names + row.name.len() > MOST_NAMES {
            self.is_cut = true;
            return false;
        }
        self.names += row.name.len();
        let wholes = || row.holders.iter().filter(|holder| !holder.partial);
        let (holders_total, all) = (wholes().count(), row.holders.len());
        let holders: Vec<_> = wholes().take(MOST_HOLDERS).cloned().collect();
        let holders = holders.into_iter().map(|holder| self.place(holder.member));
        let holders = holders.collect();
        self.files.push(File {
            name: row.name.into(),
            length: row.length,
            mtime: row.mtime,
            executable: row.executable,
            root: row.root.and_then(|root| root_of(&root)),
            nth: 0,
            has_twin: false,
            holders,
            holders_total: number(holders_total),
            partial_total: number(all - holders_total),
        });
        true
    }

    /// Puts all of it in order, which takes as long as sorting takes.
    pub(crate) fn into_list(mut self) -> List {
        self.files.sort_by(|one, other| {
            let key = |file: &File| (Reverse(file.holders_total), file.root);
            one.name
                .cmp(&other.name)
                .then_with(|| key(one).cmp(&key(other)))
        });
        for place in 1..self.files.len() {
            if self.files[place - 1].name == self.files[place].name {
                self.files[place - 1].has_twin = true;
                self.files[place].has_twin = true;
                self.files[place].nth = self.files[place - 1].nth + 1;
            }
        }
        let mut sum = 0_u64;
        let mut bytes_before = Vec::with_capacity(self.files.len() + 1);
        bytes_before.push(0);
        bytes_before.extend(self.files.iter().map(|file| {
            sum = sum.saturating_add(file.length);
            sum
        }));
        let orders = Order::ALL.map(|order| self.ordered(order));
        List {
            files: self.files,
            members: self.members,
            bytes_before,
            orders,
            is_cut: self.is_cut,
        }
    }

    fn ordered(&self, order: Order) -> Vec<u32> {
        let mut places: Vec<u32> = (0..number(self.files.len())).collect();
        let file = |place: &u32| &self.files[*place as usize];
        match order {
            Order::Name => places.sort_by(|one, other| {
                alphanumeric_sort::compare_str(&*file(one).name, &*file(other).name)
            }),
            Order::Length => places.sort_by_key(|place| file(place).length),
            Order::Mtime => places.sort_by_key(|place| file(place).mtime),
            Order::Holders => places.sort_by_key(|place| file(place).holders_total),
        }
        places
    }

    fn place(&mut self, member: Member) -> u32 {
        if let Some(place) = self.by_id.get(&member.id) {
            return *place;
        }
        let place = number(self.members.len());
        self.by_id.insert(member.id.clone(), place);
        self.members.push(member);
        place
    }
}

impl List {
    /// Returns the number of files.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Returns a window of the files below a folder of which the paths contain every word, in any
    /// case.
    pub(crate) fn search(&self, folder: &str, words: Option<&Words>, window: Window) -> Windowed {
        let range = self.below(folder);
        if words.is_none() && range.len() == self.files.len() {
            // Nothing has to be looked at but what is shown.
            let places = self.in_order(window).skip(window.offset).take(window.limit);
            return Windowed {
                rows: places.map(|at| self.row(at)).collect(),
                total: self.files.len(),
                files: self.files.len(),
                bytes: self.bytes(&range),
                is_cut: self.is_cut,
            };
        }
        let (mut rows, mut total, mut bytes) = (Vec::new(), 0, 0_u64);
        for at in self.in_order(window).filter(|at| range.contains(at)) {
            let file = &self.files[at];
            if words.is_some_and(|words| !words.matches(&file.name)) {
                continue;
            }
            if window.has(total) {
                rows.push(self.row(at));
            }
            total += 1;
            bytes = bytes.saturating_add(file.length);
        }
        Windowed {
            rows,
            total,
            files: total,
            bytes,
            is_cut: self.is_cut,
        }
    }

    /// Returns a window of the contents that go by a name.
    pub(crate) fn named(&self, name: &str, window: Window) -> Windowed {
        let start = self.files.partition_point(|file| *file.name < *name);
        let many = self.files[start..].partition_point(|file| *file.name == *name);
        let range = start..start + many;
        let places = range.clone().skip(window.offset).take(window.limit);
        Windowed {
            rows: places.map(|at| self.row(at)).collect(),
            total: many,
            files: many,
            bytes: self.bytes(&range),
            is_cut: self.is_cut,
        }
    }

    /// Returns a window of what is in a folder: folders first, then files.
    pub(crate) fn folder(&self, path: &str, window: Window) -> Windowed {
        let range = self.below(path);
        let prefix = if path.is_empty() { 0 } else { path.len() + 1 };
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        let mut at = range.start;
        while at < range.end {
            let name = &self.files[at].name;
            let Some(slash) = name[prefix..].find('/') else {
                files.push(at);
                at += 1;
                continue;
            };
            let folder = &name[..prefix + slash];
            let below = self.below(folder);
            at = below.end;
            folders.push((folder, below));
        }
        self.sort_folders(&mut folders, window);
        self.sort_files(&mut files, window);
        let total = folders.len() + files.len();
        let folders = folders.into_iter().map(|(name, below)| Row::Folder {
            name: name.to_owned(),
            files: below.len(),
            bytes: self.bytes(&below),
            mtime: self.latest(&below),
        });
        let all = folders.chain(files.into_iter().map(|at| self.row(at)));
        Windowed {
            rows: all.skip(window.offset).take(window.limit).collect(),
            total,
            files: range.len(),
            bytes: self.bytes(&range),
            is_cut: self.is_cut,
        }
    }

    /// Returns the places of all files, in the order of a window.
    fn in_order(&self, window: Window) -> impl Iterator<Item = usize> {
        let order = &self.orders[window.order as usize];
        let last = order.len().saturating_sub(1);
        let at = move |n| if window.descending { last - n } else { n };
        (0..order.len()).map(move |n| order[at(n)] as usize)
    }

    fn sort_folders(&self, folders: &mut [(&str, Range<usize>)], window: Window) {
        match window.order {
            Order::Length => folders.sort_by_key(|(_, below)| self.bytes(below)),
            Order::Mtime => folders.sort_by_cached_key(|(_, below)| self.latest(below)),
            Order::Name | Order::Holders => {
                folders.sort_by(|one, other| alphanumeric_sort::compare_str(one.0, other.0));
            }
        }
        if window.descending && window.order != Order::Holders {
            folders.reverse();
        }
    }

    fn sort_files(&self, files: &mut [usize], window: Window) {
        let file = |at: &usize| &self.files[*at];
        match window.order {
            Order::Name => files.sort_by(|one, other| {
                alphanumeric_sort::compare_str(&*file(one).name, &*file(other).name)
            }),
            Order::Length => files.sort_by_key(|at| file(at).length),
            Order::Mtime => files.sort_by_key(|at| file(at).mtime),
            Order::Holders => files.sort_by_key(|at| file(at).holders_total),
        }
        if window.descending {
            files.reverse();
        }
    }

    /// Returns which files are below a folder; all, for an empty path.
    fn below(&self, folder: &str) -> Range<usize> {
        if folder.is_empty() {
            return 0..self.files.len();
        }
        // `0` is what comes after `/`.
        let (first, end) = (format!("{folder}/"), format!("{folder}0"));
        let place = |name: &str| self.files.partition_point(|file| *file.name < *name);
        place(&first)..place(&end)
    }

    fn bytes(&self, range: &Range<usize>) -> u64 {
        self.bytes_before[range.end] - self.bytes_before[range.start]
    }

    /// Returns when the latest of these files was modified.
    fn latest(&self, range: &Range<usize>) -> i64 {
        let times = self.files[range.clone()].iter().map(|file| file.mtime);
        times.max().unwrap_or_default()
    }

    fn row(&self, at: usize) -> Row {
        let file = &self.files[at];
        let holders = file
            .holders
            .iter()
            .map(|place| &self.members[*place as usize]);
        Row::File(Shown {
            name: file.name.to_string(),
            nth: file.nth,
            has_twin: file.has_twin,
            length: file.length,
            mtime: file.mtime,
            executable: file.executable,
            root: file.root.map(|root| data_encoding::HEXLOWER.encode(&root)),
            holders: holders.cloned().collect(),
            holders_total: file.holders_total,
            partial_total: file.partial_total,
            here: false,
        })
    }
}

fn root_of(digits: &str) -> Option<[u8; 32]> {
    let bytes = data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?;
    bytes.try_into().ok()
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, length: u64, holders: usize) -> FileRow {
        let holder = |number: usize| thorp_node::api::HolderRow {
            member: Member {
                id: format!("{number:052}"),
                name: Some(format!("peer {number}")),
                address: "192.168.198.138".into(),
                port: 3334,
            },
            partial: false,
        };
        FileRow {
            name: name.into(),
            length,
            mtime: 1000 - i64::try_from(length).unwrap(),
            mtime_ns: 0,
            executable: false,
            root: Some(format!("{length:064}")),
            holders: (0..holders).map(holder).collect(),
        }
    }

    fn list() -> List {
        let mut all = Collected::default();
        for (name, length, holders) in [
            ("h10.txt", 10, 1),
            ("h2.txt", 20, 3),
            ("a/Big Summer.pdf", 500, 1),
            ("a/b/small.txt", 1, 2),
            ("a-c/other.txt", 7, 1),
            ("same.txt", 3, 1),
            ("same.txt", 4, 20),
        ] {
            assert!(all.add(row(name, length, holders)));
        }
        all.into_list()
    }

    fn search(folder: &str, words: &str, window: Window) -> Windowed {
        let words = (!words.is_empty()).then(|| Words::new(words).expect("few words"));
        list().search(folder, words.as_ref(), window)
    }

    fn all(order: Order) -> Window {
        Window {
            order,
            limit: 100,
            ..Window::default()
        }
    }

    fn names(windowed: &Windowed) -> Vec<&str> {
        windowed
            .rows
            .iter()
            .map(|row| match row {
                Row::Folder { name, .. } => name.as_str(),
                Row::File(file) => file.name.as_str(),
            })
            .collect()
    }

    #[test]
    fn a_folder_has_its_folders_first_with_what_is_below_them() {
        let top = list().folder("", all(Order::Name));
        assert_eq!(
            names(&top),
            ["a", "a-c", "h2.txt", "h10.txt", "same.txt", "same.txt"]
        );
        assert_eq!((top.total, top.files, top.bytes), (6, 7, 545));
        let folder = Row::Folder {
            name: "a".into(),
            files: 2,
            bytes: 501,
            mtime: 999,
        };
        assert_eq!(top.rows[0], folder);
        // That of the other folder is 993.
        let newest = Window {
            descending: true,
            ..all(Order::Mtime)
        };
        assert_eq!(names(&list().folder("", newest))[..2], ["a", "a-c"]);
        let oldest = list().folder("", all(Order::Mtime));
        assert_eq!(names(&oldest)[..2], ["a-c", "a"]);
        let inside = list().folder("a", all(Order::Name));
        assert_eq!(names(&inside), ["a/b", "a/Big Summer.pdf"]);
        assert_eq!((inside.total, inside.files, inside.bytes), (2, 2, 501));
        assert_eq!(list().folder("no/such", all(Order::Name)).total, 0);
    }

    #[test]
    fn every_word_is_in_a_path_that_is_found_in_any_case() {
        let found = search("", "SUMMER a/", all(Order::Name));
        assert_eq!(names(&found), ["a/Big Summer.pdf"]);
        assert_eq!((found.total, found.bytes), (1, 500));
        assert_eq!(search("", "summer small", all(Order::Name)).total, 0);
        let below = search("a", "", all(Order::Length));
        assert_eq!(names(&below), ["a/b/small.txt", "a/Big Summer.pdf"]);
    }

    #[test]
    fn windows_of_an_order_are_its_parts() {
        for order in Order::ALL {
            for descending in [false, true] {
                for words in ["", "t"] {
                    let window = |offset, limit| Window {
                        order,
                        descending,
                        offset,
                        limit,
                    };
                    let whole = search("", words, window(0, 100));
                    let parts = (0..whole.total).flat_map(|at| {
                        let part = search("", words, window(at, 1));
                        assert_eq!(part.total, whole.total);
                        part.rows
                    });
                    assert!(parts.eq(whole.rows), "{order:?} {descending} {words:?}");
                }
            }
        }
    }

    #[test]
    fn the_same_name_is_numbered_by_how_many_have_its_content() {
        let found = search("", "same", all(Order::Name));
        let files: Vec<_> = found
            .rows
            .iter()
            .map(|row| match row {
                Row::File(file) => (file.nth, file.has_twin, file.length, file.holders_total),
                Row::Folder { .. } => unreachable!("it was searched for files"),
            })
            .collect();
        assert_eq!(files, [(0, true, 4, 20), (1, true, 3, 1)]);
        let Row::File(first) = &found.rows[0] else {
            unreachable!("it was searched for files")
        };
        assert_eq!(first.holders.len(), MOST_HOLDERS, "the others are counted");
        assert_eq!(first.root.as_deref(), Some(&*format!("{:064}", 4)));
    }

    #[test]
    fn all_contents_of_a_name_are_found_by_it_and_no_other_name() {
        let found = list().named("same.txt", all(Order::Name));
        assert_eq!(names(&found), ["same.txt", "same.txt"]);
        assert_eq!((found.total, found.bytes), (2, 7));
        let second = Window {
            offset: 1,
            ..all(Order::Name)
        };
        assert_eq!(list().named("same.txt", second).rows, found.rows[1..]);
        for other in ["same", "same.txt/", "", "SAME.TXT"] {
            assert_eq!(list().named(other, all(Order::Name)).total, 0, "{other}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let mut all = Collected::default();
        let long = "x".repeat(MOST_NAMES / 2);
        assert!(all.add(row(&format!("{long}1"), 1, 1)));
        assert!(!all.add(row(&format!("{long}2"), 1, 1)));
        let list = all.into_list();
        assert!(list.is_cut);
        assert_eq!(list.len(), 1);
    }
}
