//! What may be tuned, and the one place that knows each key's range.
//!
//! `config.toml` in the state directory first, then the environment, then
//! flags: whoever starts the node calls [`Config::set`] in that order. A key
//! that is not in the table below is an error, so that a slip of the pen is
//! noticed.

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

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Number(i64),
    Switch(bool),
    Other(String),
}

/// A key: its name, what it takes, and where it goes.
struct Key {
    name: &'static str,
    takes: Takes,
    put: fn(&mut Config, u64),
}

#[derive(Clone, Copy)]
enum Takes {
    Number { least: u64, most: u64 },
    Switch,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "within the range beside it"
)]
const KEYS: [Key; 5] = [
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
            config.put(&name, &value, origin)?;
        }
        Ok(config)
    }

    /// Sets one key from a flag or a variable, which errors call `origin`.
    pub fn set(&mut self, name: &str, value: &str, origin: &str) -> Result<(), ConfigError> {
        let value = match (value.parse(), value.parse()) {
            (Ok(number), _) => Value::Number(number),
            (_, Ok(switch)) => Value::Switch(switch),
            _ => Value::Other(format!("{value:?}")),
        };
        self.put(name, &value, origin)
    }

    /// Sets every key that has a variable, such as `THORP_LOOKUP_HOPS`.
    ///
    /// `variable` looks one up: `|name| std::env::var(name).ok()`.
    pub fn set_from(
        &mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        for name in Self::keys() {
            let origin = Self::variable(name);
            if let Some(value) = variable(&origin) {
                self.set(name, &value, &origin)?;
            }
        }
        Ok(())
    }

    /// All keys.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        KEYS.iter().map(|key| key.name)
    }

    /// The environment variable of a key.
    pub fn variable(key: &str) -> String {
        format!("THORP_{}", key.replace('.', "_").to_ascii_uppercase())
    }

    fn put(&mut self, name: &str, value: &Value, origin: &str) -> Result<(), ConfigError> {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            return Err(ConfigError::Unknown {
                origin: origin.into(),
                key: name.into(),
            });
        };
        let wrong = || ConfigError::Value {
            origin: origin.into(),
            key: name.into(),
            value: match value {
                Value::Number(number) => number.to_string(),
                Value::Switch(switch) => switch.to_string(),
                Value::Other(text) => text.clone(),
            },
            allowed: match key.takes {
                Takes::Number { least, most } => format!("a number from {least} to {most}"),
                Takes::Switch => "true or false".into(),
            },
        };
        let plain = match (key.takes, value) {
            (Takes::Number { least, most }, Value::Number(number)) => u64::try_from(*number)
                .ok()
                .filter(|number| (least..=most).contains(number)),
            (Takes::Switch, Value::Switch(switch)) => Some((*switch).into()),
            _ => None,
        };
        (key.put)(self, plain.ok_or_else(wrong)?);
        Ok(())
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
    #[error("{origin}: `{key}` is {value}, but takes {allowed}")]
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
            (
                "lookup.hops = 2",
                "`lookup.hops` is 2, but takes a number from 0 to 1",
            ),
            (
                "neighbours.max = -1",
                "`neighbours.max` is -1, but takes a number from 0 to 1024",
            ),
            (
                "share.hidden = \"yes\"",
                "`share.hidden` is \"yes\", but takes true or false",
            ),
            ("[share.hidden]\na = 1", "`share.hidden` is"),
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
        let mut config = Config::default();
        let variable = |name: &str| (name == "THORP_NEIGHBOURS_MAX").then(|| "8".into());
        config.set_from(variable).expect("is right");
        assert_eq!(config.max_neighbours, 8);
        let variable = |name: &str| (name == "THORP_SHARE_HIDDEN").then(|| "1".into());
        let error = config.set_from(variable).expect_err("is wrong").to_string();
        assert!(error.starts_with("THORP_SHARE_HIDDEN: "), "{error}");
    }
}
