//! What members may cost this node: how work is counted, how much of it each account
//! may ask for, and how much of this node's time each kind of it may take.
//!
//! Owns every constant of that kind. What is charged when is decided in
//! [`links`](crate::links), how an answer is cut in [`answer`](crate::answer). What one
//! unit of each kind takes is measured by `thorp-bench costs`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bound::Account;
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
    pub const ENOUGH: u64 = if cfg!(test) { 20_000 } else { 50_000 };
    /// A name that is looked up.
    pub const NAME: u64 = 5;
    /// Rows of an index that are looked at for a name in one unit.
    pub const ROWS: u64 = 2;
    /// Links that are passed over in one unit.
    pub const LINKS: u64 = 8;
    /// Steps of comparing names with a pattern, and of making one ready, in one unit.
    pub const STEPS: u64 = 256;
    /// An entry that comes into a catalogue, changes or goes.
    pub const ENTRY: u64 = 8;
    /// An entry that is listed again as it is.
    pub const ENTRY_AGAIN: u64 = 1;
    /// Entries of an update that are dealt with before others get their turn.
    pub const ENTRIES_AT_ONCE: u64 = if cfg!(test) { 50 } else { 1000 };
    /// Entries of an update that is as good as a question.
    pub const FEW_ENTRIES: usize = if cfg!(test) { 20 } else { 1000 };

    pub(crate) fn of(self, more: u64) -> Self {
        Self(self.0.saturating_add(more))
    }

    /// How much this answer may still cost.
    pub(crate) fn remaining(self) -> u64 {
        Self::ENOUGH.saturating_sub(self.0)
    }
}

/// How much may be taken at once, and how much in the long run.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: i64,
    /// One unit more after so long.
    unit_every: Duration,
}

/// For an account's questions: a second of this node's time at once, a twentieth of
/// the time in the long run.
const QUESTIONS: Rate = Rate {
    burst: 1_000_000,
    unit_every: Duration::from_micros(20),
};
/// For an account's listings: a tenth.
const LISTINGS: Rate = Rate {
    burst: 2_000_000,
    unit_every: Duration::from_micros(10),
};
/// For what all accounts ask by name: half of this node's time.
const ALL_NAMED: Rate = Rate {
    burst: 500_000,
    unit_every: Duration::from_micros(2),
};
/// For all that costs more, that is patterns, listings and lists of members: two
/// fifths. What is left is for hellos and signs of life, which cost next to nothing.
const ALL_COSTLY: Rate = Rate {
    burst: 200_000,
    unit_every: Duration::from_nanos(2_500),
};

/// What may be taken: a burst at first, then a fixed amount a second.
///
/// What a question costs is known when it is answered, so the last one may leave a
/// debt.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    rate: Rate,
    credit: i64,
    refilled: Instant,
}

impl Allowance {
    /// All of what a member may cost by its questions.
    pub fn new(now: Instant) -> Self {
        Self::at(QUESTIONS, now)
    }

    fn at(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            credit: rate.burst,
            refilled: now,
        }
    }

    /// Whether all of it is used up, so that a question is refused or has to wait.
    pub fn is_spent(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.credit <= 0
    }

    /// Takes what an answer has cost.
    pub fn charge(&mut self, work: Work) {
        let work = i64::try_from(work.0).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_sub(work);
    }

    /// When it is not spent any more.
    fn ready_at(&self) -> Instant {
        let missing = u64::try_from(1_i64.saturating_sub(self.credit)).unwrap_or(0);
        let nanos = self
            .rate
            .unit_every
            .as_nanos()
            .saturating_mul(missing.into());
        let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.refilled + wait
    }

    fn refill(&mut self, now: Instant) {
        let units = (now - self.refilled).as_nanos() / self.rate.unit_every.as_nanos();
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        self.refilled = self.refilled + self.rate.unit_every * units;
        let credit = self.credit.saturating_add(units.into());
        self.credit = credit.min(self.rate.burst);
    }

    fn is_full(&self) -> bool {
        self.credit == self.rate.burst
    }
}

/// Which share of this node's time something takes. Each has its own: a flood of what
/// costs much leaves what costs little where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Questions by name or content.
    Named,
    /// Patterns, listings, lists of members.
    Costly,
}

/// What every account may still cost, and all together.
#[derive(Debug)]
pub struct Budgets {
    accounts: BTreeMap<Account, Purse>,
    /// Once there are so many, those that have all of theirs are forgotten.
    many: usize,
    named: Allowance,
    costly: Allowance,
}

/// What one account may still cost, and what it has cost lately.
#[derive(Clone, Copy, Debug)]
struct Purse {
    questions: Allowance,
    listings: Allowance,
    lately: Lately,
}

/// Work of late: what was done ten seconds ago counts half.
#[derive(Clone, Copy, Debug)]
struct Lately {
    work: u64,
    halved: Instant,
}

impl Lately {
    const HALVED_EVERY: Duration = Duration::from_secs(10);

    fn fade(&mut self, now: Instant) {
        let times = (now - self.halved).as_secs() / Self::HALVED_EVERY.as_secs();
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        self.halved = self.halved + Self::HALVED_EVERY * times;
        self.work = self.work.checked_shr(times).unwrap_or(0);
    }
}

impl Budgets {
    const MANY: usize = 1024;

    /// All of it, for everybody.
    pub fn new(now: Instant) -> Self {
        Self {
            accounts: BTreeMap::new(),
            many: Self::MANY,
            named: Allowance::at(ALL_NAMED, now),
            costly: Allowance::at(ALL_COSTLY, now),
        }
    }

    /// Whether an account has asked for as much as it may at this moment.
    pub fn has_asked_enough(&mut self, now: Instant, account: Account) -> bool {
        self.purse(now, account).questions.is_spent(now)
    }

    /// Whether it has listed as much as it may.
    pub fn has_listed_enough(&mut self, now: Instant, account: Account) -> bool {
        self.purse(now, account).listings.is_spent(now)
    }

    /// When it may list more.
    pub fn may_list_at(&self, account: Account) -> Instant {
        let purse = self.accounts.get(&account);
        purse.map_or(Instant::default(), |purse| purse.listings.ready_at())
    }

    /// Whether this kind of work has had its share of the time.
    pub fn is_spent(&mut self, now: Instant, effort: Effort) -> bool {
        self.all(effort).is_spent(now)
    }

    /// When there is time for it again.
    pub fn ready_at(&self, effort: Effort) -> Instant {
        match effort {
            Effort::Named => self.named.ready_at(),
            Effort::Costly => self.costly.ready_at(),
        }
    }

    /// A question of this account has cost so much.
    pub fn on_answered(&mut self, now: Instant, account: Account, effort: Effort, work: Work) {
        let purse = self.purse(now, account);
        purse.questions.charge(work);
        purse.charge(now, work);
        self.all(effort).charge(work);
    }

    /// A part of its listing has cost so much.
    pub fn on_listed(&mut self, now: Instant, account: Account, work: Work) {
        let purse = self.purse(now, account);
        purse.listings.charge(work);
        purse.charge(now, work);
        self.costly.charge(work);
    }

    /// What an account has cost lately: who has cost less is served before others.
    pub fn lately(&mut self, now: Instant, account: Account) -> u64 {
        self.accounts.get_mut(&account).map_or(0, |purse| {
            purse.lately.fade(now);
            purse.lately.work
        })
    }

    fn all(&mut self, effort: Effort) -> &mut Allowance {
        match effort {
            Effort::Named => &mut self.named,
            Effort::Costly => &mut self.costly,
        }
    }

    fn purse(&mut self, now: Instant, account: Account) -> &mut Purse {
        if self.accounts.len() >= self.many && !self.accounts.contains_key(&account) {
            self.forget_the_full(now);
        }
        self.accounts.entry(account).or_insert_with(|| Purse {
            questions: Allowance::at(QUESTIONS, now),
            listings: Allowance::at(LISTINGS, now),
            lately: Lately {
                work: 0,
                halved: now,
            },
        })
    }

    /// One that has all of its allowance is as good as one that is not known. The rest
    /// are as many as could spend some of theirs within minutes.
    fn forget_the_full(&mut self, now: Instant) {
        self.accounts.retain(|_, purse| {
            purse.questions.refill(now);
            purse.listings.refill(now);
            !(purse.questions.is_full() && purse.listings.is_full())
        });
        self.many = Self::MANY.max(2 * self.accounts.len());
    }
}

impl Purse {
    fn charge(&mut self, now: Instant, work: Work) {
        self.lately.fade(now);
        self.lately.work = self.lately.work.saturating_add(work.0);
    }
}

#[cfg(test)]
mod tests {
    use thorp_wire::PeerId;

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
            assert!(allowance.ready_at() > now);
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

    #[test]
    fn an_allowance_says_when_it_is_not_spent_any_more() {
        let mut allowance = Allowance::new(Instant::default());
        allowance.charge(Work(1_000_100));
        let ready = allowance.ready_at();
        assert_eq!(ready, Instant::after_start(Duration::from_micros(20 * 101)));
        assert!(!allowance.is_spent(ready));
    }

    #[test]
    fn accounts_that_owe_nothing_are_forgotten() {
        let mut budgets = Budgets::new(Instant::default());
        let later = Instant::after_start(Duration::from_mins(1));
        for n in 0..10_u32 {
            for m in 0..1000_u32 {
                let mut id = [0; 32];
                id[..4].copy_from_slice(&(n * 1000 + m).to_be_bytes());
                let account = Account::Member(PeerId::new(id));
                let work = if m == 0 { Work(5_000_000) } else { Work(1) };
                budgets.on_answered(later, account, Effort::Named, work);
            }
        }
        assert_eq!(budgets.accounts.len(), 10_000, "all have asked just now");
        budgets.many = 10_000;
        let much_later = Instant::after_start(Duration::from_mins(2));
        budgets.on_answered(
            much_later,
            Account::Member(PeerId::new([9; 32])),
            Effort::Named,
            Work(1),
        );
        assert_eq!(budgets.accounts.len(), 11, "ten owe something");
    }
}
