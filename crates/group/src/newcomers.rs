//! Limits how fast unknown machines may become members of an open group.
//!
//! Each newcomer stays in the member table, which the tracker writes as a whole: at most
//! [`MAX_MEMBERS`](crate::authority::MAX_MEMBERS) rows, some 15 MB. In the long run strangers can
//! therefore make the tracker write that much per second. Members that renew their certificate
//! are not limited here.
//!
//! These are paces, and not one of the bounds for which `core` has one rule: that rule
//! says which account gives back some of what it holds, and a membership is never given
//! back. The end is the same: each address has its own pace, and no network reaches the
//! last quarter of what there is for all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A limit: `at_once` newcomers in a burst, then one more per `every`.
#[derive(Clone, Copy)]
struct Pace {
    at_once: u32,
    every: Duration,
}

/// The limit for all newcomers together: a class may join at once, a crowd has to queue.
const ALL: Pace = Pace {
    at_once: 200,
    every: Duration::from_secs(1),
};
/// The limit for one address. Loopback addresses are exempt.
const EACH: Pace = Pace {
    at_once: 40,
    every: Duration::from_secs(10),
};
/// The limit for all addresses of one network. However many addresses a network has, it leaves a
/// quarter of [`ALL`] to others.
const NETWORK: Pace = Pace {
    at_once: 150,
    every: Duration::from_millis(1334),
};

/// Counts the newcomers admitted recently.
#[derive(Debug, Default)]
pub(crate) struct Newcomers {
    all: Count,
    /// The addresses that are still limited. Their number is bounded by the newcomers that
    /// [`ALL`] admits meanwhile; so is the number of networks.
    each: HashMap<IpAddr, Count>,
    networks: HashMap<IpAddr, Count>,
}

/// The state of one limit: the time at which its whole burst is available again.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    even_at: Duration,
}

impl Newcomers {
    /// Admits a newcomer, or returns how long it has to wait. `now` must never run backwards.
    pub(crate) fn admit(&mut self, now: Duration, from: IpAddr) -> Result<(), Duration> {
        self.each.retain(|_, count| count.even_at > now);
        self.networks.retain(|_, count| count.even_at > now);
        let address = from.to_canonical();
        if address.is_loopback() {
            self.all = self.all.taken(now, ALL)?;
            return Ok(());
        }
        let network = network(address);
        let counted = |counts: &HashMap<IpAddr, Count>, at| counts.get(&at).copied();
        let here = counted(&self.each, address).unwrap_or_default();
        let around = counted(&self.networks, network).unwrap_or_default();
        let (here, around) = (here.taken(now, EACH)?, around.taken(now, NETWORK)?);
        self.all = self.all.taken(now, ALL)?;
        self.each.insert(address, here);
        self.networks.insert(network, around);
        Ok(())
    }
}

/// Returns the network of an address: a /24 of IPv4, a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

impl Count {
    fn taken(self, now: Duration, pace: Pace) -> Result<Self, Duration> {
        let even_at = self.even_at.max(now) + pace.every;
        let most = now + pace.every * pace.at_once;
        match even_at.saturating_sub(most) {
            Duration::ZERO => Ok(Self { even_at }),
            wait => Err(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn let_in(newcomers: &mut Newcomers, now: Duration, from: &[IpAddr]) -> usize {
        let from = from.iter().cycle().take(1000);
        from.filter(|from| newcomers.admit(now, **from).is_ok())
            .count()
    }

    #[test]
    fn one_address_has_a_burst_and_then_a_pace_and_leaves_room_for_others() {
        let mut newcomers = Newcomers::default();
        let start = Duration::from_secs(5);
        let one = ["192.0.2.1".parse().expect("an address")];
        let other = ["192.0.2.2".parse().expect("an address")];
        assert_eq!(let_in(&mut newcomers, start, &one), 40);
        let wait = newcomers.admit(start, one[0]).expect_err("has to wait");
        assert_eq!(wait, EACH.every);
        assert_eq!(let_in(&mut newcomers, start, &other), 40);
        let later = start + Duration::from_secs(30);
        assert_eq!(let_in(&mut newcomers, later, &one), 3);
        let much_later = start + Duration::from_hours(1);
        assert_eq!(let_in(&mut newcomers, much_later, &one), 40);
        assert_eq!(
            newcomers.each.len(),
            1,
            "who has made up for it is forgotten"
        );
    }

    #[test]
    fn a_crowd_from_one_network_leaves_a_quarter_to_others_and_nothing_is_its_neighbours() {
        let mut newcomers = Newcomers::default();
        let start = Duration::from_secs(5);
        let at = |host: u16| IpAddr::from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host));
        // A single machine of the network is limited by its own pace.
        assert_eq!(let_in(&mut newcomers, start, &[at(1)]), 40);
        assert_eq!(newcomers.admit(start, at(2)), Ok(()));
        let crowd: Vec<IpAddr> = (3..1000).map(at).collect();
        assert_eq!(let_in(&mut newcomers, start, &crowd), 150 - 41);
        let elsewhere: Vec<IpAddr> = (0..100).map(|n| IpAddr::from([10, 0, n, 1])).collect();
        assert_eq!(let_in(&mut newcomers, start, &elsewhere), 50);
    }

    #[test]
    fn a_crowd_from_everywhere_has_to_queue_and_the_count_of_it_is_bounded() {
        let mut newcomers = Newcomers::default();
        let start = Duration::from_secs(5);
        let crowd: Vec<IpAddr> = (0..1000_u16)
            .map(|n| IpAddr::from([10, n.to_be_bytes()[0], n.to_be_bytes()[1], 1]))
            .collect();
        assert_eq!(let_in(&mut newcomers, start, &crowd), 200);
        assert_eq!(newcomers.each.len(), 200);
        let later = start + Duration::from_secs(7);
        assert_eq!(let_in(&mut newcomers, later, &crowd), 7);
        // Loopback is limited with the crowd, but not by address.
        let home = ["127.0.0.1".parse().expect("an address")];
        let much_later = start + Duration::from_hours(1);
        assert_eq!(let_in(&mut newcomers, much_later, &home), 200);
        assert!(newcomers.each.is_empty());
    }
}
