//! A share of many files: how long it takes until all of them can be fetched, for the first time
//! and after a restart, how long another member waits for their names, and what memory they take.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Bench, remove};
use crate::fleet::{ANYWHERE, Fleet};
use crate::machine;

/// How many files a folder has.
const IN_A_FOLDER: u32 = 1000;
/// After so long a node has given back the memory of what it has let go of.
const SETTLED: Duration = Duration::from_secs(15);

/// Measures a share of a hundred thousand files, and one of a million.
pub fn measure(bench: &mut Bench, scratch: &Path) -> Result<()> {
    for files in [bench.small * 10, bench.small * 100] {
        let share = scratch.join("many");
        let bytes = write_many(&share, files)?;
        for round in 0..bench.rounds {
            let fleet = scratch.join(format!("round-{round}"));
            of_so_many(bench, &fleet, &share, (files, bytes))?;
            remove(&fleet)?;
        }
        remove(&share)?;
    }
    Ok(())
}

fn of_so_many(
    bench: &mut Bench,
    fleet: &Path,
    share: &Path,
    (files, bytes): (u32, u64),
) -> Result<()> {
    let case = format!("a share of {files} files");
    let mut trio = Fleet::trio(fleet, None)?;
    let idle = ["tracker", "holder", "asker"].map(|who| trio.resident(who));
    let [tracker, peer, asker] = idle;
    let (tracker, peer, asker) = (tracker?, peer?, asker?);
    let mut add = |way, work: &mut dyn FnMut() -> Result<()>| -> Result<()> {
        let cost = machine::measure(bench.patience, work)?;
        bench.table.add(&case, way, bytes, cost);
        Ok(())
    };
    let begin = |trio: &mut Fleet| {
        trio.share("sharer", share, ANYWHERE)?;
        trio.wait_until_hashed("sharer", files)
    };
    add("thorp share, new", &mut || begin(&mut trio))?;
    trio.wait_until_listed("**", files)?;
    add("thorp share, again", &mut || {
        trio.stop("sharer")?;
        begin(&mut trio)
    })?;
    trio.wait_until_listed("**", files)?;
    add("thorp ls, by another", &mut || {
        let listed = trio.list_all("asker")?;
        ensure!(listed == files as usize, "{listed} files are listed");
        Ok(())
    })?;
    sleep(SETTLED);
    let each = |who, before| -> Result<u64> {
        Ok(trio.resident(who)?.saturating_sub(before) / u64::from(files))
    };
    let (at_sharer, at_tracker) = (each("sharer", peer)?, each("tracker", tracker)?);
    let at_asker = each("asker", asker)?;
    bench.table.note(format!(
        "{case}: bytes of memory a file at the sharer {at_sharer}, at the tracker {at_tracker}, \
         at another peer {at_asker}"
    ));
    Ok(())
}

/// Writes files of which none is as another one. Returns how many bytes they have.
fn write_many(share: &Path, files: u32) -> Result<u64> {
    let mut bytes = 0;
    for number in 0..files {
        let folder = share.join(format!("folder-{}", number / IN_A_FOLDER));
        if number % IN_A_FOLDER == 0 {
            fs::create_dir_all(&folder)?;
        }
        let content = format!("This is file {number}.\n");
        bytes += content.len() as u64;
        fs::write(folder.join(format!("file-{number}.txt")), content)?;
    }
    Ok(bytes)
}
