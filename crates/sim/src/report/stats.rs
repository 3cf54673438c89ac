//! Means over seeds, and how sure they are.

use crate::chance::as_f64;

/// A mean over seeds, and half the width of the interval in which it is with 95 %
/// (Student's t); none of a single seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub of: f64,
    /// This much more or less.
    pub give_or_take: Option<f64>,
}

/// The 0.975 quantiles of Student's t, for one degree of freedom on.
const STUDENT: [f64; 9] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262,
];

/// Of these values.
pub fn mean(values: &[f64]) -> Mean {
    let count = as_f64(values.len().max(1) as u64);
    let of = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - of).powi(2)).sum();
    let student = values.len().checked_sub(2).map(|freedom| {
        let last = STUDENT[STUDENT.len() - 1];
        STUDENT.get(freedom).copied().unwrap_or(last)
    });
    let give_or_take = student.map(|student| student * (squares / (count - 1.0) / count).sqrt());
    Mean { of, give_or_take }
}

/// Of the differences of pairs: each seed with itself.
pub fn difference(values: &[f64], from: &[f64]) -> Mean {
    let pairs = values.iter().zip(from);
    mean(&pairs.map(|(value, from)| value - from).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_as_wide_as_the_table_of_student_says() {
        let mean = mean(&[1.0, 2.0, 3.0]);
        assert!((mean.of - 2.0).abs() < 1e-9);
        // The standard error is 1 / sqrt(3).
        let width = mean.give_or_take.expect("three values");
        assert!((width - 4.303 / 3.0f64.sqrt()).abs() < 1e-9, "{width}");
    }

    #[test]
    fn pairs_that_differ_by_the_same_leave_no_doubt() {
        let difference = difference(&[1.0, 5.0, 9.0], &[0.0, 4.0, 8.0]);
        assert!((difference.of - 1.0).abs() < 1e-9);
        assert!(difference.give_or_take.is_some_and(|width| width < 1e-9));
    }
}
