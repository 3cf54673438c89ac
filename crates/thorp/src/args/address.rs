//! Addresses as people type them. Nothing is resolved here.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Where a tracker listens unless told otherwise.
pub const TRACKER_PORT: u16 = 3333;

/// A tracker's address: `host`, `ip`, `ip:port`, `[v6]:port`, `v6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("an address is wanted, such as 192.168.198.138".into());
        }
        if text.contains("//") {
            return Err("an address is not a URL: leave out what is before the host".into());
        }
        // A bare IPv6 address is full of colons; none of them starts a port.
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self::new(text, TRACKER_PORT));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (ip, port) = rest
                .split_once(']')
                .ok_or("the bracket of an IPv6 address is not closed")?;
            ip.parse::<Ipv6Addr>()
                .map_err(|_| format!("{ip} is not an IPv6 address"))?;
            let port = match port.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if port.is_empty() => TRACKER_PORT,
                None => return Err(format!("{port} follows the bracket; a :port may")),
            };
            return Ok(Self::new(ip, port));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, TRACKER_PORT),
        };
        if !is_host(host) {
            return Err(format!("{host:?} is neither a host name nor an IP address"));
        }
        Ok(Self::new(host, port))
    }
}

impl Address {
    fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where to listen: `ip:port`, `ip`, `:port` or `port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `::` (everywhere, IPv4 too) unless told otherwise.
    pub ip: IpAddr,
    /// Nothing: the role's default, or the next free one.
    pub port: Option<u16>,
}

impl Listen {
    /// The same for the node: nothing said of the port means the default one.
    pub fn for_node(self, default: u16) -> thorp_node::listener::Listen {
        use thorp_node::listener::Listen as To;
        match (self.ip.is_unspecified(), self.port) {
            (true, Some(port)) => To::Port(port),
            (true, None) => To::PortOrNext(default),
            (false, port) => To::Exactly(SocketAddr::new(self.ip, port.unwrap_or(default))),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(both) = text.parse::<SocketAddr>() {
            return Ok(Self {
                ip: both.ip(),
                port: Some(both.port()),
            });
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self { ip, port: None });
        }
        let port = text.strip_prefix(':').unwrap_or(text);
        let port = port
            .parse()
            .map_err(|_| "ADDR:PORT is wanted, such as 0.0.0.0:3333 or [::]:3333".to_owned())?;
        Ok(Self {
            ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            port: Some(port),
        })
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a port (1 to 65535)")),
        Ok(port) => Ok(port),
    }
}

fn is_host(host: &str) -> bool {
    // Digits and dots only: an address, and then a right one.
    if host.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return host.parse::<IpAddr>().is_ok();
    }
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_address() {
        let cases = [
            ("192.168.198.138", "192.168.198.138:3333"),
            ("192.168.198.138:4000", "192.168.198.138:4000"),
            ("localhost", "localhost:3333"),
            ("oak.home.arpa:1", "oak.home.arpa:1"),
            ("::1", "[::1]:3333"),
            ("[::1]", "[::1]:3333"),
            ("[fd00::7]:65535", "[fd00::7]:65535"),
            (" oak ", "oak:3333"),
        ];
        for (typed, shown) in cases {
            let address: Address = typed.parse().expect(typed);
            assert_eq!(address.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address() {
        for typed in [
            "",
            " ",
            "256.1.1.1",
            "1.2.3",
            "oak:0",
            "oak:70000",
            "oak:",
            "http://oak",
            "[::1",
            "[::1]x",
            "[oak]:1",
            "a b",
            "-oak",
            "a..b",
            "::1:3333:zz",
        ] {
            assert!(typed.parse::<Address>().is_err(), "{typed}");
        }
    }

    #[test]
    fn where_to_listen() {
        let cases = [
            ("0.0.0.0:3333", "0.0.0.0", Some(3333)),
            ("[::]:0", "::", Some(0)),
            ("127.0.0.1", "127.0.0.1", None),
            ("[::1]", "::1", None),
            (":4000", "::", Some(4000)),
            ("4000", "::", Some(4000)),
        ];
        for (typed, ip, port) in cases {
            let listen: Listen = typed.parse().expect(typed);
            assert_eq!((listen.ip.to_string().as_str(), listen.port), (ip, port));
        }
        assert!("oak:1".parse::<Listen>().is_err());
    }
}
