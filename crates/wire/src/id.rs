//! A member's key and its human name.
//!
//! Certificates prove that a member has the key: see `thorp-group`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use data_encoding::{Encoding, Specification};
use minicbor::{Decode, Encode};
use thiserror::Error;

/// A member's raw Ed25519 public key.
///
/// Written in lower-case unpadded base32 (RFC 4648): 52 characters, which fit
/// in one DNS label and so in a certificate's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct PeerId(#[cbor(with = "minicbor::bytes")] [u8; 32]);

impl PeerId {
    /// Makes the id of the member with this public key.
    pub const fn new(public_key: [u8; 32]) -> Self {
        Self(public_key)
    }

    /// Returns the raw public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        let (words, _) = self.0.as_chunks();
        words.iter().map(|word| u64::from_be_bytes(*word))
    }

    /// Returns the first eight characters, enough for a user to tell members apart.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

/// The order of the bytes, compared eight at a time and without a call: keys nearly always differ
/// in the first eight.
impl Ord for PeerId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.words().cmp(other.words())
    }
}

impl PartialOrd for PeerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32.encode(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for PeerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = BASE32
            .decode(text.as_bytes())
            .map_err(|_| IdError::NotAPeerId)?;
        bytes.try_into().map(Self).map_err(|_| IdError::NotAPeerId)
    }
}

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    // The alphabet is a valid constant, so the fallback is never used; a unit test encodes with
    // it.
    spec.encoding().unwrap_or(data_encoding::BASE32_NOPAD)
});

/// A machine's human name: `[a-z0-9-]`, 1 to 32 characters, unique in a group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(Arc<str>);

impl MemberName {
    /// The maximum length of a name, in characters.
    pub const MAX: usize = 32;

    /// Returns the nearest valid name to a typed text or a host name.
    ///
    /// Upper case is lowered, other characters that are not allowed become a dash (but no two in
    /// a row, and none at an end), and an empty result becomes `peer`.
    pub fn nearest(text: &str) -> Self {
        let mut name = String::new();
        for c in text.chars() {
            match c.to_ascii_lowercase() {
                c @ ('a'..='z' | '0'..='9') => name.push(c),
                _ if name.ends_with('-') || name.is_empty() => {}
                _ => name.push('-'),
            }
            if name.len() == Self::MAX {
                break;
            }
        }
        match name.trim_end_matches('-') {
            "" => Self("peer".into()),
            name => Self(name.into()),
        }
    }

    /// Returns this name followed by `-number`, shortened if necessary to fit.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let suffix = format!("-{number}");
        let stem = &self.0[..self.0.len().min(Self::MAX - suffix.len())];
        Self(format!("{}{suffix}", stem.trim_end_matches('-')).into())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let allowed = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if text.is_empty()
            || text.len() > Self::MAX
            || text.starts_with('-')
            || text.ends_with('-')
            || !text.bytes().all(allowed)
        {
            return Err(IdError::NotAMemberName);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<C> Encode<C> for MemberName {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for MemberName {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?
            .parse()
            .map_err(|e: IdError| minicbor::decode::Error::message(e).at(d.position()))
    }
}

/// Why a text is not an id or not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// The text is not 52 characters of lower-case base32.
    #[error("a peer id is 52 characters of a-z and 2-7")]
    NotAPeerId,
    /// The text has characters outside `[a-z0-9-]`, is too long or empty, or has a dash at an
    /// end.
    #[error("a name is 1 to 32 characters of a-z, 0-9 and - (not at either end)")]
    NotAMemberName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_is_52_characters_and_reads_back() {
        let id = PeerId::new([0xa5; 32]);
        let text = id.to_string();
        assert_eq!(text.len(), 52);
        assert!(text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7')));
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(id.short(), text[..8]);
    }

    #[test]
    fn peer_ids_are_in_the_order_of_their_bytes() {
        let differing = |at: usize, byte| {
            let mut bytes = [7; 32];
            bytes[at] = byte;
            bytes
        };
        let all: Vec<_> = (0..32)
            .flat_map(|at| [0, 6, 7, 8, 255].map(|byte| differing(at, byte)))
            .collect();
        for (one, other) in all
            .iter()
            .flat_map(|one| all.iter().map(move |other| (one, other)))
        {
            let ids = [one, other].map(|bytes| PeerId::new(*bytes));
            assert_eq!(ids[0].cmp(&ids[1]), one.cmp(other));
        }
    }

    #[test]
    fn what_is_not_a_peer_id_is_refused() {
        let good = PeerId::new([1; 32]).to_string();
        for bad in [
            "",
            "abc",
            &good.to_uppercase(),
            &good[1..],
            &format!("{good}a"),
        ] {
            assert_eq!(bad.parse::<PeerId>(), Err(IdError::NotAPeerId), "{bad}");
        }
        // The last character carries one bit of the key; the other four bits must be zero.
        let twin = format!("{}b", "a".repeat(51));
        assert_eq!(twin.parse::<PeerId>(), Err(IdError::NotAPeerId));
    }

    #[test]
    fn any_text_has_a_nearest_member_name() {
        for (text, name) in [
            ("oak", "oak"),
            ("Oak Tree", "oak-tree"),
            ("--weird__host..", "weird-host"),
            ("", "peer"),
            ("!!!", "peer"),
            (
                "a234567890123456789012345678901-x",
                "a234567890123456789012345678901",
            ),
        ] {
            assert_eq!(MemberName::nearest(text).as_str(), name);
            assert_eq!(name.parse(), Ok(MemberName::nearest(text)));
        }
    }

    #[test]
    fn a_numbered_name_still_fits() {
        let long = MemberName::nearest(&"a".repeat(40));
        let numbered = long.numbered(12);
        assert_eq!(numbered.as_str().len(), MemberName::MAX);
        assert!(numbered.as_str().ends_with("a-12"));
        assert_eq!(MemberName::nearest("oak").numbered(2).as_str(), "oak-2");
    }
}
