//! Codes, bearers and the token of programs: how many there may be, and for how long they are
//! good.

use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Guest;

/// How long a code is good.
pub(super) const CODE_FOR: Duration = Duration::from_mins(1);
/// The most codes at once. A further one takes the place of the oldest.
const CODES: usize = 8;
/// A bearer ends when it was not used for this long.
const BEARER_FOR: Duration = Duration::from_hours(12);
/// The most bearers. A further one takes the place of the one that was not used for longest.
pub(crate) const BEARERS: usize = 16;

/// Which bearer a request had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BearerId(pub(crate) u64);

/// The secrets that are good now.
pub(super) struct Keys {
    token: String,
    codes: Vec<Code>,
    bearers: Vec<Bearer>,
    last: u64,
}

struct Code {
    text: String,
    until: Instant,
    used: oneshot::Sender<()>,
}

struct Bearer {
    id: BearerId,
    text: String,
    used: Instant,
}

impl Keys {
    pub(super) fn new(token: String) -> Self {
        Self {
            token,
            codes: Vec::new(),
            bearers: Vec::new(),
            last: 0,
        }
    }

    /// Makes a code; `used` hears when it was used.
    pub(super) fn new_code(&mut self, now: Instant, used: oneshot::Sender<()>) -> String {
        self.forget_old(now);
        if self.codes.len() == CODES {
            self.codes.remove(0);
        }
        let Some(text) = secret() else {
            return String::new();
        };
        self.codes.push(Code {
            text: text.clone(),
            until: now + CODE_FOR,
            used,
        });
        text
    }

    /// Exchanges a code for a bearer, once.
    pub(super) fn exchange(&mut self, now: Instant, code: &str) -> Option<String> {
        self.forget_old(now);
        let at = self
            .codes
            .iter()
            .position(|kept| is_same(&kept.text, code))?;
        // The one who has made the link may not wait.
        let _ = self.codes.remove(at).used.send(());
        if self.bearers.len() == BEARERS {
            let oldest = self.bearers.iter().enumerate();
            let oldest = oldest.min_by_key(|(_, bearer)| bearer.used);
            let (at, _) = oldest?;
            self.bearers.remove(at);
        }
        self.last += 1;
        let text = secret()?;
        self.bearers.push(Bearer {
            id: BearerId(self.last),
            text: text.clone(),
            used: now,
        });
        Some(text)
    }

    /// Returns whose secret this is.
    pub(super) fn guest(&mut self, now: Instant, secret: &str) -> Option<Guest> {
        self.forget_old(now);
        let bearer = self.bearers.iter_mut();
        let bearer = bearer.filter(|bearer| is_same(&bearer.text, secret)).last();
        if let Some(bearer) = bearer {
            bearer.used = now;
            return Some(Guest::Page(bearer.id));
        }
        is_same(&self.token, secret).then_some(Guest::Program)
    }

    /// Forgets what is good no longer.
    pub(super) fn forget_old(&mut self, now: Instant) {
        self.codes.retain(|code| now < code.until);
        let is_good = |bearer: &Bearer| now.duration_since(bearer.used) < BEARER_FOR;
        self.bearers.retain(is_good);
    }
}

/// Whether two secrets are the same, found out in constant time.
pub(crate) fn is_same(kept: &str, shown: &str) -> bool {
    kept.as_bytes().ct_eq(shown.as_bytes()).into()
}

/// Returns a new secret of 32 bytes; `None` if the system has no random numbers, for a secret
/// that can be guessed is worse than none.
pub(crate) fn secret() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(BASE32_NOPAD.encode(&bytes).to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (Keys, Instant) {
        (Keys::new("token".into()), Instant::now())
    }

    fn code(keys: &mut Keys, now: Instant) -> (String, oneshot::Receiver<()>) {
        let (used, heard) = oneshot::channel();
        (keys.new_code(now, used), heard)
    }

    #[test]
    fn a_code_is_good_once() {
        let (mut keys, now) = keys();
        let (code, mut heard) = code(&mut keys, now);
        let bearer = keys.exchange(now, &code).expect("good");
        assert_eq!(heard.try_recv(), Ok(()));
        assert_eq!(keys.exchange(now, &code), None);
        assert!(matches!(keys.guest(now, &bearer), Some(Guest::Page(_))));
        assert_eq!(keys.guest(now, &code), None, "a code opens nothing itself");
    }

    #[test]
    fn a_code_is_good_for_a_minute_and_its_maker_hears_that_it_is_not_any_more() {
        let (mut keys, now) = keys();
        let (first, mut heard) = code(&mut keys, now);
        let (second, _) = code(&mut keys, now);
        assert!(keys.exchange(now + CODE_FOR.mul_f32(0.9), &first).is_some());
        assert_eq!(heard.try_recv(), Ok(()));
        assert_eq!(keys.exchange(now + CODE_FOR, &second), None);
        let (_, mut heard) = code(&mut keys, now);
        keys.forget_old(now + CODE_FOR);
        assert_eq!(heard.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn codes_and_bearers_are_few() {
        let (mut keys, now) = keys();
        let codes: Vec<_> = (0..=CODES).map(|_| code(&mut keys, now).0).collect();
        assert_eq!(keys.exchange(now, &codes[0]), None, "the oldest has gone");
        let mut bearers = Vec::new();
        for second in 0..=BEARERS as u64 {
            let at = now + Duration::from_secs(second);
            let (code, _) = code(&mut keys, at);
            bearers.push(keys.exchange(at, &code).expect("good"));
            // The first one stays in use.
            assert!(keys.guest(at, &bearers[0]).is_some());
        }
        let at = now + Duration::from_secs(100);
        assert_eq!(keys.guest(at, &bearers[1]), None, "not used for longest");
        assert!(keys.guest(at, &bearers[2]).is_some());
    }

    #[test]
    fn a_bearer_that_is_not_used_ends() {
        let (mut keys, now) = keys();
        let (code, _) = code(&mut keys, now);
        let bearer = keys.exchange(now, &code).expect("good");
        let almost = BEARER_FOR.mul_f32(0.9);
        assert!(keys.guest(now + almost, &bearer).is_some());
        assert!(
            keys.guest(now + 2 * almost, &bearer).is_some(),
            "it was used"
        );
        assert_eq!(keys.guest(now + 2 * almost + BEARER_FOR, &bearer), None);
    }

    #[test]
    fn the_token_is_a_programs_and_no_bearer() {
        let (mut keys, now) = keys();
        assert_eq!(keys.guest(now, "token"), Some(Guest::Program));
        for other in ["", "Token", "toke", "token "] {
            assert_eq!(keys.guest(now, other), None, "{other}");
            assert_eq!(keys.exchange(now, other), None, "{other}");
        }
    }
}
