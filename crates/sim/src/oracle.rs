//! What neighbours could be worth at best: for each hour of a peer, the few other machines
//! that would have answered most of what its user asked for.
//!
//! They are chosen afterwards, with the requests and the copies of that hour known, so no
//! peer can know them. Which machines are the best is the problem of maximum coverage, and
//! is not solved here: taking the machine that answers most of what is left, again and
//! again, is a choice that is possible, and what the machines would add that are left gives
//! a number that no choice exceeds. The answer is between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use thorp_core::time::Instant;

use crate::chance::ratio;
use crate::trace::Machine;

/// Of about this many machines the requests are kept, or memory would grow with the square
/// of the village.
const SAMPLED: usize = 200;

/// By machine and hour: for each answerable request, the machines that had the file.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// One in this many machines is looked at.
    one_in: usize,
    asked: BTreeMap<(Machine, usize), Vec<Vec<Machine>>>,
}

/// The share of answerable requests that the best neighbours would have answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Best {
    /// So much is possible.
    pub at_least: f64,
    /// No choice exceeds this.
    pub at_most: f64,
}

impl Oracle {
    /// Of a village of so many machines.
    pub fn new(machines: usize) -> Self {
        Self {
            one_in: machines.div_ceil(SAMPLED).max(1),
            asked: BTreeMap::new(),
        }
    }

    /// Whether the requests of a machine are looked at.
    pub fn samples(&self, machine: Machine) -> bool {
        machine.index().is_multiple_of(self.one_in)
    }

    /// The user of a machine asks for what these machines have.
    pub fn on_asked(&mut self, now: Instant, machine: Machine, holders: Vec<Machine>) {
        let hour = usize::try_from((now - Instant::default()).as_secs() / 3600);
        if let (Ok(hour), false) = (hour, holders.is_empty()) {
            self.asked.entry((machine, hour)).or_default().push(holders);
        }
    }

    /// What the best so many neighbours were worth in these hours, chosen anew for each
    /// machine and hour.
    pub fn best(&self, hours: &Range<usize>, neighbours: usize) -> Best {
        let mut all = 0;
        let mut covered = Covered::default();
        for ((_, hour), requests) in &self.asked {
            if hours.contains(hour) {
                let of_it = cover(requests, neighbours);
                all += requests.len();
                covered.at_least += of_it.at_least;
                covered.at_most += of_it.at_most;
            }
        }
        Best {
            at_least: ratio(covered.at_least, all),
            at_most: ratio(covered.at_most, all),
        }
    }
}

/// How many requests are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Covered {
    at_least: usize,
    at_most: usize,
}

/// How many requests the best so many machines answer.
fn cover(requests: &[Vec<Machine>], most: usize) -> Covered {
    let mut open: BTreeSet<usize> = (0..requests.len()).collect();
    let mut at_most = requests.len();
    let mut taken = 0;
    loop {
        let mut adds: BTreeMap<Machine, usize> = BTreeMap::new();
        for request in &open {
            for holder in &requests[*request] {
                *adds.entry(*holder).or_default() += 1;
            }
        }
        let covered = requests.len() - open.len();
        // The best choice adds to what is covered at most what its machines would add
        // alone.
        let mut most_added: Vec<usize> = adds.values().copied().collect();
        most_added.sort_unstable_by_key(|added| std::cmp::Reverse(*added));
        at_most = at_most.min(covered + most_added.iter().take(most).sum::<usize>());
        // Of equal machines the first.
        let next = adds
            .into_iter()
            .max_by_key(|(machine, added)| (*added, std::cmp::Reverse(*machine)));
        let Some((next, _)) = next.filter(|_| taken < most) else {
            return Covered {
                at_least: covered,
                at_most,
            };
        };
        taken += 1;
        open.retain(|request| !requests[*request].contains(&next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(of: &[&[u32]]) -> Vec<Vec<Machine>> {
        let holders = |holders: &&[u32]| holders.iter().map(|at| Machine(*at)).collect();
        of.iter().map(holders).collect()
    }

    #[test]
    fn what_is_possible_and_what_is_not_exceeded_meet_where_the_choice_is_easy() {
        let asked = requests(&[&[1], &[1, 2], &[2], &[3]]);
        for (neighbours, expected) in [(0, 0), (1, 2), (2, 3), (3, 4), (9, 4)] {
            let covered = cover(&asked, neighbours);
            let both = Covered {
                at_least: expected,
                at_most: expected,
            };
            assert!(covered.at_least == expected, "{neighbours}: {covered:?}");
            assert!(covered.at_most >= expected, "{neighbours}: {covered:?}");
            assert!(
                neighbours == 2 || covered == both,
                "{neighbours}: {covered:?}"
            );
        }
    }

    #[test]
    fn the_best_of_all_choices_is_between_the_two() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let asked: Vec<Vec<Machine>> = (0..9)
                .map(|_| {
                    (0..random.u32(1..4))
                        .map(|_| Machine(random.u32(0..8)))
                        .collect()
                })
                .collect();
            // Every choice of three of the eight machines.
            let choices = (0..1_u32 << 8).filter(|choice| choice.count_ones() == 3);
            let answered = |choice: u32| {
                let has =
                    |holders: &&Vec<Machine>| holders.iter().any(|at| choice >> at.0 & 1 == 1);
                asked.iter().filter(has).count()
            };
            let best = choices.map(answered).max().expect("a choice");
            let covered = cover(&asked, 3);
            assert!(covered.at_least <= best, "{covered:?}, {best}: {asked:?}");
            assert!(best <= covered.at_most, "{covered:?}, {best}: {asked:?}");
        }
    }
}
