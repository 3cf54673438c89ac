//! What may be tuned, and the one place that knows each key's range.
//!
//! `config.toml` in the state directory first, then [`Setting`]s in the order
//! that whoever starts the node gives them: the environment, then flags. A key
//! that is not in the table below is an error, so that a slip of the pen is
//! noticed, wherever it was made.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

/// The file's name in the state directory.
pub const FILE: &str = "config.toml";

/// How a node behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `lookup.hops`: 1 asks neighbours for their neighbours' files too, 0 does not.
    pub hops: u8,
    /// `interval.tracker_ms`: the silence promised to the tracker, and the one a tracker grants.
    pub tracker_interval: Duration,
    /// `interval.neighbour_ms`: the silence promised to neighbours.
    pub neighbour_interval: Duration,
    /// `neighbours.max`: how many neighbours to keep.
    pub max_neighbours: usize,
    /// `share.hidden`: whether hidden files are shared.
    pub share_hidden: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hops: 1,
            tracker_interval: Duration::from_secs(5),
            neighbour_interval: Duration::from_secs(15),
            max_neighbours: 32,
            share_hidden: false,
        }
    }
}

/// One key set elsewhere than in the file. It is right: making it checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    key: &'static Key,
    value: u64,
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Number(i64),
    Switch(bool),
    Other(String),
}

/// A key: its name, what it takes, and where it goes.
#[derive(Debug)]
struct Key {
    name: &'static str,
    takes: Takes,
    put: fn(&mut Config, u64),
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

#[derive(Clone, Copy, Debug)]
enum Takes {
    Number { least: u64, most: u64 },
    Switch,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "within the range beside it"
)]
static KEYS: [Key; 5] = [
    Key {
        name: "lookup.hops",
        takes: Takes::Number { least: 0, most: 1 },
        put: |config, value| config.hops = value as u8,
    },
    Key {
        name: "interval.tracker_ms",
        takes: Takes::Number {
            least: 100,
            most: 3_600_000,
        },
        put: |config, value| config.tracker_interval = Duration::from_millis(value),
    },
    Key {
        name: "interval.neighbour_ms",
        takes: Takes::Number {
            least: 100,
            most: 3_600_000,
        },
        put: |config, value| config.neighbour_interval = Duration::from_millis(value),
    },
    Key {
        name: "neighbours.max",
        takes: Takes::Number {
            least: 0,
            most: 1024,
        },
        put: |config, value| config.max_neighbours = value as usize,
    },
    Key {
        name: "share.hidden",
        takes: Takes::Switch,
        put: |config, value| config.share_hidden = value != 0,
    },
];

impl Config {
    /// Reads a configuration file; one that is not there changes nothing.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(ConfigError::Unreadable {
                    file: path.display().to_string(),
                    why: error.to_string(),
                });
            }
        };
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads the text of a configuration file; errors call it `origin`.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let table: toml::Table =
            text.parse()
                .map_err(|e: toml::de::Error| ConfigError::Unreadable {
                    file: origin.into(),
                    why: e.to_string().trim_end().into(),
                })?;
        let mut config = Self::default();
        for (name, value) in flatten("", table) {
            config.set(&Setting::checked(&name, &value, origin)?);
        }
        Ok(config)
    }

    /// Applies a setting from elsewhere than the file.
    pub fn set(&mut self, setting: &Setting) {
        (setting.key.put)(self, setting.value);
    }

    /// All keys.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        KEYS.iter().map(|key| key.name)
    }

    /// The environment variable of a key.
    pub fn variable(key: &str) -> String {
        format!("THORP_{}", key.replace('.', "_").to_ascii_uppercase())
    }
}

impl Setting {
    /// A key as a flag or a variable sets it, which errors call `origin`.
    /// A switch can also be `yes` or `no`, `1` or `0` here.
    pub fn new(name: &str, value: &str, origin: &str) -> Result<Self, ConfigError> {
        let switch = match value {
            "true" | "yes" | "1" => Some(true),
            "false" | "no" | "0" => Some(false),
            _ => None,
        };
        let value = match (Key::find(name, origin)?.takes, switch, value.parse()) {
            (Takes::Switch, Some(switch), _) => Value::Switch(switch),
            (Takes::Number { .. }, _, Ok(number)) => Value::Number(number),
            _ => Value::Other(format!("{value:?}")),
        };
        Self::checked(name, &value, origin)
    }

    /// Every key that has a variable, such as `THORP_LOOKUP_HOPS`. An empty one
    /// says nothing.
    ///
    /// `variable` looks one up: `|name| std::env::var(name).ok()`.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<Self>, ConfigError> {
        let mut settings = Vec::new();
        for name in Config::keys() {
            let origin = Config::variable(name);
            if let Some(value) = variable(&origin).filter(|value| !value.is_empty()) {
                settings.push(Self::new(name, &value, &origin)?);
            }
        }
        Ok(settings)
    }

    fn checked(name: &str, value: &Value, origin: &str) -> Result<Self, ConfigError> {
        let key = Key::find(name, origin)?;
        let plain = match (key.takes, value) {
            (Takes::Number { least, most }, Value::Number(number)) => u64::try_from(*number)
                .ok()
                .filter(|number| (least..=most).contains(number)),
            (Takes::Switch, Value::Switch(switch)) => Some((*switch).into()),
            _ => None,
        };
        let value = plain.ok_or_else(|| ConfigError::Value {
            origin: origin.into(),
            key: name.into(),
            value: value.to_string(),
            allowed: key.takes.to_string(),
        })?;
        Ok(Self { key, value })
    }
}

impl Key {
    fn find(name: &str, origin: &str) -> Result<&'static Self, ConfigError> {
        let known = KEYS.iter().find(|key| key.name == name);
        known.ok_or_else(|| ConfigError::Unknown {
            origin: origin.into(),
            key: name.into(),
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Switch(switch) => switch.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { least: 0, most: 1 } => f.write_str("0 or 1"),
            Self::Number { least, most } => write!(f, "a number from {least} to {most}"),
            Self::Switch => f.write_str("true or false"),
        }
    }
}

/// All values in a table, by dotted key.
fn flatten(prefix: &str, table: toml::Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            toml::Value::Table(table) if KEYS.iter().all(|key| key.name != name) => {
                flat.extend(flatten(&format!("{name}."), table));
            }
            toml::Value::Integer(number) => flat.push((name, Value::Number(number))),
            toml::Value::Boolean(switch) => flat.push((name, Value::Switch(switch))),
            toml::Value::String(text) => flat.push((name, Value::Other(format!("{text:?}")))),
            other => flat.push((name, Value::Other(format!("of type {}", other.type_str())))),
        }
    }
    flat
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Not TOML, or not to be read at all.
    #[error("cannot read {file}: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// No such key.
    #[error("{origin}: there is no setting `{key}`; the settings are {}", Config::keys().collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The file, flag or variable.
        origin: String,
        /// As it was written.
        key: String,
    },
    /// Not a value that the key takes.
    #[error("{origin}: `{key}` takes {allowed}, not {value}")]
    Value {
        /// The file, flag or variable.
        origin: String,
        /// The key.
        key: String,
        /// As it was written.
        value: String,
        /// What the key takes.
        allowed: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_what_it_names_and_leaves_the_rest() {
        let text = "lookup.hops = 0\n[interval]\ntracker_ms = 250\n[share]\nhidden = true\n";
        let config = Config::parse(text, "config.toml").expect("parses");
        let expected = Config {
            hops: 0,
            tracker_interval: Duration::from_millis(250),
            share_hidden: true,
            ..Config::default()
        };
        assert_eq!(config, expected);
        assert_eq!(Config::parse("", "x"), Ok(Config::default()));
        let absent = Config::load(Path::new("/nowhere/config.toml"));
        assert_eq!(absent, Ok(Config::default()));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, says) in [
            (
                "lookup.hop = 1",
                "config.toml: there is no setting `lookup.hop`",
            ),
            ("verbose = true", "there is no setting `verbose`"),
            ("lookup.hops = 2", "`lookup.hops` takes 0 or 1, not 2"),
            (
                "neighbours.max = -1",
                "`neighbours.max` takes a number from 0 to 1024, not -1",
            ),
            (
                "share.hidden = \"yes\"",
                "`share.hidden` takes true or false, not \"yes\"",
            ),
            ("[share.hidden]\na = 1", "`share.hidden` takes"),
            ("lookup.hops = ", "cannot read config.toml"),
        ] {
            let error = Config::parse(text, "config.toml")
                .expect_err(text)
                .to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_environment_overrides_and_its_errors_name_the_variable() {
        let variable = |name: &str| match name {
            "THORP_NEIGHBOURS_MAX" => Some("8".into()),
            "THORP_SHARE_HIDDEN" => Some("1".into()),
            "THORP_LOOKUP_HOPS" => Some(String::new()),
            _ => None,
        };
        let mut config = Config::default();
        let settings = Setting::from_environment(variable).expect("is right");
        for setting in &settings {
            config.set(setting);
        }
        assert_eq!(
            (config.max_neighbours, config.share_hidden, config.hops),
            (8, true, 1)
        );
        let variable = |name: &str| (name == "THORP_SHARE_HIDDEN").then(|| "maybe".into());
        let error = Setting::from_environment(variable)
            .expect_err("is wrong")
            .to_string();
        assert_eq!(
            error,
            "THORP_SHARE_HIDDEN: `share.hidden` takes true or false, not \"maybe\""
        );
    }

    #[test]
    fn the_last_setting_counts() {
        let mut config = Config::default();
        for value in ["250", "500"] {
            config.set(&Setting::new("interval.tracker_ms", value, "--set").expect("is right"));
        }
        assert_eq!(config.tracker_interval, Duration::from_millis(500));
        for (key, value) in [
            ("lookup.hop", "1"),
            ("lookup.hops", "true"),
            ("interval.tracker_ms", "1"),
        ] {
            assert!(Setting::new(key, value, "--set").is_err(), "{key}={value}");
        }
    }
}
