//! Warnings: what, with which thing, and what to do.

use std::path::Path;

use thorp_node::api::{PageTrouble, Warning};
use thorp_node::share;

use super::{called, escaped, named, page_trouble, plain, trouble};

/// A warning in a sentence.
pub fn warning(warning: &Warning) -> String {
    plain(&sentence(warning))
}

fn sentence(warning: &Warning) -> String {
    match warning {
        Warning::Tracker(why) => trouble(why),
        Warning::CalledOtherwise { called, wanted } => format!(
            "this machine is called {called} in its group, not {wanted}: \
             a name is given when a machine joins"
        ),
        Warning::NotListed { by } => format!(
            "{} has no room for this peer's list of files now; it will be asked for single \
             files instead, and sent the list again when there is room. Share fewer files \
             to be listed sooner",
            called(by)
        ),
        Warning::ListsTooMuch { member } => format!(
            "{} lists more files than there is room for here; it will be asked for single \
             files instead, until there is room",
            called(member)
        ),
        Warning::TooMuchForTracker { member } => format!(
            "{} lists more files than there is room for at this tracker; it is not listed, \
             until there is room",
            called(member)
        ),
        Warning::Liar { member } => format!(
            "{} sent something else than the file it lists; \
             its link was closed and nothing was kept",
            called(member)
        ),
        Warning::NeighboursDamaged {
            path,
            why,
            set_aside,
        } => format!(
            "{} is damaged ({why}) and was set aside as {set_aside}; {FROM_EARLIER}",
            path.display()
        ),
        Warning::NeighboursUnread { why } => format!("{why}; {FROM_EARLIER}"),
        Warning::GroupUnsaved { why } => format!(
            "the disk does not take what is to be written of the group ({why}): no machine becomes a \
             member until it does; those that ask are told to try again"
        ),
        Warning::NeighboursUnsaved { why } => {
            format!("{why}. Neighbours are not remembered for the next start")
        }
        Warning::StandingUnsaved { why } => format!(
            "{why}. What the group has decided, or this machine's new certificate, is not kept for \
             the next start until that is mended"
        ),
        Warning::NoPage { why } => {
            let cure = match why {
                PageTrouble::Port { .. } => {
                    "Choose another port (--set page.port=0 is any free one)"
                }
                PageTrouble::Token { .. } | PageTrouble::NoRandomBytes => {
                    "Mend that and start again"
                }
            };
            format!(
                "{}: there is no page, and /get and /metrics do not answer; everything else goes \
                 on. {cure}, or start without it: --no-page",
                page_trouble(why)
            )
        }
        Warning::FaceOff => "this group does not serve ordinary BitTorrent clients, so this share is not \
             served to them either. Its owner turns that on where the tracker runs: thorp tracker --bittorrent"
            .into(),
        Warning::Share(warning) => about_share(warning),
    }
}

/// A path in few words: the name of what is at its end, and of what is above all.
fn shortened(path: &Path) -> String {
    const LONGEST: usize = 100;
    const KEPT: usize = 40;
    let whole = escaped(path);
    let length = whole.chars().count();
    if length <= LONGEST {
        return whole;
    }
    let start: String = whole.chars().take(KEPT).collect();
    let end: String = whole.chars().skip(length - KEPT).collect();
    format!("{start}…{end}")
}

const FROM_EARLIER: &str = "neighbours from earlier are found through the tracker only";

fn about_share(warning: &share::ShareWarning) -> String {
    match warning {
        share::ShareWarning::Moved { path } => format!(
            "{} was moved, replaced or removed: nothing of it is shared until \
             it is back. To share it where it is now: thorp share there",
            escaped(path)
        ),
        share::ShareWarning::NotNow { path, why, stays } => format!(
            "{} cannot be read now ({why}). It stays listed for {} s, with all that is in it, \
             and is looked at again; meanwhile peers that ask for it are told to wait. \
             Check its disk.",
            escaped(path),
            stays.as_secs(),
        ),
        share::ShareWarning::Unwatched { path, why, every } => format!(
            "changes in {} cannot be watched ({why}): it is looked through every {} s instead; \
             raising fs.inotify.max_user_watches (or _instances) helps at a limit; then restart",
            escaped(path),
            every.as_secs_f32()
        ),
        share::ShareWarning::LooksFirst { path } => super::looks_first(path),
        share::ShareWarning::FileUnread { name, more, why } => {
            let more = match more {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            format!(
                "{}{more} cannot be read and is not shared ({why}): check its permissions and its \
                 disk",
                named(name.as_str())
            )
        }
        share::ShareWarning::Unread { path, count, why } => {
            let such_as = escaped(path);
            let what = match count {
                0 | 1 => format!("{such_as} cannot be read and is not shared"),
                n => format!(
                    "{n} files or folders cannot be read and are not shared, such as {such_as}"
                ),
            };
            format!("{what} ({why}): check the permissions")
        }
        share::ShareWarning::IgnoreFile { path, why } => {
            let why = match why {
                share::IgnoreProblem::NotAFile => {
                    "is a link, a folder, a pipe or a device: make it a file".into()
                }
                share::IgnoreProblem::TooLong { most } => {
                    format!("has more than {most} bytes: shorten it")
                }
                share::IgnoreProblem::Unreadable(why) => {
                    format!("cannot be read ({why}): mend it, or remove it")
                }
            };
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => escaped(folder),
                _ => "the directory".into(),
            };
            format!(
                "{} {why}. Nothing in {folder} is shared until then",
                escaped(path)
            )
        }
        share::ShareWarning::IgnoreLine { path, line, why } => format!(
            "line {line} of {} is not a pattern ({}) and leaves nothing out: mend it, or remove it",
            escaped(path),
            why.escape_debug()
        ),
        share::ShareWarning::Unnameable { path, count } => {
            let such_as = shortened(path);
            match count {
                0 | 1 => format!(
                    "the name {such_as} is not UTF-8 or too long and is not shared: rename it"
                ),
                n => format!(
                    "{n} names are not UTF-8 or too long and are not shared, such as {such_as}: \
                     rename them"
                ),
            }
        }
        share::ShareWarning::HashesDamaged {
            path,
            why,
            set_aside,
        } => format!(
            "{} was damaged ({why}) and set aside as {}: all files are hashed again, and torrents \
             of folders or from elsewhere are served no more until they are made or fetched again; \
             delete it, and check the disk if this comes again",
            path.display(),
            set_aside.display()
        ),
        share::ShareWarning::HashesUnusable { path, why } => format!(
            "what is hashed cannot be remembered in {} ({why}): files are hashed at each start \
             until that can be written",
            path.display()
        ),
        share::ShareWarning::HashesUnsaved { why } => format!(
            "what was hashed cannot be remembered any more ({why}); make room on the disk of \
             the state directory, then restart: until then files are hashed at each start"
        ),
    }
}
