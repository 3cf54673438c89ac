//! What is told of a crowd: how it went, and how it stood meanwhile.

use std::time::Duration;

/// How it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Spreading {
    /// The longest that any of them took, from its own beginning.
    pub last: Duration,
    /// Half of them took no longer.
    pub half: Duration,
    /// No way to spread it is quicker than this.
    pub fluid_bound: Duration,
    /// How often the holder has sent the whole file.
    pub copies: f64,
    /// The share of bytes that were sent in vain.
    pub in_vain: f64,
    /// When the holder had sent each piece at least once.
    pub all_given: Duration,
    /// Messages that a fetcher has sent, on average.
    pub said: f64,
    /// How many of them are requests.
    pub asked: f64,
    /// The piece that came last, to any fetcher.
    pub last_piece: LastPiece,
    /// What has happened.
    pub events: u64,
    /// How it stood at the end of each half second.
    pub moments: Vec<Moment>,
}

/// How the last piece came to the last fetcher.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LastPiece {
    /// Whether the holder has sent the last of it.
    pub from_holder: bool,
    /// When the holder has sent the first byte of it to anybody.
    pub first_given: Duration,
    /// When its last byte was asked for.
    pub asked: Duration,
    /// When its last byte came.
    pub came: Duration,
}

/// How a crowd stands at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// How often the holder has sent the whole file so far.
    pub copies: f64,
    /// The share of all pieces that it has sent at least once.
    pub given: f64,
    /// The share of the file that a fetcher has, on average.
    pub there: f64,
    /// How much of the time since the last moment the holder's link was sending.
    pub holder_busy: f64,
    /// The same of the fetchers' links, on average.
    pub fetchers_busy: f64,
    /// How many fetchers have begun and have no piece yet.
    pub with_nothing: usize,
    /// Connections of a fetcher, on average.
    pub connections: f64,
    /// Bytes that a fetcher was asked for and has not sent, on average.
    pub waiting: f64,
}
