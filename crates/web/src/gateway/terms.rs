//! Ranges and conditional requests (RFC 9110).
//!
//! A content's root is its tag, so a part that was read before fits exactly if the tag is the same.
//! Of several ranges in one request the whole file is sent, as the standard allows: no program
//! that reads films or packages asks so.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, header};

/// What is compared with what a request is made on terms of.
pub(super) struct State {
    /// With quotes.
    pub tag: String,
    pub modified: SystemTime,
    pub length: u64,
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Terms {
    /// All of it.
    Whole,
    /// These bytes of it.
    Part(Range<u64>),
    /// There are no such bytes.
    NoSuchPart,
    /// The asker has it already.
    NotModified,
    /// It is not what the asker has said that it is.
    Failed,
}

impl State {
    pub fn new(root: &str, mtime: i64, length: u64) -> Self {
        let since = Duration::from_secs(mtime.unsigned_abs());
        let modified = if mtime >= 0 {
            UNIX_EPOCH.checked_add(since)
        } else {
            UNIX_EPOCH.checked_sub(since)
        };
        Self {
            tag: format!("\"{root}\""),
            modified: modified.unwrap_or(UNIX_EPOCH),
            length,
        }
    }

    /// When it was modified, as a header says it. `None` if no header can say that.
    pub fn modified(&self) -> Option<String> {
        // Years of four digits.
        let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        (self.modified >= UNIX_EPOCH && self.modified <= last)
            .then(|| httpdate::fmt_http_date(self.modified))
    }

    /// What a request comes to, in the order of RFC 9110, section 13.2.2.
    pub fn judge(&self, headers: &HeaderMap) -> Terms {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if headers.contains_key(header::IF_MATCH) {
            if !self.is_among(headers, header::IF_MATCH, false) {
                return Terms::Failed;
            }
        } else if text(header::IF_UNMODIFIED_SINCE).is_some_and(|at| self.is_newer_than(at)) {
            return Terms::Failed;
        }
        if headers.contains_key(header::IF_NONE_MATCH) {
            if self.is_among(headers, header::IF_NONE_MATCH, true) {
                return Terms::NotModified;
            }
        } else if let Some(at) = text(header::IF_MODIFIED_SINCE)
            && httpdate::parse_http_date(at).is_ok()
            && !self.is_newer_than(at)
        {
            return Terms::NotModified;
        }
        match text(header::RANGE) {
            Some(range) if self.is_still(text(header::IF_RANGE)) => self.part(range),
            _ => Terms::Whole,
        }
    }

    /// Whether a header that lists tags has this one. `*` stands for any.
    fn is_among(&self, headers: &HeaderMap, name: HeaderName, weakly: bool) -> bool {
        let lists = headers.get_all(name);
        let lists = lists.iter().filter_map(|list| list.to_str().ok());
        let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
        tags.any(|tag| {
            let strong = tag.strip_prefix("W/").filter(|_| weakly).unwrap_or(tag);
            strong == "*" || strong == self.tag
        })
    }

    /// Whether it has changed since a date. A text that is no date says nothing.
    fn is_newer_than(&self, date: &str) -> bool {
        let since = httpdate::parse_http_date(date);
        since.is_ok_and(|since| self.modified >= since + Duration::from_secs(1))
    }

    /// Whether a part fits to what the asker has: by its tag, or by a date that is exactly its.
    fn is_still(&self, if_range: Option<&str>) -> bool {
        if_range.is_none_or(|what| {
            what.trim() == self.tag || self.modified().as_deref() == Some(what.trim())
        })
    }

    fn part(&self, range: &str) -> Terms {
        let Some(range) = range.trim().strip_prefix("bytes=") else {
            return Terms::Whole;
        };
        let Some((first, last)) = range.split_once('-').filter(|_| !range.contains(',')) else {
            return Terms::Whole;
        };
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
            // What is longer than 64 bits is beyond the end of any file.
            is_number.then(|| text.parse().unwrap_or(u64::MAX))
        };
        match (number(first.trim()), number(last.trim())) {
            (Some(first), Some(last)) if last < first => Terms::Whole,
            (Some(first), last) if last.is_some() || last_is_open(range) => {
                let end = last.map_or(self.length, |last| last.saturating_add(1).min(self.length));
                if first < self.length {
                    Terms::Part(first..end)
                } else {
                    Terms::NoSuchPart
                }
            }
            (None, Some(0)) if first.trim().is_empty() => Terms::NoSuchPart,
            (None, Some(suffix)) if first.trim().is_empty() => match self.length {
                0 => Terms::NoSuchPart,
                length => Terms::Part(length.saturating_sub(suffix)..length),
            },
            _ => Terms::Whole,
        }
    }
}

fn last_is_open(range: &str) -> bool {
    range.trim_end().ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn state() -> State {
        State::new("3f", 784_111_777, 1000)
    }

    fn judged(headers: &[(HeaderName, &str)]) -> Terms {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().expect("a value"));
        }
        state().judge(&map)
    }

    #[test]
    fn one_range_is_answered_and_what_is_none_is_as_if_it_were_not_there() {
        for (range, terms) in [
            ("bytes=0-0", Terms::Part(0..1)),
            ("bytes=0-", Terms::Part(0..1000)),
            ("bytes=999-", Terms::Part(999..1000)),
            ("bytes=10-19", Terms::Part(10..20)),
            ("bytes=990-5000", Terms::Part(990..1000)),
            ("bytes=0-99999999999999999999999", Terms::Part(0..1000)),
            ("bytes=-1", Terms::Part(999..1000)),
            ("bytes=-5000", Terms::Part(0..1000)),
            ("bytes=-0", Terms::NoSuchPart),
            ("bytes=1000-", Terms::NoSuchPart),
            ("bytes=99999999999999999999999-", Terms::NoSuchPart),
            ("bytes=2-1", Terms::Whole),
            ("bytes=-", Terms::Whole),
            ("bytes=a-b", Terms::Whole),
            ("bytes=1-b", Terms::Whole),
            ("bytes=+1-2", Terms::Whole),
            ("bytes=0-1,5-6", Terms::Whole),
            ("items=0-1", Terms::Whole),
            ("", Terms::Whole),
        ] {
            assert_eq!(judged(&[(header::RANGE, range)]), terms, "{range}");
        }
        let empty = State::new("3f", 0, 0);
        let mut headers = HeaderMap::new();
        assert_eq!(empty.judge(&headers), Terms::Whole);
        for range in ["bytes=0-", "bytes=-1"] {
            headers.insert(header::RANGE, range.parse().expect("a value"));
            assert_eq!(empty.judge(&headers), Terms::NoSuchPart, "{range}");
        }
    }

    #[test]
    fn who_has_it_already_is_told_so() {
        for tags in ["\"3f\"", "W/\"3f\"", "\"x\", \"3f\"", "*"] {
            let terms = judged(&[(header::IF_NONE_MATCH, tags)]);
            assert_eq!(terms, Terms::NotModified, "{tags}");
        }
        assert_eq!(judged(&[(header::IF_NONE_MATCH, "\"x\"")]), Terms::Whole);
        let since = |date| judged(&[(header::IF_MODIFIED_SINCE, date)]);
        assert_eq!(since(DATE), Terms::NotModified);
        assert_eq!(since("Sun, 06 Nov 1994 08:49:36 GMT"), Terms::Whole);
        assert_eq!(since("yesterday"), Terms::Whole);
        // The tag says more than the date.
        let both = [
            (header::IF_NONE_MATCH, "\"x\""),
            (header::IF_MODIFIED_SINCE, DATE),
        ];
        assert_eq!(judged(&both), Terms::Whole);
    }

    #[test]
    fn a_part_is_sent_only_of_what_the_asker_has_the_rest_of() {
        let range = (header::RANGE, "bytes=5-9");
        for (what, terms) in [
            ("\"3f\"", Terms::Part(5..10)),
            (DATE, Terms::Part(5..10)),
            ("\"x\"", Terms::Whole),
            ("W/\"3f\"", Terms::Whole),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Terms::Whole),
        ] {
            let asked = [range.clone(), (header::IF_RANGE, what)];
            assert_eq!(judged(&asked), terms, "{what}");
        }
        let is = |tag| judged(&[range.clone(), (header::IF_MATCH, tag)]);
        assert_eq!(is("\"3f\""), Terms::Part(5..10));
        assert_eq!(is("W/\"3f\""), Terms::Failed);
        assert_eq!(is("\"x\""), Terms::Failed);
        let unmodified = |date| judged(&[(header::IF_UNMODIFIED_SINCE, date)]);
        assert_eq!(unmodified("Sun, 06 Nov 1994 08:49:30 GMT"), Terms::Failed);
        assert_eq!(unmodified(DATE), Terms::Whole);
    }

    #[test]
    fn a_time_that_no_header_can_say_is_not_said() {
        assert_eq!(state().modified().as_deref(), Some(DATE));
        for mtime in [-1, i64::MIN, i64::MAX, 253_402_300_800] {
            assert_eq!(State::new("3f", mtime, 1).modified(), None, "{mtime}");
        }
    }
}
