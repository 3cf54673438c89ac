//! Addresses of downloads that are good for one name, once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::keys;

/// How long an address is good.
const GOOD_FOR: Duration = Duration::from_mins(1);
/// The most addresses that wait to be used. A further one takes the place of the oldest.
const MOST: usize = 64;

/// What a browser is to save, as the page says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Download {
    /// The path of a file or a folder.
    pub(crate) name: String,
    /// The beginning of the content's root.
    pub(crate) root: Option<String>,
    /// The only peer to read from.
    pub(crate) from: Option<String>,
    /// As what.
    #[serde(rename = "as")]
    pub(crate) shape: Shape,
}

/// As what a file or a folder is saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    /// A file as it is.
    #[default]
    File,
    /// A folder as a zip.
    Zip,
    /// A folder as a tar.
    Tar,
}

/// The addresses that were made and not used yet.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<VecDeque<Ticket>>);

struct Ticket {
    text: String,
    until: Instant,
    wanted: Download,
}

impl Tickets {
    /// Makes an address; `None` if the system has no random numbers.
    pub(crate) fn add(&self, now: Instant, wanted: Download) -> Option<String> {
        let text = keys::secret()?;
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|ticket| now < ticket.until);
        if tickets.len() == MOST {
            tickets.pop_front();
        }
        tickets.push_back(Ticket {
            text: text.clone(),
            until: now + GOOD_FOR,
            wanted,
        });
        Some(text)
    }

    /// Returns what an address is good for, once.
    pub(crate) fn take(&self, now: Instant, text: &str) -> Option<Download> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|ticket| now < ticket.until);
        let is_it = |ticket: &Ticket| keys::is_same(&ticket.text, text);
        let at = tickets.iter().position(is_it)?;
        tickets.remove(at).map(|ticket| ticket.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn download(name: &str) -> Download {
        Download {
            name: name.into(),
            ..Download::default()
        }
    }

    #[test]
    fn an_address_is_good_for_one_name_once_and_for_a_minute() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let a = tickets.add(now, download("a")).expect("a ticket");
        let b = tickets.add(now, download("b")).expect("a ticket");
        assert_eq!(tickets.take(now, "other"), None);
        assert_eq!(tickets.take(now, &a), Some(download("a")));
        assert_eq!(tickets.take(now, &a), None);
        assert_eq!(tickets.take(now + GOOD_FOR, &b), None);
    }

    #[test]
    fn few_addresses_wait() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let first = tickets.add(now, download("first")).expect("a ticket");
        for _ in 0..MOST {
            tickets.add(now, download("more")).expect("a ticket");
        }
        assert_eq!(tickets.take(now, &first), None);
    }
}
