//! An address in 6 or 18 bytes: the IP address, then the port, both big-endian (BEP 7, 23).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The length in bytes of an IPv4 address with its port.
pub const V4: usize = 6;
/// The length in bytes of an IPv6 address with its port.
pub const V6: usize = 18;

/// An address as it stands in an answer. An IPv4 address that is mapped into IPv6 is an IPv4
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compact {
    /// Of IPv4.
    V4([u8; V4]),
    /// Of IPv6. A zone does not travel.
    V6([u8; V6]),
}

impl Compact {
    /// Packs an address.
    pub fn of(address: SocketAddr) -> Self {
        let port = address.port().to_be_bytes();
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let mut bytes = [0; V4];
                bytes[..4].copy_from_slice(&ip.octets());
                bytes[4..].copy_from_slice(&port);
                Self::V4(bytes)
            }
            IpAddr::V6(ip) => {
                let mut bytes = [0; V6];
                bytes[..16].copy_from_slice(&ip.octets());
                bytes[16..].copy_from_slice(&port);
                Self::V6(bytes)
            }
        }
    }

    /// Returns the packed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }

    /// Unpacks the address.
    pub fn address(self) -> SocketAddr {
        match self {
            Self::V4([a, b, c, d, high, low]) => {
                let ip = Ipv4Addr::new(a, b, c, d);
                SocketAddr::new(ip.into(), u16::from_be_bytes([high, low]))
            }
            Self::V6(bytes) => {
                let mut ip = [0; 16];
                ip.copy_from_slice(&bytes[..16]);
                let port = u16::from_be_bytes([bytes[16], bytes[17]]);
                SocketAddr::new(IpAddr::from(Ipv6Addr::from(ip)).to_canonical(), port)
            }
        }
    }
}

/// Returns the addresses in a run of packed IPv4 addresses. Bytes after the last whole one are
/// ignored.
pub fn addresses_v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (packed, _) = bytes.as_chunks::<V4>();
    packed.iter().map(|bytes| Compact::V4(*bytes).address())
}

/// Returns the addresses in a run of packed IPv6 addresses. Bytes after the last whole one are
/// ignored.
pub fn addresses_v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (packed, _) = bytes.as_chunks::<V6>();
    packed.iter().map(|bytes| Compact::V6(*bytes).address())
}

/// Packs the addresses of each family into one run.
pub fn runs_of(addresses: &[SocketAddr]) -> (Vec<u8>, Vec<u8>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in addresses {
        match Compact::of(*address) {
            Compact::V4(bytes) => v4.extend_from_slice(&bytes),
            Compact::V6(bytes) => v6.extend_from_slice(&bytes),
        }
    }
    (v4, v6)
}
