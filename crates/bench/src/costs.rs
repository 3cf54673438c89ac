//! The cost of a unit of each kind of work, by which members are charged; and how much memory is
//! kept after large listings are forgotten.
//!
//! Measures the catalogue and patterns directly, in this process and without links.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use thorp_core::budget::Work;
use thorp_core::catalogue::Catalogue;
use thorp_core::matching::Pattern;
use thorp_core::words::Words;
use thorp_wire::frame::Update;
use thorp_wire::torrent::build::{Privacy, v2_info};
use thorp_wire::torrent::info_hash_v2;
use thorp_wire::{Content, Entry, Name, PeerId, Root};

use crate::machine;

/// How many names are listed and compared with patterns.
const NAMES: u32 = 300_000;
/// How many names of about 4000 bytes the members of an attack list.
const LONG_NAMES: u32 = 150_000;
/// How many names are searched.
const MILLION: u32 = 1_000_000;
/// The steps of a part of a search: 5 ms.
const SLICE: u64 = 5_000 * Work::STEPS;

/// Measures everything, and prints a table in Markdown.
pub fn run() -> Result<()> {
    println!("| what | takes | charged | a unit is |");
    println!("|---|---|---|---|");
    let names: Vec<Name> = (0..NAMES).map(|n| name(n, 0)).collect();
    for (what, text) in patterns() {
        let mut steps = 0;
        let took = usual(|| {
            steps = 0;
            // A text that is not a pattern costs something, too.
            let _ = black_box(Pattern::counted(&text, &mut steps));
        });
        row(&format!("making {what}"), took, steps.div_ceil(Work::STEPS));
        let Ok(pattern) = Pattern::new(&text) else {
            continue;
        };
        let few = &names[..1000];
        let took = usual(|| {
            for name in few {
                black_box(pattern.matches(name));
            }
        });
        let steps: u64 = few.iter().map(|name| pattern.steps(name)).sum();
        row(
            &format!("comparing {what} with 1000 names"),
            took,
            steps.div_ceil(Work::STEPS),
        );
    }
    listings();
    info_hashes(&names[..1000]);
    searches();
    memory()
}

/// What a node's user looks for among a million names, in parts that may cost 5 ms.
fn searches() {
    let ascii = |n: u32| name(n, 0);
    let other = |n: u32| {
        named(&format!(
            "Ordner {}/Ähnliche Straße № {n} – größer.txt",
            n % 1000
        ))
    };
    let long = |n: u32| named(&format!("{}/{n}", "Ähnliche Straße № ".repeat(10)));
    let kinds: [(&str, &dyn Fn(u32) -> Name); 3] = [
        ("ASCII names", &ascii),
        ("names that are not ASCII", &other),
        ("long ones that are not ASCII", &long),
    ];
    for (kind, name) in kinds {
        let mut catalogue = Catalogue::default();
        for part in 0..MILLION / 1000 {
            let update = Update {
                since: (part > 0).then(|| part.into()),
                added: (part * 1000..(part + 1) * 1000)
                    .map(|n| entry(name(n)))
                    .collect(),
                ..Update::heartbeat(u64::from(part) + 1)
            };
            catalogue.apply(id(1), 1, update);
        }
        for (what, words) in [
            ("a word of none", "nowhere"),
            ("four words", "a file straße nowhere"),
            ("other words than ASCII", "ähnliche größer nowhere"),
            ("what all have", "e"),
        ] {
            let words = Words::new(words).expect("words");
            let (mut behind, mut all) = (None, Vec::new());
            loop {
                let begun = Processor::now();
                let slice = catalogue.search(&words, behind.as_ref(), 1000, SLICE);
                all.push((begun.elapsed(), slice.steps / Work::STEPS));
                behind = slice.reached;
                // Of what all have, a thousand times a page says enough.
                if behind.is_none() || all.len() == 1000 {
                    break;
                }
            }
            all.sort();
            let (middle, longest) = (all[all.len() / 2], all[all.len() - 1]);
            row(
                &format!("{what} in a million {kind}: a part"),
                middle.0,
                middle.1,
            );
            row("of that, the longest part", longest.0, longest.1);
        }
    }
}

/// What a tracker computes of each file of a member that serves clients.
fn info_hashes(names: &[Name]) {
    let content = Content {
        length: 1 << 30,
        root: Root::new([7; 32]),
    };
    let took = usual(|| {
        for name in names {
            for privacy in [Privacy::Private, Privacy::Public] {
                black_box(info_hash_v2(&v2_info(name.base(), content, privacy)));
            }
        }
    });
    let charged = names.len() as u64 * Work::INFO_HASHES;
    row("the v2 info-hashes of 1000 files", took, charged);
}

fn listings() {
    let mut catalogue = Catalogue::default();
    let full = |seq: u64, what: u32| Update {
        since: None,
        added: (0..NAMES).map(|n| entry(name(n, what))).collect(),
        ..Update::heartbeat(seq)
    };
    let mut seq = 0;
    let mut put = |what: &str, which: u32| {
        seq += 1;
        let update = full(seq, which);
        let before = catalogue.moved();
        let begun = Processor::now();
        catalogue.apply(id(1), 1, update);
        let took = begun.elapsed();
        let moved = catalogue.moved() - before;
        let again = u64::from(NAMES).saturating_sub(moved);
        let charged = moved * Work::ENTRY + again * Work::ENTRY_AGAIN;
        row(what, took, charged);
    };
    put("a listing of 300,000 entries", 0);
    put("the same once more", 0);
    put("another one in its place", 1);
    let begun = Processor::now();
    catalogue.forget(id(1));
    row("beginning to forget it", begun.elapsed(), 0);
    let (begun, mut longest) = (Processor::now(), Duration::ZERO);
    while catalogue.leaving() > 0 {
        let part = Processor::now();
        catalogue.forget_some(Work::ENTRIES_AT_ONCE);
        longest = longest.max(part.elapsed());
    }
    let charged = u64::from(NAMES) * Work::ENTRY;
    row("forgetting it", begun.elapsed(), charged);
    let charged = Work::ENTRIES_AT_ONCE * Work::ENTRY;
    row("of that, the longest single step", longest, charged);
    let before = Processor::now();
    for member in 0..30 {
        let update = Update {
            since: None,
            added: (0..1000).map(|n| entry(name(n, 0))).collect(),
            ..Update::heartbeat(1)
        };
        catalogue.apply(id(member), 1, update);
    }
    let entries = 30 * 1000;
    row(
        "30 listings of the same 1000 names",
        before.elapsed(),
        entries * Work::ENTRY,
    );
    let asked: Vec<String> = (0..1000).map(|n| name(n, 0).to_string()).collect();
    let mut rows = 0;
    let took = usual(|| {
        rows = 0;
        for name in &asked {
            rows += catalogue
                .named_within(name, None, u64::MAX, &|_| true)
                .looked_at;
        }
    });
    let charged = 1000 * Work::NAME + rows / Work::ROWS + 1000 * (1 + 30 / 4);
    row("1000 names, of which each has 30 holders", took, charged);
}

/// Lets two members fill a catalogue with long names and leave.
fn memory() -> Result<()> {
    let mut catalogue = Catalogue::default();
    let before = machine::resident(std::process::id())?;
    // An honest member is present before, in between and after.
    let mut honest = 10;
    let mut more = |catalogue: &mut Catalogue| {
        honest += 1;
        let update = Update {
            since: None,
            added: (0..1000).map(|n| entry(name(n, honest))).collect(),
            ..Update::heartbeat(1)
        };
        catalogue.apply(id(u8::try_from(honest).unwrap_or(0)), 1, update);
    };
    more(&mut catalogue);
    for member in [1, 2] {
        for part in 0..10 {
            let update = Update {
                since: (part > 0).then_some(part),
                added: (0..LONG_NAMES / 10)
                    .map(|n| {
                        entry(long(
                            n,
                            u32::from(member) * 10 + u32::try_from(part).unwrap_or(0),
                        ))
                    })
                    .collect(),
                ..Update::heartbeat(part + 1)
            };
            catalogue.apply(id(member), 1, update);
            more(&mut catalogue);
        }
    }
    let filled = machine::resident(std::process::id())?;
    let estimated = catalogue.cost();
    for member in [1, 2] {
        catalogue.forget(id(member));
    }
    while catalogue.forget_some(Work::ENTRIES_AT_ONCE) > 0 {}
    let left = catalogue.cost();
    // The allocator gives memory back with a delay.
    std::thread::sleep(Duration::from_secs(1));
    drop(black_box(vec![0_u8; 1 << 20]));
    let after = machine::resident(std::process::id())?;
    println!();
    println!(
        "Two members list {LONG_NAMES} names of 4000 bytes each, and leave; 21 others list 1000 short \
         ones each, and stay. In memory: {} MiB with them (estimated {}), {} MiB after them (estimated {}).",
        (filled - before) / MIB,
        estimated / MIB,
        after.saturating_sub(before) / MIB,
        left / MIB
    );
    Ok(())
}

const MIB: u64 = 1024 * 1024;

/// Costly patterns, each of another kind.
fn patterns() -> Vec<(&'static str, String)> {
    vec![
        ("`*.txt`", "*.txt".to_owned()),
        ("`*a*b*c*`", "*a*b*c*".to_owned()),
        (
            "`[x]` x 328 and `{a,b}` x 8",
            "[x]".repeat(328) + &"{a,b}".repeat(8),
        ),
        (
            "`[ -~]` x 196 and `{a,b}` x 8",
            "[ -~]".repeat(196) + &"{a,b}".repeat(8),
        ),
        (
            "`[!ab]` x 196 and `{a,b}` x 8",
            "[!ab]".repeat(196) + &"{a,b}".repeat(8),
        ),
        (
            "`?` x 984 and `{a,b}` x 8",
            "?".repeat(984) + &"{a,b}".repeat(8),
        ),
        (
            "`a` x 979 and `{a,b}` x 9, which are too many",
            "a".repeat(979) + &"{a,b}".repeat(9),
        ),
        ("`*a` x 512", "*a".repeat(512)),
        ("`{` x 16, `a` x 900, `}` x 16", {
            "{".repeat(16) + &"a".repeat(900) + &"}".repeat(16)
        }),
    ]
}

fn row(what: &str, took: Duration, charged: u64) {
    let micros = took.as_secs_f64() * 1e6;
    let unit = match charged {
        0 => "-".to_owned(),
        #[expect(clippy::cast_precision_loss, reason = "a ratio for eyes")]
        charged => format!("{:.2} us", micros / charged as f64),
    };
    println!("| {what} | {micros:.0} us | {charged} | {unit} |");
}

/// The processor time of this thread, which other processes do not affect.
#[derive(Clone, Copy)]
struct Processor(Duration);

impl Processor {
    fn now() -> Self {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Self(Duration::new(seconds, nanos))
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// Returns the median time of several rounds.
fn usual(mut work: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..9)
        .map(|_| {
            let begun = Processor::now();
            work();
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn name(n: u32, what: u32) -> Name {
    let text = format!("folder {}/{what}/a file number {n}.txt", n % 1000);
    named(&text)
}

fn named(text: &str) -> Name {
    text.parse().expect("a name")
}

fn long(n: u32, what: u32) -> Name {
    let folder = format!("{}/", "x".repeat(199));
    let text = format!("{}{what} {n}", folder.repeat(19));
    text.parse().expect("a name")
}

fn entry(name: Name) -> Entry {
    let mut root = [7; 32];
    let bytes = name.as_str().as_bytes();
    for (at, byte) in bytes.iter().rev().take(32).enumerate() {
        root[at] ^= byte;
    }
    Entry {
        name,
        length: 1000,
        mtime: 0,
        root: Some(Root::new(root)),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    }
}
