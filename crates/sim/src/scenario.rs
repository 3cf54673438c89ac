//! Disturbances, put into a trace. What the workload had planned for a machine goes
//! on where it makes sense: a machine that is off asks for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::trace::{Departure, FileId, Incident, Machine, Poison, Region, Trace};

/// This share of all machines loses its power at once, chosen by a seed.
pub fn crash_of_many(trace: &mut Trace, at: Duration, share: f64, seed: u64) -> Vec<Machine> {
    let mut random = fastrand::Rng::with_seed(seed);
    let all = (0..trace.machines.len()).filter(|_| random.f64() < share);
    let crashed: Vec<Machine> = all
        .filter_map(|machine| u32::try_from(machine).ok().map(Machine))
        .collect();
    for machine in &crashed {
        add(trace, at, Incident::Offline(*machine, Departure::Crash));
    }
    crashed
}

/// A region is cut off from all others and from the tracker for some time.
pub fn cut_off(trace: &mut Trace, region: Region, at: Duration, time: Duration) {
    add(trace, at, Incident::CutOff(region));
    add(trace, at + time, Incident::Joined(region));
}

/// The tracker is gone for some time, and has forgotten all when it is back.
pub fn without_tracker(trace: &mut Trace, at: Duration, time: Duration) {
    add(trace, at, Incident::TrackerGone);
    add(trace, at + time, Incident::TrackerBack);
}

/// The first machines of each region poison the first names of each, which are those asked for
/// most. They go on doing so whenever they are online. Who poisons.
pub fn poison(
    trace: &mut Trace,
    at: Duration,
    machines: usize,
    names: usize,
    how: Poison,
) -> BTreeSet<Machine> {
    let mut by_region: BTreeMap<Region, usize> = BTreeMap::new();
    let mut poisoners = BTreeSet::new();
    for (number, machine) in (0..).zip(&trace.machines) {
        let so_far = by_region.entry(machine.region).or_default();
        if *so_far < machines {
            *so_far += 1;
            poisoners.insert(Machine(number));
        }
    }
    let mut by_region: BTreeMap<Region, usize> = BTreeMap::new();
    let mut poisoned = Vec::new();
    for (number, file) in (0..).zip(&trace.files) {
        let so_far = by_region.entry(file.region).or_default();
        if *so_far < names && !poisoners.contains(&file.owner) {
            *so_far += 1;
            poisoned.push(FileId(number));
        }
    }
    for machine in &poisoners {
        for file in &poisoned {
            add(trace, at, Incident::Poisons(*machine, *file, how));
        }
    }
    poisoners
}

fn add(trace: &mut Trace, at: Duration, event: Incident) {
    let place = trace.events.partition_point(|(then, _)| *then <= at);
    trace.events.insert(place, (at, event));
}
