//! The settings, and the only place that knows each key's default and range.
//!
//! `config.toml` in the state directory comes first, then [`Setting`]s in the order in which the
//! caller gives them: the environment, then flags. A key that is not in the list below is an
//! error, so that a typo is noticed wherever it was made.
//!
//! The keys are a list, not fields with serde attributes: a derived deserializer knows no ranges,
//! and `--help` and the manual could not be compared with it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use thiserror::Error;
use thorp_disk::DiskThread;
use toml::Value;

use Takes::{Number, Switch};

/// The file's name in the state directory.
pub const FILE: &str = "config.toml";
/// The maximum number of bytes that are read of it.
const LONGEST: u64 = 1024 * 1024;

/// Makes [`Config`] and its keys from the list below.
macro_rules! settings {
    ($(
        $(#[doc = $meaning:literal])+
        $name:literal => $field:ident: $type:ty = $default:literal, $takes:expr;
    )*) => {
        /// How a node behaves.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $($(#[doc = $meaning])+ pub $field: $type,)*
        }

        impl Default for Config {
            #[expect(clippy::cast_lossless, reason = "a number or a switch")]
            #[expect(clippy::unreadable_literal, reason = "as users write it")]
            fn default() -> Self {
                Self { $($field: Plain::of($default as u64),)* }
            }
        }

        static KEYS: &[Key] = &[$(Key {
            name: $name,
            meaning: concat!($($meaning),+),
            default: stringify!($default),
            takes: $takes,
            put: |config, value| config.$field = Plain::of(value),
        },)*];
    };
}

// Every setting, once: its meaning as in docs/manual.md, its key, field, type and default, and the
// values it takes.
settings! {
    /// 1: neighbours that are asked answer for their neighbours too; 0: only for themselves
    "lookup.hops" => hops: u8 = 1, Number(0, 1);
    /// how often a neighbour is asked which files it knows of that this peer does not, so that a
    /// lookup need not ask; 0 (or `lookup.hops` 0): never
    "lookup.compare_ms" => compare_interval: Duration = 60000, Number(0, 3_600_000);
    /// a sign of life to the tracker at least this often; a tracker grants its own value
    "interval.tracker_ms" => tracker_interval: Duration = 5000, Number(100, 3_600_000);
    /// to more than 400 members a tracker grants longer ones, as their number grows, up to this
    "interval.tracker_most_ms" => longest_tracker_interval: Duration = 60000, Number(100, 3_600_000);
    /// the same between neighbours
    "interval.neighbour_ms" => neighbour_interval: Duration = 60000, Number(100, 3_600_000);
    /// what a tracker keeps of all members' listings together, in MiB of memory; a member for whose
    /// listing there is no room is asked itself. With `--bittorrent`, some 500 bytes more for each
    /// file of a member that serves clients
    "tracker.listings_mib" => tracker_listings_mib: u64 = 4096, Number(1, 1_048_576);
    /// how many neighbours are kept
    "neighbours.max" => max_neighbours: usize = 32, Number(0, 1024);
    /// share hidden files
    "share.hidden" => share_hidden: bool = false, Switch;
    /// how often to look for changes where the system does not report all of them (network, FUSE
    /// and overlay file systems): each look asks for every file there, and takes a tenth of the
    /// time at most
    "share.look_again_ms" => share_look_again: Duration = 60000, Number(100, 86_400_000);
    /// serve the share to ordinary BitTorrent clients, in a group whose tracker says `--bittorrent`
    "share.bittorrent" => share_bittorrent: bool = false, Switch;
    /// a file that its owner may execute arrives as one (in groups by invitation only, and never
    /// one in a hidden place)
    "get.executable" => executable: bool = true, Switch;
    /// what files take that are read while they arrive (`get -o -`, the gateway), in MiB beside the
    /// state; the rest of it makes room for what is read next, and where the disk is short for what
    /// is fetched
    "read.cache_mib" => read_cache_mib: u64 = 16384, Number(1, 16_777_216);
    /// a tracker tells ordinary BitTorrent clients to announce themselves this often, and forgets
    /// one after twice this time
    "bittorrent.interval_ms" => announce_interval: Duration = 1200000, Number(10_000, 3_600_000);
    /// for how long a tracker takes the connection id that it gave a client over UDP; many clients
    /// use theirs for longer than the standard's two minutes
    "bittorrent.connection_ms" => udp_connection: Duration = 600000, Number(120_000, 86_400_000);
    /// serve the page of this node, the gateway and metrics to its own user, on loopback
    "page.on" => page_on: bool = true, Switch;
    /// the page's port; 0: any free one. A program that reads by the gateway wants one that stays
    "page.port" => page_port: u16 = 0, Number(0, 65_535);
}

impl Config {
    /// Reads the configuration file in a state directory. A missing file means the defaults. The
    /// file may be a symlink, since many users keep such files elsewhere.
    pub fn load(disk: DiskThread, state: &Path) -> Result<Self, ConfigError> {
        let path = state.join(FILE);
        let file = path.display().to_string();
        match read(disk, &path) {
            Ok(text) => Self::parse(&text, &file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => {
                let why = error.to_string();
                Err(ConfigError::Unreadable { file, why })
            }
        }
    }

    /// Parses the text of a configuration file; `origin` names the file in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let table: toml::Table =
            text.parse()
                .map_err(|error: toml::de::Error| ConfigError::Unreadable {
                    file: origin.into(),
                    why: error.to_string().trim_end().into(),
                })?;
        let mut config = Self::default();
        for (name, value) in flatten("", table) {
            config.set(&Key::find(&name, origin)?.checked(&value, origin)?);
        }
        Ok(config)
    }

    /// Applies a setting that does not come from the file.
    pub fn set(&mut self, setting: &Setting) {
        (setting.key.put)(self, setting.value);
    }
}

/// Reads a regular file. NONBLOCK, since opening a named pipe would wait for its other end.
fn read(_: DiskThread, path: &Path) -> io::Result<String> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other("it is too large for a configuration"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// A key of the configuration, as a user writes it.
#[derive(Debug)]
pub struct Key {
    /// Its name, which contains a dot.
    pub name: &'static str,
    /// Its default, as text.
    pub default: &'static str,
    meaning: &'static str,
    takes: Takes,
    put: fn(&mut Config, u64),
}

impl Key {
    /// Returns all keys.
    pub fn all() -> &'static [Self] {
        KEYS
    }

    /// Returns what it means, in words.
    pub fn meaning(&self) -> &'static str {
        self.meaning.trim_start()
    }

    /// Returns its environment variable, such as `THORP_LOOKUP_HOPS`.
    pub fn variable(&self) -> String {
        format!("THORP_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// Returns the values it takes, in words.
    pub fn allowed(&self) -> String {
        match self.takes {
            Switch => "true or false".into(),
            Number(0, 1) => "0 or 1".into(),
            Number(least, most) => format!("a number from {least} to {most}"),
        }
    }

    fn find(name: &str, origin: &str) -> Result<&'static Self, ConfigError> {
        let known = KEYS.iter().find(|key| key.name == name);
        known.ok_or_else(|| ConfigError::Unknown {
            origin: origin.into(),
            key: name.into(),
        })
    }

    fn checked(&'static self, value: &Value, origin: &str) -> Result<Setting, ConfigError> {
        let plain = match (self.takes, value) {
            (Number(least, most), Value::Integer(number)) => u64::try_from(*number)
                .ok()
                .filter(|number| (least..=most).contains(number)),
            (Switch, Value::Boolean(switch)) => Some(u64::from(*switch)),
            _ => None,
        };
        let value = plain.ok_or_else(|| ConfigError::Value {
            origin: origin.into(),
            key: self.name.into(),
            value: written(value),
            allowed: self.allowed(),
        })?;
        Ok(Setting { key: self, value })
    }
}

#[derive(Clone, Copy, Debug)]
enum Takes {
    /// A number from the first to the second, inclusive.
    Number(u64, u64),
    Switch,
}

/// The value of one key that does not come from the file. It was checked when it was made.
#[derive(Clone)]
pub struct Setting {
    key: &'static Key,
    value: u64,
}

impl Setting {
    /// Checks a value given by a flag or a variable; `origin` names it in errors. A switch may
    /// also be `yes` or `no`, `1` or `0` here.
    pub fn new(name: &str, text: &str, origin: &str) -> Result<Self, ConfigError> {
        let key = Key::find(name, origin)?;
        let value = match (key.takes, text) {
            (Switch, "true" | "yes" | "1") => Value::Boolean(true),
            (Switch, "false" | "no" | "0") => Value::Boolean(false),
            (Number(..), number) if let Ok(number) = number.parse() => Value::Integer(number),
            _ => Value::String(text.into()),
        };
        key.checked(&value, origin)
    }

    /// Reads every key from its environment variable, such as `THORP_LOOKUP_HOPS`. An empty
    /// variable counts as unset.
    ///
    /// `variable` looks one up: `|name| std::env::var(name).ok()`.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<Self>, ConfigError> {
        let set = KEYS.iter().filter_map(|key| {
            let origin = key.variable();
            let value = variable(&origin).filter(|value| !value.is_empty())?;
            Some(Self::new(key.name, &value, &origin))
        });
        set.collect()
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key.name, self.value)
    }
}

/// The type of a field, made from a number within its key's range.
trait Plain {
    fn of(value: u64) -> Self;
}

impl Plain for u8 {
    fn of(value: u64) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }
}

impl Plain for u16 {
    fn of(value: u64) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }
}

impl Plain for u64 {
    fn of(value: u64) -> Self {
        value
    }
}

impl Plain for usize {
    fn of(value: u64) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }
}

impl Plain for bool {
    fn of(value: u64) -> Self {
        value != 0
    }
}

impl Plain for Duration {
    fn of(value: u64) -> Self {
        Self::from_millis(value)
    }
}

/// Returns all values of a table, by dotted key.
fn flatten(prefix: &str, table: toml::Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            Value::Table(table) if KEYS.iter().all(|key| key.name != name) => {
                flat.extend(flatten(&format!("{name}."), table));
            }
            value => flat.push((name, value)),
        }
    }
    flat
}

/// Formats a value approximately as the user has written it.
fn written(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Boolean(switch) => switch.to_string(),
        Value::String(text) => format!("{text:?}"),
        other => format!("of type {}", other.type_str()),
    }
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file cannot be read, or is not TOML.
    #[error("cannot read {file}: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such key.
    #[error("{origin}: there is no setting `{key}`; the settings are {}", KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The file, flag or variable.
        origin: String,
        /// The key as it was written.
        key: String,
    },
    /// The key does not take this value.
    #[error("{origin}: `{key}` takes {allowed}, not {value}")]
    Value {
        /// The file, flag or variable.
        origin: String,
        /// The key.
        key: String,
        /// The value as it was written.
        value: String,
        /// What the key takes.
        allowed: String,
    },
}

#[cfg(test)]
mod tests {
    use thorp_disk::testing::DISK;

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
        let absent = Config::load(DISK, Path::new("/nowhere"));
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
    fn a_file_is_read_whole_or_not_at_all() {
        let state = tempfile::tempdir().expect("a directory");
        let ascii = format!("{}\nlookup.hops = 0\n", "#".repeat(1024 * 1024));
        // Its last character is cut by the bound.
        let cut = format!("##{}", "é".repeat(1024 * 1024));
        for (bytes, why) in [
            (ascii.as_bytes(), "too large for a configuration"),
            (cut.as_bytes(), "too large for a configuration"),
            (b"# \xe9", "it is not UTF-8"),
        ] {
            std::fs::write(state.path().join(FILE), bytes).expect("written");
            let error = Config::load(DISK, state.path()).expect_err(why);
            assert!(error.to_string().ends_with(why), "{error}");
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

    #[test]
    fn the_manual_lists_the_settings_there_are() {
        let manual = include_str!("../../../docs/manual.md");
        let (_, table) = manual
            .split_once("| key | default | meaning |\n|---|---|---|\n")
            .expect("the table");
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let wanted = KEYS
            .iter()
            .map(|key| format!("| `{}` | {} | {} |", key.name, key.default, key.meaning()));
        assert_eq!(rows.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    }

    #[test]
    fn every_default_is_one_that_its_key_takes() {
        let mut config = Config::default();
        for key in Key::all() {
            config.set(&Setting::new(key.name, key.default, "default").expect(key.name));
        }
        assert_eq!(config, Config::default());
    }
}
