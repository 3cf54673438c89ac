//! How the property tests are run.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// How many cases proptest runs if `PROPTEST_CASES` is not set.
const UNASKED: u32 = 256;

/// This many cases, the same ones each time; others with `PROPTEST_RNG_SEED`
/// and more of them with `PROPTEST_CASES`.
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
