//! Which addresses named by other machines may be dialled.

use std::net::{IpAddr, SocketAddr};

/// Over which way another machine has named an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeardOver {
    /// From this machine.
    Loopback,
    /// From another one, or it is not known from which.
    #[default]
    Network,
}

impl HeardOver {
    /// Over what a node or client at this address is heard.
    pub fn of(ip: IpAddr) -> Self {
        if ip.to_canonical().is_loopback() {
            Self::Loopback
        } else {
            Self::Network
        }
    }
}

/// Whether an address may be dialled that another machine has named: a client's, by a tracker, a
/// magnet link or another client, and a member's. It must mean the same single machine everywhere;
/// only what was heard over loopback may name loopback.
pub fn may_be_dialled(address: SocketAddr, heard: HeardOver) -> bool {
    let ip = address.ip().to_canonical();
    let is_of_one_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0,
        // The second kind reaches the first one through a translator of addresses.
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.segments()[..6] == [0; 6] && !ip.is_loopback()
        }
    };
    address.port() != 0
        && !is_of_one_link
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && (heard == HeardOver::Loopback || !ip.is_loopback())
}

/// Whether an address means another machine on each link.
pub fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_dialled_that_means_another_machine_here_or_many() {
        let is = |address: &str| {
            may_be_dialled(address.parse().expect("an address"), HeardOver::Network)
        };
        for good in [
            "10.0.0.1:6881",
            "203.0.113.7:1",
            "[2001:db8::1]:6881",
            "[::ffff:10.0.0.1]:5",
        ] {
            assert!(is(good), "{good}");
        }
        for bad in [
            "127.0.0.1:6881",
            "127.9.9.9:1",
            "[::1]:6881",
            "[::ffff:127.0.0.1]:6881",
            "[::127.0.0.1]:6881",
            "169.254.1.1:6881",
            "[fe80::1]:6881",
            "224.0.0.1:6881",
            "[ff02::1]:6881",
            "255.255.255.255:6881",
            "0.0.0.0:6881",
            "0.1.2.3:6881",
            "[::]:6881",
            "10.0.0.1:0",
        ] {
            assert!(!is(bad), "{bad}");
        }
    }

    #[test]
    fn what_was_heard_over_loopback_may_name_loopback_and_nothing_else_that_is_not_dialled() {
        let is = |address: &str| {
            may_be_dialled(address.parse().expect("an address"), HeardOver::Loopback)
        };
        assert!(is("127.0.0.1:6881") && is("[::1]:6881") && is("10.0.0.1:6881"));
        assert!(!is("127.0.0.1:0") && !is("169.254.1.1:1") && !is("[::]:1"));
    }
}
