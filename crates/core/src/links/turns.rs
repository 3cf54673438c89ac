//! The queues of work that is not done at once.
//!
//! Hellos and signs of life are always handled at once. Every other kind of work has its share of
//! this node's time ([`budget`](crate::budget)). Once that is used up, work waits here: in order
//! for each account, and the account that has cost least comes first. How much may wait is bounded
//! in [`Table`](super::table::Table).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thorp_wire::PeerId;
use thorp_wire::frame::{Find, Query, RequestId};

use super::table::LinkId;
use crate::bound::Account;
use crate::budget::{Budgets, CostRank, Effort};
use crate::catalogue::Applying;
use crate::gather::Gathered;
use crate::time::Instant;

/// The most questions that may wait on one link, and the most changes of one listing.
const QUESTIONS_EACH: usize = 16;
const CHANGES_EACH: usize = 64;

/// A question that waits for its answer.
#[derive(Debug)]
pub struct Question {
    pub link: LinkId,
    pub request: RequestId,
    pub find: Find,
}

/// A change of a listing that waits to be applied, or is being applied.
#[derive(Debug)]
pub struct ListingChange {
    pub link: LinkId,
    pub peer: PeerId,
    pub epoch: u64,
    pub seq: u64,
    /// Whether the member still looks through its share after it.
    pub looking: bool,
    /// How many bytes of memory it takes.
    pub cost: u64,
    pub progress: ChangeProgress,
}

/// How far a change has been applied.
#[derive(Debug)]
pub enum ChangeProgress {
    Waits(Gathered),
    Begun(Applying),
}

/// The queues.
#[derive(Debug, Default)]
pub struct Turns {
    named: Line<Question>,
    costly: Line<Question>,
    changes: Line<ListingChange>,
    /// The number of waiting questions of each link, and of waiting changes of each listing.
    asked: BTreeMap<LinkId, usize>,
    changing: BTreeMap<PeerId, usize>,
}

/// The waiting items of each account, in order.
#[derive(Debug)]
struct Line<T> {
    rows: BTreeMap<Account, Row<T>>,
    /// The accounts by what they have cost lately, as each was ranked last. One that has cost more
    /// since then is ranked anew when it is the first.
    order: BTreeSet<(CostRank, Account)>,
    /// Until then this node has no time for any of these accounts, so they are not looked at: there
    /// may be thousands. `None` if that time is not known.
    rests_until: Option<Instant>,
}

/// What waits of one account, in order.
#[derive(Debug)]
struct Row<T> {
    rank: CostRank,
    waits: VecDeque<T>,
}

impl Turns {
    /// Whether a question of this account can be answered at once: the budget allows, and it does
    /// not overtake an older one of the account, nor one of an account that has cost less.
    pub fn is_next(
        &mut self,
        now: Instant,
        account: Account,
        effort: Effort,
        budgets: &mut Budgets,
    ) -> bool {
        if budgets.is_spent(now, account, effort) {
            return false;
        }
        let line = self.questions_mut(effort);
        if line.rows.contains_key(&account) {
            return false;
        }
        let first = line.first(|account| budgets.rank(now, account));
        first.is_none_or(|first| budgets.lately(now, account) < budgets.lately(now, first))
    }

    /// Whether one more question of this link may wait.
    pub fn has_room_for(&self, link: LinkId) -> bool {
        self.asked
            .get(&link)
            .is_none_or(|asked| *asked < QUESTIONS_EACH)
    }

    /// Queues a question.
    pub fn ask(
        &mut self,
        now: Instant,
        account: Account,
        question: Question,
        budgets: &mut Budgets,
    ) {
        *self.asked.entry(question.link).or_default() += 1;
        let effort = effort_of(&question.find);
        let when = (
            budgets.ready_at(account, effort),
            budgets.rank(now, account),
        );
        self.questions_mut(effort).push(account, question, when);
    }

    /// Queues a change of a listing. Returns whether there was room for it.
    pub fn change(
        &mut self,
        now: Instant,
        account: Account,
        change: ListingChange,
        budgets: &mut Budgets,
    ) -> bool {
        let changing = self.changing.entry(change.peer).or_default();
        if *changing >= CHANGES_EACH {
            return false;
        }
        *changing += 1;
        let ready = ready_to_list_at(account, budgets);
        let when = (ready, budgets.rank(now, account));
        self.changes.push(account, change, when);
        true
    }

    /// Removes those of an account's waiting changes that came before a whole listing of this
    /// member, and so are of no use any more. Returns the link and the size of each.
    pub fn take_superseded(&mut self, account: Account, peer: PeerId) -> Vec<(LinkId, u64)> {
        let is_superseded = |change: &ListingChange| {
            change.peer == peer && matches!(change.progress, ChangeProgress::Waits(_))
        };
        let superseded = self.changes.take_of(account, is_superseded);
        let of = |change: ListingChange| {
            one_less(&mut self.changing, &peer);
            (change.link, change.cost)
        };
        superseded.into_iter().map(of).collect()
    }

    /// Whether a change of this member's listing waits or is being applied.
    pub fn is_changing(&self, peer: PeerId) -> bool {
        self.changing.contains_key(&peer)
    }

    /// Takes the next question, if the budget allows.
    pub fn next_question(&mut self, now: Instant, budgets: &mut Budgets) -> Option<Question> {
        for effort in [Effort::Named, Effort::Costly] {
            let line = self.questions_mut(effort);
            if line.rests(now) {
                continue;
            }
            let Some(first) = line.first(|account| budgets.rank(now, account)) else {
                continue;
            };
            // The others have cost more, so there is no time for theirs either.
            if budgets.is_spent(now, first, effort) {
                line.rests_until = Some(budgets.ready_at(first, effort));
                continue;
            }
            let question = line.pop(first)?;
            one_less(&mut self.asked, &question.link);
            return Some(question);
        }
        None
    }

    /// Takes the next change, if the budget allows. If the caller does not finish it, the change
    /// must be returned with [`put_back`](Self::put_back).
    pub fn next_change(
        &mut self,
        now: Instant,
        budgets: &mut Budgets,
    ) -> Option<(Account, ListingChange)> {
        if self.changes.rests(now) {
            return None;
        }
        let first = self.changes.first_of(|account| {
            let may = !budgets.has_listed_enough(now, account);
            may.then(|| budgets.rank(now, account))
        });
        let first = first.filter(|first| !budgets.is_spent(now, *first, Effort::Costly));
        let Some(first) = first else {
            self.changes.rests_until = self.changes.first_ready(|of| ready_to_list_at(of, budgets));
            return None;
        };
        let change = self.changes.pop(first)?;
        one_less(&mut self.changing, &change.peer);
        Some((first, change))
    }

    /// Returns an unfinished change to the front of its queue.
    pub fn put_back(
        &mut self,
        now: Instant,
        account: Account,
        change: ListingChange,
        budgets: &mut Budgets,
    ) {
        *self.changing.entry(change.peer).or_default() += 1;
        self.changes.rests_until = None;
        let row = self.changes.row(account, budgets.rank(now, account));
        row.push_front(change);
    }

    /// Returns when the budget may allow the next question.
    pub fn next_question_at(&self, budgets: &Budgets) -> Option<Instant> {
        let next = |effort| {
            let line = self.questions(effort);
            line.next_deadline(|account| budgets.ready_at(account, effort))
        };
        let lines = [Effort::Named, Effort::Costly].into_iter();
        lines.filter_map(next).min()
    }

    /// Returns when the budget may allow the next change.
    pub fn next_change_at(&self, budgets: &Budgets) -> Option<Instant> {
        let changes = &self.changes;
        changes.next_deadline(|account| ready_to_list_at(account, budgets))
    }

    /// Returns the number of waiting questions.
    pub fn waiting(&self) -> usize {
        self.asked.values().sum()
    }

    /// Removes the waiting questions of a link and returns them.
    pub fn take_questions(&mut self, link: LinkId) -> Vec<Question> {
        if self.asked.remove(&link).is_none() {
            return Vec::new();
        }
        let mut questions = self.named.take(|waits| waits.link == link);
        questions.extend(self.costly.take(|waits| waits.link == link));
        questions
    }

    /// Removes the waiting changes of a listing. Returns how many bytes they took, if there were
    /// any.
    pub fn take_changes(&mut self, peer: PeerId) -> Option<u64> {
        self.changing.remove(&peer)?;
        let changes = self.changes.take(|change| change.peer == peer);
        Some(changes.iter().map(|change| change.cost).sum())
    }

    /// A link of this member is gone: removes everything that waits of it.
    pub fn on_link_down(&mut self, link: LinkId, peer: PeerId) {
        self.take_questions(link);
        if self.is_changing(peer) {
            for change in self.changes.take(|change| change.link == link) {
                one_less(&mut self.changing, &change.peer);
            }
        }
    }

    fn questions(&self, effort: Effort) -> &Line<Question> {
        match effort {
            Effort::Named => &self.named,
            Effort::Costly => &self.costly,
        }
    }

    fn questions_mut(&mut self, effort: Effort) -> &mut Line<Question> {
        match effort {
            Effort::Named => &mut self.named,
            Effort::Costly => &mut self.costly,
        }
    }
}

fn ready_to_list_at(account: Account, budgets: &Budgets) -> Instant {
    let may_list_at = budgets.may_list_at(account);
    may_list_at.max(budgets.ready_at(account, Effort::Costly))
}

fn one_less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Returns which share of the time a question is charged to.
pub fn effort_of(find: &Find) -> Effort {
    match find.query {
        Query::Names(_) | Query::Content(_) => Effort::Named,
        Query::Pattern(_) | Query::Members(_) | Query::Beyond(..) => Effort::Costly,
    }
}

/// Estimates the memory that a waiting question takes, in bytes.
pub fn size_of(find: &Find) -> u64 {
    const QUESTION: u64 = 256;
    const NAME: u64 = 32;
    let text = |text: &String| NAME + text.len() as u64;
    let query = match &find.query {
        Query::Names(names) => names.iter().map(text).sum(),
        Query::Pattern(pattern) => text(pattern),
        Query::Content(_) | Query::Members(_) => 0,
        Query::Beyond(known, _) => known.length() as u64,
    };
    let names = find.after.iter().chain(&find.until);
    let names: usize = names.map(|name| name.as_str().len()).sum();
    QUESTION + query + names as u64
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            order: BTreeSet::new(),
            rests_until: None,
        }
    }
}

impl<T> Line<T> {
    /// `ready` is when there is time for this account.
    fn push(&mut self, account: Account, waits: T, (ready, rank): (Instant, CostRank)) {
        self.rests_until = self.rests_until.map(|until| until.min(ready));
        self.row(account, rank).push_back(waits);
    }

    fn row(&mut self, account: Account, rank: CostRank) -> &mut VecDeque<T> {
        let order = &mut self.order;
        let row = self.rows.entry(account).or_insert_with(|| {
            order.insert((rank, account));
            Row {
                rank,
                waits: VecDeque::new(),
            }
        });
        &mut row.waits
    }

    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    /// Returns when to look again, where `ready` says when there is time for an account.
    fn next_deadline(&self, ready: impl Fn(Account) -> Instant) -> Option<Instant> {
        if self.rows.is_empty() {
            return None;
        }
        self.rests_until.or_else(|| self.first_ready(ready))
    }

    fn first_ready(&self, ready: impl Fn(Account) -> Instant) -> Option<Instant> {
        self.rows.keys().map(|account| ready(*account)).min()
    }

    fn pop(&mut self, account: Account) -> Option<T> {
        let row = self.rows.get_mut(&account)?;
        let first = row.waits.pop_front();
        if row.waits.is_empty() {
            self.order.remove(&(row.rank, account));
            self.rows.remove(&account);
        }
        first
    }

    /// Returns the account that has cost least lately. Only accounts that have cost something since
    /// they were ranked last are looked at beside it.
    fn first(&mut self, mut rank: impl FnMut(Account) -> CostRank) -> Option<Account> {
        loop {
            let (known, account) = *self.order.first()?;
            let row = self.rows.get_mut(&account)?;
            row.rank = rank(account);
            if row.rank == known {
                return Some(account);
            }
            self.order.pop_first();
            self.order.insert((row.rank, account));
        }
    }

    /// Returns the account that has cost least lately, of those for which `rank` returns a place.
    fn first_of(&self, mut rank: impl FnMut(Account) -> Option<CostRank>) -> Option<Account> {
        let accounts = self.rows.keys();
        let may = accounts.filter_map(|account| Some((rank(*account)?, *account)));
        may.min().map(|(_, account)| account)
    }

    fn take(&mut self, is_wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        let order = &mut self.order;
        self.rows.retain(|account, row| {
            taken.extend(row.take(&is_wanted));
            if row.waits.is_empty() {
                order.remove(&(row.rank, *account));
            }
            !row.waits.is_empty()
        });
        taken
    }

    fn take_of(&mut self, account: Account, is_wanted: impl Fn(&T) -> bool) -> VecDeque<T> {
        let Some(row) = self.rows.get_mut(&account) else {
            return VecDeque::new();
        };
        let taken = row.take(is_wanted);
        if row.waits.is_empty() {
            self.order.remove(&(row.rank, account));
            self.rows.remove(&account);
        }
        taken
    }
}

impl<T> Row<T> {
    fn take(&mut self, is_wanted: impl Fn(&T) -> bool) -> VecDeque<T> {
        let all = std::mem::take(&mut self.waits);
        let (taken, waits) = all.into_iter().partition(is_wanted);
        self.waits = waits;
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::budget::Work;

    #[test]
    fn what_waits_is_looked_at_again_when_there_is_time_for_the_account_that_has_cost_least() {
        let now = Instant::after_start(Duration::from_secs(1));
        let (much, nothing) = (
            Account::Member(PeerId::new([1; 32])),
            Account::Member(PeerId::new([2; 32])),
        );
        let question = |link| Question {
            link: LinkId(link),
            request: RequestId(1),
            find: Find {
                query: Query::Pattern("*".to_owned()),
                hops: 0,
                hash_now: false,
                after: None,
                most: None,
                until: None,
            },
        };
        let (mut turns, mut budgets) = (Turns::default(), Budgets::new(now));
        budgets.on_answered(now, much, Effort::Costly, Work(250_000));
        turns.ask(now, much, question(1), &mut budgets);
        assert!(turns.next_question(now, &mut budgets).is_none());
        let late = budgets.ready_at(much, Effort::Costly);
        assert!(turns.costly.rests(now));
        assert_eq!(turns.next_question_at(&budgets), Some(late));
        // An account that has to wait less brings that forward.
        turns.ask(now, nothing, question(2), &mut budgets);
        let soon = budgets.ready_at(nothing, Effort::Costly);
        assert!(now < soon && soon < late);
        assert_eq!(turns.next_question_at(&budgets), Some(soon));
        for (at, link) in [(soon, 2), (late, 1)] {
            assert!(turns.next_question(now, &mut budgets).is_none());
            let next = turns
                .next_question(at, &mut budgets)
                .expect("there is time");
            assert_eq!(next.link, LinkId(link));
            assert!(turns.next_question(at, &mut budgets).is_none());
        }
        assert_eq!(turns.next_question_at(&budgets), None);
    }

    #[test]
    fn of_thousands_of_accounts_that_wait_only_the_first_is_looked_at() {
        let account = |n: u32| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            Account::Member(PeerId::new(id))
        };
        let number_of = |account: Account| match account {
            Account::Member(id) => id.as_bytes()[..4]
                .iter()
                .fold(0, |n, byte| n << 8 | u32::from(*byte)),
            Account::Address(_) => unreachable!("there are members only"),
        };
        let mut line = Line::<u32>::default();
        // Who has cost how much lately; it changes for those who wait, too.
        let mut costs: Vec<u64> = (0..5000).map(|n| (n * 7919) % 5000).collect();
        let ranked = CostRank::of_cost;
        for n in 0..5000 {
            let rank = ranked(costs[n as usize]);
            line.push(account(n), n, (Instant::default(), rank));
        }
        let mut looked_at = 0;
        for round in 0..1000_u64 {
            let least = (0..5000_u32)
                .filter(|n| line.rows.contains_key(&account(*n)))
                .min_by_key(|n| (costs[*n as usize], account(*n)));
            let first = line.first(|account| {
                looked_at += 1;
                ranked(costs[number_of(account) as usize])
            });
            assert_eq!(first, least.map(account), "in round {round}");
            // It is served, and costs something; every other time it asks again.
            let first = first.expect("some wait");
            let n = line.pop(first).expect("it waits");
            costs[n as usize] += 3;
            if round % 2 == 0 {
                line.push(first, n, (Instant::default(), ranked(costs[n as usize])));
            }
            // And one of the others costs something while it waits.
            costs[(round * 31 % 5000) as usize] += 2000;
        }
        assert!(
            looked_at < 4000,
            "{looked_at} were looked at for a thousand"
        );
    }
}
