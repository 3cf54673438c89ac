//! Names that have a meaning for thorp itself, and names that other programs act on.
//!
//! The walk over a share, the store, the state directory and the plan of a get all use these
//! rules, so they never disagree. This module owns the names. Other modules decide what such
//! files contain and who may write them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use crate::{Content, Name};

/// The file with the version of a state directory. A directory that contains it is a state
/// directory and never shared, since it holds keys.
pub const VERSION_FILE: &str = "thorp-state";
/// The file in which a user lists what not to share, in the format of `.gitignore`.
pub const IGNORE_FILE: &str = ".thorpignore";

const PART_PREFIX: &str = ".thorp-";
const PART_SUFFIX: &str = ".part";

/// Whether thorp would misread a file of this name, as the mark of a state directory or as a
/// partial file.
pub fn is_reserved(name: &Name) -> bool {
    let mut parts = name.as_str().split('/');
    parts.any(|part| part == VERSION_FILE || is_part(part.as_ref()))
}

/// Whether a file of this name would change which files around it are shared. Such a file is
/// fetched only by its exact name, never by a pattern.
pub fn changes_what_is_shared(name: &Name) -> bool {
    name.base() == IGNORE_FILE || is_reserved(name)
}

/// Whether this is the name of a file that is still being fetched.
pub fn is_part(base: &OsStr) -> bool {
    let base = base.as_encoded_bytes();
    base.starts_with(PART_PREFIX.as_bytes()) && base.ends_with(PART_SUFFIX.as_bytes())
}

/// Returns the name of a small file while it is being fetched. Several fetches of one content may
/// run at once; `number` tells their files apart.
pub fn part_of(content: Content, number: u32) -> String {
    part(&root_of(content), number)
}

/// Returns the name of a large file while it is being fetched. It includes the length, so that a
/// file with the same root and another length does not truncate this one.
pub fn large_part_of(content: Content, number: u32) -> String {
    part(&format!("{}-{}", root_of(content), content.length), number)
}

/// Returns the name of an empty file that a file system takes if it takes the odd characters of
/// this one: those that some file systems have in no name. `None` if there are none.
pub fn probe_of(base: &str) -> Option<String> {
    let odd = base.chars().filter(|c| is_odd(*c)).collect::<BTreeSet<_>>();
    let odd = odd.into_iter().collect::<String>();
    (!odd.is_empty()).then(|| format!("{PART_PREFIX}{odd}{PART_SUFFIX}"))
}

/// Whether FAT, NTFS and those who speak to such have this character in no name.
fn is_odd(c: char) -> bool {
    c.is_ascii_control() || matches!(c, '"' | '*' | ':' | '<' | '>' | '?' | '\\' | '|')
}

/// Whether a path within a share, or a folder in it, starts with a dot.
pub fn is_hidden(path: &Path) -> bool {
    path.iter()
        .any(|part| part.as_encoded_bytes().starts_with(b"."))
}

/// Whether a file of this name may have an effect merely by being there: a hidden file, which
/// programs read unasked (`.git/config`, `.bash_profile`, `.ssh/authorized_keys`), or one on
/// which another system acts when its folder is shown or its disk is mounted. Such a file is
/// written only if the user gave its name.
pub fn acts_unasked(name: &Name) -> bool {
    name.as_str().split('/').any(hides) || is_acted_on(name.base())
}

/// Whether a part of a path is hidden on any system that may see it.
fn hides(part: &str) -> bool {
    part.trim_start_matches(is_ignorable).starts_with('.') || is_short(part)
}

/// Whether Apple's file systems ignore this character: `.git` preceded by one is `.git` there.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether this may be a short name, which FAT and NTFS give to a longer one: `GIT~1` is `.git`.
fn is_short(part: &str) -> bool {
    let Some((stem, number)) = part.split_once('~') else {
        return false;
    };
    let number = number.split_once('.').map_or(number, |(number, _)| number);
    (1..=6).contains(&stem.len())
        && stem.is_ascii()
        && (1..=6).contains(&number.len())
        && number.bytes().all(|digit| digit.is_ascii_digit())
}

/// Whether Windows or a desktop acts on such a file when it shows a folder: they load icons from
/// where the file says, show other names, or offer to run a program.
fn is_acted_on(base: &str) -> bool {
    const NAMES: [&str; 3] = ["desktop.ini", "autorun.inf", "folder.htt"];
    const ENDINGS: [&str; 6] = ["lnk", "url", "scf", "library-ms", "search-ms", "desktop"];
    // Windows ignores dots and spaces at the end of a name.
    let base = base.trim_end_matches(['.', ' ']).to_ascii_lowercase();
    let ending = base.rsplit_once('.').map(|(_, ending)| ending);
    NAMES.contains(&base.as_str()) || ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

fn root_of(content: Content) -> String {
    let mut root = content.root.to_string();
    root.truncate(16);
    root
}

fn part(of: &str, number: u32) -> String {
    match number {
        0 => format!("{PART_PREFIX}{of}{PART_SUFFIX}"),
        number => format!("{PART_PREFIX}{of}.{number}{PART_SUFFIX}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Root;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn a_probe_has_the_odd_characters_and_is_shared_by_nobody() {
        assert_eq!(probe_of("2026-12-01 notes (new).txt"), None);
        let probe = probe_of("what? 12:30:00 <a|b>").expect("it is odd");
        assert_eq!(probe, ".thorp-:<>?|.part");
        assert!(is_part(probe.as_ref()));
    }

    #[test]
    fn thorps_own_names_are_reserved_wherever_they_stand_in_a_path() {
        for (text, reserved) in [
            ("thorp-state", true),
            ("a/thorp-state/b", true),
            ("a/.thorp-0123456789abcdef.part", true),
            (".thorp-x.part/a", true),
            ("thorp-state.txt", false),
            ("Thorp-state", false),
            (".thorp-x.part.txt", false),
            ("thorp-0123456789abcdef.part", false),
            (".thorpignore", false),
        ] {
            assert_eq!(is_reserved(&name(text)), reserved, "{text}");
        }
    }

    #[test]
    fn what_would_change_a_share_is_more_than_what_is_reserved() {
        for (text, changes) in [
            (".thorpignore", true),
            ("a/.thorpignore", true),
            ("a/thorp-state", true),
            (".thorpignore/a", false),
            ("a/.gitignore", false),
        ] {
            assert_eq!(changes_what_is_shared(&name(text)), changes, "{text}");
        }
    }

    #[test]
    fn the_names_of_parts_are_told_apart_and_all_reserved() {
        let content = Content {
            length: 300_000,
            root: Root::new([0xab; 32]),
        };
        let parts = [
            (part_of(content, 0), ".thorp-abababababababab.part"),
            (part_of(content, 2), ".thorp-abababababababab.2.part"),
            (
                large_part_of(content, 0),
                ".thorp-abababababababab-300000.part",
            ),
            (
                large_part_of(content, 1),
                ".thorp-abababababababab-300000.1.part",
            ),
        ];
        for (part, expected) in parts {
            assert_eq!(part, expected);
            assert!(is_part(part.as_ref()) && is_reserved(&name(&part)));
        }
    }

    #[test]
    fn a_dot_in_front_of_any_part_hides_the_path() {
        for (path, hidden) in [
            (".a", true),
            ("a/.b/c", true),
            ("a/b.c", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(is_hidden(Path::new(path)), hidden, "{path}");
        }
    }

    #[test]
    fn what_may_act_by_lying_there_is_told_on_every_system() {
        for (text, acts) in [
            (".bash_profile", true),
            ("docs/.git/config", true),
            (".ssh/authorized_keys", true),
            ("docs/\u{200c}.git/config", true),
            ("docs/GIT~1/config", true),
            ("docs/git~1", true),
            ("photos/desktop.ini", true),
            ("AutoRun.inf", true),
            ("setup.LNK", true),
            ("setup.lnk. .", true),
            ("a.url", true),
            ("x.desktop", true),
            ("authorized_keys", false),
            ("config", false),
            ("git/config", false),
            ("notes~1draft.txt", false),
            ("report~", false),
            ("setup.exe", false),
            ("lnk", false),
            ("desktop.ini.txt", false),
        ] {
            assert_eq!(acts_unasked(&name(text)), acts, "{text}");
        }
    }
}
