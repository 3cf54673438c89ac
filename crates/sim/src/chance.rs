//! The distributions that a workload draws from, over a seeded generator.

use std::time::Duration;

/// How long until the next event of a Poisson process with this many an hour.
pub fn exponential(random: &mut fastrand::Rng, per_hour: f64) -> Duration {
    hours(-uniform(random).ln() / per_hour)
}

/// A time from a Weibull distribution with shape `k` and scale `lambda`.
pub fn weibull(random: &mut fastrand::Rng, k: f64, lambda: Duration) -> Duration {
    lambda.mul_f64((-uniform(random).ln()).powf(1.0 / k).min(1e4))
}

/// Ranks from 0 on, rank `r` with a weight of `1 / (r + 1 + q)^alpha`
/// (Zipf-Mandelbrot).
#[derive(Clone, Debug)]
pub struct Popularity {
    /// The summed weights up to each rank.
    summed: Vec<f64>,
}

impl Popularity {
    /// Over `ranks` ranks, at least one.
    pub fn new(ranks: usize, alpha: f64, q: f64) -> Self {
        let mut sum = 0.0;
        let summed = (0..ranks.max(1)).map(|rank| {
            sum += (as_f64(rank as u64) + 1.0 + q).powf(-alpha);
            sum
        });
        Self {
            summed: summed.collect(),
        }
    }

    /// A rank.
    pub fn draw(&self, random: &mut fastrand::Rng) -> usize {
        let all = self.summed.last().copied().unwrap_or_default();
        let drawn = random.f64() * all;
        let rank = self.summed.partition_point(|summed| *summed <= drawn);
        rank.min(self.summed.len() - 1)
    }
}

/// So many hours; a thousand years at most.
pub fn hours(hours: f64) -> Duration {
    Duration::from_secs_f64((hours * 3600.0).clamp(0.0, 3.2e10))
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn as_f64(count: u64) -> f64 {
    count as f64
}

/// The share of a part in the whole; of nothing it is 0.
pub fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    as_f64(part as u64) / as_f64(whole as u64)
}

/// Above 0, at most 1.
fn uniform(random: &mut fastrand::Rng) -> f64 {
    1.0 - random.f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_the_mean_that_it_should() {
        let mut random = fastrand::Rng::with_seed(1);
        let draws = 100_000_u32;
        let mean = |mut draw: Box<dyn FnMut() -> Duration>| {
            (0..draws).map(|_| draw().as_secs_f64()).sum::<f64>() / f64::from(draws)
        };
        let mut first = random.fork();
        let poisson = mean(Box::new(move || exponential(&mut first, 30.0)));
        assert!((poisson - 120.0).abs() < 2.0, "{poisson}");
        // The mean is lambda * gamma(1 + 1/k), and gamma(1 + 1/0.59) is 1.5385.
        let lambda = Duration::from_mins(42);
        let weibull = mean(Box::new(move || weibull(&mut random, 0.59, lambda)));
        assert!(
            (weibull / lambda.as_secs_f64() - 1.5385).abs() < 0.03,
            "{weibull}"
        );
    }

    #[test]
    fn popular_names_are_drawn_as_often_as_their_weights_say() {
        let popularity = Popularity::new(2000, 0.8, 20.0);
        let mut random = fastrand::Rng::with_seed(7);
        let draws = 200_000;
        let below = (0..draws)
            .filter(|_| popularity.draw(&mut random) < 100)
            .count();
        let weights = |ranks: u32| (1..=ranks).map(|rank| (f64::from(rank) + 20.0).powf(-0.8));
        let expected = weights(100).sum::<f64>() / weights(2000).sum::<f64>();
        assert!(
            (as_f64(below as u64) / as_f64(draws) - expected).abs() < 0.005,
            "{below}, {expected}"
        );
    }
}
