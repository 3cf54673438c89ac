//! A single small file: how long a user waits for the least that there is.

use std::path::Path;
use std::rc::Rc;

use anyhow::Result;

use super::{Bench, remove, same, write};
use crate::fleet::Fleet;
use crate::machine;
use crate::ways::thorp::Thorp;
use crate::ways::web::Web;
use crate::ways::{Freight, Way};

const KIB: u64 = 1024;
/// How many commands are measured together: the processors' time has steps of 10 ms.
const TOGETHER: u32 = 50;

/// Measures commands that fetch 1 KiB from a neighbour, from their start to their end.
pub fn measure(bench: &mut Bench, scratch: &Path) -> Result<()> {
    let trio = Rc::new(Fleet::trio(scratch, None)?);
    let target = scratch.join("elsewhere");
    let thorp = Thorp {
        trio: Rc::clone(&trio),
        target: Some(target.clone()),
    };
    let mut ways: Vec<Box<dyn Way>> = vec![Box::new(thorp)];
    match Web::start(scratch, &trio.holder_share(), &target)? {
        Some(web) => ways.push(Box::new(web)),
        None => eprintln!("nginx or curl is not installed"),
    }
    let freight = |number: u32| Freight {
        root: trio.holder_share(),
        name: format!("first-{number}.txt"),
        files: 1,
        bytes: KIB,
    };
    for number in 0..TOGETHER {
        write(&freight(number), u64::from(number))?;
    }
    for way in &mut ways {
        // The first one also makes the link.
        for number in 0..TOGETHER {
            way.prepare(&freight(number))?;
        }
        way.fetch(&freight(0))?;
    }
    for _ in 0..bench.rounds {
        for way in &mut ways {
            remove(&target)?;
            way.prepare(&freight(0))?;
            let all = machine::measure(bench.patience, || {
                (0..TOGETHER).try_for_each(|n| way.fetch(&freight(n)))
            })?;
            bench
                .table
                .add("1 file of 1 KiB", way.name(), KIB, all.each(TOGETHER));
            for number in 0..TOGETHER {
                same(
                    &freight(number).source(),
                    &target.join(freight(number).name),
                )?;
            }
        }
    }
    Ok(())
}
