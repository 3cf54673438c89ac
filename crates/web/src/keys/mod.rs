//! The secrets by which requests are let in: codes of links, bearers of pages, and the token of
//! programs. Which of them a route wants is said in `door`.

mod kept;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, header};
use data_encoding::BASE64;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::refusal::Refusal;

pub(crate) use kept::{BEARERS, BearerId, is_same, secret};
use kept::{CODE_FOR, Keys};

/// Who asks, as far as a secret says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// A page, by its bearer.
    Page(BearerId),
    /// A program, by the read-only token.
    Program,
}

/// The secrets by which requests are let in.
pub(crate) struct Doorkeeper {
    keys: Arc<Mutex<Keys>>,
}

impl Doorkeeper {
    /// Makes a door that programs with this token may read through.
    pub(crate) fn new(token: String) -> Self {
        Self {
            keys: Arc::new(Mutex::new(Keys::new(token))),
        }
    }

    /// Makes a code. The receiver hears when it was used; it is dropped when the code is too old.
    pub(crate) fn new_code(&self) -> (String, oneshot::Receiver<()>) {
        let (tell, used) = oneshot::channel();
        let code = lock(&self.keys).new_code(Instant::now(), tell);
        let keys = Arc::clone(&self.keys);
        tokio::spawn(async move {
            sleep(CODE_FOR).await;
            lock(&keys).forget_old(Instant::now());
        });
        (code, used)
    }

    /// Exchanges a code for a bearer.
    pub(crate) fn exchange(&self, code: &str) -> Result<String, Refusal> {
        let bearer = lock(&self.keys).exchange(Instant::now(), code);
        bearer.ok_or(Refusal::BadCode)
    }

    /// Returns who asks.
    pub(crate) fn who_asks(&self, headers: &HeaderMap) -> Result<Guest, Refusal> {
        let secret = secret_in(headers).ok_or(Refusal::NoBearer)?;
        let guest = lock(&self.keys).guest(Instant::now(), &secret);
        guest.ok_or(Refusal::NoBearer)
    }
}

fn lock(keys: &Mutex<Keys>) -> MutexGuard<'_, Keys> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the secret in a request: the bearer, or the password of Basic.
fn secret_in(headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let value = all.next()?.to_str().ok()?;
    // Two of them are one too many: which of them counts is not to be guessed.
    if all.next().is_some() {
        return None;
    }
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(BASE64.decode(rest.as_bytes()).ok()?).ok()?;
        return pair
            .split_once(':')
            .map(|(_, password)| password.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_secret_is_a_bearer_or_the_password_of_basic() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_str(value).expect("a value");
                headers.append(header::AUTHORIZATION, value);
            }
            secret_in(&headers)
        };
        assert_eq!(of(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(of(&["bearer  abc "]).as_deref(), Some("abc"));
        let basic = format!("Basic {}", BASE64.encode(b"anybody:a:b"));
        assert_eq!(of(&[&basic]).as_deref(), Some("a:b"));
        for nothing in [&[][..], &["abc"], &["Basic !"], &["Bearer a", "Bearer b"]] {
            assert_eq!(of(nothing), None, "{nothing:?}");
        }
    }
}
