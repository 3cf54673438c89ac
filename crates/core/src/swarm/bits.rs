//! A set of piece numbers, with one bit for each piece of a file.

/// Which pieces a peer has. Contains no numbers beyond the end of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
    /// The number of pieces of the file.
    size: u32,
    /// The number of pieces in the set.
    count: u32,
}

impl Bits {
    /// Returns an empty set for a file of `size` pieces.
    pub fn none(size: u32) -> Self {
        Self {
            words: vec![0; size.div_ceil(64) as usize],
            size,
            count: 0,
        }
    }

    /// Returns the set of all pieces.
    pub fn all(size: u32) -> Self {
        let mut bits = Self::none(size);
        for number in 0..size {
            bits.insert(number);
        }
        bits
    }

    /// Reads a bitfield message (BEP 3): the high bit of the first byte is piece 0. `None` if the
    /// length does not fit the number of pieces, or a bit beyond the last piece is set.
    pub fn from_bitfield(bytes: &[u8], size: u32) -> Option<Self> {
        if bytes.len() != size.div_ceil(8) as usize {
            return None;
        }
        let mut bits = Self::none(size);
        for (at, byte) in (0u32..).zip(bytes) {
            for bit in (0..8).filter(|bit| byte & (0x80 >> bit) != 0) {
                let number = at * 8 + bit;
                if number >= size {
                    return None;
                }
                bits.insert(number);
            }
        }
        Some(bits)
    }

    /// Returns the set in the format of a bitfield message (BEP 3).
    pub fn to_bitfield(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size.div_ceil(8) as usize];
        for number in self.iter() {
            bytes[number as usize / 8] |= 0x80 >> (number % 8);
        }
        bytes
    }

    /// Whether a piece is in the set.
    pub fn has(&self, number: u32) -> bool {
        let word = self.words.get(number as usize / 64).copied().unwrap_or(0);
        word & (1 << (number % 64)) != 0
    }

    /// Inserts a piece; numbers beyond the end of the file are ignored. Returns whether it was
    /// new.
    pub fn insert(&mut self, number: u32) -> bool {
        if number >= self.size || self.has(number) {
            return false;
        }
        self.words[number as usize / 64] |= 1 << (number % 64);
        self.count += 1;
        true
    }

    /// Returns the number of pieces in the set.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether the set contains every piece.
    pub fn is_full(&self) -> bool {
        self.count == self.size
    }

    /// Returns how much of each of some equal parts is in the set, from 0 (nothing) to 9 (all).
    pub fn parts(&self, most: u32) -> Vec<u8> {
        let parts = self.size.min(most);
        let start = |part: u32| {
            let start = u64::from(part) * u64::from(self.size) / u64::from(parts.max(1));
            u32::try_from(start).unwrap_or(self.size)
        };
        let of_part = |part| {
            let (from, to) = (start(part), start(part + 1));
            let have = (from..to).filter(|number| self.has(*number)).count() as u64;
            let tenths = have * 9 / u64::from(to - from).max(1);
            // A little is not nothing.
            u8::try_from(tenths.max(u64::from(have > 0))).unwrap_or(9)
        };
        (0..parts).map(of_part).collect()
    }

    /// Returns the pieces in the set in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.size).filter(|number| self.has(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_say_how_much_of_each_is_there() {
        let mut bits = Bits::none(1000);
        let fill = |bits: &mut Bits, numbers: std::ops::Range<u32>| {
            for number in numbers {
                bits.insert(number);
            }
        };
        assert_eq!(bits.parts(4), [0, 0, 0, 0]);
        fill(&mut bits, 0..250);
        bits.insert(250);
        fill(&mut bits, 500..749);
        assert_eq!(bits.parts(4), [9, 1, 8, 0]);
        assert_eq!(Bits::all(3).parts(100), [9, 9, 9]);
        assert!(Bits::none(0).parts(100).is_empty());
    }

    #[test]
    fn a_bitfield_begins_at_the_high_bit_of_the_first_byte() {
        let mut bits = Bits::none(10);
        bits.insert(0);
        bits.insert(9);
        assert_eq!(bits.to_bitfield(), [0x80, 0x40]);
        assert_eq!(Bits::from_bitfield(&[0x80, 0x40], 10), Some(bits));
    }

    #[test]
    fn a_bitfield_of_the_wrong_length_or_with_pieces_beyond_the_end_is_rejected() {
        assert_eq!(Bits::from_bitfield(&[0x80], 10), None);
        assert_eq!(Bits::from_bitfield(&[0x80, 0, 0], 10), None);
        assert_eq!(Bits::from_bitfield(&[0, 0x20], 10), None);
    }

    #[test]
    fn a_full_set_has_every_number_and_none_beyond() {
        let bits = Bits::all(65);
        assert!(bits.is_full() && bits.has(64) && !bits.has(65));
        assert_eq!(bits.count(), 65);
    }
}
