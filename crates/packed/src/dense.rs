//! Values without gaps between them.

use std::ops::{Index, IndexMut};

/// Values without gaps between them, each with a number. What is removed leaves its
/// number to the last one.
///
/// They are kept in blocks, so that a table that grows is not copied, and one that
/// shrinks gives its memory back.
#[derive(Debug)]
pub struct Dense<T> {
    /// All but the last one are full, none is empty.
    blocks: Vec<Vec<T>>,
}

impl<T> Dense<T> {
    /// Values in a block: it fits into a size that allocators have.
    const BLOCK: usize = if cfg!(test) {
        4
    } else {
        let values = 16 * 1024 / size_of::<T>();
        if values == 0 { 1 } else { values }
    };

    /// How many there are.
    pub fn len(&self) -> usize {
        let full = self.blocks.len().saturating_sub(1) * Self::BLOCK;
        self.blocks.last().map_or(0, |last| full + last.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Adds a value behind all others, and returns its number.
    pub fn push(&mut self, value: T) -> u32 {
        let number = u32::try_from(self.len()).expect("fewer values than 2^32");
        let is_full = |block: &Vec<T>| block.len() == Self::BLOCK;
        if self.blocks.last().is_none_or(is_full) {
            self.blocks.push(Vec::new());
        }
        if let Some(last) = self.blocks.last_mut() {
            if last.len() == last.capacity() {
                let more = (last.len() / 2).max(4);
                last.reserve_exact(more.min(Self::BLOCK - last.len()));
            }
            last.push(value);
        }
        number
    }

    /// Removes a value. The last one has its number from now on.
    pub fn swap_remove(&mut self, number: u32) -> T {
        let (block, at) = Self::place(number);
        let last = self.blocks.last_mut().and_then(Vec::pop);
        let mut removed = last.expect("there is such a number");
        if let Some(block) = self.blocks.last_mut()
            && block.len() <= block.capacity() / 2
        {
            block.shrink_to(block.len() + block.len() / 2);
        }
        if self.blocks.last().is_some_and(Vec::is_empty) {
            self.blocks.pop();
        }
        if number as usize != self.len() {
            std::mem::swap(&mut self.blocks[block][at], &mut removed);
        }
        removed
    }

    /// All values, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }

    /// How many values there is room for.
    pub fn capacity(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }

    fn place(number: u32) -> (usize, usize) {
        let number = number as usize;
        (number / Self::BLOCK, number % Self::BLOCK)
    }
}

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Self { blocks: Vec::new() }
    }
}

impl<T> Index<u32> for Dense<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        let (block, at) = Self::place(number);
        &self.blocks[block][at]
    }
}

impl<T> IndexMut<u32> for Dense<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        let (block, at) = Self::place(number);
        &mut self.blocks[block][at]
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_added_and_removed_it_is_what_a_vector_would_be(
            steps in vec((any::<bool>(), any::<u32>()), 0..200)
        ) {
            let (mut dense, mut model) = (Dense::default(), Vec::new());
            for (is_added, value) in steps {
                if is_added || model.is_empty() {
                    prop_assert_eq!(dense.push(value) as usize, model.len());
                    model.push(value);
                } else {
                    let number = value as usize % model.len();
                    let removed = dense.swap_remove(u32::try_from(number).expect("few"));
                    prop_assert_eq!(removed, model.swap_remove(number));
                }
                prop_assert!(dense.iter().eq(&model));
                prop_assert_eq!((dense.len(), dense.is_empty()), (model.len(), model.is_empty()));
                prop_assert!(dense.capacity() <= model.len() + 4, "no more than a block is spare");
            }
            for (number, value) in (0..).zip(&model) {
                prop_assert_eq!(&dense[number], value);
            }
        }
    }
}
