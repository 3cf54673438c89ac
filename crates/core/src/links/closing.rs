//! Why this node closes a link.

use std::fmt;
use std::time::Duration;

/// Why this node closes a link. Displayed, it is a reason for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Nothing was heard from the member for this long, so it counts as gone.
    Silence(Duration),
    /// Another reason.
    Because(String),
}

impl From<&str> for Closing {
    fn from(reason: &str) -> Self {
        Self::Because(reason.to_owned())
    }
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence(time) => write!(f, "nothing heard for {} s", time.as_secs()),
            Self::Because(reason) => f.write_str(reason),
        }
    }
}
