//! Walks that do not wait for memory at each step.

use std::collections::VecDeque;
use std::{hint, iter};

/// How many items are looked at together.
const AT_ONCE: usize = 16;

/// The same items. Some are taken at once, and `glance` reads of each what is going to be read:
/// memory is slow, but brings many things at the same time where none depends on another.
pub(crate) fn ahead<I: Iterator>(
    items: I,
    glance: impl Fn(&I::Item) -> u8,
) -> impl Iterator<Item = I::Item> {
    let mut items = items.fuse();
    let mut ready = VecDeque::with_capacity(AT_ONCE);
    iter::from_fn(move || {
        if ready.is_empty() {
            ready.extend(items.by_ref().take(AT_ONCE));
            glance_at(&ready, &glance);
        }
        ready.pop_front()
    })
}

/// Reads something of each item, all before anything is done with one.
pub(crate) fn glance_at<'a, T: 'a>(
    items: impl IntoIterator<Item = &'a T>,
    glance: impl Fn(&T) -> u8,
) {
    let read = items.into_iter().map(glance);
    hint::black_box(read.fold(0, u8::wrapping_add));
}

/// Something of a text, for a glance at it.
pub(crate) fn first_byte(text: &str) -> u8 {
    text.as_bytes().first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_has_the_same_items_whatever_is_read_ahead() {
        for many in [0, 1, 15, 16, 17, 100] {
            let walk = ahead(0..many, |item: &u8| *item);
            assert!(walk.eq(0..many), "{many}");
        }
    }

    #[test]
    fn a_walk_that_has_ended_does_not_begin_again() {
        let mut left = 3;
        let mut walk = ahead(
            iter::from_fn(|| {
                left = if left == 0 { 3 } else { left - 1 };
                (left > 0).then_some(left)
            }),
            |item| *item,
        );
        assert_eq!(walk.by_ref().collect::<Vec<_>>(), [2, 1]);
        assert_eq!(walk.next(), None);
    }
}
