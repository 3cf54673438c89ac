//! Where machines can be reached: names looked up, and this machine's own addresses.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use thiserror::Error;
use thorp_group::address::{NetAddress, canonical};
use thorp_wire::frame::Hello;
use tokio::time::{Instant, timeout_at};

/// The most addresses that a host name is followed to.
const MAX_RESOLVED: usize = 16;

/// How long looking up all names of a list may take.
const RESOLVED_WITHIN: Duration = Duration::from_secs(3);

/// All socket addresses behind some of these, in their order, names looked up.
///
/// Names that cannot be looked up within seconds are left out; with nothing
/// left, the last error says why. They share one limit, so that a name
/// service that is down does not keep the addresses from being tried.
pub async fn resolve(list: &[NetAddress]) -> Result<Vec<SocketAddr>, ResolveError> {
    let deadline = Instant::now() + RESOLVED_WITHIN;
    let mut found = Vec::new();
    let mut failed = None;
    for address in list {
        match address {
            NetAddress::Ip(address) => found.push(*address),
            NetAddress::Host(host, port) => {
                let looked_up = tokio::net::lookup_host((host.as_str(), *port));
                match timeout_at(deadline, looked_up).await {
                    Ok(Ok(addresses)) => found.extend(addresses.take(MAX_RESOLVED)),
                    late_or_failed => {
                        let error = match late_or_failed {
                            Ok(Err(error)) => error,
                            _ => io::ErrorKind::TimedOut.into(),
                        };
                        failed = Some(ResolveError {
                            host: host.clone(),
                            error,
                        });
                    }
                }
            }
        }
    }
    match failed {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// A host name that leads nowhere.
#[derive(Debug, Error)]
#[error("cannot find the host {host}: {error}; check the name, or use its IP address")]
pub struct ResolveError {
    host: String,
    error: io::Error,
}

/// The addresses this machine can be reached at when it listens on `listen`.
///
/// A specific address is the only one. Otherwise at most eight, those that
/// other machines can use first; loopback only where there is nothing else.
/// Link-local addresses are left out: they mean nothing without an interface.
pub fn own(listen: SocketAddr) -> Vec<SocketAddr> {
    Whereabouts::new(listen).own()
}

/// Where this machine is while it goes from network to network.
#[derive(Debug)]
pub(crate) struct Whereabouts {
    listen: SocketAddr,
    /// Every address of every interface.
    ips: Vec<IpAddr>,
}

impl Whereabouts {
    /// Where it is now.
    pub(crate) fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            ips: interfaces().unwrap_or_default(),
        }
    }

    /// Where it can be reached, as [`own`] says.
    pub(crate) fn own(&self) -> Vec<SocketAddr> {
        reachable(self.listen, self.ips.iter().copied())
    }

    /// Looks again, and says whether anything has changed.
    pub(crate) fn refresh(&mut self) -> bool {
        self.replace(interfaces())
    }

    /// Whether an address is still this machine's.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        // The interface names one of the many loopback addresses that there are.
        ip.is_loopback() || self.ips.iter().any(|own| own.to_canonical() == ip)
    }

    /// What cannot be found out has not changed.
    fn replace(&mut self, ips: Option<Vec<IpAddr>>) -> bool {
        match ips {
            Some(ips) if ips != self.ips => {
                self.ips = ips;
                true
            }
            _ => false,
        }
    }
}

fn interfaces() -> Option<Vec<IpAddr>> {
    let found = if_addrs::get_if_addrs().ok()?;
    Some(found.into_iter().map(|interface| interface.ip()).collect())
}

fn reachable(listen: SocketAddr, own: impl Iterator<Item = IpAddr>) -> Vec<SocketAddr> {
    let port = listen.port();
    if !listen.ip().is_unspecified() {
        return vec![canonical(listen)];
    }
    let mut own: Vec<IpAddr> = own
        .map(|ip| ip.to_canonical())
        .filter(|ip| !is_link_local(*ip) && !ip.is_unspecified() && !ip.is_multicast())
        .filter(|ip| listen.is_ipv6() || ip.is_ipv4())
        .collect();
    if own.iter().any(|ip| !ip.is_loopback()) {
        own.retain(|ip| !ip.is_loopback());
    }
    // IPv4 first: on the networks this is for, it is what works. The sort is stable.
    own.sort_by_key(|ip| (ip.is_ipv6(), is_unique_local(*ip)));
    own.dedup();
    own.truncate(Hello::MAX_CLAIMED);
    own.into_iter().map(|ip| (ip, port).into()).collect()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn is_unique_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if Ipv6Addr::is_unique_local(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts
            .iter()
            .map(|t| t.parse().expect("an IP address"))
            .collect()
    }

    #[tokio::test]
    async fn localhost_is_found_and_nonsense_is_not() {
        let localhost = NetAddress::host("localhost", 7).expect("a name");
        let found = resolve(&[localhost]).await.expect("is found");
        assert!(
            found.iter().all(|a| a.ip().is_loopback() && a.port() == 7),
            "{found:?}"
        );
        let mixed = resolve(&["1.2.3.4:5".parse().expect("an address")]).await;
        assert_eq!(mixed.expect("is there").len(), 1);
    }

    #[test]
    fn a_machine_that_moves_knows_where_it_is_and_where_it_is_no_more() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an IP address");
        let mut here = Whereabouts {
            listen: "[::]:3334".parse().expect("an address"),
            ips: ips(&["127.0.0.1", "10.0.0.1"]),
        };
        assert!(
            !here.replace(None),
            "what cannot be found out has not changed"
        );
        assert!(!here.replace(Some(ips(&["127.0.0.1", "10.0.0.1"]))));
        assert!(here.replace(Some(ips(&["127.0.0.1", "192.168.7.1"]))));
        assert_eq!(
            here.own(),
            ["192.168.7.1:3334".parse().expect("an address")]
        );
        assert!(here.has(ip("::ffff:192.168.7.1")) && here.has(ip("127.0.0.9")));
        assert!(!here.has(ip("10.0.0.1")));
    }

    #[test]
    fn loopback_is_named_only_where_there_is_nothing_else() {
        let any = "[::]:3334".parse().expect("an address");
        let own = [
            "127.0.0.1",
            "fd00::1",
            "fe80::1",
            "2001:db8::1",
            "10.0.0.1",
            "169.254.0.1",
        ];
        let named = reachable(any, ips(&own).into_iter());
        let expected = ["10.0.0.1:3334", "[2001:db8::1]:3334", "[fd00::1]:3334"];
        assert_eq!(named, expected.map(|a| a.parse().expect("an address")));
        let alone = reachable(any, ips(&["127.0.0.1", "::1"]).into_iter());
        assert_eq!(alone.len(), 2);
        let only = reachable(
            "127.0.0.2:5".parse().expect("an address"),
            ips(&own).into_iter(),
        );
        assert_eq!(only, ["127.0.0.2:5".parse().expect("an address")]);
        let many = (1..=20).map(|n| IpAddr::from([10, 0, 0, n]));
        assert_eq!(reachable(any, many).len(), 8);
    }
}
