//! A set of names, and of names with a holder, in a few bits each. It may also seem to contain
//! what it does not (a Bloom filter).

use minicbor::{Decode, Encode};

use crate::{Name, PeerId};

/// Bits of the filter for each name that it is made for.
const BITS_EACH: usize = 8;
/// Bits that are set for a name.
const BITS_SET: u32 = 4;

/// A set of names, in about a byte each. Of the names that it does not contain some 2 % seem to be
/// in it; with another salt these are other ones.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NameFilter {
    #[n(0)]
    salt: u64,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    bits: Vec<u8>,
}

impl NameFilter {
    /// The maximum length of the filter, in bytes.
    pub const MAX_BYTES: usize = 16 * 1024;
    /// The most names and pairs for which a filter is made.
    pub const MAX_ITEMS: usize = Self::MAX_BYTES * 8 / BITS_EACH;

    /// Creates an empty filter with room for so many names and pairs, at most
    /// [`MAX_ITEMS`](Self::MAX_ITEMS).
    pub fn new(salt: u64, items: usize) -> Self {
        let bytes = (items * BITS_EACH).div_ceil(8);
        Self {
            salt,
            bits: vec![0; bytes.clamp(1, Self::MAX_BYTES)],
        }
    }

    /// Takes the bits as they are in a frame.
    pub fn of_bits(salt: u64, bits: Vec<u8>) -> Self {
        Self { salt, bits }
    }

    /// Adds a name.
    pub fn insert(&mut self, name: &Name) {
        self.put(self.hash_of(name));
    }

    /// Adds a name together with a holder: that this one has it.
    pub fn insert_holder(&mut self, name: &Name, holder: PeerId) {
        self.put(with_holder(self.hash_of(name), holder));
    }

    /// Whether a name was added, or seems to have been.
    pub fn contains(&self, name: &Name) -> bool {
        self.has(self.hash_of(name))
    }

    /// Whether a name was added together with this holder, or seems to have been.
    pub fn contains_holder(&self, name: &Name, holder: PeerId) -> bool {
        self.has(with_holder(self.hash_of(name), holder))
    }

    fn hash_of(&self, name: &Name) -> u64 {
        let salted = hashed(OFFSET, &self.salt.to_be_bytes());
        hashed(salted, name.as_str().as_bytes())
    }

    fn put(&mut self, hash: u64) {
        for bit in self.places(hash) {
            if let Some(byte) = self.bits.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }

    fn has(&self, hash: u64) -> bool {
        self.places(hash).all(|bit| {
            let byte = self.bits.get(bit / 8);
            byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
        })
    }

    /// Returns its length in bytes.
    pub fn length(&self) -> usize {
        self.bits.len()
    }

    /// Returns the bits of an item with this hash, as `frames.md` defines them.
    fn places(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let bits = u32::try_from(self.bits.len() * 8).unwrap_or(u32::MAX);
        let hash = stirred(hash);
        #[expect(clippy::cast_possible_truncation, reason = "its lower half")]
        let (first, step) = (hash as u32, (hash >> 32) as u32 | 1);
        (0..BITS_SET).map(move |nth| {
            let place = first.wrapping_add(step.wrapping_mul(nth));
            place.checked_rem(bits).unwrap_or(0) as usize
        })
    }
}

/// The hash of nothing.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a of 64 bits over more bytes.
fn hashed(hash: u64, bytes: &[u8]) -> u64 {
    let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(hash, add)
}

fn with_holder(name: u64, holder: PeerId) -> u64 {
    hashed(hashed(name, &[0]), holder.as_bytes())
}

/// The upper bits of the hash change little.
fn stirred(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 29
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Name {
        format!("photos/{n}.jpg").parse().expect("a name")
    }

    #[test]
    fn a_filter_has_every_name_that_was_added_and_seems_to_have_few_others() {
        let mut filter = NameFilter::new(7, 1000);
        assert!(!(0..1000).any(|n| filter.contains(&name(n))), "it is empty");
        for n in 0..1000 {
            filter.insert(&name(n));
        }
        assert!((0..1000).all(|n| filter.contains(&name(n))));
        let seeming = (1000..11_000)
            .filter(|n| filter.contains(&name(*n)))
            .count();
        assert!((100..400).contains(&seeming), "{seeming} of 10,000");
    }

    #[test]
    fn with_another_salt_other_names_seem_to_be_in_it() {
        let seeming = |salt| {
            let mut filter = NameFilter::new(salt, 1000);
            for n in 0..1000 {
                filter.insert(&name(n));
            }
            let others = 1000..11_000_usize;
            others
                .filter(|n| filter.contains(&name(*n)))
                .collect::<Vec<_>>()
        };
        let (one, other) = (seeming(1), seeming(2));
        let both = one.iter().filter(|n| other.contains(n)).count();
        assert!(both < one.len() / 5, "{both} of {}", one.len());
    }

    #[test]
    fn a_name_with_a_holder_is_not_the_name_alone_nor_that_with_another_one() {
        let (one, other) = (PeerId::new([1; 32]), PeerId::new([2; 32]));
        let mut filter = NameFilter::new(7, 1000);
        filter.insert_holder(&name(1), one);
        assert!(filter.contains_holder(&name(1), one));
        assert!(!filter.contains_holder(&name(1), other));
        assert!(!filter.contains_holder(&name(2), one));
        assert!(!filter.contains(&name(1)));
    }

    #[test]
    fn a_filter_without_bits_contains_nothing() {
        let empty = NameFilter::of_bits(1, Vec::new());
        assert!(!empty.contains(&name(1)));
        assert_eq!(NameFilter::new(1, 0).length(), 1);
        assert_eq!(
            NameFilter::new(1, usize::MAX / 8).length(),
            NameFilter::MAX_BYTES
        );
    }
}
