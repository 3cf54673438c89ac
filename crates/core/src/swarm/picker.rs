//! Which piece to begin next: the rarest first.
//!
//! Owns how many of the connected peers have each piece, and keeps the pieces that are not begun
//! yet sorted by that, so that picking does not walk over all of them. Does not begin pieces; it
//! is told which were begun.
//!
//! Equally rare pieces are in random order; a piece gets a new random place whenever its rarity
//! changes. Besides, peers that start at the same time divide equally rare pieces among themselves
//! by a [`Turn`].

use super::bits::Bits;

/// Pieces with this many copies or more count as equally common.
const PLENTY: usize = 30;
/// The rank of pieces that are not to be begun: under way or verified already.
const OUT: usize = PLENTY + 1;
/// How many pieces of equal rarity are checked to find one that belongs to this peer's [`Turn`].
const LOOKED_AT: usize = 256;

/// The pieces in the order in which they are wanted.
///
/// Invariant: `order[starts[n]..starts[n + 1]]` are the pieces of rank `n`, and `order[place[p]]`
/// is `p`.
#[derive(Debug)]
pub struct Picker {
    order: Vec<u32>,
    place: Vec<u32>,
    starts: [u32; OUT + 2],
    pieces: Vec<Copies>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Copies {
    /// The number of peers that have the piece, without those that have the whole file.
    number: u16,
    out: bool,
}

/// This peer's share of the pieces that several members want: it is member number `mine` of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// This peer's number, in the order of the members' ids.
    pub mine: u32,
    /// The number of members.
    pub of: u32,
}

impl Picker {
    /// Creates a picker with all pieces in random order; those in `had` are not to be begun.
    pub fn new(had: &Bits, number: u32, rng: &mut fastrand::Rng) -> Self {
        let mut order: Vec<u32> = (0..number).collect();
        rng.shuffle(&mut order);
        let mut place = vec![0; order.len()];
        for (at, piece) in (0..).zip(&order) {
            place[*piece as usize] = at;
        }
        let mut starts = [number; OUT + 2];
        starts[0] = 0;
        let mut picker = Self {
            pieces: vec![Copies::default(); order.len()],
            order,
            place,
            starts,
        };
        for piece in had.iter() {
            picker.take(piece);
        }
        picker
    }

    /// Counts one more peer with the piece. Peers that have the whole file are not counted.
    pub fn more(&mut self, piece: u32, rng: &mut fastrand::Rng) {
        self.change(piece, Some(rng), |copies| copies.number += 1);
    }

    /// Counts one peer less with the piece.
    pub fn fewer(&mut self, piece: u32, rng: &mut fastrand::Rng) {
        self.change(piece, Some(rng), |copies| {
            copies.number = copies.number.saturating_sub(1);
        });
    }

    /// Marks a piece as under way or verified.
    pub fn take(&mut self, piece: u32) {
        self.change(piece, None, |copies| copies.out = true);
    }

    /// Marks a piece as not begun after all.
    pub fn put_back(&mut self, piece: u32, rng: &mut fastrand::Rng) {
        self.change(piece, Some(rng), |copies| copies.out = false);
    }

    /// Whether every piece is under way or verified.
    pub fn is_exhausted(&self) -> bool {
        self.starts[OUT] == 0
    }

    /// Whether a piece is not begun yet.
    pub fn is_wanted(&self, piece: u32) -> bool {
        let copies = self.pieces.get(piece as usize);
        copies.is_some_and(|copies| !copies.out)
    }

    /// Returns the next piece to begin among those that `has` accepts: the rarest or, of several
    /// equally rare ones, preferably one in this peer's `turn`.
    pub fn next(&self, turn: Turn, has: impl Fn(u32) -> bool) -> Option<u32> {
        let wanted = &self.order[..self.starts[OUT] as usize];
        let first = wanted.iter().position(|piece| has(*piece))?;
        let rank = self.rank(wanted[first]);
        let end = self.starts[rank + 1] as usize;
        let equal = wanted[first..end].iter().take(LOOKED_AT);
        let ours = equal
            .copied()
            .find(|piece| turn.is_for(*piece) && has(*piece));
        ours.or(Some(wanted[first]))
    }

    /// Returns a random piece that `has` accepts, whatever its rarity.
    pub fn any(&self, rng: &mut fastrand::Rng, has: impl Fn(u32) -> bool) -> Option<u32> {
        let wanted = &self.order[..self.starts[OUT] as usize];
        let (before, after) = wanted.split_at(rng.usize(0..=wanted.len()));
        let mut from_there = after.iter().chain(before).copied();
        from_there.find(|piece| has(*piece))
    }

    fn rank(&self, piece: u32) -> usize {
        let copies = self.pieces[piece as usize];
        if copies.out {
            OUT
        } else {
            usize::from(copies.number).min(PLENTY)
        }
    }

    fn change(
        &mut self,
        piece: u32,
        rng: Option<&mut fastrand::Rng>,
        change: impl FnOnce(&mut Copies),
    ) {
        if piece as usize >= self.pieces.len() {
            return;
        }
        let before = self.rank(piece);
        change(&mut self.pieces[piece as usize]);
        let after = self.rank(piece);
        if before == after {
            return;
        }
        // Moves the piece across one border between ranks after the other.
        for rank in before..after {
            self.starts[rank + 1] -= 1;
            self.swap(self.place[piece as usize], self.starts[rank + 1]);
        }
        for rank in (after..before).rev() {
            self.swap(self.place[piece as usize], self.starts[rank + 1]);
            self.starts[rank + 1] += 1;
        }
        if let Some(rng) = rng {
            let other = rng.u32(self.starts[after]..self.starts[after + 1]);
            self.swap(self.place[piece as usize], other);
        }
    }

    fn swap(&mut self, a: u32, b: u32) {
        self.order.swap(a as usize, b as usize);
        for at in [a, b] {
            self.place[self.order[at as usize] as usize] = at;
        }
    }
}

impl Turn {
    /// A swarm without other members: every piece belongs to this peer.
    #[cfg(test)]
    const ALONE: Self = Self { mine: 0, of: 1 };

    /// Whether a piece belongs to this peer. All members that know the same members agree on it.
    fn is_for(self, piece: u32) -> bool {
        // Gives adjacent pieces to different members, without a regular pattern.
        let mixed = piece.wrapping_mul(0x9e37_79b1);
        self.of <= 1 || (mixed >> 8) % self.of == self.mine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picker(number: u32) -> (Picker, fastrand::Rng) {
        let mut rng = fastrand::Rng::with_seed(1);
        (Picker::new(&Bits::none(number), number, &mut rng), rng)
    }

    fn is_sound(picker: &Picker) {
        for rank in 0..=OUT {
            for at in picker.starts[rank]..picker.starts[rank + 1] {
                let piece = picker.order[at as usize];
                assert_eq!(picker.rank(piece), rank);
                assert_eq!(picker.place[piece as usize], at);
            }
        }
    }

    #[test]
    fn the_rarest_piece_comes_first() {
        let (mut picker, mut rng) = picker(5);
        for piece in [0, 1, 1, 2, 3, 4, 4] {
            picker.more(piece, &mut rng);
        }
        picker.more(3, &mut rng);
        picker.more(0, &mut rng);
        assert_eq!(picker.next(Turn::ALONE, |_| true), Some(2));
        assert_ne!(picker.next(Turn::ALONE, |piece| piece != 2), Some(2));
    }

    #[test]
    fn a_piece_that_is_begun_is_not_picked_again() {
        let (mut picker, _) = picker(2);
        picker.take(0);
        assert_eq!(picker.next(Turn::ALONE, |_| true), Some(1));
        picker.take(1);
        assert_eq!(picker.next(Turn::ALONE, |_| true), None);
        assert_eq!(picker.any(&mut fastrand::Rng::with_seed(2), |_| true), None);
    }

    #[test]
    fn peers_with_different_seeds_begin_with_different_pieces() {
        let first = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            Picker::new(&Bits::none(1000), 1000, &mut rng).next(Turn::ALONE, |_| true)
        };
        assert_ne!(first(1), first(2));
        assert_eq!(first(1), first(1));
    }

    #[test]
    fn eight_peers_that_take_turns_pick_eight_different_pieces() {
        let picked: std::collections::BTreeSet<_> = (0..8)
            .map(|mine| {
                let mut rng = fastrand::Rng::with_seed(mine.into());
                let picker = Picker::new(&Bits::none(800), 800, &mut rng);
                picker.next(Turn { mine, of: 8 }, |_| true)
            })
            .collect();
        assert_eq!(picked.len(), 8);
    }

    #[test]
    fn the_order_stays_sound_whatever_peers_come_and_go() {
        let (mut picker, mut rng) = picker(40);
        for _ in 0..5000 {
            let piece = rng.u32(0..40);
            match rng.u32(0..20) {
                0 => picker.take(piece),
                1..=8 => picker.fewer(piece, &mut rng),
                _ => picker.more(piece, &mut rng),
            }
        }
        is_sound(&picker);
        let next = picker.next(Turn::ALONE, |_| true);
        let rarest = (0..40).filter(|piece| picker.is_wanted(*piece));
        let rarest = rarest.min_by_key(|piece| picker.rank(*piece));
        assert_eq!(
            next.map(|piece| picker.rank(piece)),
            rarest.map(|piece| picker.rank(piece))
        );
    }
}
