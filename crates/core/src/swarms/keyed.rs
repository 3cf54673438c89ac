//! Hashes that nobody outside can foresee: info-hashes and addresses are chosen by strangers.

use thorp_wire::InfoHash;

/// Two secret words, from which all hashes of one store are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(u64, u64);

impl Key {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        // A factor that is even or small mixes badly.
        Self(random.u64(..), random.u64(..) | 1 | (1 << 63))
    }

    pub(super) fn of_torrent(self, torrent: &InfoHash) -> u64 {
        self.of_bytes(torrent.as_bytes())
    }

    /// Takes 8 bytes at a time; the length is mixed in, so that zeros at the end count.
    pub(super) fn of_bytes(self, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let mut hash = bytes.len() as u64;
        for word in words {
            hash = self.mix(hash, u64::from_le_bytes(*word));
        }
        self.mix(hash, u64::from_le_bytes(last))
    }

    /// Both halves of a product depend on all bits of both factors.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a product")]
    fn mix(self, hash: u64, word: u64) -> u64 {
        let product = u128::from(word ^ hash ^ self.0) * u128::from(self.1 ^ hash.rotate_left(32));
        (product as u64) ^ ((product >> 64) as u64)
    }
}
