//! Files that are brought from one member to another.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Bench, warm, write};
use crate::fleet::Fleet;
use crate::relay::{FAR, Relay};
use crate::ways::copying::{Copy, TlsStream};
use crate::ways::libtorrent::Libtorrent;
use crate::ways::rqbit::Rqbit;
use crate::ways::rsync::Rsync;
use crate::ways::thorp::Thorp;
use crate::ways::{Freight, Way};

const MIB: u64 = 1024 * 1024;

/// One large file.
pub fn large(bench: &mut Bench, scratch: &Path) -> Result<()> {
    let case = format!("1 file of {} MiB", bench.large / MIB);
    let trio = Rc::new(Fleet::trio(scratch, None)?);
    let mut ways = ways(bench, scratch, &trio)?;
    warm(scratch, bench.large * 2)?;
    for round in 0..bench.rounds {
        let freight = Freight {
            root: trio.holder_share(),
            name: format!("large-{round}.bin"),
            files: 1,
            bytes: bench.large,
        };
        write(&freight, u64::from(round))?;
        bench.round(&case, &mut ways, &freight)?;
    }
    Ok(())
}

/// Many small files, of `each` bytes.
pub fn small(bench: &mut Bench, scratch: &Path, files: u32, each: u64) -> Result<()> {
    let case = format!("{files} files of {} KiB", each / 1024);
    let trio = Rc::new(Fleet::trio(scratch, None)?);
    let mut ways = ways(bench, scratch, &trio)?;
    for round in 0..bench.rounds {
        let freight = Freight {
            root: trio.holder_share(),
            name: format!("small-{round}"),
            files,
            bytes: each * u64::from(files),
        };
        write(&freight, u64::from(round))?;
        bench.round(&case, &mut ways, &freight)?;
    }
    Ok(())
}

/// One large file over a longer way.
pub fn delayed(bench: &mut Bench, scratch: &Path) -> Result<()> {
    for way_and_back in [20, 100] {
        let case = format!("1 file of {} MiB, {way_and_back} ms", bench.large / MIB);
        let one_way = Duration::from_millis(way_and_back) / 2;
        let scratch = scratch.join(way_and_back.to_string());
        fs::create_dir_all(&scratch)?;
        let trio = Rc::new(Fleet::trio(&scratch, Some(one_way))?);
        let mut relays = Vec::new();
        let target = scratch.join("elsewhere");
        let mut ways: Vec<Box<dyn Way>> = vec![Box::new(Thorp {
            trio: Rc::clone(&trio),
            target: Some(target.clone()),
        })];
        if let Some(rsync) = Rsync::start(FAR, &scratch, &trio.holder_share(), &target, false)? {
            relays.push(Relay::to_far(rsync.port(), one_way)?);
            ways.push(Box::new(rsync));
        }
        if let Some(libtorrent) = Libtorrent::start(FAR, &bench.python, &scratch, &target)? {
            relays.push(Relay::to_far(libtorrent.port(), one_way)?);
            ways.push(Box::new(libtorrent));
        }
        for round in 0..bench.rounds {
            let freight = Freight {
                root: trio.holder_share(),
                name: format!("far-{round}.bin"),
                files: 1,
                bytes: bench.large,
            };
            write(&freight, u64::from(round))?;
            bench.round(&case, &mut ways, &freight)?;
        }
    }
    Ok(())
}

/// One large file onto a disk, until it is there to stay.
pub fn onto_disk(bench: &mut Bench, scratch: &Path) -> Result<()> {
    let disk = bench.disk.clone().context("--disk names no directory")?;
    let disk = tempfile::Builder::new()
        .prefix("thorp-bench-")
        .tempdir_in(disk)?;
    let target = disk.path().to_owned();
    let case = format!("1 file of {} MiB, synced to a disk", bench.large / MIB);
    let trio = Rc::new(Fleet::trio(scratch, None)?);
    let mut ways: Vec<Box<dyn Way>> = vec![Box::new(Thorp {
        trio: Rc::clone(&trio),
        target: Some(target.clone()),
    })];
    if let Some(rsync) = Rsync::start(
        Ipv4Addr::LOCALHOST,
        scratch,
        &trio.holder_share(),
        &target,
        true,
    )? {
        ways.push(Box::new(rsync));
    }
    ways.push(Box::new(Copy {
        target,
        is_synced: true,
    }));
    for round in 0..bench.rounds {
        let freight = Freight {
            root: trio.holder_share(),
            name: format!("disk-{round}.bin"),
            files: 1,
            bytes: bench.large,
        };
        write(&freight, u64::from(round))?;
        bench.round(&case, &mut ways, &freight)?;
    }
    Ok(())
}

/// Returns all ways to bring many bytes that this machine has, thorp's first.
fn ways(bench: &Bench, scratch: &Path, trio: &Rc<Fleet>) -> Result<Vec<Box<dyn Way>>> {
    let target = scratch.join("elsewhere");
    let thorp = |target| Thorp {
        trio: Rc::clone(trio),
        target,
    };
    let mut ways: Vec<Box<dyn Way>> =
        vec![Box::new(thorp(Some(target.clone()))), Box::new(thorp(None))];
    match Rsync::start(
        Ipv4Addr::LOCALHOST,
        scratch,
        &trio.holder_share(),
        &target,
        false,
    )? {
        Some(rsync) => ways.push(Box::new(rsync)),
        None => eprintln!("rsync is not installed"),
    }
    match Libtorrent::start(Ipv4Addr::LOCALHOST, &bench.python, scratch, &target)? {
        Some(libtorrent) => ways.push(Box::new(libtorrent)),
        None => eprintln!("{} has no libtorrent", bench.python.display()),
    }
    // Its torrents are those that libtorrent has made.
    match Rqbit::start(&bench.rqbit, scratch, &target)? {
        Some(rqbit) if ways.len() > 3 => ways.push(Box::new(rqbit)),
        _ => eprintln!("{}, curl or libtorrent is not there", bench.rqbit.display()),
    }
    ways.push(Box::new(TlsStream));
    ways.push(Box::new(Copy {
        target,
        is_synced: false,
    }));
    Ok(ways)
}
