//! What a user means who types a name.

use thorp_wire::Name;

use super::Request;
use crate::matching::{Pattern, looks_like_a_pattern};

/// What a user means who types this.
pub(super) enum Wanted {
    Name(String),
    Folder(String),
    Pattern(Pattern),
}

impl Wanted {
    /// What looks like a pattern and is none (`photo [1`) can still be a file's name, and what ends
    /// in a slash is a folder's. A file that is read is called exactly so.
    pub fn meant_by(typed: &str, request: &Request) -> Self {
        let name = Name::meant_by(typed);
        if request.is_read && !name.is_empty() {
            return Self::Name(name);
        }
        if typed.ends_with('/') && !name.is_empty() {
            return Self::Folder(name);
        }
        if !request.exact
            && looks_like_a_pattern(typed)
            && let Ok(pattern) = Pattern::new(&name)
        {
            return Self::Pattern(pattern);
        }
        if name.is_empty() {
            return Self::Name(typed.to_owned());
        }
        Self::Name(name)
    }
}
