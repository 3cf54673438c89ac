//! Hashes files that are in memory, several at a time.

use super::levels::Peaks;
use super::{Hash, LEAF, content_of};
use crate::content::{Content, Root};
use crate::layout::Layout;

/// All bytes of a file, and the content that was computed from them.
#[derive(Clone, Copy, Debug)]
pub struct Hashed<'a> {
    bytes: &'a [u8],
    content: Content,
}

impl<'a> Hashed<'a> {
    /// How many short files are best hashed together: with AVX-512 each of so many takes half as
    /// long as alone, with other instructions they take no longer than fewer do.
    pub const TOGETHER: usize = 16;

    /// Hashes one file.
    pub fn of(bytes: &'a [u8]) -> Self {
        let content = content_of(bytes);
        Self { bytes, content }
    }

    /// Hashes several files, which is faster than one after the other.
    pub fn all(files: impl IntoIterator<Item = &'a [u8]>) -> Vec<Self> {
        let files: Vec<&[u8]> = files.into_iter().collect();
        let leaves: Vec<&[u8]> = files.iter().flat_map(|file| file.chunks(LEAF)).collect();
        let mut hashes: Vec<Hash> = vec![[0; 32]; leaves.len()];
        tape_sha256::hash_many(&leaves, &mut hashes);
        let mut left = &hashes[..];
        let with_content = files.into_iter().map(|bytes| {
            let (of_it, rest) = left.split_at(bytes.len().div_ceil(LEAF));
            left = rest;
            let content = folded(bytes.len() as u64, of_it);
            Self { bytes, content }
        });
        with_content.collect()
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The content that they are.
    pub fn content(&self) -> Content {
        self.content
    }
}

fn folded(length: u64, leaves: &[Hash]) -> Content {
    if leaves.is_empty() {
        return Content::EMPTY;
    }
    let height = Layout::of(length).height();
    Content {
        length,
        root: Root::new(Peaks::of(leaves).top(0, height)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_of_several_files_has_the_content_that_it_has_alone(
            lengths in vec(prop_oneof![0..40_usize, 16_380..16_390_usize, 0..100_000_usize], 0..40),
        ) {
            let bytes: Vec<u8> = (0..=250).cycle().take(100_040).collect();
            let files = lengths.iter().enumerate().map(|(at, length)| &bytes[at..at + length]);
            for (hashed, file) in Hashed::all(files.clone()).into_iter().zip(files) {
                prop_assert_eq!(hashed.bytes(), file);
                prop_assert_eq!(hashed.content(), content_of(file));
                prop_assert_eq!(Hashed::of(file).content(), content_of(file));
            }
        }
    }
}
