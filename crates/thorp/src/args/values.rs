//! Values that need more than a type. Each check says what is wanted.

use std::str::FromStr;
use std::time::Duration;

use super::address::Address;

/// What follows `share --tracker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerArg {
    /// Nothing: the person is asked.
    Ask,
    /// An address.
    At(Address),
}

impl FromStr for TrackerArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(Self::Ask)
        } else {
            text.parse().map(Self::At)
        }
    }
}

/// A member's human name.
pub fn member_name(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 32 of a-z, 0-9 and -".into())
    }
}

/// The start of a root.
pub fn root_prefix(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if fits {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("the start of a root is 1 to 64 hexadecimal digits, as `find` shows them".into())
    }
}

/// How long an invite is good for.
pub fn expiry(text: &str) -> Result<Duration, String> {
    const WANTED: &str = "a number and s, m, h or d is wanted, such as 24h";
    const YEAR: u64 = 365 * 86_400;
    let unit = text.chars().last().ok_or(WANTED)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(WANTED.into()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| WANTED)?;
    match number.checked_mul(seconds) {
        Some(0) => Err("an invite that has ended lets nobody in".into()),
        Some(seconds) if seconds <= YEAR => Ok(Duration::from_secs(seconds)),
        _ => Err("an invite is good for a year at the most".into()),
    }
}
