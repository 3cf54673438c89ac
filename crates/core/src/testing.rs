//! The settings of property tests.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// How many cases proptest runs if `PROPTEST_CASES` is not set.
const UNASKED: u32 = 256;

/// Runs this many cases, the same ones each time. `PROPTEST_RNG_SEED` selects other ones,
/// `PROPTEST_CASES` another number.
pub fn cases(number: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if config.cases == UNASKED {
        config.cases = number;
    }
    if matches!(config.rng_seed, RngSeed::Random) {
        config.rng_seed = RngSeed::Fixed(3333);
    }
    config.failure_persistence = None;
    config
}
