//! A share that has never been hashed, until all of its files can be fetched.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::{Bench, remove, write};
use crate::fleet::{ANYWHERE, Fleet};
use crate::machine;
use crate::ways::Freight;
use crate::ways::libtorrent::{self, Libtorrent};

/// How many files there are.
const FILES: u32 = 8;

/// Measures thorp, `sha256sum` and libtorrent, which makes a torrent of v2.
pub fn measure(bench: &mut Bench, scratch: &Path) -> Result<()> {
    let each = bench.hashed / u64::from(FILES);
    let freight = Freight {
        root: scratch.to_owned(),
        name: "hashed".to_owned(),
        files: FILES,
        bytes: each * u64::from(FILES),
    };
    let case = format!("hashing {} MiB", freight.bytes >> 20);
    write(&freight, 7)?;
    for round in 0..bench.rounds {
        let new = scratch.join(format!("new-{round}"));
        let mut trio = Fleet::trio(&new, None)?;
        let cost = machine::measure(bench.patience, || {
            trio.share("hasher", &freight.source(), ANYWHERE)?;
            trio.wait_until_hashed("hasher", FILES)
        })?;
        bench.table.add(&case, "thorp share", freight.bytes, cost);
        drop(trio);
        remove(&new)?;
        let cost = machine::measure(bench.patience, || sums(&freight.source()))?;
        bench.table.add(&case, "sha256sum", freight.bytes, cost);
        if libtorrent::is_there(&bench.python)
            && let Some(mut libtorrent) =
                Libtorrent::start(Ipv4Addr::LOCALHOST, &bench.python, scratch, scratch)?
        {
            let torrent = scratch.join("hashed.torrent");
            let cost = machine::measure(bench.patience, || {
                libtorrent.make(&freight.source(), &torrent, true)
            })?;
            bench
                .table
                .add(&case, "libtorrent, v2", freight.bytes, cost);
        }
    }
    Ok(())
}

fn sums(directory: &Path) -> Result<()> {
    let mut command = Command::new("sha256sum");
    for file in std::fs::read_dir(directory)? {
        command.arg(file?.path());
    }
    let status = command.stdout(Stdio::null()).status()?;
    ensure!(status.success(), "sha256sum has failed");
    Ok(())
}
