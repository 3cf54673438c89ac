//! Converts a warning to a row: its code, and what it is about.

use std::path::Path;

use thorp_files::share::{IgnoreProblem, ShareWarning};

use crate::api::snapshot::WarningRow;
use crate::api::{PageTrouble, Warning};

impl WarningRow {
    pub(super) fn of(number: u64, warning: &Warning) -> Self {
        let row = Self::about(warning);
        Self { number, ..row }
    }

    fn about(warning: &Warning) -> Self {
        let row = |warning: &str| Self {
            warning: warning.to_owned(),
            ..Self::default()
        };
        let on_member = |warning: &str, member: &_| Self {
            member: Some(Clone::clone(member)),
            ..row(warning)
        };
        match warning {
            Warning::Tracker(trouble) => Self {
                trouble: Some(trouble.clone()),
                ..row("tracker")
            },
            Warning::CalledOtherwise { called, .. } => Self {
                name: Some(called.to_string()),
                ..row("called-otherwise")
            },
            Warning::NotListed { by } => on_member("not-listed", by),
            Warning::ListsTooMuch { member } => on_member("lists-too-much", member),
            Warning::TooMuchForTracker { member } => on_member("too-much-for-tracker", member),
            Warning::Liar { member } => on_member("liar", member),
            Warning::NeighboursDamaged { path, why, .. } => Self {
                path: Some(shown(path)),
                ..row("neighbours-damaged").because(why)
            },
            Warning::NeighboursUnread { why } => row("neighbours-unread").because(why),
            Warning::NeighboursUnsaved { why } => row("neighbours-unsaved").because(why),
            Warning::GroupUnsaved { why } => row("group-unsaved").because(why),
            Warning::StandingUnsaved { why } => row("standing-unsaved").because(why),
            Warning::FaceOff => row("face-off"),
            Warning::NoPage { why } => match why {
                PageTrouble::Port { error, .. } | PageTrouble::Token { error } => {
                    row("no-page").because(error)
                }
                PageTrouble::NoRandomBytes => row("no-page"),
            },
            Warning::Share(warning) => Self::about_share(warning),
        }
    }

    fn about_share(warning: &ShareWarning) -> Self {
        let row = |warning: &str, path: &Path| Self {
            warning: warning.to_owned(),
            path: Some(shown(path)),
            ..Self::default()
        };
        match warning {
            ShareWarning::Moved { path } => row("share-moved", path),
            ShareWarning::NotNow { path, why, .. } => row("share-not-now", path).because(why),
            ShareWarning::Unwatched { path, why, .. } => row("share-unwatched", path).because(why),
            ShareWarning::FileUnread { name, more, why } => Self {
                warning: "file-unread".to_owned(),
                name: Some(name.to_string()),
                count: Some(more.saturating_add(1)),
                ..Self::default()
            }
            .because(why),
            ShareWarning::Unread { path, count, why } => Self {
                count: Some(*count),
                ..row("unread", path).because(why)
            },
            ShareWarning::Unnameable { path, count } => Self {
                count: Some(*count),
                ..row("unnameable", path)
            },
            ShareWarning::IgnoreFile { path, why } => {
                let why = match why {
                    IgnoreProblem::NotAFile => "not a regular file",
                    IgnoreProblem::TooLong { .. } => "too long",
                    IgnoreProblem::Unreadable(why) => why,
                };
                row("ignore-file", path).because(why)
            }
            ShareWarning::IgnoreLine { path, line, why } => Self {
                count: Some(*line as u64),
                ..row("ignore-line", path).because(why)
            },
            ShareWarning::LooksFirst { path } => row("looks-first", path),
            ShareWarning::HashesDamaged { path, why, .. } => {
                row("hashes-damaged", path).because(why)
            }
            ShareWarning::HashesUnusable { path, why } => row("hashes-unusable", path).because(why),
            ShareWarning::HashesUnsaved { why } => Self {
                warning: "hashes-unsaved".to_owned(),
                ..Self::default()
            }
            .because(why),
        }
    }

    fn because(self, why: &str) -> Self {
        Self {
            why: Some(why.to_owned()),
            ..self
        }
    }
}

/// Converts a path to text, replacing what is not UTF-8.
fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
