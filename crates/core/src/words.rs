//! Words that a user types to find names that contain them, in any case.

use std::fmt;

use crate::matching::folded;

/// Words, all of which a name has to contain.
#[derive(Clone, PartialEq, Eq)]
pub struct Words {
    /// In small letters, in Unicode normalisation form C.
    words: Vec<String>,
}

impl Words {
    /// The maximal length of all words together in bytes.
    pub const MAX: usize = 256;
    /// The maximal number of words.
    pub const MOST: usize = 16;

    /// Reads words that are separated by spaces; `None` if there are too many or they are too
    /// long. Without words, every name matches.
    pub fn new(text: &str) -> Option<Self> {
        if text.len() > Self::MAX {
            return None;
        }
        let words: Vec<_> = text.split_whitespace().map(folded).collect();
        (words.len() <= Self::MOST).then_some(Self { words })
    }

    /// Whether a path contains every word.
    pub fn matches(&self, path: &str) -> bool {
        if path.is_ascii() {
            return self.words.iter().all(|word| contains(path, word));
        }
        let path = folded(path);
        self.words.iter().all(|word| path.contains(word.as_str()))
    }

    /// Returns the cost of matching a path, in the steps of
    /// [`Pattern::steps`](crate::matching::Pattern::steps).
    pub(crate) fn steps(&self, path: &str) -> u64 {
        let words = self.words.len() as u64;
        // Other letters than those of ASCII are normalised first.
        let each = if path.is_ascii() { 1 } else { 8 };
        path.len() as u64 * (words + each)
    }
}

/// Whether an ASCII text contains a word that is in small letters, in any case.
fn contains(text: &str, word: &str) -> bool {
    let Some(first) = word.bytes().next() else {
        return true;
    };
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let last = text.len().checked_sub(word.len());
    last.is_some_and(|last| {
        (0..=last).any(|at| {
            text[at].eq_ignore_ascii_case(&first)
                && text[at..at + word.len()].eq_ignore_ascii_case(word)
        })
    })
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({:?})", self.words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Words {
        Words::new(text).expect("few and short")
    }

    #[test]
    fn every_word_is_somewhere_in_the_path_in_any_case() {
        for (typed, path, yes) in [
            ("", "a.txt", true),
            ("  ", "a.txt", true),
            ("sum 2025", "Papers/2025/Summary.pdf", true),
            ("SUM papers", "Papers/2025/Summary.pdf", true),
            ("sum 2026", "Papers/2025/Summary.pdf", false),
            ("s/2", "Papers/2025/Summary.pdf", true),
            ("pdf", "p.df", false),
            ("longer than it", "it", false),
            ("\u{dc}BER", "M\u{fc}ll/u\u{308}ber.txt", true),
            ("u", "\u{fc}", false),
            ("stra\u{df}e", "STRA\u{df}E", true),
        ] {
            assert_eq!(words(typed).matches(path), yes, "{typed:?} in {path:?}");
        }
    }

    #[test]
    fn words_are_few_and_short() {
        assert!(Words::new(&"a ".repeat(16)).is_some());
        assert_eq!(Words::new(&"a ".repeat(17)), None);
        assert!(Words::new(&"x".repeat(256)).is_some());
        assert_eq!(Words::new(&"x".repeat(257)), None);
    }

    proptest! {
        #[test]
        fn a_part_of_a_path_is_found_in_it(path in "[a-zA-Z/.\u{fc} ]{1,40}", at in 0..40usize, len in 1..9usize) {
            let part: String = path.chars().skip(at).take(len).collect();
            prop_assert!(words(&part).matches(&path), "{part:?} in {path:?}");
            prop_assert!(words(&part.to_uppercase()).matches(&path));
        }
    }
}
