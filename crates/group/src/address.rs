//! Addresses as users write them.
//!
//! This module handles values only, with one exception: the zone of a link-local address is the
//! name of an interface, which is looked up here. `thorp-node`, which has the sockets, resolves
//! host names and finds this machine's own addresses.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use thiserror::Error;

/// The default port of a node that contains a tracker.
pub const TRACKER_PORT: u16 = 3333;
/// The default port of any other node.
pub const PEER_PORT: u16 = 3334;

/// Where a tracker is: a socket address, or a host name and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NetAddress {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A host name, checked by [`NetAddress::host`], and a port.
    Host(String, u16),
}

/// Where to listen, as users write it: `ip:port`, `ip`, `:port` or `port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// The address; `None` means all addresses, IPv6 and IPv4.
    pub ip: Option<IpAddr>,
    /// The port; `None` means the default port of the node's kind.
    pub port: Option<u16>,
    /// The interface number of a link-local address; 0 if there is none.
    pub zone: u32,
}

/// Where others reach a node that cannot find that out by itself, such as one behind a router:
/// `address` or `address:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OuterAddress {
    address: NetAddress,
    has_port: bool,
}

impl OuterAddress {
    /// Returns the address, with `port` if the user named none.
    pub fn at(&self, port: u16) -> NetAddress {
        match &self.address {
            address if self.has_port => address.clone(),
            NetAddress::Ip(address) => NetAddress::Ip((address.ip(), port).into()),
            NetAddress::Host(host, _) => NetAddress::Host(host.clone(), port),
        }
    }
}

impl FromStr for OuterAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // A user cannot type port 0, so 0 stands for "no port named".
        let address = NetAddress::parse(text, 0)?;
        let has_port = address.port() != 0;
        Ok(Self { address, has_port })
    }
}

impl NetAddress {
    /// Parses `address` or `address:port`, in any of the usual notations.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, AddressError> {
        let text = text.trim();
        let wrong = |why| AddressError::new(text, why);
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if text.contains("//") {
            return Err(wrong("leave out what is before the host"));
        }
        let zoned = |text: &str, otherwise| match with_zone(text) {
            Ok((ip, zone)) => Ok((ip, zone)),
            Err(None) => Err(wrong(otherwise)),
            Err(Some(why)) => Err(wrong(why)),
        };
        let at = |(ip, zone), port| Self::Ip(SocketAddrV6::new(ip, port, 0, zone).into());
        // The colons of a bare IPv6 address do not introduce a port.
        if text.parse::<Ipv6Addr>().is_ok() || (text.contains('%') && !text.starts_with('[')) {
            let found = zoned(text, "a zone follows an IPv6 address only")?;
            return Ok(at(found, default_port));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (ip, port) = rest
                .split_once(']')
                .ok_or_else(|| wrong("the bracket is not closed"))?;
            let found = zoned(ip, "what is in the brackets is not an IPv6 address")?;
            let port = match port.strip_prefix(':') {
                Some(port) => parse_port(port).ok_or_else(|| wrong(WRONG_PORT))?,
                None if port.is_empty() => default_port,
                None => return Err(wrong("only a colon and a port may follow the bracket")),
            };
            return Ok(at(found, port));
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

    /// Makes an address of a host name, whose form is checked.
    pub fn host(host: &str, port: u16) -> Result<Self, AddressError> {
        let numeric = host.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        // A trailing dot marks a fully qualified name.
        let labels = host.strip_suffix('.').unwrap_or(host);
        if numeric || host.len() > 253 || !labels.split('.').all(is_label) {
            return Err(AddressError::new(host, "it is not a host name"));
        }
        Ok(Self::Host(host.to_ascii_lowercase(), port))
    }

    /// Returns the IP address or the host name, without the port.
    pub fn host_text(&self) -> String {
        match self {
            Self::Ip(address) => address.ip().to_string(),
            Self::Host(host, _) => host.clone(),
        }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Host(_, port) => *port,
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

    /// Without a port, the default port of a tracker is used.
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
            zone: 0,
        };
        if text.contains('%') {
            let NetAddress::Ip(SocketAddr::V6(address)) = NetAddress::parse(text, NO_PORT)? else {
                return Err(AddressError::new(
                    text,
                    "a zone follows an IPv6 address only",
                ));
            };
            return Ok(Self {
                ip: Some((*address.ip()).into()),
                port: Some(address.port()).filter(|port| *port != NO_PORT),
                zone: address.scope_id(),
            });
        }
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
                zone: 0,
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
            zone: match address {
                SocketAddr::V6(address) => address.scope_id(),
                SocketAddr::V4(_) => 0,
            },
        }
    }
}

/// Stands for "no port named", since a user cannot type this port.
const NO_PORT: u16 = 0;

/// Parses an IPv6 address and its zone. Returns the number of the zone's interface, or 0 without
/// a zone. Fails with `None` if the text is not an IPv6 address, and with a reason if only its
/// zone is wrong.
fn with_zone(text: &str) -> Result<(Ipv6Addr, u32), Option<&'static str>> {
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone)),
        None => (text, None),
    };
    let ip: Ipv6Addr = ip.parse().map_err(|_| None)?;
    let Some(zone) = zone else { return Ok((ip, 0)) };
    if !ip.is_unicast_link_local() {
        return Err(Some("only a link-local address (fe80::) has a zone"));
    }
    let number = zone.parse().ok().filter(|number| *number != 0);
    let number = number.or_else(|| interface(zone));
    let number = number.ok_or("there is no interface of the name behind the %: see `ip link`")?;
    Ok((ip, number))
}

/// Returns the number of this machine's interface with this name.
fn interface(name: &str) -> Option<u32> {
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    let file = is_name.then(|| format!("/sys/class/net/{name}/ifindex"))?;
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

const WRONG_PORT: &str = "what follows the colon is not a port (1 to 65535)";

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

fn is_label(label: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    (1..=63).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(allowed)
}

/// A text that is not an address, and what is wrong with it.
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

/// Turns an IPv4-mapped IPv6 address into IPv4, and returns any other address unchanged.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, address.port()).into(),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_link_local_address_has_a_zone_by_name_or_number() {
        for text in [
            "fe80::1%lo",
            "[fe80::1%lo]",
            "[fe80::1%lo]:3333",
            "fe80::1%1",
        ] {
            let read: NetAddress = text.parse().expect(text);
            // Linux numbers the loopback interface 1.
            assert_eq!(read.to_string(), "[fe80::1%1]:3333", "{text}");
            assert_eq!("[fe80::1%1]:3333".parse(), Ok(read));
        }
        let listen: ListenAddress = "[fe80::1%lo]:99".parse().expect("an address");
        assert_eq!((listen.zone, listen.port), (1, Some(99)));
        let listen: ListenAddress = "fe80::1%lo".parse().expect("an address");
        assert_eq!((listen.zone, listen.port), (1, None));
        for (text, why) in [
            ("fd00::1%lo", "link-local"),
            ("fe80::1%no-such", "no interface"),
            ("fe80::1%", "no interface"),
            ("fe80::1%../lo", "no interface"),
            ("10.0.0.1%lo", "IPv6"),
            ("oak%lo", "IPv6"),
        ] {
            let error = text.parse::<NetAddress>().expect_err(text).to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_outer_address_has_the_port_of_the_node_unless_it_has_its_own() {
        for (text, at) in [
            ("203.0.113.5", "203.0.113.5:3334"),
            ("203.0.113.5:4000", "203.0.113.5:4000"),
            ("oak.example:4000", "oak.example:4000"),
            ("oak.example", "oak.example:3334"),
            ("2001:db8::7", "[2001:db8::7]:3334"),
        ] {
            let outer: OuterAddress = text.parse().expect(text);
            assert_eq!(outer.at(3334).to_string(), at);
        }
        assert!("oak:0".parse::<OuterAddress>().is_err());
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
            let zone = 0;
            assert_eq!(text.parse(), Ok(ListenAddress { ip, port, zone }), "{text}");
        }
        assert!("oak:1".parse::<ListenAddress>().is_err());
    }
}
