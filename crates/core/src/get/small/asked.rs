//! One holder that small files are asked of.
//!
//! Owns how many are asked of it at once, which follows what the way there can
//! do, and how long it is waited for. A holder that delivers has not failed,
//! however thin its link: what counts is when bytes of any file came last, not
//! when this one was asked for.

use std::time::Duration;

use crate::swarm::pipeline::{Mark, Pipeline};
use crate::time::Instant;

/// A holder that sends nothing for this long has failed.
pub(super) const SILENT: Duration = Duration::from_secs(10);
/// Others are asked first where one has sent nothing for this long, or next to nothing: so many
/// times as long as it needs to answer a question, between these two.
const MUTE_TIMES: u32 = 4;
const MUTE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// One that gives signs of life for this long, and no byte of any file, has failed.
pub(super) const SLOW: Duration = Duration::from_mins(1);
/// Where others may have the file too, so many bytes of any file buy a holder a second
/// more.
const SLOWEST: u64 = 1024;
/// Files that are asked of one holder at once: however thin its link, one and the
/// next behind it; and however thick, so many.
const AT_LEAST: usize = 2;
pub(super) const AT_MOST: usize = 64;
/// How long a holder that is too busy is left alone, at first and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// A holder that files are asked of.
#[derive(Debug)]
pub(super) struct AskedHolder {
    files: usize,
    window: Pipeline,
    /// Bytes of files that have come from it.
    came: u64,
    /// When the last of them came.
    last: Option<Instant>,
    rest: Rest,
}

/// Whether it was too busy when it was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// It was not. Should it be, it is left alone for this long.
    None(Duration),
    /// It has just said so.
    Due(Duration),
    Until(Instant, Duration),
}

/// How things stood when a file was asked of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    since: Instant,
    came: u64,
    length: u32,
    mark: Mark,
    mute: Duration,
}

impl Ask {
    /// After how long without a byte others are asked first.
    pub fn mute(self) -> Duration {
        self.mute
    }
}

/// Whether there is a link to a holder, and how long it needs to answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTo {
    /// There is none.
    Unlinked,
    /// There is one. `None` if it has answered none yet.
    Linked(Option<Duration>),
}

impl LinkTo {
    /// After how long without a byte others are asked before such a holder.
    fn mute(self) -> Duration {
        let (least, most) = MUTE;
        match self {
            Self::Linked(Some(rtt)) => rtt.saturating_mul(MUTE_TIMES).clamp(least, most),
            Self::Linked(None) | Self::Unlinked => most,
        }
    }
}

impl AskedHolder {
    pub fn new(now: Instant) -> Self {
        Self {
            files: 0,
            window: Pipeline::new(now, None),
            came: 0,
            last: None,
            rest: Rest::None(REST.0),
        }
    }

    /// How many files are awaited from it.
    pub fn files(&self) -> usize {
        self.files
    }

    pub fn is_asked(&self) -> bool {
        self.files > 0
    }

    /// Whether it was too busy when it was asked last.
    pub fn is_busy(&self) -> bool {
        !matches!(self.rest, Rest::None(_))
    }

    /// Until when it is left alone, because it is busy; nothing, where what is still
    /// awaited from it comes to an end before.
    pub fn rests_until(&self) -> Option<Instant> {
        match self.rest {
            Rest::Until(until, _) if self.files == 0 => Some(until),
            _ => None,
        }
    }

    /// Whether another file of that length may be asked for.
    pub fn has_room_for(&self, now: Instant, length: u64) -> bool {
        let has_rested = match self.rest {
            Rest::None(_) => true,
            Rest::Due(_) => false,
            // One file is enough to find out whether it is still busy.
            Rest::Until(until, _) => until <= now && self.files == 0,
        };
        let fits = self.files < AT_LEAST || self.window.has_room_for(length);
        has_rested && fits && self.files < AT_MOST
    }

    /// A file of that length is asked for.
    pub fn ask(&mut self, now: Instant, length: u64, link_to: LinkTo) -> Ask {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.files += 1;
        Ask {
            since: now,
            came: self.came,
            length,
            mark: self.window.asked(now, length),
            mute: link_to.mute(),
        }
    }

    /// Bytes have come of a file that is not whole yet.
    pub fn flowing(&mut self, now: Instant, bytes: u32) {
        self.window.flowing(bytes);
        self.came += u64::from(bytes);
        self.last = Some(now);
    }

    /// A file that was asked for has come.
    pub fn on_file(&mut self, now: Instant, ask: Ask) {
        self.files -= 1;
        self.came += self.window.on_block_received(now, ask.mark, ask.length);
        self.delivered(now);
    }

    /// So has one that is not awaited any more.
    pub fn on_late(&mut self, now: Instant, length: u64) {
        self.came += length;
        self.delivered(now);
    }

    fn delivered(&mut self, now: Instant) {
        self.last = Some(now);
        self.rest = Rest::None(REST.0);
    }

    /// A file is not awaited from it any more.
    pub fn on_given_up(&mut self, ask: Ask) {
        self.files -= 1;
        self.window.released(ask.length);
    }

    /// It has too much to do, and is left alone for a while.
    pub fn on_busy(&mut self) {
        let (Rest::None(wait) | Rest::Due(wait) | Rest::Until(_, wait)) = self.rest;
        self.rest = Rest::Due(wait);
    }

    pub fn begin_rest(&mut self, now: Instant) {
        if let Rest::Due(wait) = self.rest {
            self.rest = Rest::Until(now + wait, (2 * wait).min(REST.1));
        }
    }

    /// Until when it is waited for, if no more comes from it.
    pub fn patience(&self, ask: Ask, heard: Option<Instant>) -> Instant {
        let sign = heard.map_or(ask.since, |heard| heard.max(ask.since));
        (sign + SILENT).min(self.delivered_or_asked(ask) + SLOW)
    }

    /// When bytes of any file came last; when this one was asked for, if none have since.
    pub fn delivered_or_asked(&self, ask: Ask) -> Instant {
        self.last.map_or(ask.since, |last| last.max(ask.since))
    }

    /// When others are asked before it, if no more comes from it. One that sends a byte
    /// now and then is no better than one that sends none.
    pub fn passed_over_at(&self, ask: Ask) -> Instant {
        ask.since + ask.mute + self.bought(ask)
    }

    /// When it has failed, where others may have the file, if no more comes from it.
    pub fn given_up_at(&self, ask: Ask) -> Instant {
        ask.since + SLOW + self.bought(ask)
    }

    /// How much time it has by what has come of any file since this was asked.
    fn bought(&self, ask: Ask) -> Duration {
        Duration::from_millis((self.came - ask.came) * 1000 / SLOWEST)
    }
}
