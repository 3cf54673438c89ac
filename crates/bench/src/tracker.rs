//! A tracker with many members: the cost of one change of a member, and how long a reader of its
//! view waits.
//!
//! The state machine of the tracker runs in this process with simulated links, without sockets and
//! encryption: only its decisions and its view are measured.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use comfy_table::{CellAlignment, Table};
use thorp_core::links::{self, LinkId, Me, Party};
use thorp_core::time;
use thorp_core::tracker::{Config, Output, Tracker};
use thorp_node::snapshot::{Ask, At, Fresh, Keeper, Knowledge, Page, Part, RowKey, SnapshotRow};
use thorp_wire::frame::{Body, Find, Frame, Hello, Query, RequestId, Update, VERSION};
use thorp_wire::{Entry, PeerId, Root};

/// How many files of each member are shared by all members.
const COMMON: u32 = 10;
/// How many neighbours each member has.
const NEIGHBOURS: u32 = 8;
/// How often each is measured.
const ROUNDS: u32 = 101;
/// How long a reader of a screen may have to wait.
const READILY: Duration = Duration::from_millis(100);
/// How long one change of a member may take, with or without a reader.
const AT_ONCE: Duration = Duration::from_millis(1);
/// How soon queued work gets its turn.
const BUDGETS: Duration = Duration::from_secs(5);
/// The rows and columns of a terminal.
const SCREEN: (usize, usize) = (50, 200);

/// Reads from a node, and returns how many rows were read.
type Measured = fn(&Node) -> Result<usize>;

struct Node {
    tracker: Tracker,
    keeper: Keeper,
    members: u32,
    now: time::Instant,
    /// The frames sent on the last member's link.
    sent: Vec<Frame>,
}

/// Measures everything, and prints the results.
pub fn run(members: u32, files: u32) -> Result<()> {
    let mut node = Node::new(members);
    let filled = took(|| {
        for member in 0..members {
            node.joins(member, files)?;
        }
        Ok(())
    })?;
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["what", "rows", "median", "worst"]);
    for column in 1..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut add = |what: &str, rows: usize, mut took: Vec<Duration>| {
        took.sort();
        let worst = took[took.len() - 1];
        let usual = took[took.len() / 2];
        let shown = |took: Duration| format!("{:.3} ms", took.as_secs_f64() * 1000.0);
        table.add_row([
            what.to_owned(),
            rows.to_string(),
            shown(usual),
            shown(worst),
        ]);
        usual
    };

    let mut changes = Vec::new();
    for round in 0..ROUNDS {
        let member = round * (members / ROUNDS).max(1) % members;
        changes.push(took(|| node.changes(member, u64::from(round)))?);
    }
    let change = add("a change of one", 0, changes);
    let looks: [(&str, Measured); 5] = [
        ("the screen, at its start", |node| node.screen(&At::Start)),
        ("the screen, at its end", |node| node.screen(&At::End)),
        ("the screen, in between", Node::screen_between),
        ("what has changed since", Node::changed),
        ("one peer's files", Node::files_of_one),
    ];
    let mut slowest = Duration::ZERO;
    for (what, look) in looks {
        let mut rows = 0;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(took(|| {
                rows = look(&node)?;
                Ok(())
            })?);
        }
        slowest = slowest.max(add(what, rows, times));
    }
    let (mut rows, mut times) = (0, Vec::new());
    for _ in 0..5 {
        times.push(took(|| {
            rows = node.peers()?;
            Ok(())
        })?);
    }
    slowest = slowest.max(add("all peers, as thorp peers asks", rows, times));
    let (rows, slices) = node.tables()?;
    add(
        "all rows of tracker --lines",
        rows,
        vec![slices.iter().sum()],
    );
    add("one slice of them", 0, slices);
    println!(
        "{members} members with {files} files each, {COMMON} of them the same; {:.1} s to fill\n{table}",
        filled.as_secs_f64()
    );
    ensure!(change < AT_ONCE, "a change of one member takes {change:?}");
    ensure!(
        slowest < READILY,
        "a reader waits {slowest:?} for an answer"
    );
    Ok(())
}

fn took(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

impl Node {
    fn new(members: u32) -> Self {
        let me = Me {
            id: id(u32::MAX),
            epoch: 1,
            port: Some(3333),
            claimed: Vec::new(),
            visitor: false,
            bittorrent: false,
            advertised: 0,
        };
        let interval = Duration::from_hours(1);
        Self {
            tracker: Tracker::new(Config {
                me,
                interval,
                small_group: thorp_core::tracker::SMALL_GROUP,
                longest_interval: interval,
                bittorrent: false,
                room: thorp_core::tracker::ROOM,
            }),
            keeper: Keeper::new().0,
            members,
            now: time::Instant::default(),
            sent: Vec::new(),
        }
    }

    fn joins(&mut self, member: u32, files: u32) -> Result<()> {
        let link = LinkId(member.into());
        // Every fourth member shares the address of another one.
        let at = member - u32::from(member % 4 == 1);
        let remote = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + at));
        self.handle(links::Input::Connected {
            link,
            member: Party {
                id: id(member),
                name: format!("m{member}").parse().ok(),
                tracker: false,
            },
            dialled: false,
            remote,
        });
        let hello = Hello {
            oldest: VERSION,
            newest: VERSION,
            port: Some(if at == member { 3334 } else { 3335 }),
            claimed: Vec::new(),
            epoch: 1,
            applied: None,
            neighbour: false,
            visitor: false,
            interval: 3_600_000,
            record: None,
            bittorrent: false,
            advertised: 0,
        };
        self.says(member, Frame::plain(hello));
        let name = |n: u32| match n {
            n if n < COMMON => format!("common/{n}"),
            n => format!("of {member:05}/{n}"),
        };
        let entries: Result<Vec<Entry>> = (0..files).map(|n| entry(&name(n))).collect();
        let others = (1..=NEIGHBOURS).map(|n| id((member + n) % self.members));
        let update = Update {
            since: None,
            added: entries?,
            neighbours: Some(others.collect()),
            ..Update::heartbeat(1)
        };
        self.says(member, Frame::plain(update));
        Ok(())
    }

    fn changes(&mut self, member: u32, round: u64) -> Result<()> {
        let update = Update {
            since: Some(1),
            added: vec![entry(&format!("new {round}"))?],
            ..Update::heartbeat(2)
        };
        self.says(member, Frame::plain(update));
        Ok(())
    }

    fn says(&mut self, member: u32, frame: Frame) {
        let link = LinkId(member.into());
        self.handle(links::Input::Frame { link, frame });
    }

    /// Handles an input and all work queued because of it. The budgets of members are not measured
    /// here, so time passes quickly.
    fn handle(&mut self, input: links::Input) {
        self.take(input);
        while self
            .tracker
            .next_deadline()
            .is_some_and(|at| at <= self.now + BUDGETS)
        {
            self.now = self.now + Duration::from_millis(10);
            self.take(links::Input::Tick);
        }
    }

    fn take(&mut self, input: links::Input) {
        self.tracker.handle(self.now, input);
        while let Some(output) = self.tracker.poll_output() {
            match output {
                Output::Changed(row) => self.keeper.mark(row),
                Output::Link(links::Output::Send(link, frame))
                    if link == LinkId((self.members - 1).into()) =>
                {
                    self.sent.push(frame);
                }
                _ => {}
            }
        }
    }

    fn page(&self, part: Part, at: At, limit: usize, names: usize) -> Page {
        let ask = Ask {
            part,
            at,
            limit,
            names,
        };
        let known = Knowledge::of_tracker(&self.tracker);
        self.keeper.page(&ask, &known, &mut |_| Default::default())
    }

    /// Reads both tables, as far as a screen holds them.
    fn screen(&self, at: &At) -> Result<usize> {
        let (height, width) = SCREEN;
        let mut rows = 0;
        for part in [Part::Peers, Part::Files] {
            rows += self
                .page(part, at.clone(), 2 * height, 3 * width / 2)
                .rows
                .len();
        }
        ensure!(rows > 0, "there is nothing to see");
        Ok(rows)
    }

    fn screen_between(&self) -> Result<usize> {
        let (height, width) = SCREEN;
        let middle = self.members / 2;
        let files = self.page(
            Part::FilesOf {
                id: id(middle).to_string(),
            },
            At::End,
            1,
            1,
        );
        let address = Ipv4Addr::from(0x0a00_0000 + middle);
        let peer = RowKey::Peer {
            address: (address, 3334).into(),
            id: id(middle).to_string(),
        };
        let file = files.rows.first().and_then(SnapshotRow::key);
        let mut rows = 0;
        for (part, key) in [(Part::Peers, Some(peer)), (Part::Files, file)] {
            let key = key.context("it has files")?;
            for (at, limit) in [
                (At::Before(key.clone()), height),
                (At::From(key.clone()), 2 * height),
            ] {
                let page = self.page(part.clone(), at, limit, 3 * width / 2);
                rows += page.rows.len();
            }
        }
        Ok(rows)
    }

    /// Reads the last changes, as a watcher gets them.
    fn changed(&self) -> Result<usize> {
        let known = Knowledge::of_tracker(&self.tracker);
        let now = self.page(Part::Warnings, At::Start, 0, 0).number;
        match self
            .keeper
            .since(now - 50, &known, &mut |_| Default::default())
        {
            Fresh::Changes { changes, .. } => Ok(changes.len()),
            Fresh::StartAgain { number } => bail!("too far behind {number}"),
        }
    }

    fn files_of_one(&self) -> Result<usize> {
        let id = id(self.members / 3).to_string();
        let page = self.page(Part::FilesOf { id }, At::Start, 1000, 1);
        ensure!(!page.rows.is_empty(), "it has files");
        Ok(page.rows.len())
    }

    /// Reads all members, page by page.
    fn peers(&mut self) -> Result<usize> {
        let asker = self.members - 1;
        let (mut rows, mut after) = (0, None);
        for number in 0.. {
            self.sent.clear();
            // Enough time has passed that it may ask again.
            self.now = self.now + BUDGETS;
            let find = Find::new(Query::Members(after), 0);
            self.says(asker, Frame::with_request(RequestId(number), find));
            let answer = self.sent.iter().find_map(|frame| match &frame.body {
                Body::Found(found) => Some(found),
                _ => None,
            });
            let Some(found) = answer else {
                bail!("no answer: {:?}", self.sent.first());
            };
            rows += found.members.len();
            after = found.members.last().map(|row| row.member.id);
            if !found.more {
                break;
            }
        }
        Ok(rows)
    }

    /// Reads everything that `tracker --lines` prints at each change. Returns also how long each
    /// part of it keeps the tracker busy.
    fn tables(&self) -> Result<(usize, Vec<Duration>)> {
        let known = Knowledge::of_tracker(&self.tracker);
        let files_at_once = (10_000 / self.members as usize).max(1);
        let (mut rows, mut slices) = (0, Vec::new());
        for (part, most, limit, names) in [
            (Part::Peers, usize::MAX, 100, 1024),
            (Part::Files, 1000, files_at_once, usize::MAX),
        ] {
            let first = Ask {
                names,
                ..Ask::first(part, limit)
            };
            let (mut next, mut seen) = (Some(first), 0);
            while let Some(ask) = next.filter(|_| seen < most) {
                let mut page = None;
                slices.push(took(|| {
                    page = Some(self.keeper.page(&ask, &known, &mut |_| Default::default()));
                    Ok(())
                })?);
                let page = page.context("it was made")?;
                seen += page.rows.len();
                next = page.next(&ask);
            }
            rows += seen;
        }
        Ok((rows, slices))
    }
}

fn entry(name: &str) -> Result<Entry> {
    Ok(Entry {
        name: name.parse()?,
        length: 1,
        mtime: 0,
        root: Some(Root::new([7; 32])),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    })
}

fn id(member: u32) -> PeerId {
    let mut key = [0; 32];
    // The order of ids differs from that of addresses.
    key[..4].copy_from_slice(&member.wrapping_mul(2_654_435_761).to_be_bytes());
    PeerId::new(key)
}
