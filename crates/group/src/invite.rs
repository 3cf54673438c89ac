//! An invite: one line to paste on another machine.
//!
//! An invite is `thorp1` followed by base32 of the CA's key (32 bytes), the token (16), each
//! address, and a checksum over all of that (4). An address is a kind (1 byte), its value and its
//! port: kind 4 with 4 bytes, kind 6 with 16 bytes, or kind 1 with a length and a host name.
//! Case, blanks and line breaks are ignored when an invite is read.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE32_NOPAD;
use thiserror::Error;
use thorp_wire::frame::Token;

use crate::address::NetAddress;
use crate::certificate::CaKey;

const PREFIX: &str = "thorp1";
const CHECKSUM: usize = 4;
/// The longest text that is parsed, in bytes.
const MAX_TEXT: usize = 8 * 1024;

/// All that a machine needs to become a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The tracker's addresses, the best one first.
    pub trackers: Vec<NetAddress>,
    /// The group's CA: only a tracker with its certificate is believed.
    pub ca: CaKey,
    /// The secret that lets the machine in.
    pub token: Token,
}

impl Invite {
    /// The maximum number of addresses in an invite; further ones are left out.
    pub const MAX_TRACKERS: usize = 8;

    /// Whether a text may be the beginning of an invite that continues on the next lines.
    pub fn may_go_on(text: &str) -> bool {
        let text = joined(text);
        match text.strip_prefix(PREFIX) {
            Some(rest) => text.len() < MAX_TEXT && is_base32(rest),
            None => !text.is_empty() && PREFIX.starts_with(&text),
        }
    }

    /// Whether a text is an invite, or so long a part of one that it cannot be a file's name. A
    /// whole invite has at least three times as many characters.
    pub fn may_give_away(text: &str) -> bool {
        const TELLING: usize = 32;
        let text = joined(text);
        let rest = text.strip_prefix(PREFIX);
        rest.is_some_and(|rest| rest.len() >= TELLING && is_base32(rest))
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&self.ca.0);
        bytes.extend_from_slice(&self.token.0);
        for address in self.trackers.iter().take(Self::MAX_TRACKERS) {
            put_address(address, &mut bytes);
        }
        bytes.extend_from_slice(&checksum(&bytes));
        let text = BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        write!(f, "{PREFIX}{text}")
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        if text.len() > MAX_TEXT {
            return Err(InviteError::NotAnInvite);
        }
        let line = joined(text);
        let Some(encoded) = line.strip_prefix(PREFIX) else {
            return Err(match line.strip_prefix("thorp") {
                Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => InviteError::Newer,
                _ => InviteError::NotAnInvite,
            });
        };
        let bytes = BASE32_NOPAD
            .decode(encoded.to_ascii_uppercase().as_bytes())
            .map_err(|_| InviteError::Garbled)?;
        let (body, check) = bytes
            .split_last_chunk::<CHECKSUM>()
            .ok_or(InviteError::Garbled)?;
        if checksum(body) != *check {
            return Err(InviteError::Garbled);
        }
        // The checksum is right, so a thorp wrote this; what cannot be read is from a newer one.
        let (&ca, body) = body.split_first_chunk().ok_or(InviteError::Newer)?;
        let (&token, mut body) = body.split_first_chunk().ok_or(InviteError::Newer)?;
        let mut trackers = Vec::new();
        while !body.is_empty() {
            trackers.push(take_address(&mut body).ok_or(InviteError::Newer)?);
        }
        if trackers.is_empty() || trackers.len() > Self::MAX_TRACKERS {
            return Err(InviteError::Newer);
        }
        Ok(Self {
            trackers,
            ca: CaKey(ca),
            token: Token(token),
        })
    }
}

/// Removes blanks and line breaks, and lowercases the rest.
fn joined(text: &str) -> String {
    let letters = text.chars().filter(|c| !c.is_whitespace());
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

fn is_base32(text: &str) -> bool {
    text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7'))
}

fn put_address(address: &NetAddress, out: &mut Vec<u8>) {
    match address {
        NetAddress::Ip(SocketAddr::V4(v4)) => {
            out.push(4);
            out.extend_from_slice(&v4.ip().octets());
        }
        NetAddress::Ip(SocketAddr::V6(v6)) => {
            out.push(6);
            out.extend_from_slice(&v6.ip().octets());
        }
        NetAddress::Host(host, _) => {
            // A valid host name has at most 253 bytes.
            out.push(1);
            out.push(u8::try_from(host.len()).unwrap_or(u8::MAX));
            out.extend(host.bytes().take(u8::MAX.into()));
        }
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

fn take_address(bytes: &mut &[u8]) -> Option<NetAddress> {
    match take::<1>(bytes)? {
        [4] => {
            let ip = take::<4>(bytes)?;
            Some(NetAddress::Ip((ip, take_port(bytes)?).into()))
        }
        [6] => {
            let ip = take::<16>(bytes)?;
            Some(NetAddress::Ip((ip, take_port(bytes)?).into()))
        }
        [1] => {
            let [length] = take::<1>(bytes)?;
            let (host, rest) = bytes.split_at_checked(length.into())?;
            *bytes = rest;
            let host = std::str::from_utf8(host).ok()?;
            NetAddress::host(host, take_port(bytes)?).ok()
        }
        _ => None,
    }
}

fn take_port(bytes: &mut &[u8]) -> Option<u16> {
    take(bytes).map(u16::from_be_bytes)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let hash = digest(&SHA256, body);
    let mut check = [0; CHECKSUM];
    check.copy_from_slice(&hash.as_ref()[..CHECKSUM]);
    check
}

/// What is wrong with a pasted invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InviteError {
    /// The text is not an invite.
    #[error("this is not an invite: an invite is one line that starts with thorp1")]
    NotAnInvite,
    /// The text is an invite in which a character is wrong or missing.
    #[error(
        "this invite is garbled: a character is wrong, or a part is missing; copy the whole line again"
    )]
    Garbled,
    /// The invite is complete, but of a newer version.
    #[error("this invite was made by a newer thorp; upgrade this machine's first")]
    Newer,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = NetAddress> {
        prop_oneof![
            any::<([u8; 4], u16)>().prop_map(|a| NetAddress::Ip(a.into())),
            any::<([u8; 16], u16)>().prop_map(|a| NetAddress::Ip(a.into())),
            (
                "[a-z][a-z0-9-]{0,20}[a-z](\\.[a-z]{2,9}){0,3}",
                any::<u16>()
            )
                .prop_map(|(host, port)| NetAddress::host(&host, port).expect("a host")),
        ]
    }

    fn invite() -> impl Strategy<Value = Invite> {
        let trackers = proptest::collection::vec(address(), 1..=Invite::MAX_TRACKERS);
        (trackers, any::<[u8; 32]>(), any::<[u8; 16]>()).prop_map(|(trackers, ca, token)| Invite {
            trackers,
            ca: CaKey(ca),
            token: Token(token),
        })
    }

    proptest! {
        #[test]
        fn an_invite_reads_back(invite in invite()) {
            prop_assert_eq!(invite.to_string().parse(), Ok(invite));
        }

        #[test]
        fn one_wrong_character_is_noticed(invite in invite(), at in any::<prop::sample::Index>()) {
            let mut line = invite.to_string().into_bytes();
            let at = PREFIX.len() + at.index(line.len() - PREFIX.len());
            line[at] = if line[at] == b'a' { b'b' } else { b'a' };
            let line = String::from_utf8(line).expect("ASCII");
            prop_assert_eq!(line.parse::<Invite>(), Err(InviteError::Garbled));
        }

        #[test]
        fn no_text_is_too_odd_to_be_refused(text in any::<String>()) {
            prop_assert!(text.parse::<Invite>().is_err());
            let behind_prefix = format!("{PREFIX}{text}").parse::<Invite>();
            prop_assert!(behind_prefix.is_err());
        }
    }

    #[test]
    fn every_beginning_of_an_invite_may_go_on() {
        let invite = Invite {
            trackers: vec!["192.168.1.2:3333".parse().expect("an address")],
            ca: CaKey([7; 32]),
            token: Token([9; 16]),
        };
        let line = invite.to_string();
        for end in 1..line.len() {
            let begun = format!(" {}\n", line[..end].to_uppercase());
            assert!(Invite::may_go_on(&begun), "{begun}");
            assert!(begun.parse::<Invite>().is_err(), "{begun}");
        }
        for other in ["", "\n", "thorp join", "thorp2abc", "thorp1abc!", "elm"] {
            assert!(!Invite::may_go_on(other), "{other}");
        }
    }

    #[test]
    fn a_line_is_read_as_people_paste_it() {
        let invite = Invite {
            trackers: vec!["192.168.1.2:3333".parse().expect("an address")],
            ca: CaKey([7; 32]),
            token: Token([9; 16]),
        };
        let line = invite.to_string();
        let (a, b) = line.split_at(40);
        assert_eq!(
            format!("  {}\r\n {b}\n", a.to_uppercase()).parse(),
            Ok(invite)
        );
        assert_eq!(line[..60].parse::<Invite>(), Err(InviteError::Garbled));
        let newer = line.replacen('1', "2", 1);
        assert_eq!(newer.parse::<Invite>(), Err(InviteError::Newer));
        assert_eq!("thorp".parse::<Invite>(), Err(InviteError::NotAnInvite));
    }
}
