//! How typed text matches the names of files.
//!
//! A text matches a full path first, then a base name; a name that differs only in Unicode
//! normalisation is a suggestion, never a match. Patterns are globs on the full path or, without
//! `/`, on the base name. Matching is case-sensitive.

use std::fmt;

use thiserror::Error;
use thorp_wire::Name;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::glob::{self, Glob, NotAGlob};

/// How well a name fits the typed text, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// The full path equals the typed text.
    Path,
    /// The base name equals the typed text.
    Base,
    /// The two match only after Unicode normalisation. Offered to the user, never taken.
    Normalised,
}

/// Returns how well `name` fits the `typed` text, if at all.
pub fn fit(name: &Name, typed: &str) -> Option<Fit> {
    if name.as_str() == typed {
        return Some(Fit::Path);
    }
    if name.base() == typed {
        return Some(Fit::Base);
    }
    if name.as_str().is_ascii() && typed.is_ascii() {
        return None;
    }
    let typed = nfc(typed);
    (nfc(name.as_str()) == typed || nfc(name.base()) == typed).then_some(Fit::Normalised)
}

/// What a name has in common with a text that fits no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// The name is in a folder with this name.
    InFolder,
    /// The name differs only in case.
    OtherCase,
}

/// Returns what `name` has in common with the `typed` text, if anything.
pub fn likeness(name: &Name, typed: &str) -> Option<Likeness> {
    let rest = name.as_str().strip_prefix(typed);
    if rest.is_some_and(|rest| rest.starts_with('/')) {
        return Some(Likeness::InFolder);
    }
    let typed = folded(typed);
    (folded(name.as_str()) == typed || folded(name.base()) == typed).then_some(Likeness::OtherCase)
}

/// Returns the text in small letters, in Unicode normalisation form C.
pub(crate) fn folded(text: &str) -> String {
    nfc(&text.to_lowercase())
}

/// Returns the text in Unicode normalisation form C.
pub fn nfc(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    text.nfc().collect()
}

/// Whether the text is in Unicode normalisation form C.
pub fn is_nfc(text: &str) -> bool {
    text.is_ascii()
        || match is_nfc_quick(text.chars()) {
            IsNormalized::Yes => true,
            IsNormalized::No => false,
            IsNormalized::Maybe => text.nfc().eq(text.chars()),
        }
}

/// Whether a user who types this text means a pattern.
pub fn looks_like_a_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Returns the text of the pattern for everything in a folder, even if its name has special
/// characters.
pub fn all_beneath(folder: &str) -> String {
    let mut text = String::with_capacity(folder.len() + 3);
    for c in folder.chars() {
        push_as_it_is(&mut text, c);
    }
    text + "/**"
}

/// A compiled glob. It also matches the name that equals its text, so that a file called `[1].txt`
/// can be asked for.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    /// Whether it is compared with whole paths.
    has_folder: bool,
    glob: Glob,
}

impl Pattern {
    /// The maximal length of a pattern in bytes.
    pub const MAX: usize = 1024;
    /// The maximal number of opening braces in a pattern.
    pub const MAX_BRACES: usize = 16;
    /// The most patterns without braces that one pattern may expand to.
    pub const MAX_ALTERNATIVES: usize = glob::MAX_ALTERNATIVES;

    /// Compiles a glob.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        Self::counted(text, &mut 0)
    }

    /// Compiles a glob. Adds the cost to `steps`, also on failure.
    pub fn counted(text: &str, steps: &mut u64) -> Result<Self, PatternError> {
        *steps += text.len() as u64;
        if text.len() > Self::MAX {
            return Err(PatternError::TooLong);
        }
        if text.matches('{').count() > Self::MAX_BRACES {
            return Err(NotAGlob("too many braces").into());
        }
        Ok(Self {
            glob: Glob::new(text, steps)?,
            has_folder: text.contains('/'),
            text: text.to_owned(),
        })
    }

    /// Returns the pattern for everything in a folder, even if its name has special characters.
    pub fn beneath(folder: &str) -> Result<Self, PatternError> {
        Self::new(&all_beneath(folder))
    }

    /// Returns the pattern for all names with a [`Likeness`] to a text, as far as it fits into a
    /// pattern.
    pub fn resembling(typed: &str) -> Result<Self, PatternError> {
        let folder = Self::beneath(typed)?;
        let mut text = format!("{{{},**/", folder.text);
        for c in typed.chars() {
            let (mut small, mut large) = (c.to_lowercase(), c.to_uppercase());
            match (small.next(), small.next(), large.next(), large.next()) {
                (Some(small), None, Some(large), None) if small != large => {
                    text.extend(['[', small, large, ']']);
                }
                _ => push_as_it_is(&mut text, c),
            }
        }
        text.push('}');
        Self::new(&text).or(Ok(folder))
    }

    /// Whether the pattern matches this name.
    pub fn matches(&self, name: &Name) -> bool {
        self.glob.matches(self.compared(name)) || name.as_str() == self.text
    }

    /// Returns the cost of matching a name, in steps of a few nanoseconds.
    pub fn steps(&self, name: &Name) -> u64 {
        self.glob.steps(self.compared(name))
    }

    fn compared<'a>(&self, name: &'a Name) -> &'a str {
        if self.has_folder {
            name.as_str()
        } else {
            name.base()
        }
    }

    /// Returns the pattern as it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the common prefix of all full paths that match, so that no other paths need be
    /// checked.
    pub fn prefix(&self) -> &str {
        if !self.has_folder {
            return "";
        }
        let end = self.text.find(['*', '?', '[', '{', '\\']);
        &self.text[..end.unwrap_or(self.text.len())]
    }
}

/// Appends a character that is to be taken literally.
fn push_as_it_is(text: &mut String, c: char) {
    if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | ',' | '\\') {
        text.push('\\');
    }
    text.push(c);
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl From<NotAGlob> for PatternError {
    fn from(NotAGlob(why): NotAGlob) -> Self {
        Self::NotAGlob(why.to_owned())
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// The text is longer than [`Pattern::MAX`] bytes.
    #[error("a pattern has at most 1024 bytes")]
    TooLong,
    /// The syntax is wrong; for example, brackets are unbalanced.
    #[error("this is no pattern: {0}")]
    NotAGlob(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn a_path_fits_better_than_a_base_name_and_a_base_name_better_than_a_lookalike() {
        assert_eq!(fit(&name("a/b.txt"), "a/b.txt"), Some(Fit::Path));
        assert_eq!(fit(&name("a/b.txt"), "b.txt"), Some(Fit::Base));
        assert_eq!(fit(&name("a/b.txt"), "B.txt"), None);
        assert_eq!(fit(&name("a/b.txt"), "a"), None);
        let (composed, decomposed) = ("\u{fc}.txt", "u\u{308}.txt");
        assert_eq!(fit(&name(composed), composed), Some(Fit::Path));
        assert_eq!(fit(&name(composed), decomposed), Some(Fit::Normalised));
        assert_eq!(
            fit(&name(&format!("x/{decomposed}")), composed),
            Some(Fit::Normalised)
        );
        assert!(Fit::Path < Fit::Base && Fit::Base < Fit::Normalised);
    }

    #[test]
    fn a_pattern_without_a_slash_is_about_base_names() {
        let matches =
            |pattern: &str, path: &str| Pattern::new(pattern).expect("a glob").matches(&name(path));
        for (pattern, path, yes) in [
            ("*.txt", "a/b.txt", true),
            ("**", "a/b/c", true),
            ("*", "a/b/c", true),
            ("a/*.txt", "a/b.txt", true),
            ("a/*.txt", "a/b/c.txt", false),
            ("a/**", "a/b/c.txt", true),
            ("a/**", "b/a/c.txt", false),
            ("**/c.txt", "a/b/c.txt", true),
            ("B*", "b.txt", false),
            ("[1].txt", "1.txt", true),
            ("[1].txt", "[1].txt", true),
            ("{a,b}.txt", "x/b.txt", true),
            ("M?ller", "M\u{fc}ller", true),
            ("[\u{e0}-\u{ff}]*", "\u{fc}ber", true),
        ] {
            assert_eq!(matches(pattern, path), yes, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_knows_what_its_matches_start_with() {
        for (pattern, prefix) in [
            ("dir/sub/*.txt", "dir/sub/"),
            ("*.txt", ""),
            ("a{b,c}/d", "a"),
            ("a/b", "a/b"),
        ] {
            assert_eq!(Pattern::new(pattern).expect("a glob").prefix(), prefix);
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for depth in [17, 251, 500] {
            let nested = format!("{}a{}", "{".repeat(depth), "}".repeat(depth));
            assert!(matches!(
                Pattern::new(&nested),
                Err(PatternError::NotAGlob(_))
            ));
        }
        let nested = format!("{}a{}", "{".repeat(16), "}".repeat(16));
        assert!(Pattern::new(&nested).is_ok());
        let many = "{a,b}".repeat(9);
        for nonsense in ["a[b", "a[]", "{a", "a}", "a\\", "[z-a]", &many] {
            assert!(
                matches!(Pattern::new(nonsense), Err(PatternError::NotAGlob(_))),
                "{nonsense}"
            );
        }
        assert_eq!(
            Pattern::new(&"*".repeat(2000)).expect_err("too long"),
            PatternError::TooLong
        );
    }

    #[test]
    fn one_pattern_finds_what_resembles_a_name() {
        for typed in [
            "dir01",
            "a/Notes.txt",
            "x{1,2}.[t]",
            "\u{dc}ber uns",
            &"n".repeat(255),
        ] {
            let pattern = Pattern::resembling(typed).expect("a pattern");
            let other = typed.to_uppercase();
            for (path, like) in [
                (format!("{typed}/b"), Some(Likeness::InFolder)),
                (format!("{typed}/b/c"), Some(Likeness::InFolder)),
                (other.clone(), Some(Likeness::OtherCase)),
                (format!("{typed}2"), None),
            ] {
                let is_too_long = typed.len() > 200 && like == Some(Likeness::OtherCase);
                let Ok(name) = path.parse::<Name>() else {
                    continue;
                };
                assert_eq!(likeness(&name, typed), like, "{path}");
                let finds = like.is_some() && !is_too_long;
                assert_eq!(pattern.matches(&name), finds, "{typed} {path}");
            }
        }
        let deeper = name("x/README.md");
        let pattern = Pattern::resembling("readme.md").expect("a pattern");
        assert!(pattern.matches(&deeper));
        assert_eq!(likeness(&deeper, "readme.md"), Some(Likeness::OtherCase));
    }
}
