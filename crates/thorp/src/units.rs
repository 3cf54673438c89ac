//! Bytes, durations and times as people read them. Nothing else.

pub use thorp_node::units::size;

/// `1.8 ms`, `12.3 s`, `4 min 5 s`.
pub fn duration(ms: f64) -> String {
    if ms < 999.95 {
        return format!("{ms:.1} ms");
    }
    let seconds = ms / 1000.0;
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and seconds are enough"
    )]
    let whole = seconds.round() as u64;
    format!("{} min {} s", whole / 60, whole % 60)
}

/// `2026-11-23 04:44` in UTC, from seconds since 1970.
pub fn time(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        rest / 3600,
        rest % 3600 / 60
    )
}

/// `1 file`, `2 files`.
pub fn count(n: u64, thing: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{s}")
}

/// A day since 1970 in the Gregorian calendar (Howard Hinnant's algorithm: the
/// year starts in March, so that the leap day comes last).
fn civil(days: i64) -> (i64, i64, i64) {
    // Beyond this a year has more than four digits; no file is that old or new.
    let z = days.clamp(-719_468, 2_932_896) + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration(1.84), "1.8 ms");
        assert_eq!(duration(999.96), "1.0 s");
        assert_eq!(duration(12_340.0), "12.3 s");
        assert_eq!(duration(245_000.0), "4 min 5 s");
    }

    #[test]
    fn times() {
        assert_eq!(time(0), "1970-01-01 00:00");
        assert_eq!(time(951_827_640), "2000-02-29 12:34");
        assert_eq!(time(-1), "1969-12-31 23:59");
        assert_eq!(time(i64::MAX).len(), 16);
        assert_eq!(time(i64::MIN).len(), 16);
    }

    #[test]
    fn counts() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "peer"), "0 peers");
    }
}
