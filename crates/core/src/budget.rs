//! How much work members may cause this node: how it is counted, how much each account may cause,
//! and which share of this node's time each kind of work may take.
//!
//! Owns all constants of that kind. What is charged when is decided in [`links`](crate::links),
//! how an answer is cut short in [`answer`](crate::answer). The cost of a unit of each kind is
//! measured by `thorp-bench costs`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::bound::Account;
use crate::time::Instant;

/// What an answer has cost the node that gave it, in units of about a microsecond on today's
/// processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work(pub u64);

impl Work {
    /// The cost of any question.
    pub const QUESTION: Self = Self(20);
    /// The cost of a member's new addresses: all other members are told, and write to their disks.
    pub const MOVE: Self = Self(50_000);
    /// The cost of a certificate.
    pub const CERTIFICATE: Self = Self(500);
    /// An answer that has cost this much is cut and marked as incomplete, so that no member waits
    /// long for another member's question.
    pub const ENOUGH: u64 = if cfg!(test) { 20_000 } else { 50_000 };
    /// Every answer may cost this much, also where there is little time left.
    pub const LITTLE: u64 = Self::ENOUGH / 5;
    /// The cost of looking up a name.
    pub const NAME: u64 = 5;
    /// How many index rows are read for a name at the cost of one unit.
    pub const ROWS: u64 = 2;
    /// How many links are passed over at the cost of one unit.
    pub const LINKS: u64 = 8;
    /// How many steps of compiling a pattern and comparing names with it cost one unit.
    pub const STEPS: u64 = 256;
    /// The cost of an entry that is added to a catalogue, changed or removed.
    pub const ENTRY: u64 = 8;
    /// The cost of an entry that is listed again unchanged.
    pub const ENTRY_AGAIN: u64 = 1;
    /// How many entries of this node's own listing are sent at the cost of one unit.
    pub const SENT: u64 = 1;
    /// The cost of computing the info-hashes of a file's v2 torrents, where a member that serves
    /// clients lists it or does not list it any more.
    pub const INFO_HASHES: u64 = 6;
    /// How many entries of an update are handled before other accounts get their turn.
    pub const ENTRIES_AT_ONCE: u64 = if cfg!(test) { 50 } else { 1000 };
    /// An update with at most this many entries is treated like a question.
    pub const FEW_ENTRIES: usize = if cfg!(test) { 20 } else { 1000 };

    pub(crate) fn plus(self, more: u64) -> Self {
        Self(self.0.saturating_add(more))
    }

    /// Returns how much this answer may still cost, if it may cost `most` in all.
    pub(crate) fn remaining(self, most: u64) -> u64 {
        most.saturating_sub(self.0)
    }
}

/// A rate: how much may be used at once, and how much in the long run.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: i64,
    /// The time after which one more unit is available.
    unit_every: Duration,
}

/// The rate of an account's questions: a second of this node's time at once, a twentieth of the
/// time in the long run.
const QUESTIONS: Rate = Rate {
    burst: 1_000_000,
    unit_every: Duration::from_micros(20),
};
/// The rate of an account's listings: a tenth of the time.
const LISTINGS: Rate = Rate {
    burst: 2_000_000,
    unit_every: Duration::from_micros(10),
};
/// The rate of all questions by name together: half of this node's time.
const ALL_NAMED: Rate = Rate {
    burst: 500_000,
    unit_every: Duration::from_micros(2),
};
/// The rate of all costlier work together (patterns, listings, lists of members): two fifths. The
/// rest is left for hellos and signs of life, which cost next to nothing.
const ALL_COSTLY: Rate = Rate {
    burst: 200_000,
    unit_every: Duration::from_nanos(2_500),
};

/// As much of what the addresses of one network have cost together counts for each of them: so a
/// quarter of the time for costly work stays out of a network's reach, and a tenth of that for
/// names, however many addresses it has.
const OF_NETWORK: u64 = ALL_COSTLY.burst.unsigned_abs() / 2;

/// A token bucket: a burst at first, then a fixed amount a second.
///
/// The cost of a question is known only after it is answered, so the last one may leave a debt.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    rate: Rate,
    credit: i64,
    refilled: Instant,
}

impl Allowance {
    /// Returns the full allowance for the questions of an account. The same serves for a member's
    /// changes of addresses, and for searches in what a node shows of itself.
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

    /// Whether it is used up, so that a question must be refused or wait.
    pub fn is_spent(&mut self, now: Instant) -> bool {
        self.is_down_to(now, 0)
    }

    /// Whether no more than this is left.
    fn is_down_to(&mut self, now: Instant, floor: i64) -> bool {
        self.refill(now);
        self.credit <= floor
    }

    /// Subtracts the cost of an answer.
    pub fn charge(&mut self, work: Work) {
        let work = i64::try_from(work.0).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_sub(work);
    }

    /// Returns when it is no longer used up.
    fn ready_at(&self) -> Instant {
        self.above_at(0)
    }

    /// Returns when more than this is left.
    fn above_at(&self, floor: i64) -> Instant {
        let missing = floor.saturating_add(1).saturating_sub(self.credit);
        let missing = u64::try_from(missing).unwrap_or(0);
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

    /// Returns how much of what all accounts share is left to others by an account that has cost
    /// this much lately: half of that, but no more than half of what there is at best.
    fn floor(&self, lately: u64) -> i64 {
        let most = self.rate.burst / 2;
        i64::try_from(lately / 2).map_or(most, |floor| floor.min(most))
    }
}

/// Which share of this node's time a question is charged to. They are separate, so that a flood of
/// costly questions does not delay cheap ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Questions by name or content.
    Named,
    /// Patterns, listings, lists of members.
    Costly,
}

/// The allowances of each account and of all accounts together.
#[derive(Debug)]
pub struct Budgets {
    accounts: BTreeMap<Account, Purse>,
    networks: BTreeMap<IpAddr, Lately>,
    /// Once there are this many accounts, those with full allowances are forgotten.
    many: usize,
    named: Allowance,
    costly: Allowance,
}

/// The allowances of one account, and what it has cost lately.
#[derive(Clone, Copy, Debug)]
struct Purse {
    questions: Allowance,
    listings: Allowance,
    lately: Lately,
}

/// Recent work: the weight of work halves every ten seconds, for all accounts at the same moment.
#[derive(Clone, Copy, Debug)]
struct Lately {
    work: u64,
    /// In which of these periods that is what it was.
    period: u64,
}

impl Lately {
    const HALVED_EVERY: Duration = Duration::from_secs(10);

    fn nothing(now: Instant) -> Self {
        Self {
            work: 0,
            period: Self::period_of(now),
        }
    }

    fn period_of(now: Instant) -> u64 {
        (now - Instant::default()).as_secs() / Self::HALVED_EVERY.as_secs()
    }

    fn fade(&mut self, now: Instant) {
        let period = Self::period_of(now).max(self.period);
        let times = u32::try_from(period - self.period).unwrap_or(u32::MAX);
        self.period = period;
        self.work = self.work.checked_shr(times).unwrap_or(0);
    }

    fn charge(&mut self, now: Instant, work: Work) {
        self.fade(now);
        self.work = self.work.saturating_add(work.0);
    }

    fn rank(self) -> CostRank {
        match self.work {
            0 => CostRank::default(),
            work => CostRank {
                magnitude: self.period + u64::from(u64::BITS - work.leading_zeros()),
                digits: work << work.leading_zeros(),
            },
        }
    }
}

/// A place in the order of what accounts have cost lately. All their costs are halved at the same
/// moment, so time does not change that order; an account moves back as it costs more, and so does
/// one whose network has cost more than counts, for as long as it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CostRank {
    magnitude: u64,
    digits: u64,
}

impl Budgets {
    const MANY: usize = 1024;

    /// Creates full allowances for every account.
    pub fn new(now: Instant) -> Self {
        Self {
            accounts: BTreeMap::new(),
            networks: BTreeMap::new(),
            many: Self::MANY,
            named: Allowance::at(ALL_NAMED, now),
            costly: Allowance::at(ALL_COSTLY, now),
        }
    }

    /// Whether an account has used up its allowance for questions.
    pub fn has_asked_enough(&mut self, now: Instant, account: Account) -> bool {
        self.purse(now, account).questions.is_spent(now)
    }

    /// Whether an account has used up its allowance for listings.
    pub fn has_listed_enough(&mut self, now: Instant, account: Account) -> bool {
        self.purse(now, account).listings.is_spent(now)
    }

    /// Returns when an account may be sent this node's listing once more, if not now.
    pub fn may_be_sent_at(&mut self, now: Instant, account: Account) -> Option<Instant> {
        let has_enough = self.has_listed_enough(now, account);
        let is_spent = self.is_spent(now, account, Effort::Costly);
        let later = || {
            let at = self.ready_at(account, Effort::Costly);
            at.max(self.may_list_at(account))
        };
        (has_enough || is_spent).then(later)
    }

    /// Returns when an account may list more.
    pub fn may_list_at(&self, account: Account) -> Instant {
        let purse = self.accounts.get(&account);
        purse.map_or(Instant::default(), |purse| purse.listings.ready_at())
    }

    /// Whether this kind of work has used up the part of its time that an account may use: the
    /// more the account has cost lately, the more it has to leave for the others.
    pub fn is_spent(&mut self, now: Instant, account: Account, effort: Effort) -> bool {
        let lately = self.lately(now, account);
        let all = self.all(effort);
        all.is_down_to(now, all.floor(lately))
    }

    /// Returns when there is time for this account's work of this kind again.
    pub fn ready_at(&self, account: Account, effort: Effort) -> Instant {
        let purse = self.accounts.get(&account);
        let all = match effort {
            Effort::Named => &self.named,
            Effort::Costly => &self.costly,
        };
        let own = purse.map_or(0, |purse| purse.lately.work);
        all.above_at(all.floor(own.saturating_add(self.of_network(account))))
    }

    /// Whether there is no time for forgetting listings now. Forgetting comes before the work of
    /// accounts that have cost much lately, which would never leave time for it, and behind that of
    /// the others.
    pub fn is_spent_for_forgetting(&mut self, now: Instant) -> bool {
        let floor = self.costly.floor(Work::ENOUGH);
        self.costly.is_down_to(now, floor)
    }

    /// Returns when there is time for forgetting listings again.
    pub fn ready_to_forget_at(&self) -> Instant {
        self.costly.above_at(self.costly.floor(Work::ENOUGH))
    }

    /// Returns how much one answer to this account may cost: little if the account has cost much
    /// lately, or if there is not much time left, so that no other account waits long.
    pub fn most_at_once(&mut self, now: Instant, account: Account, effort: Effort) -> u64 {
        let purse = self.accounts.get_mut(&account);
        let has_cost_much = purse.is_some_and(|purse| {
            purse.lately.fade(now);
            purse.lately.work >= Work::ENOUGH
        });
        match effort {
            Effort::Named if has_cost_much => Work::LITTLE,
            Effort::Named | Effort::Costly => {
                let all = self.all(effort);
                all.refill(now);
                let left = u64::try_from(all.credit).unwrap_or(0);
                left.clamp(Work::LITTLE, Work::ENOUGH)
            }
        }
    }

    /// Charges an account for an answered question.
    pub fn on_answered(&mut self, now: Instant, account: Account, effort: Effort, work: Work) {
        self.purse(now, account).questions.charge(work);
        self.count(now, account, work);
        self.all(effort).charge(work);
    }

    /// Charges an account for a part of its listing, or of this node's that it is sent.
    pub fn on_listed(&mut self, now: Instant, account: Account, work: Work) {
        self.purse(now, account).listings.charge(work);
        self.count(now, account, work);
        self.costly.charge(work);
    }

    /// Charges what it took to forget a part of a listing. Only the share of the time that all
    /// such work has: whether a listing stays is not its member's choice.
    pub fn on_forgotten(&mut self, work: Work) {
        self.costly.charge(work);
    }

    /// Returns what an account has cost lately, and of what its network has as much as counts.
    /// Accounts that have cost less are served first.
    pub fn lately(&mut self, now: Instant, account: Account) -> u64 {
        self.cost(now, account).work
    }

    /// Returns the place of an account in that order.
    pub fn rank(&mut self, now: Instant, account: Account) -> CostRank {
        self.cost(now, account).rank()
    }

    fn cost(&mut self, now: Instant, account: Account) -> Lately {
        let network = account.network();
        if let Some(network) = network.and_then(|network| self.networks.get_mut(&network)) {
            network.fade(now);
        }
        let purse = self.accounts.get_mut(&account);
        let mut cost = purse.map_or_else(|| Lately::nothing(now), |purse| purse.lately);
        cost.charge(now, Work(self.of_network(account)));
        cost
    }

    /// What an account's network adds to its own cost.
    fn of_network(&self, account: Account) -> u64 {
        let network = account.network();
        let network = network.and_then(|network| self.networks.get(&network));
        network.map_or(0, |network| network.work.min(OF_NETWORK))
    }

    fn count(&mut self, now: Instant, account: Account, work: Work) {
        self.purse(now, account).lately.charge(now, work);
        if let Some(network) = account.network() {
            let network = self.networks.entry(network);
            let network = network.or_insert_with(|| Lately::nothing(now));
            network.charge(now, work);
        }
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
            lately: Lately::nothing(now),
        })
    }

    /// Forgets accounts with full allowances that have cost nothing lately: they are equivalent to
    /// unknown ones. The number of others is limited by how many can use some of their allowance
    /// within minutes.
    fn forget_the_full(&mut self, now: Instant) {
        self.accounts.retain(|_, purse| {
            purse.questions.refill(now);
            purse.listings.refill(now);
            purse.lately.fade(now);
            let has_cost = purse.lately.work > 0;
            has_cost || !(purse.questions.is_full() && purse.listings.is_full())
        });
        self.networks.retain(|_, lately| {
            lately.fade(now);
            lately.work > 0
        });
        self.many = Self::MANY.max(2 * self.accounts.len());
    }
}

#[cfg(test)]
impl CostRank {
    /// The place of an account that has cost this much in the first period.
    pub fn of_cost(work: u64) -> Self {
        Lately { work, period: 0 }.rank()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

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
        // A request that costs more than the credit is granted, and leaves a debt.
        assert_eq!(taken(start + Duration::from_hours(1), 3_000_000), 1);
        let paid = start + Duration::from_hours(1) + Duration::from_secs(40);
        assert_eq!(taken(paid, 1), 0);
        assert_eq!(taken(paid + Duration::from_micros(20), 1), 1);
        assert_eq!(taken(paid + Duration::from_hours(2), u64::MAX), 1);
    }

    #[test]
    fn an_allowance_tells_when_it_is_no_longer_spent() {
        let mut allowance = Allowance::new(Instant::default());
        allowance.charge(Work(1_000_100));
        let ready = allowance.ready_at();
        assert_eq!(ready, Instant::after_start(Duration::from_micros(20 * 101)));
        assert!(!allowance.is_spent(ready));
    }

    #[test]
    fn accounts_keep_their_order_while_nothing_is_charged_though_what_they_have_cost_fades() {
        let mut budgets = Budgets::new(Instant::default());
        let account = |n| Account::Member(PeerId::new([n; 32]));
        let at = |seconds| Instant::after_start(Duration::from_secs(seconds));
        // The first one was charged most, but long ago.
        for (n, seconds, work) in [(1, 3, 1 << 20), (2, 48, 1 << 18), (3, 49, 1 << 14)] {
            budgets.on_answered(at(seconds), account(n), Effort::Named, Work(work));
        }
        let mut order = |seconds| {
            let mut order = [4, 3, 2, 1];
            order.sort_by_key(|n| budgets.rank(at(seconds), account(*n)));
            let lately = order.map(|n| budgets.lately(at(seconds), account(n)));
            assert!(lately.is_sorted(), "{lately:?}");
            order
        };
        assert_eq!(order(49), [4, 3, 1, 2]);
        for seconds in [50, 59, 60, 100, 137] {
            assert_eq!(order(seconds), [4, 3, 1, 2]);
        }
        let ranked = budgets.rank(at(49), account(2));
        assert_eq!(budgets.rank(at(99), account(2)), ranked);
        budgets.on_answered(at(99), account(2), Effort::Named, Work(1));
        assert!(budgets.rank(at(99), account(2)) > ranked);
    }

    #[test]
    fn however_many_addresses_a_network_has_it_leaves_time_to_others_and_its_quiet_ones_come_first()
    {
        let now = Instant::after_start(Duration::from_secs(1));
        let mut budgets = Budgets::new(now);
        let of_crowd = |n: u16| Account::Address(Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, n).into());
        let visitor = Account::Address(Ipv6Addr::new(0xfd00, 0, 0, 2, 0, 0, 0, 1).into());
        let member = Account::Member(PeerId::new([1; 32]));
        for account in [visitor, member] {
            budgets.on_answered(now, account, Effort::Costly, Work(20_000));
        }
        // Each address asks once, and none has cost much.
        let mut asked = 0;
        for n in 0..1000 {
            if budgets.is_spent(now, of_crowd(n), Effort::Costly) {
                break;
            }
            budgets.on_answered(now, of_crowd(n), Effort::Costly, Work(1024));
            asked += 1;
        }
        assert_eq!(asked, 108, "a quarter of the burst is left");
        let fresh = of_crowd(5000);
        assert!(budgets.is_spent(now, fresh, Effort::Costly));
        assert!(!budgets.is_spent(now, fresh, Effort::Named));
        for account in [visitor, member] {
            assert!(!budgets.is_spent(now, account, Effort::Costly));
            assert!(budgets.rank(now, account) < budgets.rank(now, fresh));
        }
        assert!(budgets.rank(now, fresh) < budgets.rank(now, of_crowd(0)));
        // It waits until there is more than others may need, and no time moves it forward.
        let ready = budgets.ready_at(fresh, Effort::Costly);
        assert!(ready > now && !budgets.is_spent(ready, fresh, Effort::Costly));
        let mut last = budgets.rank(now, fresh);
        for seconds in [5, 15, 25, 100, 1000] {
            let rank = budgets.rank(now + Duration::from_secs(seconds), fresh);
            assert!(rank >= last || rank == CostRank::default(), "{seconds}");
            last = rank;
        }
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
