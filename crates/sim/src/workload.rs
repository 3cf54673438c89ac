//! Makes a trace from settings and a seed.
//!
//! Each region has names of its own, whose popularity falls by rank. A request
//! draws from the names of its own region or, less often, from all regions'. A
//! machine asks for a name once at most.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chance::{Popularity, exponential, weibull};
use crate::trace::{Departure, FileId, Incident, Machine, Origin, Region, Settled, Trace, Wording};

/// How often another name is drawn when a machine has asked for one already.
const DRAWS: usize = 20;

/// What a village does all day.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How many regions there are.
    pub regions: u16,
    /// Machines of each region, online or not.
    pub machines: u32,
    /// Names of each region at any time.
    pub names: usize,
    /// How steeply popularity falls with the rank (Zipf-Mandelbrot).
    pub alpha: f64,
    /// How flat it is for the first ranks (Zipf-Mandelbrot).
    pub q: f64,
    /// The chance that a request draws from the names of its own region.
    pub locality: f64,
    /// Requests of a machine for each hour online.
    pub requests: f64,
    /// The share of a region's names that are replaced each hour.
    pub renewal: f64,
    /// For how long online a machine keeps what it has fetched.
    pub keep: Duration,
    /// The share of machines that list nothing.
    pub free_riders: f64,
    /// Whether machines come and go. If not, all are online.
    pub churn: bool,
    /// The shape of sessions and absences (Weibull).
    pub shape: f64,
    /// Their scale (Weibull).
    pub scale: Duration,
    /// The share of sessions that end with a goodbye.
    pub goodbyes: f64,
    /// The share of requests by a pattern; the others are half by path, half by
    /// base name.
    pub patterns: f64,
    /// How long a run lasts.
    pub length: Duration,
}

impl Workload {
    /// The reference, of which the report changes one value at a time.
    pub fn reference() -> Self {
        Self {
            regions: 10,
            machines: 1000,
            names: 2000,
            alpha: 0.8,
            q: 20.0,
            locality: 0.9,
            requests: 30.0,
            renewal: 0.01,
            keep: Duration::from_hours(24),
            free_riders: 0.0,
            churn: true,
            shape: 0.59,
            scale: Duration::from_mins(42),
            goodbyes: 0.7,
            patterns: 0.02,
            length: Duration::from_hours(18),
        }
    }

    /// Much less than the reference, with as many names for each machine: what can be
    /// played in an hour.
    pub fn small() -> Self {
        Self {
            regions: 2,
            machines: 200,
            names: 400,
            length: Duration::from_hours(8),
            ..Self::reference()
        }
    }

    /// The same with the shape of what was measured of Kazaa at a university, as the model
    /// of Gummadi and others has it (SOSP 2003, section 4): one place, 40 objects for each client,
    /// popularity by Zipf's law with exponent 1, each fetched once at most by a client, none
    /// that come or go. Their clients ask for two objects a day. Here they ask as often as
    /// this workload says, so an hour stands for some days.
    #[must_use]
    pub fn like_kazaa(self) -> Self {
        Self {
            regions: 1,
            names: self.machines as usize * 40,
            alpha: 1.0,
            q: 0.0,
            locality: 1.0,
            renewal: 0.0,
            patterns: 0.0,
            ..self
        }
    }

    /// What happens, by this seed.
    pub fn trace(&self, seed: u64) -> Trace {
        Making::new(self, seed).trace()
    }
}

struct Making<'a> {
    workload: &'a Workload,
    random: fastrand::Rng,
    popularity: Popularity,
    machines: Vec<Settled>,
    files: Vec<Origin>,
    events: Vec<(Duration, Incident)>,
}

impl<'a> Making<'a> {
    fn new(workload: &'a Workload, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let machines = (0..workload.regions)
            .flat_map(|region| (0..workload.machines).map(move |_| Region(region)));
        let machines = machines.map(|region| Settled {
            region,
            is_free_rider: random.f64() < workload.free_riders,
        });
        let machines = machines.collect();
        Self {
            workload,
            random,
            popularity: Popularity::new(workload.names, workload.alpha, workload.q),
            machines,
            files: Vec::new(),
            events: Vec::new(),
        }
    }

    fn trace(mut self) -> Trace {
        let catalogues: Vec<Names> = (0..self.workload.regions)
            .map(|region| self.names_of(Region(region)))
            .collect();
        let mut wishes = Vec::new();
        for machine in 0..self.machines.len() {
            let machine = Machine(u32::try_from(machine).expect("some thousands"));
            self.life_of(machine, &mut wishes);
        }
        wishes.sort_unstable_by_key(|(at, machine)| (*at, *machine));
        self.requests(&wishes, &catalogues);
        let mut events = self.events;
        // A machine that starts in the same instant as a file appears has it.
        events.sort_by_key(|(at, event)| (*at, order(event)));
        Trace {
            machines: self.machines,
            files: self.files,
            events,
            length: self.workload.length,
            keep: self.workload.keep,
        }
    }

    /// The names of a region, with what comes and goes among them.
    fn names_of(&mut self, region: Region) -> Names {
        let mut names = Names::default();
        for _ in 0..self.workload.names {
            let file = self.appears(Duration::ZERO, region);
            names.ranks.push(vec![(Duration::ZERO, file)]);
        }
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let per_hour = self.workload.renewal * self.workload.names as f64;
        if per_hour <= 0.0 {
            return names;
        }
        let mut at = exponential(&mut self.random, per_hour);
        while at < self.workload.length {
            let rank = self.random.usize(..self.workload.names);
            let file = self.appears(at, region);
            let slot = &mut names.ranks[rank];
            let (_, old) = slot[slot.len() - 1];
            slot.push((at, file));
            self.events.push((at, Incident::Retires(old)));
            at += exponential(&mut self.random, per_hour);
        }
        names
    }

    fn appears(&mut self, at: Duration, region: Region) -> FileId {
        let file = FileId(u32::try_from(self.files.len()).expect("some millions"));
        let first = u32::from(region.0) * self.workload.machines;
        let owner = Machine(first + self.random.u32(..self.workload.machines));
        self.files.push(Origin { region, owner });
        self.events.push((at, Incident::Appears(file)));
        file
    }

    /// When a machine is online, and when its user wishes for something.
    fn life_of(&mut self, machine: Machine, wishes: &mut Vec<(Duration, Machine)>) {
        let workload = self.workload;
        let mut at = Duration::ZERO;
        let mut is_online = !workload.churn || self.random.bool();
        while at < workload.length {
            let stay = if workload.churn {
                weibull(&mut self.random, workload.shape, workload.scale)
                    .max(Duration::from_secs(1))
            } else {
                workload.length
            };
            let end = (at + stay).min(workload.length);
            if is_online {
                self.events.push((at, Incident::Online(machine)));
                let mut wish = at + exponential(&mut self.random, workload.requests);
                while wish < end {
                    wishes.push((wish, machine));
                    wish += exponential(&mut self.random, workload.requests);
                }
                if end < workload.length {
                    let how = if self.random.f64() < workload.goodbyes {
                        Departure::Goodbye
                    } else {
                        Departure::Crash
                    };
                    self.events.push((end, Incident::Offline(machine, how)));
                }
            }
            at = end;
            is_online = !is_online;
        }
    }

    fn requests(&mut self, wishes: &[(Duration, Machine)], catalogues: &[Names]) {
        let mut asked: BTreeSet<(Machine, FileId)> = BTreeSet::new();
        for (at, machine) in wishes {
            let home = self.machines[machine.index()].region;
            let file = (0..DRAWS).find_map(|_| {
                let region = if self.random.f64() < self.workload.locality {
                    home
                } else {
                    Region(self.random.u16(..self.workload.regions))
                };
                let rank = self.popularity.draw(&mut self.random);
                let file = catalogues[usize::from(region.0)].at(rank, *at);
                let is_new =
                    self.files[file.index()].owner != *machine && asked.insert((*machine, file));
                is_new.then_some(file)
            });
            let Some(file) = file else { continue };
            let form = match self.random.f64() {
                drawn if drawn < self.workload.patterns => Wording::Folder,
                _ if self.random.bool() => Wording::Path,
                _ => Wording::BaseName,
            };
            self.events
                .push((*at, Incident::Asks(*machine, file, form)));
        }
    }
}

/// The names of a region by rank: which file each was, from when on.
#[derive(Default)]
struct Names {
    ranks: Vec<Vec<(Duration, FileId)>>,
}

impl Names {
    fn at(&self, rank: usize, at: Duration) -> FileId {
        let slot = &self.ranks[rank];
        let after = slot.partition_point(|(since, _)| *since <= at);
        slot[after - 1].1
    }
}

/// In which order things happen that happen at the same time.
fn order(event: &Incident) -> u8 {
    match event {
        Incident::Retires(_) => 0,
        Incident::Appears(_) => 1,
        Incident::Offline(..) => 2,
        Incident::Online(_) => 3,
        Incident::Asks(..) => 4,
        Incident::CutOff(_)
        | Incident::Joined(_)
        | Incident::Poisons(..)
        | Incident::TrackerGone
        | Incident::TrackerBack => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Workload {
        Workload {
            regions: 2,
            machines: 50,
            names: 1000,
            length: Duration::from_hours(6),
            ..Workload::reference()
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_trace_and_another_one_another() {
        let once = small().trace(3);
        assert_eq!(once.events, small().trace(3).events);
        assert_ne!(once.events, small().trace(4).events);
    }

    #[test]
    fn only_machines_that_are_online_ask_and_for_what_exists() {
        let trace = small().trace(1);
        let mut online = BTreeSet::new();
        let mut there = BTreeSet::new();
        let mut asked = BTreeSet::new();
        let mut local = 0;
        for (_, event) in &trace.events {
            match event {
                Incident::Online(machine) => assert!(online.insert(*machine)),
                Incident::Offline(machine, _) => assert!(online.remove(machine)),
                Incident::Appears(file) => assert!(there.insert(*file)),
                Incident::Retires(file) => assert!(there.remove(file)),
                Incident::Asks(machine, file, _) => {
                    assert!(online.contains(machine), "{machine:?} asks");
                    assert!(there.contains(file), "{file:?} is there");
                    assert!(asked.insert((*machine, *file)), "asked twice");
                    let home = trace.machines[machine.index()].region;
                    local += usize::from(trace.files[file.index()].region == home);
                }
                event => panic!("{event:?} is no workload"),
            }
        }
        assert!(asked.len() > 4000, "{} requests", asked.len());
        assert_eq!(there.len(), 2000, "as many names as at the beginning");
        // 0.9 from the own region's names, and half of the rest.
        let share = local * 100 / asked.len();
        assert!((90..=97).contains(&share), "{share} %");
    }
}
