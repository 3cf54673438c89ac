//! What is not answered: a status, a code, and the node's own sentence where it said one.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use thorp_node::api::{ErrorKind, Event, Failure};

/// Returns an event as `--json` has it, with the sentence of a failure or a remark.
pub type Saying = fn(&Event) -> Value;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The request is not what the route wants.
    BadRequest,
    /// There is no bearer or token, or one that is good no longer.
    NoBearer,
    /// The token of programs opens only the gateway and metrics.
    ReadOnly,
    /// The code of a link was used, or is too old.
    BadCode,
    /// The request comes from another site.
    OtherOrigin,
    /// The request is meant for another host.
    OtherHost,
    /// There is no such route or thing.
    NotFound,
    /// The request's body is too long.
    TooLarge,
    /// There are too many of that kind at once.
    TooMany,
    /// The village was asked a moment ago.
    TooSoon {
        /// How many seconds are left.
        wait: u64,
    },
    /// It cannot be done in this state.
    NotNow,
    /// The node is ending.
    Stopping,
    /// What the node said: its failure, as `--json` has it.
    Failed(StatusCode, Value),
}

impl Refusal {
    /// A failure of the node, with the program's sentence for it.
    pub(crate) fn failed(failure: Failure, say: Saying) -> Self {
        let status = status_of(failure.kind());
        Self::Failed(status, said(failure, say))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NoBearer => StatusCode::UNAUTHORIZED,
            Self::ReadOnly | Self::BadCode | Self::OtherOrigin => StatusCode::FORBIDDEN,
            Self::OtherHost => StatusCode::MISDIRECTED_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany | Self::TooSoon { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotNow => StatusCode::CONFLICT,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(status, _) => *status,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::NoBearer => "no-bearer",
            Self::ReadOnly => "read-only",
            Self::BadCode => "bad-code",
            Self::OtherOrigin => "other-origin",
            Self::OtherHost => "other-host",
            Self::NotFound => "not-found",
            Self::TooLarge => "too-large",
            Self::TooMany => "too-many",
            Self::TooSoon { .. } => "too-soon",
            Self::NotNow => "not-now",
            Self::Stopping => "stopping",
            Self::Failed(..) => "failed",
        }
    }

    fn message(&self) -> String {
        let message = match self {
            Self::BadRequest => {
                "The request is not understood: look at its path, and at what is behind the question mark."
            }
            Self::NoBearer => {
                "This needs a token: that of programs is in the file that thorp status names (token_file \
                 with --json); a browser gets one from thorp page."
            }
            Self::ReadOnly => "The token of programs only reads files and metrics.",
            Self::BadCode => "This link was used, or is too old: thorp page makes a new one.",
            Self::OtherOrigin => "The request comes from another site.",
            Self::OtherHost => "The request is meant for another host.",
            Self::NotFound => "There is nothing here.",
            Self::TooLarge => "The request is too long.",
            Self::TooMany => "There are too many of these at once: try again when others are done.",
            Self::TooSoon { wait } => {
                return format!("The peers were asked a moment ago: wait {wait} s.");
            }
            Self::NotNow => "It cannot be done in this state.",
            Self::Stopping => "The node is stopping.",
            Self::Failed(..) => "",
        };
        message.to_owned()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = match &self {
            Self::Failed(_, error) => error.clone(),
            Self::TooSoon { wait } => {
                json!({ "code": self.code(), "message": self.message(), "wait": wait })
            }
            _ => json!({ "code": self.code(), "message": self.message() }),
        };
        let body = json!({ "error": error }).to_string();
        let json = HeaderValue::from_static("application/json");
        let mut answer = (self.status(), [(header::CONTENT_TYPE, json)], body).into_response();
        if self == Self::NoBearer {
            // HTTP wants to be told how one gets in. A browser does not know this way, and asks
            // nothing: the page itself says what to do.
            let bearer = HeaderValue::from_static("Bearer realm=\"thorp\"");
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        answer
    }
}

/// Returns a failure as answers have it: its kind, with the program's sentence for it.
pub(crate) fn said(failure: Failure, say: Saying) -> Value {
    let said = say(&Event::Error(failure));
    json!({ "code": said["kind"], "message": said["message"] })
}

/// Returns the status for a failure of this kind.
pub(crate) fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Usage => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Exists | ErrorKind::Ambiguous => StatusCode::CONFLICT,
        ErrorKind::Network | ErrorKind::Unfinished => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Verification => StatusCode::BAD_GATEWAY,
        ErrorKind::NotAMember => StatusCode::FORBIDDEN,
        ErrorKind::Other => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
