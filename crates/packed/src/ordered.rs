//! Small values in an order that only their owner knows.

/// Small values, as a rule numbers of a [`Dense`](crate::Dense), in an order that their
/// owner knows and says with each question.
///
/// They are kept in blocks, of which two that stand side by side are more than half full
/// together; where all comes in order, each is full.
#[derive(Clone, Debug)]
pub struct Ordered<T> {
    /// None is empty.
    blocks: Vec<Vec<T>>,
    len: usize,
    /// Behind the value that was put in last, or where the last one was taken out: as a
    /// rule the next one belongs there.
    latest: Between,
}

/// A place between two values, or at an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Between {
    block: usize,
    at: usize,
}

/// The most values in a block.
const BLOCK: usize = if cfg!(test) { 16 } else { 512 };
/// Two neighbours with no more together than this become one.
const SPARSE: usize = BLOCK / 2 + BLOCK / 4;
/// How many values there is room made for at a time.
const ROOM: usize = BLOCK / 8;

impl<T: Copy> Ordered<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place behind all values that are before it. `is_before` is to hold for the
    /// first values, and for no other.
    pub fn place(&self, mut is_before: impl FnMut(T) -> bool) -> Between {
        if self.is_latest(&mut is_before) {
            return self.latest;
        }
        let behind = self.blocks.partition_point(|block| is_before(block[0]));
        let block = behind.saturating_sub(1);
        let at = self.blocks.get(block).map_or(0, |values| {
            values.partition_point(|value| is_before(*value))
        });
        Between { block, at }
    }

    fn is_latest(&self, is_before: &mut impl FnMut(T) -> bool) -> bool {
        let Between { block, at } = self.latest;
        let before = at.checked_sub(1);
        let before = before.and_then(|before| self.blocks.get(block)?.get(before));
        before.is_some_and(|before| is_before(*before))
            && self.get(self.latest).is_none_or(|next| !is_before(next))
    }

    /// The value behind a place.
    pub fn get(&self, place: Between) -> Option<T> {
        let Between { block, at } = self.behind(place);
        self.blocks.get(block)?.get(at).copied()
    }

    /// The value before a place.
    pub fn get_before(&self, place: Between) -> Option<T> {
        self.before(place).next_back()
    }

    /// Puts a value there.
    pub fn insert(&mut self, place: Between, value: T) {
        self.len += 1;
        let Between { mut block, mut at } = place;
        match self.blocks.get(block).map(Vec::len) {
            None => self.blocks.push(Vec::new()),
            Some(BLOCK) if at == BLOCK => {
                // What comes in order leaves full blocks behind.
                (block, at) = (block + 1, 0);
                let next = self.blocks.get(block);
                if next.is_none_or(|next| next.len() == BLOCK) {
                    self.blocks.insert(block, Vec::new());
                }
            }
            Some(BLOCK) => {
                // As many as come in order go on where they are, unless they are so few that
                // a member that chooses the order would leave many small blocks behind.
                let is_next = place == self.latest && at >= BLOCK / 2;
                let half = if is_next { at } else { BLOCK / 2 };
                let behind = self.blocks[block].split_off(half);
                self.blocks[block].shrink_to_fit();
                self.blocks.insert(block + 1, behind);
                self.join(block + 1);
                if at > half {
                    (block, at) = (block + 1, at - half);
                }
            }
            Some(_) => {}
        }
        self.latest = Between { block, at: at + 1 };
        let values = &mut self.blocks[block];
        if values.len() == values.capacity() {
            let more = (values.len() / 2).clamp(ROOM.min(4), ROOM);
            values.reserve_exact(more.min(BLOCK - values.len()));
        }
        values.insert(at, value);
    }

    /// Puts another value in the place of the one behind it.
    pub fn replace(&mut self, place: Between, value: T) {
        let Between { block, at } = self.behind(place);
        self.blocks[block][at] = value;
    }

    /// Removes the value behind a place.
    pub fn remove(&mut self, place: Between) -> T {
        let Between { block, at } = self.behind(place);
        let removed = self.blocks[block].remove(at);
        self.latest = Between { block, at };
        self.len -= 1;
        if block > 0 {
            self.join(block - 1);
        }
        self.join(block);
        if self.blocks.get(block).is_some_and(Vec::is_empty) {
            self.blocks.remove(block);
        }
        removed
    }

    /// All of them.
    pub fn all(&self) -> Values<'_, T> {
        self.from(Between::default())
    }

    /// Those behind a place.
    pub fn from(&self, place: Between) -> Values<'_, T> {
        Values {
            blocks: &self.blocks,
            start: self.behind(place),
            end: self.end(),
        }
    }

    /// Those before a place.
    pub fn before(&self, place: Between) -> Values<'_, T> {
        Values {
            blocks: &self.blocks,
            start: Between::default(),
            end: self.behind(place),
        }
    }

    /// How many values there is room for.
    pub fn capacity(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }

    fn end(&self) -> Between {
        Between {
            block: self.blocks.len(),
            at: 0,
        }
    }

    /// The same place, named by the value behind it: the end of a block is the
    /// beginning of the next.
    fn behind(&self, place: Between) -> Between {
        match self.blocks.get(place.block) {
            None => self.end(),
            Some(values) if place.at < values.len() => place,
            Some(_) => Between {
                block: place.block + 1,
                at: 0,
            },
        }
    }

    /// Makes a block and the one behind it one, where they are sparse, and gives back
    /// what room it has to spare.
    fn join(&mut self, block: usize) {
        let both = self.blocks.get(block).zip(self.blocks.get(block + 1));
        if both.is_some_and(|(one, next)| one.len() + next.len() <= SPARSE) {
            let next = self.blocks.remove(block + 1);
            let values = &mut self.blocks[block];
            values.reserve_exact(next.len());
            values.extend(next);
        }
        if let Some(values) = self.blocks.get_mut(block)
            && values.capacity() - values.len() > 2 * ROOM
        {
            values.shrink_to(values.len() + ROOM);
        }
    }
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            len: 0,
            latest: Between::default(),
        }
    }
}

/// Values of an [`Ordered`], from one place to another.
#[derive(Clone, Debug)]
pub struct Values<'a, T> {
    blocks: &'a [Vec<T>],
    /// Both are named by the value behind them.
    start: Between,
    end: Between,
}

impl<'a, T: Copy> Values<'a, T> {
    /// Goes past the next ones for which this holds, and returns how many these are.
    pub fn pass_while(&mut self, mut holds: impl FnMut(T) -> bool) -> usize {
        let mut all = 0;
        while self.start < self.end {
            let Between { block, at } = self.start;
            let values = &self.blocks[block];
            let end = if block == self.end.block {
                self.end.at
            } else {
                values.len()
            };
            let passed = values[at..end].iter().take_while(|value| holds(**value));
            let passed = passed.count();
            all += passed;
            let at = at + passed;
            if at < values.len() {
                self.start = Between { block, at };
            } else {
                self.start = Between {
                    block: block + 1,
                    at: 0,
                };
            }
            if at < end {
                break;
            }
        }
        all
    }

    /// Those of them that another walk over the same values has behind it.
    #[must_use]
    pub fn before(&self, other: &Self) -> Values<'a, T> {
        Values {
            end: other.start.min(self.end),
            ..*self
        }
    }
}

impl<T: Copy> Iterator for Values<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.start >= self.end {
            return None;
        }
        let values = &self.blocks[self.start.block];
        let value = values[self.start.at];
        self.start.at += 1;
        if self.start.at == values.len() {
            self.start = Between {
                block: self.start.block + 1,
                at: 0,
            };
        }
        Some(value)
    }
}

impl<T: Copy> DoubleEndedIterator for Values<'_, T> {
    fn next_back(&mut self) -> Option<T> {
        if self.start >= self.end {
            return None;
        }
        if self.end.at == 0 {
            self.end.block -= 1;
            self.end.at = self.blocks[self.end.block].len();
        }
        self.end.at -= 1;
        Some(self.blocks[self.end.block][self.end.at])
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Asserts that it is what this sorted vector is, and what its head says of the blocks.
    fn check<T: Copy + Debug + PartialEq>(ordered: &Ordered<T>, model: &[T]) {
        assert!(ordered.all().eq(model.iter().copied()));
        assert!(ordered.all().rev().eq(model.iter().rev().copied()));
        assert_eq!(
            (ordered.len(), ordered.is_empty()),
            (model.len(), model.is_empty())
        );
        let lengths: Vec<usize> = ordered.blocks.iter().map(Vec::len).collect();
        assert!(
            lengths.iter().all(|len| (1..=BLOCK).contains(len)),
            "{lengths:?}"
        );
        let dense = |two: &[usize]| two[0] + two[1] > BLOCK / 2;
        assert!(lengths.windows(2).all(dense), "{lengths:?}");
        let room = model.len() + lengths.len() * 2 * ROOM.max(4);
        assert!(ordered.capacity() <= room, "{lengths:?}");
    }

    proptest! {
        #[test]
        fn whatever_is_put_in_and_taken_out_it_is_what_a_sorted_vector_would_be(
            steps in vec((0..3_u8, any::<u8>()), 0..300),
            mostly_out in any::<bool>(),
        ) {
            let (mut ordered, mut model) = (Ordered::default(), Vec::<u8>::new());
            for (what, value) in steps {
                let place = ordered.place(|other| other < value);
                let at = model.partition_point(|other| *other < value);
                if (what == 0) == mostly_out || model.is_empty() {
                    ordered.insert(place, value);
                    model.insert(at, value);
                } else if at < model.len() {
                    prop_assert_eq!(ordered.remove(place), model.remove(at));
                }
                check(&ordered, &model);
            }
            for value in 0..=u8::MAX {
                let place = ordered.place(|other| other < value);
                let at = model.partition_point(|other| *other < value);
                prop_assert_eq!(ordered.get(place), model.get(at).copied());
                let before = at.checked_sub(1).map(|before| model[before]);
                prop_assert_eq!(ordered.get_before(place), before);
                prop_assert!(ordered.from(place).eq(model[at..].iter().copied()));
                prop_assert!(ordered.before(place).eq(model[..at].iter().copied()));
                let walks = [ordered.all(), ordered.before(place)];
                for (walk, end) in walks.into_iter().zip([model.len(), at]) {
                    let mut behind = walk.clone();
                    let passed = behind.pass_while(|other| other <= value / 2);
                    let until = model[..end].partition_point(|other| *other <= value / 2);
                    prop_assert_eq!(passed, until);
                    prop_assert!(behind.clone().eq(model[passed..end].iter().copied()));
                    prop_assert!(walk.before(&behind).eq(model[..passed].iter().copied()));
                }
            }
        }
    }

    #[test]
    fn what_comes_in_order_leaves_no_gaps() {
        let mut ordered = Ordered::default();
        for value in 0..100 {
            ordered.insert(ordered.place(|other| other < value), value);
        }
        let lengths: Vec<usize> = ordered.blocks.iter().map(Vec::len).collect();
        let (last, full) = lengths.split_last().expect("there are some");
        assert!(full.iter().all(|len| *len == BLOCK), "{lengths:?}");
        assert_eq!(*last, 100 % BLOCK);
        // Nor does what comes in order in between, but for one place.
        for _ in 0..100 {
            ordered.insert(ordered.place(|other| other < 50), 49);
        }
        let blocks = &ordered.blocks;
        assert!(blocks.len() <= 200 / BLOCK + 3, "{blocks:?}");
    }

    #[test]
    fn an_order_that_is_chosen_to_split_blocks_at_their_beginning_leaves_no_small_ones() {
        let (mut ordered, mut model) = (Ordered::default(), Vec::<u32>::new());
        let mut insert = |value: u32| {
            let place = ordered.place(|other| other < value);
            ordered.insert(place, value);
            let at = model.partition_point(|other| *other < value);
            model.insert(at, value);
            check(&ordered, &model);
        };
        let most = u32::try_from(BLOCK).expect("a few") - 2;
        for nth in 0..most {
            insert(10 * nth);
        }
        // Each time the last block is filled at its end, and then two come in order behind its
        // first value.
        for nth in 0..100 {
            insert(10 * (most + nth));
            insert(10 * nth + 1);
            insert(10 * nth + 2);
        }
    }

    #[test]
    fn another_value_takes_the_place_of_one() {
        let mut ordered = Ordered::default();
        for value in 0..20 {
            ordered.insert(ordered.place(|other| other < value), value);
        }
        let place = ordered.place(|other| other < 8);
        ordered.replace(place, 88);
        assert_eq!(ordered.get(place), Some(88));
        assert_eq!(ordered.all().filter(|value| *value >= 20).count(), 1);
    }
}
