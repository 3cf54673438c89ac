//! The tuning that `config.toml` holds, as overridden for one run.
//!
//! `--set KEY=VALUE` wins over the key's environment variable, which wins over
//! `config.toml` in the state directory. Owns the keys and their limits; the
//! file is read by the node, which lays these on top of it.

use std::str::FromStr;

/// What was set for this run; nothing where the file or the default counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `lookup.hops`: 0 or 1.
    pub lookup_hops: Option<u8>,
    /// `interval.tracker_ms`: silence after which the tracker gets a heartbeat.
    pub interval_tracker_ms: Option<u64>,
    /// `interval.neighbour_ms`: the same between neighbours.
    pub interval_neighbour_ms: Option<u64>,
    /// `neighbours.max`: how many are kept.
    pub neighbours_max: Option<u16>,
    /// `share.hidden`: whether hidden files are offered.
    pub share_hidden: Option<bool>,
}

/// Every key, its environment variable, and what it takes.
pub const KEYS: [(&str, &str, &str); 5] = [
    ("lookup.hops", "THORP_LOOKUP_HOPS", "0 or 1"),
    (
        "interval.tracker_ms",
        "THORP_INTERVAL_TRACKER_MS",
        "milliseconds, 50 to 3600000",
    ),
    (
        "interval.neighbour_ms",
        "THORP_INTERVAL_NEIGHBOUR_MS",
        "milliseconds, 50 to 3600000",
    ),
    ("neighbours.max", "THORP_NEIGHBOURS_MAX", "1 to 1000"),
    ("share.hidden", "THORP_SHARE_HIDDEN", "true or false"),
];

/// One `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    key: String,
    value: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or("KEY=VALUE is wanted, such as lookup.hops=0")?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        // Checked here so that the complaint names the argument.
        Settings::default().set(&key, &value)?;
        Ok(Self { key, value })
    }
}

impl Settings {
    /// The environment's settings with `assignments` on top.
    pub fn new(
        env: impl Fn(&str) -> Option<String>,
        assignments: &[Assignment],
    ) -> Result<Self, String> {
        let mut settings = Self::default();
        for (key, variable, _) in KEYS {
            if let Some(value) = env(variable).filter(|value| !value.is_empty()) {
                settings
                    .set(key, &value)
                    .map_err(|why| format!("{variable}: {why}"))?;
            }
        }
        for assignment in assignments {
            settings.set(&assignment.key, &assignment.value)?;
        }
        Ok(settings)
    }

    /// What was set, for the node: key, value, and where it was said.
    pub fn assignments(&self) -> Vec<(String, String, String)> {
        let values = [
            self.lookup_hops.map(|value| value.to_string()),
            self.interval_tracker_ms.map(|value| value.to_string()),
            self.interval_neighbour_ms.map(|value| value.to_string()),
            self.neighbours_max.map(|value| value.to_string()),
            self.share_hidden.map(|value| value.to_string()),
        ];
        let set = KEYS.iter().zip(values);
        set.filter_map(|((key, ..), value)| {
            Some((String::from(*key), value?, String::from("--set")))
        })
        .collect()
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "lookup.hops" => self.lookup_hops = Some(within(key, value, 0, 1)?),
            "interval.tracker_ms" => {
                self.interval_tracker_ms = Some(within(key, value, 50, 3_600_000)?);
            }
            "interval.neighbour_ms" => {
                self.interval_neighbour_ms = Some(within(key, value, 50, 3_600_000)?);
            }
            "neighbours.max" => self.neighbours_max = Some(within(key, value, 1, 1000)?),
            "share.hidden" => {
                self.share_hidden = Some(match value {
                    "true" | "1" | "yes" => true,
                    "false" | "0" | "no" => false,
                    _ => return Err(wanted(key, value)),
                });
            }
            _ => {
                let known: Vec<_> = KEYS.iter().map(|(key, ..)| *key).collect();
                return Err(format!(
                    "no setting is called {key:?}; there are {}",
                    known.join(", ")
                ));
            }
        }
        Ok(())
    }
}

fn within<T: FromStr + PartialOrd + Copy>(
    key: &str,
    value: &str,
    low: T,
    high: T,
) -> Result<T, String> {
    value
        .parse()
        .ok()
        .filter(|n| *n >= low && *n <= high)
        .ok_or_else(|| wanted(key, value))
}

fn wanted(key: &str, value: &str) -> String {
    let what = KEYS
        .iter()
        .find(|(known, ..)| *known == key)
        .map_or("", |(_, _, what)| what);
    format!("{key} takes {what}, not {value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_environment() {
        let env = |name: &str| match name {
            "THORP_LOOKUP_HOPS" => Some("1".to_owned()),
            "THORP_NEIGHBOURS_MAX" => Some("7".to_owned()),
            _ => None,
        };
        let flags = ["lookup.hops=0".parse().expect("an assignment")];
        let settings = Settings::new(env, &flags).expect("settings");
        assert_eq!(settings.lookup_hops, Some(0));
        assert_eq!(settings.neighbours_max, Some(7));
        assert_eq!(settings.share_hidden, None);
    }

    #[test]
    fn every_key_can_be_set() {
        let values = ["0", "500", "15000", "32", "true"];
        for ((key, ..), value) in KEYS.iter().zip(values) {
            assert!(
                format!("{key}={value}").parse::<Assignment>().is_ok(),
                "{key}"
            );
        }
    }

    #[test]
    fn complaints_name_the_key() {
        for bad in [
            "lookup.hops=2",
            "lookup.hops",
            "nothing=1",
            "interval.tracker_ms=1",
        ] {
            assert!(bad.parse::<Assignment>().is_err(), "{bad}");
        }
        let env = |name: &str| (name == "THORP_LOOKUP_HOPS").then(|| "many".to_owned());
        let why = Settings::new(env, &[]).expect_err("not a number");
        assert!(
            why.starts_with("THORP_LOOKUP_HOPS: lookup.hops takes 0 or 1"),
            "{why}"
        );
    }
}
