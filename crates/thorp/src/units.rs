//! Formats bytes, durations and times for users.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// Formats a number of bytes as `1.2 KiB`; exactly, if it is below 1 KiB.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Formats milliseconds as `1.8 ms`, `12.3 s`, `4 min 5 s`.
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

/// Formats seconds since 1970 as `2026-11-23 04:44`, in UTC.
pub fn time(seconds: i64) -> String {
    const DAY: i64 = 86_400;
    // Clamps to March of year 0 and the end of year 9999, so that a year has four digits.
    let day = seconds.div_euclid(DAY).clamp(-719_468, 2_932_896);
    let within = day * DAY + seconds.rem_euclid(DAY);
    let time = OffsetDateTime::from_unix_timestamp(within).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute()
    )
}

/// Formats seconds since 1970 as `2026-11-23T04:44:07Z`.
pub fn moment(seconds: i64) -> String {
    let minute = time(seconds);
    format!(
        "{}:{:02}Z",
        minute.replace(' ', "T"),
        seconds.rem_euclid(60)
    )
}

/// Returns the current time in seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Formats a count: `1 file`, `2 files`.
pub fn count(n: u64, thing: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_one_digit_behind_the_point_from_a_kib_on() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1229), "1.2 KiB");
        assert_eq!(size(262_144), "256.0 KiB");
        assert_eq!(size(1_048_575), "1.0 MiB");
        assert_eq!(size(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn a_duration_has_the_unit_that_suits_it() {
        assert_eq!(duration(1.84), "1.8 ms");
        assert_eq!(duration(999.96), "1.0 s");
        assert_eq!(duration(12_340.0), "12.3 s");
        assert_eq!(duration(245_000.0), "4 min 5 s");
    }

    #[test]
    fn times_beyond_four_digit_years_are_cut() {
        assert_eq!(time(0), "1970-01-01 00:00");
        assert_eq!(moment(951_827_649), "2000-02-29T12:34:09Z");
        assert_eq!(time(951_827_640), "2000-02-29 12:34");
        assert_eq!(time(-1), "1969-12-31 23:59");
        assert_eq!(time(-62_162_208_000), "0000-03-01 00:00");
        assert_eq!(time(253_402_300_799), "9999-12-31 23:59");
        assert_eq!(time(i64::MAX), "9999-12-31 15:30");
        assert_eq!(time(i64::MIN), "0000-03-01 08:29");
    }

    #[test]
    fn one_thing_has_no_s() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "peer"), "0 peers");
    }
}
