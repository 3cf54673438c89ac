//! A file's name: a relative path that cannot lead out of a share.

use std::fmt;
use std::str::FromStr;

use arcstr::ArcStr;
use minicbor::{Decode, Encode};
use thiserror::Error;

/// A file's name: UTF-8, a relative path with `/` between its parts.
///
/// Names are compared byte for byte: names that differ in case or in Unicode normalisation are
/// different. A name may contain every character that a file system allows, including control
/// characters, so it is escaped before a user sees it. It has no empty part, no `.` or `..`, no
/// NUL, and no part of more than 255 bytes. Cheap to clone, and one word long.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(ArcStr);

impl Name {
    /// The maximum length, in bytes (Linux's `PATH_MAX` without its NUL).
    pub const MAX: usize = 4095;
    /// The maximum length of a part between two slashes, in bytes (`NAME_MAX`).
    pub const MAX_PART: usize = 255;

    /// Returns the whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last part of the path.
    pub fn base(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns the path without its last part, or `None` if it has only one part.
    pub fn folder(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(folder, _)| folder)
    }

    /// Normalises a path that a user typed: `./a`, `/a` and `a//b` become `a` and `a/b`. A part
    /// `..` is kept, and makes the result an invalid name.
    pub fn meant_by(typed: &str) -> String {
        let parts = typed.split('/').filter(|part| !matches!(*part, "" | "."));
        parts.collect::<Vec<_>>().join("/")
    }

    /// Returns the same path with another last part.
    pub fn with_base(&self, base: &str) -> Result<Self, NameError> {
        match self.folder() {
            Some(folder) => format!("{folder}/{base}").parse(),
            None => base.parse(),
        }
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(path: &str) -> Result<Self, NameError> {
        if path.len() > Self::MAX {
            return Err(NameError::TooLong);
        }
        if path.starts_with('/') {
            return Err(NameError::Absolute);
        }
        if path.contains('\0') {
            return Err(NameError::Nul);
        }
        for part in path.split('/') {
            match part {
                "" => return Err(NameError::EmptyPart),
                "." | ".." => return Err(NameError::DotPart),
                part if part.len() > Self::MAX_PART => return Err(NameError::PartTooLong),
                _ => {}
            }
        }
        Ok(Self(path.into()))
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl<C> Encode<C> for Name {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Name {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?
            .parse()
            .map_err(|e: NameError| minicbor::decode::Error::message(e).at(d.position()))
    }
}

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// It starts with `/`.
    #[error("a file name is a relative path, not one that starts with /")]
    Absolute,
    /// It is empty or has an empty part: `a//b`, `a/`.
    #[error("a file name has no empty part")]
    EmptyPart,
    /// It has a part `.` or `..`.
    #[error("a file name has no part that is . or two dots")]
    DotPart,
    /// It contains a NUL.
    #[error("a file name has no NUL character")]
    Nul,
    /// It has more than [`Name::MAX`] bytes.
    #[error("a file name has at most 4095 bytes")]
    TooLong,
    /// A part has more than [`Name::MAX_PART`] bytes.
    #[error("no part of a file name has more than 255 bytes")]
    PartTooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_and_odd_file_names_are_names() {
        let longest = "x".repeat(255);
        for good in [
            "a",
            "a b",
            "-rf",
            "...",
            "..a",
            "über/ü.txt",
            "a\nb",
            "\u{202e}x",
            &longest,
        ] {
            assert_eq!(good.parse::<Name>().map(|n| n.to_string()), Ok(good.into()));
        }
    }

    #[test]
    fn what_could_leave_a_share_is_no_name() {
        for (bad, why) in [
            ("", NameError::EmptyPart),
            ("/etc/passwd", NameError::Absolute),
            ("a//b", NameError::EmptyPart),
            ("a/", NameError::EmptyPart),
            ("..", NameError::DotPart),
            ("a/../../b", NameError::DotPart),
            ("./a", NameError::DotPart),
            ("a\0b", NameError::Nul),
            (&"x".repeat(256), NameError::PartTooLong),
            (&"x/".repeat(3000), NameError::TooLong),
        ] {
            assert_eq!(bad.parse::<Name>(), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn a_typed_path_is_taken_for_the_name_that_is_meant() {
        for (typed, name) in [
            ("notes.txt", "notes.txt"),
            ("./notes.txt", "notes.txt"),
            ("/notes.txt", "notes.txt"),
            (".//a/./b/", "a/b"),
            ("../a", "../a"),
            (".hidden", ".hidden"),
            ("/", ""),
        ] {
            assert_eq!(Name::meant_by(typed), name, "{typed}");
        }
    }

    #[test]
    fn a_name_knows_its_base_and_its_folder() {
        let name: Name = "a/b/c.txt".parse().expect("a name");
        assert_eq!((name.base(), name.folder()), ("c.txt", Some("a/b")));
        assert_eq!(name.with_base("d").expect("a name").as_str(), "a/b/d");
        let name: Name = "c.txt".parse().expect("a name");
        assert_eq!((name.base(), name.folder()), ("c.txt", None));
        assert_eq!(name.with_base("../d"), Err(NameError::DotPart));
    }
}
