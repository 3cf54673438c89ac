//! Parsers of values. Each error says what is expected.

use std::str::FromStr;
use std::time::Duration;

use thorp_node::address::{AddressError, NetAddress};
use thorp_node::config::{ConfigError, Setting};
use thorp_node::launch::Tracks;

/// The value of `share --tracker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichTracker {
    /// There is none: the user is asked.
    Ask,
    /// An address.
    At(NetAddress),
}

impl FromStr for WhichTracker {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            Ok(Self::Ask)
        } else {
            text.parse().map(Self::At)
        }
    }
}

/// The value of `tracker --bittorrent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichTorrents {
    /// Those that members share.
    Group,
    /// Any.
    Any,
}

impl WhichTorrents {
    pub fn tracks(self) -> Tracks {
        match self {
            Self::Group => Tracks::Group,
            Self::Any => Tracks::Any,
        }
    }
}

impl FromStr for WhichTorrents {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "group" => Ok(Self::Group),
            "any" => Ok(Self::Any),
            _ => Err("`group` is wanted, for what the group shares, or `any`"),
        }
    }
}

/// The value of `get --wait`; `None` means without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HowLong(pub Option<Duration>);

impl FromStr for HowLong {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WANTED: &str = "a number and s, m, h or d is wanted, such as 30m";
        let Some(unit) = text.chars().last() else {
            return Ok(Self(None));
        };
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(WANTED),
        };
        let number: u64 = text[..text.len() - 1].parse().map_err(|_| WANTED)?;
        let seconds = number.checked_mul(seconds).ok_or(WANTED)?;
        Ok(Self(Some(Duration::from_secs(seconds))))
    }
}

/// Parses a `KEY=VALUE` pair with a key of `config.toml`.
pub fn setting(text: &str) -> Result<Setting, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("KEY=VALUE is wanted, such as lookup.hops=0")?;
    // The parser names the flag itself.
    let said = |error: ConfigError| {
        let said = error.to_string();
        said.strip_prefix("--set: ").unwrap_or(&said).to_owned()
    };
    Setting::new(key.trim(), value.trim(), "--set").map_err(said)
}

/// Parses the first hexadecimal digits of a root.
pub fn root_prefix(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if fits {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("the start of a root is 1 to 64 hexadecimal digits, as `find` shows them".into())
    }
}

/// Parses how long an invite is valid.
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
        Some(0) => Err("an invite that has expired lets no machine in".into()),
        Some(seconds) if seconds <= YEAR => Ok(Duration::from_secs(seconds)),
        _ => Err("an invite is good for a year at the most".into()),
    }
}
