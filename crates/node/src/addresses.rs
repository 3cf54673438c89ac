//! Where machines can be reached: addresses as people write them, and this
//! machine's own.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use thorp_wire::frame::Hello;
use tokio::time::{Instant, timeout_at};

/// The port of a node with a tracker in it, unless another was asked for.
pub const TRACKER_PORT: u16 = 3333;
/// The port of any other node, unless another was asked for.
pub const PEER_PORT: u16 = 3334;

/// The most addresses that a host name is followed to.
const MAX_RESOLVED: usize = 16;

/// How long looking up all names of a list may take.
const RESOLVED_WITHIN: Duration = Duration::from_secs(3);

/// Where a tracker is: a socket address, or a host's name and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NetAddress {
    /// An IP address.
    Ip(SocketAddr),
    /// A host name: [`NetAddress::host`] checks it.
    Host(String, u16),
}

/// Where to listen, as people write it: `ip:port`, `ip`, `:port` or `port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// Nothing: everywhere, IPv6 and IPv4.
    pub ip: Option<IpAddr>,
    /// Nothing: the port that a node of its kind usually has.
    pub port: Option<u16>,
}

impl NetAddress {
    /// Reads `address` or `address:port`, in whichever way people write them.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, AddressError> {
        let text = text.trim();
        let wrong = |why| AddressError::new(text, why);
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if text.contains("//") {
            return Err(wrong("leave out what is before the host"));
        }
        // A bare IPv6 address is full of colons; none of them starts a port.
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Ok(Self::Ip((ip, default_port).into()));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (ip, port) = rest
                .split_once(']')
                .ok_or_else(|| wrong("the bracket is not closed"))?;
            let ip: Ipv6Addr = ip
                .parse()
                .map_err(|_| wrong("what is in the brackets is not an IPv6 address"))?;
            let port = match port.strip_prefix(':') {
                Some(port) => parse_port(port).ok_or_else(|| wrong(WRONG_PORT))?,
                None if port.is_empty() => default_port,
                None => return Err(wrong("only a colon and a port may follow the bracket")),
            };
            return Ok(Self::Ip((ip, port).into()));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, parse_port(port).ok_or_else(|| wrong(WRONG_PORT))?),
            None => (text, default_port),
        };
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(Self::Ip((ip, port).into())),
            Err(_) => Self::host(host, port)
                .map_err(|_| wrong("it is neither an IP address nor a host name")),
        }
    }

    /// A host's name, checked for its form.
    pub fn host(host: &str, port: u16) -> Result<Self, AddressError> {
        let numeric = host.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        // A dot at the end says that the name is complete.
        let labels = host.strip_suffix('.').unwrap_or(host);
        if numeric || host.len() > 253 || !labels.split('.').all(is_label) {
            return Err(AddressError::new(host, "it is not a host name"));
        }
        Ok(Self::Host(host.to_ascii_lowercase(), port))
    }

    /// The IP address or the host's name, without the port.
    pub fn host_text(&self) -> String {
        match self {
            Self::Ip(address) => address.ip().to_string(),
            Self::Host(host, _) => host.clone(),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Host(_, port) => *port,
        }
    }

    /// All socket addresses behind some of these, in their order, names looked up.
    ///
    /// Names that cannot be looked up within seconds are left out; with nothing
    /// left, the last error says why. They share one limit, so that a name
    /// service that is down does not keep the addresses from being tried.
    pub async fn resolve(list: &[Self]) -> Result<Vec<SocketAddr>, ResolveError> {
        let deadline = Instant::now() + RESOLVED_WITHIN;
        let mut found = Vec::new();
        let mut failed = None;
        for address in list {
            match address {
                Self::Ip(address) => found.push(*address),
                Self::Host(host, port) => {
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
}

impl fmt::Display for NetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl FromStr for NetAddress {
    type Err = AddressError;

    /// Without a port, a tracker's is meant.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, TRACKER_PORT)
    }
}

impl From<SocketAddr> for NetAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let everywhere = |ip: IpAddr| ip == IpAddr::from(Ipv6Addr::UNSPECIFIED);
        let at = |ip, port| Self {
            ip: Some(ip).filter(|ip| !everywhere(*ip)),
            port,
        };
        if let Ok(both) = text.parse::<SocketAddr>() {
            return Ok(at(both.ip(), Some(both.port())));
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse() {
            return Ok(at(ip, None));
        }
        match text.strip_prefix(':').unwrap_or(text).parse() {
            Ok(port) => Ok(Self {
                ip: None,
                port: Some(port),
            }),
            Err(_) => Err(AddressError::new(
                text,
                "ADDR:PORT is wanted, such as 0.0.0.0:3333 or [::]:3333",
            )),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: Some(address.ip()),
            port: Some(address.port()),
        }
    }
}

const WRONG_PORT: &str = "what follows the colon is not a port (1 to 65535)";

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

fn is_label(label: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    (1..=63).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(allowed)
}

/// A text that is no address, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not an address: {why}")]
pub struct AddressError {
    text: String,
    why: &'static str,
}

impl AddressError {
    fn new(text: &str, why: &'static str) -> Self {
        Self {
            text: text.into(),
            why,
        }
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

    /// Looks again. Whether anything has changed.
    pub(crate) fn look(&mut self) -> bool {
        self.are(interfaces())
    }

    /// Whether an address is still this machine's.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        // The interface names one of the many loopback addresses that there are.
        ip.is_loopback() || self.ips.iter().any(|own| own.to_canonical() == ip)
    }

    /// What cannot be found out has not changed.
    fn are(&mut self, ips: Option<Vec<IpAddr>>) -> bool {
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

/// The same address, with an IPv4 one in IPv6 clothes undressed.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, address.port()).into(),
        IpAddr::V6(_) => address,
    }
}

/// What counts as one address: of IPv6, whoever has one has 2^64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into()
        }
        other => other,
    }
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

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, reads) in [
            ("192.168.1.2", "192.168.1.2:3333"),
            ("192.168.1.2:99", "192.168.1.2:99"),
            ("::1", "[::1]:3333"),
            ("[::1]", "[::1]:3333"),
            ("[fd00::7]:65535", "[fd00::7]:65535"),
            ("localhost", "localhost:3333"),
            (" Oak.lan:99\n", "oak.lan:99"),
            ("oak.home.arpa.", "oak.home.arpa.:3333"),
        ] {
            let read: NetAddress = text.parse().expect(text);
            assert_eq!(read.to_string(), reads, "{text:?}");
            assert_eq!(reads.parse(), Ok(read));
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, why) in [
            ("", "it is empty"),
            ("http://oak", "leave out what is before the host"),
            ("oak:", "not a port"),
            ("oak:0", "not a port"),
            ("oak:99999", "not a port"),
            ("[::1", "bracket is not closed"),
            ("[::1]x", "may follow the bracket"),
            ("[oak]:1", "not an IPv6 address"),
            ("300.1.1.1", "neither"),
            ("1.2.3", "neither"),
            ("a b", "neither"),
            ("-oak", "neither"),
            ("a..b", "neither"),
            ("::1:3333:zz", "not a port"),
        ] {
            let error = text.parse::<NetAddress>().expect_err(text).to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn where_to_listen() {
        for (text, ip, port) in [
            ("0.0.0.0:3333", Some("0.0.0.0"), Some(3333)),
            ("[::]:0", None, Some(0)),
            ("[::]", None, None),
            ("127.0.0.1", Some("127.0.0.1"), None),
            ("[::1]", Some("::1"), None),
            (":4000", None, Some(4000)),
            ("4000", None, Some(4000)),
        ] {
            let ip = ip.map(|ip| ip.parse().expect("an IP address"));
            assert_eq!(text.parse(), Ok(ListenAddress { ip, port }), "{text}");
        }
        assert!("oak:1".parse::<ListenAddress>().is_err());
    }

    #[tokio::test]
    async fn localhost_is_found_and_nonsense_is_not() {
        let localhost = NetAddress::host("localhost", 7).expect("a name");
        let found = NetAddress::resolve(&[localhost]).await.expect("is found");
        assert!(
            found.iter().all(|a| a.ip().is_loopback() && a.port() == 7),
            "{found:?}"
        );
        let mixed = NetAddress::resolve(&["1.2.3.4:5".parse().expect("an address")]).await;
        assert_eq!(mixed.expect("is there").len(), 1);
    }

    #[test]
    fn a_machine_that_moves_knows_where_it_is_and_where_it_is_no_more() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an IP address");
        let mut here = Whereabouts {
            listen: "[::]:3334".parse().expect("an address"),
            ips: ips(&["127.0.0.1", "10.0.0.1"]),
        };
        assert!(!here.are(None), "what cannot be found out has not changed");
        assert!(!here.are(Some(ips(&["127.0.0.1", "10.0.0.1"]))));
        assert!(here.are(Some(ips(&["127.0.0.1", "192.168.7.1"]))));
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
