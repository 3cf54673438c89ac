//! Compares the rule with a model that looks at everything each time, and tests its guarantees.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const IN_ALL: u64 = 1000;

fn member(n: u8) -> Account {
    Account::Member(PeerId::new([n; 32]))
}

/// Returns one of few addresses in few networks, so that accounts often collide.
fn address(n: u8) -> Account {
    Account::Address(IpAddr::from([10, 0, n / 3, n % 3]))
}

#[derive(Clone, Debug)]
enum Op {
    Ask(u8, u8, u64),
    GiveBack(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let amount = prop_oneof![1..40_u64, 1..400_u64, 900..1100_u64];
    let op = prop_oneof![
        6 => (0..12_u8, 0..9_u8, amount).prop_map(|(key, account, amount)| Op::Ask(key, account, amount)),
        1 => (0..12_u8).prop_map(Op::GiveBack),
    ];
    vec(op, 1..60)
}

/// The same rule, expressed by sums over everything that is held.
#[derive(Clone, Default)]
struct Model(BTreeMap<u8, (Account, u64)>);

impl Model {
    fn sum(&self, counts: impl Fn(Account) -> bool) -> u64 {
        let held = self.0.values().filter(|(account, _)| counts(*account));
        held.map(|(_, amount)| amount).sum()
    }

    fn ask(&mut self, key: u8, account: Account, amount: u64) -> Option<Vec<u8>> {
        let mut next = self.clone();
        next.0.remove(&key);
        let mut gave_way = Vec::new();
        while next.sum(|_| true) + amount > IN_ALL {
            let victim = next.victim(account, amount)?;
            next.0.remove(&victim);
            gave_way.push(victim);
        }
        next.0.insert(key, (account, amount));
        *self = next;
        Some(gave_way)
    }

    fn victim(&self, account: Account, amount: u64) -> Option<u8> {
        let of = |one: Account| self.sum(|other| other == one);
        let of_network = |one: Account| match one.network() {
            Some(network) => self.sum(|other| other.network() == Some(network)),
            None => 0,
        };
        let others = self.0.values().map(|(other, _)| *other);
        let others: BTreeSet<Account> = others.filter(|other| *other != account).collect();
        let stays_home =
            4 * (of_network(account) + amount) > 3 * IN_ALL && account.network().is_some();
        let within_reach = |other: &&Account| !stays_home || other.network() == account.network();
        let most = others
            .iter()
            .filter(within_reach)
            .max_by_key(|other| (of(**other), **other));
        let most = most.filter(|most| 4 * of(**most) > 5 * (of(account) + amount));
        let crowd = others.iter().filter(|other| {
            other.network() != account.network() && 4 * of_network(**other) > 3 * IN_ALL
        });
        let crowd = crowd.max_by_key(|other| (of(**other), **other));
        let whose = most.or(crowd).copied();
        let things = self
            .0
            .iter()
            .filter(|(_, (of, _))| *of == whose.unwrap_or(account));
        let largest = things.max_by_key(|(key, (_, amount))| (*amount, Reverse(**key)));
        let largest = largest.filter(|(_, (_, held))| whose.is_some() || 4 * held > 5 * amount);
        largest.map(|(key, _)| *key)
    }
}

proptest! {
    #![proptest_config(crate::testing::cases(600))]

    #[test]
    fn whatever_is_asked_for_the_bound_holds_and_the_rule_says_who_gives_way(
        ops in ops(),
        are_addresses in any::<bool>(),
    ) {
        let mut bound = SharedBound::new(IN_ALL);
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Ask(key, account, amount) => {
                    let account = if are_addresses { address(account) } else { member(account) };
                    let before = bound.clone();
                    let would_fit = bound.would_fit(key, account, amount);
                    prop_assert_eq!(format!("{before:?}"), format!("{bound:?}"), "it only asks");
                    let got = bound.ask(key, account, amount);
                    prop_assert_eq!(got.is_ok(), would_fit);
                    if got.is_err() {
                        prop_assert_eq!(format!("{before:?}"), format!("{bound:?}"), "all stays");
                    }
                    prop_assert_eq!(got.ok(), model.ask(key, account, amount));
                }
                Op::GiveBack(key) => {
                    bound.give_back(key);
                    model.0.remove(&key);
                }
            }
            bound.check();
            prop_assert_eq!(bound.total(), model.sum(|_| true));
            prop_assert_eq!(bound.free(), IN_ALL - bound.total());
        }
    }

    /// The guaranteed share is an equal part of the whole, less a fifth.
    #[test]
    fn an_account_within_its_share_is_let_in_and_never_gives_way(
        held in vec((0..8_u8, 1..300_u64), 1..40),
        asks in 1..300_u64,
    ) {
        let mut bound = SharedBound::new(IN_ALL);
        for (key, (account, amount)) in (0..).zip(held) {
            let shares = |bound: &SharedBound<u8>| -> BTreeMap<Account, u64> {
                bound.accounts.iter().map(|(account, held)| (*account, held.amount)).collect()
            };
            let before = shares(&bound);
            let count = before.len() as u64 + u64::from(!before.contains_key(&member(account)));
            if bound.ask(key, member(account), amount).is_ok() {
                let after = shares(&bound);
                for (other, held) in before.iter().filter(|(other, _)| **other != member(account)) {
                    let lost = after.get(other) != Some(held);
                    prop_assert!(!lost || held * count > IN_ALL, "{held} of {count} accounts");
                }
            }
            bound.check();
        }
        let count = bound.accounts.len() as u64 + 1;
        let newcomer = bound.ask(200, member(100), asks);
        prop_assert!(newcomer.is_ok() || asks * 5 * count >= 4 * IN_ALL);
    }
}

#[test]
fn two_that_hold_about_the_same_do_not_take_it_from_each_other() {
    let mut bound = SharedBound::new(IN_ALL);
    assert_eq!(bound.ask(1, member(1), 600), Ok(vec![]));
    assert_eq!(bound.ask(2, member(2), 500), Err(Full));
    assert_eq!(bound.ask(2, member(2), 479), Ok(vec![1]));
    assert_eq!(bound.ask(1, member(1), 600), Err(Full));
    assert_eq!((bound.amount(1), bound.amount(2)), (0, 479));
}

#[test]
fn forty_members_of_one_address_have_one_share_and_one_of_them_pays_for_another() {
    let at = |last: u8| IpAddr::from([192, 0, 2, last]);
    let id = |n: u8| PeerId::new([n; 32]);
    let mut bound = SharedBound::new(IN_ALL);
    for n in 0..40 {
        let account = Account::of(id(n), at(7), true);
        assert_eq!(bound.ask(n, account, 25), Ok(vec![]));
    }
    // Another address gets from them as much as each of them holds alone.
    let other = Account::of(id(100), at(8), true);
    assert_eq!(bound.ask(100, other, 400).map(|gave| gave.len()), Ok(16));
    // A member at their address gets nothing from others, and little from them.
    let same = Account::of(id(101), at(7), true);
    assert_eq!(bound.ask(101, same, 21), Err(Full));
    assert_eq!(bound.ask(101, same, 19).map(|gave| gave.len()), Ok(1));
    assert_eq!(bound.held_by(other), 400);
    // In a closed group, and on this machine, each member is an account of its own.
    for (seen_at, is_open) in [(at(7), false), (IpAddr::from([127, 0, 0, 1]), true)] {
        let account = Account::of(id(1), seen_at, is_open);
        assert_eq!(account, Account::Member(id(1)));
    }
}

#[test]
fn a_quarter_is_out_of_the_reach_of_a_network_with_any_number_of_addresses() {
    let at = |network: u16, host: u16| {
        Account::Address(Ipv6Addr::new(0xfd00, 0, 0, network, 0, 0, 0, host).into())
    };
    let mut bound = SharedBound::new(IN_ALL);
    for host in 0..IN_ALL {
        let host = u16::try_from(host).expect("is small");
        assert_eq!(bound.ask((1, host), at(1, host), 1), Ok(vec![]));
    }
    // An account that holds more than each of the crowd gets up to a quarter from the crowd.
    let gave = bound.ask((2, 0), at(2, 0), 240).expect("a quarter");
    assert!(gave.iter().all(|(network, _)| *network == 1) && gave.len() == 240);
    assert_eq!(bound.ask((2, 1), at(2, 1), 200), Err(Full));
    // The crowd takes none of that back, though that account is the largest by far.
    for host in 0..100 {
        assert_eq!(
            bound.ask((1, 2000 + host), at(1, 2000 + host), 1),
            Err(Full)
        );
    }
    assert_eq!(bound.amount((2, 0)), 240);
}

#[test]
fn what_is_turned_down_is_tried_again_after_twice_as_long_each_time() {
    let at = |seconds| Instant::after_start(Duration::from_secs(seconds));
    let mut again = Again::new(at(0));
    for (due, next) in [
        (10, 20),
        (30, 40),
        (70, 80),
        (150, 160),
        (310, 320),
        (630, 600),
    ] {
        assert!(!again.is_due(at(due - 1)) && again.is_due(at(due)));
        again = again.later(at(due));
        assert!(!again.is_due(at(due + next - 1)) && again.is_due(at(due + next)));
    }
}
