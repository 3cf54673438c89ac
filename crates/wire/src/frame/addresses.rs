//! Socket addresses as byte strings: 6 bytes for IPv4, 18 for IPv6, the port last and big-endian
//! (the compact form of BEP 23 and BEP 7).
//!
//! An IPv4 address that a dual-stack socket reports as IPv6 (`::ffff:1.2.3.4`) is encoded and
//! decoded as IPv4, so that each address has one form. The node that dials an address judges
//! whether it makes sense (port 0, loopback, another network). Scope ids have no meaning on
//! another machine and are not sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use minicbor::decode::Error;
use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

pub(super) fn encode<C, W: Write>(
    addresses: &[SocketAddr],
    e: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.array(addresses.len() as u64)?;
    for address in addresses {
        let port = address.port().to_be_bytes();
        match address.ip().to_canonical() {
            IpAddr::V4(v4) => e.bytes(&[&v4.octets()[..], &port].concat())?,
            IpAddr::V6(v6) => e.bytes(&[&v6.octets()[..], &port].concat())?,
        };
    }
    Ok(())
}

pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<SocketAddr>, Error> {
    let mut addresses = Vec::new();
    for bytes in d.array_iter::<&minicbor::bytes::ByteSlice>()? {
        addresses.push(address(bytes?).ok_or_else(|| Error::message("not an address"))?);
    }
    Ok(addresses)
}

fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    if let Ok(v4) = <[u8; 4]>::try_from(ip) {
        return Some((Ipv4Addr::from(v4), port).into());
    }
    let v6 = <[u8; 16]>::try_from(ip).ok()?;
    Some((Ipv6Addr::from(v6).to_canonical(), port).into())
}
