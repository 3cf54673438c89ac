//! One file for many at once, and from many for one, over thin lines: each member on a host of its
//! own. Beside one alone, and beside libtorrent, whose sessions are told of one another.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result, anyhow};

use super::{Bench, remove, same, write};
use crate::fleet::Fleet;
use crate::hosts::Hosts;
use crate::machine::{self, Cost};
use crate::ways::Freight;
use crate::ways::libtorrent::{self, LibtorrentSession};

const MIB: u64 = 1024 * 1024;
/// The rate of the lines, as `tc` reads it, and the length of the file.
const LINES: [(&str, u64); 2] = [("20mbit", 50 * MIB), ("100mbit", 100 * MIB)];

/// How many members have a file, and how many fetch it.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    holders: u8,
    fetchers: u8,
}

/// The first is what the others are compared with.
const SHAPES: [Shape; 5] = [
    Shape {
        name: "1 for 1",
        holders: 1,
        fetchers: 1,
    },
    Shape {
        name: "1 for 8",
        holders: 1,
        fetchers: 8,
    },
    Shape {
        name: "1 for 12",
        holders: 1,
        fetchers: 12,
    },
    Shape {
        name: "1 for 24",
        holders: 1,
        fetchers: 24,
    },
    Shape {
        name: "4 for 1",
        holders: 4,
        fetchers: 1,
    },
];

/// Measures thorp and libtorrent.
pub fn measure(bench: &mut Bench, scratch: &Path) -> Result<()> {
    let has_libtorrent = libtorrent::is_there(&bench.python);
    for (rate, bytes) in LINES {
        let freight = Freight {
            root: scratch.to_owned(),
            name: "crowd.bin".to_owned(),
            files: 1,
            bytes,
        };
        write(&freight, 3)?;
        for shape in (0..bench.rounds).flat_map(|_| SHAPES) {
            let hosts = Arc::new(Hosts::new(&shape.names(), rate)?);
            let dir = scratch.join("fleet");
            let case = format!("{} MiB over {rate}", bytes / MIB);
            of_thorp(bench, &case, shape, (&hosts, &dir), &freight)?;
            remove(&dir)?;
            if has_libtorrent {
                of_libtorrent(bench, &case, shape, (&hosts, &dir), &freight)?;
                remove(&dir)?;
            }
        }
        remove(&freight.source())?;
    }
    Ok(())
}

impl Shape {
    fn holders(self) -> Vec<String> {
        (1..=self.holders).map(|n| format!("holder-{n}")).collect()
    }

    fn fetchers(self) -> Vec<String> {
        let all = 1..=self.fetchers;
        all.map(|n| format!("fetcher-{n}")).collect()
    }

    fn names(self) -> Vec<String> {
        let tracker = ["tracker".to_owned()].into_iter();
        tracker
            .chain(self.holders())
            .chain(self.fetchers())
            .collect()
    }
}

fn of_thorp(
    bench: &mut Bench,
    case: &str,
    shape: Shape,
    (hosts, dir): (&Arc<Hosts>, &Path),
    freight: &Freight,
) -> Result<()> {
    let mut fleet = Fleet::on_hosts(dir, hosts)?;
    let shared = dir.join("shared");
    fs::create_dir_all(&shared)?;
    fs::hard_link(freight.source(), shared.join(&freight.name))?;
    for holder in shape.holders() {
        let at = format!("{}:0", hosts.address(&holder)?);
        fleet.share(&holder, &shared, &at)?;
        fleet.wait_until_hashed(&holder, 1)?;
    }
    for fetcher in shape.fetchers() {
        let at = format!("{}:0", hosts.address(&fetcher)?);
        let own = dir.join(&fetcher).join("share");
        fs::create_dir_all(&own)?;
        fleet.share(&fetcher, &own, &at)?;
        fleet.wait_until_found(&fetcher, &freight.name, 1)?;
    }
    let before = sent(hosts, shape)?;
    let fleet = &fleet;
    let cost = machine::measure(bench.patience, || {
        all_at_once(&shape.fetchers(), |fetcher| {
            fleet.get_by(fetcher, &["--", &freight.name])
        })
    })?;
    let sent = sent(hosts, shape)? - before;
    for fetcher in shape.fetchers() {
        let own = dir.join(&fetcher).join("share");
        same(&freight.source(), &own.join(&freight.name))?;
    }
    let case = format!("{case}, thorp");
    add(bench, &case, shape, freight, (cost, sent));
    Ok(())
}

fn of_libtorrent(
    bench: &mut Bench,
    case: &str,
    shape: Shape,
    (hosts, dir): (&Arc<Hosts>, &Path),
    freight: &Freight,
) -> Result<()> {
    fs::create_dir_all(dir)?;
    let torrent = dir.join("crowd.torrent");
    let start = |name: &String| {
        let at = hosts.address(name)?;
        let session = LibtorrentSession::start(hosts.command(name, &bench.python)?, at)?;
        let place = SocketAddr::from((at, session.port()));
        Ok((session, place))
    };
    let holders: Result<Vec<_>> = shape.holders().iter().map(start).collect();
    let mut holders = holders?;
    let (first, _) = holders.first_mut().context("a holder")?;
    first.make(&freight.source(), &torrent, false)?;
    for (holder, _) in &mut holders {
        holder.add(&torrent, &freight.root, &[])?;
    }
    let fetchers: Result<Vec<_>> = shape.fetchers().iter().map(start).collect();
    let mut fetchers = fetchers?;
    let all: Vec<SocketAddr> = holders.iter().chain(&fetchers).map(|(_, at)| *at).collect();
    let targets: Vec<PathBuf> = shape.fetchers().iter().map(|name| dir.join(name)).collect();
    let before = sent(hosts, shape)?;
    let cost = machine::measure(bench.patience, || {
        let fetching = fetchers.iter_mut().zip(&targets);
        let fetching: Vec<_> = fetching.collect();
        all_at_once(fetching, |((session, own), target)| {
            let others: Vec<SocketAddr> = all.iter().copied().filter(|at| at != own).collect();
            session.add(&torrent, target, &others)
        })
    })?;
    let sent = sent(hosts, shape)? - before;
    for target in &targets {
        same(&freight.source(), &target.join(&freight.name))?;
    }
    let case = format!("{case}, libtorrent");
    add(bench, &case, shape, freight, (cost, sent));
    Ok(())
}

/// Does something for each at the same time, and waits for the last one.
fn all_at_once<T: Send>(
    all: impl IntoIterator<Item = T>,
    what: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    thread::scope(|scope| {
        let what = &what;
        let running = all.into_iter().map(|one| scope.spawn(move || what(one)));
        let running: Vec<_> = running.collect();
        running.into_iter().try_for_each(|one| {
            let ended = one.join();
            ended.map_err(|_| anyhow!("a thread has panicked"))?
        })
    })
}

/// Returns how many bytes all holders have sent so far.
fn sent(hosts: &Hosts, shape: Shape) -> Result<u64> {
    shape.holders().iter().map(|name| hosts.sent(name)).sum()
}

#[expect(clippy::cast_precision_loss, reason = "to be read by people")]
fn add(bench: &mut Bench, case: &str, shape: Shape, freight: &Freight, (cost, sent): (Cost, u64)) {
    bench.table.add(case, shape.name, freight.bytes, cost);
    let copies = sent as f64 / freight.bytes as f64;
    bench.table.note(format!(
        "{case}, {}: {copies:.2} copies sent by holders",
        shape.name
    ));
}
