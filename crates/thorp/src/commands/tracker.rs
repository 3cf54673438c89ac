//! `thorp tracker`: know who is there and who has what, and show it.

use thorp_node::api::ErrorKind;

use super::Context;
use crate::args;
use crate::exit::Result;
use crate::lines::{self, Manner};
use crate::node_seam::{self, Tracker, TrackerOptions};
use crate::screen;
use crate::signals::Signals;
use crate::state::Role;

pub async fn run(context: Context, args: args::Tracker) -> Result {
    let options = TrackerOptions {
        state: context.state(Role::Tracker)?,
        listen: args.listen,
        open: args.open,
        name: args.name,
        settings: context.settings.clone(),
    };
    let mut signals = Signals::listen()?;
    let mut tracker = tokio::select! {
        tracker = node_seam::tracker(options) => tracker?,
        () = signals.next() => return Ok(ErrorKind::Unfinished.into()),
    };
    tokio::select! {
        () = attend(&context, &mut tracker, args.lines) => {}
        () = signals.next() => {}
    }
    Ok(signals.goodbye(tracker.stop).await)
}

/// The screen where there is a terminal for it, lines elsewhere.
async fn attend(context: &Context, tracker: &mut Tracker, lines: bool) {
    if context.draws(lines) && screen::run(tracker, context.streams.colour).await.is_ok() {
        return;
    }
    let manner = Manner {
        json: context.global.json,
        quiet: context.global.quiet,
    };
    let mut streams = lines::Streams {
        out: std::io::stdout(),
        talk: std::io::stderr(),
    };
    let _ = lines::follow_tracker(tracker, &mut streams, manner).await;
}
