//! What questions may cost: how work is counted, and how much of it each member
//! may ask for.
//!
//! Owns every constant of that kind. What is charged when is decided in
//! [`links`](crate::links), how an answer is cut in [`answer`](crate::answer).

use std::time::Duration;

use crate::time::Instant;

/// What an answer has cost the node that gave it, in units of about a microsecond
/// of today's processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work(pub u64);

impl Work {
    /// A question of any kind.
    pub const QUESTION: Self = Self(20);
    /// A member that has new addresses: all others are told, and write to their
    /// disks.
    pub const MOVE: Self = Self(50_000);
    /// A certificate that is written.
    pub const CERTIFICATE: Self = Self(500);
    /// An answer that has cost this much stops and says that there is more, so
    /// that no member waits long for another member's question.
    pub(crate) const ENOUGH: u64 = if cfg!(test) { 20_000 } else { 50_000 };
    /// A name that is looked up.
    pub(crate) const NAME: u64 = 5;
    /// Rows of an index that are looked at for a name in one unit.
    pub(crate) const ROWS: u64 = 2;
    /// A pattern that is made ready, by its length in bytes.
    pub(crate) const PATTERN: u64 = 10;
    /// Links that are passed over in one unit.
    pub(crate) const LINKS: u64 = 8;
    /// Steps of comparing names with a pattern in one unit.
    pub(crate) const STEPS: u64 = 256;

    pub(crate) fn of(self, more: u64) -> Self {
        Self(self.0.saturating_add(more))
    }

    /// How much this answer may still cost.
    pub(crate) fn remaining(self) -> u64 {
        Self::ENOUGH.saturating_sub(self.0)
    }
}

/// What a member's questions may cost: a burst at first, then a fixed amount a
/// second.
///
/// A member may keep a node busy for a second at once, and for a
/// twentieth of the time in the long run. What a question costs is known when
/// it is answered, so the last one may leave a debt.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    credit: i64,
    refilled: Instant,
}

impl Allowance {
    const BURST: i64 = 1_000_000;
    const UNIT_EVERY: Duration = Duration::from_micros(20);

    /// All of it.
    pub fn new(now: Instant) -> Self {
        Self {
            credit: Self::BURST,
            refilled: now,
        }
    }

    /// Whether all of it is used up, so that a question is refused.
    pub fn is_spent(&mut self, now: Instant) -> bool {
        let units = (now - self.refilled).as_micros() / Self::UNIT_EVERY.as_micros();
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        self.refilled = self.refilled + Self::UNIT_EVERY * units;
        self.credit = self.credit.saturating_add(units.into()).min(Self::BURST);
        self.credit <= 0
    }

    /// Takes what an answer has cost.
    pub fn charge(&mut self, work: Work) {
        let work = i64::try_from(work.0).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_sub(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_limited_by_what_they_cost_to_a_burst_and_then_a_rate() {
        let start = Instant::default();
        let mut allowance = Allowance::new(start);
        let mut taken = |now, each| {
            let mut taken = 0;
            while !allowance.is_spent(now) {
                allowance.charge(Work(each));
                taken += 1;
            }
            taken
        };
        assert_eq!(taken(start, 1000), 1000);
        assert_eq!(taken(start + Duration::from_micros(19), 1000), 0);
        assert_eq!(taken(start + Duration::from_secs(1), 1000), 50);
        // One that costs more than there is is answered, and paid for afterwards.
        assert_eq!(taken(start + Duration::from_hours(1), 3_000_000), 1);
        let paid = start + Duration::from_hours(1) + Duration::from_secs(40);
        assert_eq!(taken(paid, 1), 0);
        assert_eq!(taken(paid + Duration::from_micros(20), 1), 1);
        assert_eq!(taken(paid + Duration::from_hours(2), u64::MAX), 1);
    }
}
