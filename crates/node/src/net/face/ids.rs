//! Connection ids of BEP 15, which prove that a client gets what is sent to its address.
//!
//! No state is kept: an id is a keyed hash of the address and of the time, so that nobody else can
//! make one. Many clients use an id for longer than the two minutes that BEP 15 grants: for how
//! long it is taken is a setting.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use siphasher::sip::SipHasher24;

/// Makes and checks connection ids.
pub(super) struct ConnectionIds {
    hasher: SipHasher24,
    /// An id is good for one to two of these.
    period: u64,
}

impl ConnectionIds {
    /// `lifetime` is how long an id is good at least. The key has to be secret.
    pub(super) fn new(key: [u8; 16], lifetime: Duration) -> Self {
        Self {
            hasher: SipHasher24::new_with_key(&key),
            period: lifetime.as_secs().max(1),
        }
    }

    /// Returns an id for this address.
    pub(super) fn issue(&self, now: Duration, to: IpAddr) -> u64 {
        self.of(now.as_secs() / self.period, to)
    }

    /// Whether an id was issued to this address and is still good.
    pub(super) fn is_good(&self, now: Duration, from: IpAddr, id: u64) -> bool {
        let period = now.as_secs() / self.period;
        // How long it takes says nothing of how much of the id was right.
        let is = |issued: u64| {
            let (issued, id) = (self.of(issued, from).to_be_bytes(), id.to_be_bytes());
            verify_slices_are_equal(&issued, &id).is_ok()
        };
        is(period) || period.checked_sub(1).is_some_and(is)
    }

    fn of(&self, period: u64, ip: IpAddr) -> u64 {
        let period = period.to_be_bytes();
        // Their lengths keep the families apart.
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let mut bytes = [0; 12];
                bytes[..4].copy_from_slice(&ip.octets());
                bytes[4..].copy_from_slice(&period);
                self.hasher.hash(&bytes)
            }
            IpAddr::V6(ip) => {
                let mut bytes = [0; 24];
                bytes[..16].copy_from_slice(&ip.octets());
                bytes[16..].copy_from_slice(&period);
                self.hasher.hash(&bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_mins(10);

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_id_is_good_for_its_address_and_its_time() {
        let ids = ConnectionIds::new([3; 16], LIFETIME);
        let begun = LIFETIME * 5 + Duration::from_secs(7);
        for at in ["10.0.0.1", "fd00::1"] {
            let id = ids.issue(begun, ip(at));
            assert!(ids.is_good(begun, ip(at), id));
            assert!(ids.is_good(begun + LIFETIME, ip(at), id), "at least");
            assert!(!ids.is_good(begun + LIFETIME * 2, ip(at), id), "at most");
            assert!(!ids.is_good(LIFETIME * 4, ip(at), id), "not before");
            assert!(!ids.is_good(begun, ip("10.0.0.2"), id), "another's");
        }
        let id = ids.issue(begun, ip("10.0.0.1"));
        assert!(ids.is_good(begun, ip("::ffff:10.0.0.1"), id));
    }

    #[test]
    fn an_id_cannot_be_made_without_the_key() {
        let (ours, theirs) = ([1; 16], [2; 16]);
        let now = Duration::ZERO;
        let id = ConnectionIds::new(theirs, LIFETIME).issue(now, ip("10.0.0.1"));
        let ids = ConnectionIds::new(ours, LIFETIME);
        assert!(!ids.is_good(now, ip("10.0.0.1"), id));
        let right = ids.issue(now, ip("10.0.0.1"));
        for bit in 0..64 {
            assert!(!ids.is_good(now, ip("10.0.0.1"), right ^ (1 << bit)));
        }
    }
}
