//! How many connections were refused during their handshake, and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many connections are open in all.
    TooManyOpen,
    /// There was no room, and others had less of it.
    Crowded,
    /// The handshake took too long.
    TooSlow,
    /// It speaks neither TLS nor what is served here.
    NotTls,
    /// It asks for a protocol or a name that is not here.
    ForNobody,
    /// Its certificate is not that of a member of this group.
    Certificate,
    /// The group has removed the member.
    Removed,
    /// The connection broke.
    Broken,
}

impl Refusal {
    const ALL: [(Self, &'static str); 8] = [
        (Self::TooManyOpen, "too-many-open"),
        (Self::Crowded, "crowded"),
        (Self::TooSlow, "too-slow"),
        (Self::NotTls, "not-tls"),
        (Self::ForNobody, "for-nobody"),
        (Self::Certificate, "certificate"),
        (Self::Removed, "removed"),
        (Self::Broken, "broken"),
    ];
}

/// The counters of a port, which its nodes share.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<[AtomicU64; Refusal::ALL.len()]>);

impl Refusals {
    pub(super) fn count(&self, why: Refusal) {
        let at = Refusal::ALL.iter().position(|(of, _)| *of == why);
        if let Some(counter) = at.and_then(|at| self.0.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many connections were refused since the start, by why: all reasons, also those
    /// for which none was.
    pub fn by_reason(&self) -> BTreeMap<String, u64> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        let names = Refusal::ALL.iter().map(|(_, name)| (*name).to_owned());
        names.zip(counts).collect()
    }
}
