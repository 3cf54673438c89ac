//! `thorp tracker`: remember which peers are present and what they list, and show it.

use thorp_node::api::ErrorKind;
use thorp_node::launch::{self, Decided, Tracks};

use super::context::Context;
use super::detached::{self, Asked, Child};
use super::following::{self, Followed};
use super::keeping;
use crate::args::TrackerArgs;
use crate::exit::Result;
use crate::lines;
use crate::node::{self, Door, LocalTracker};
use crate::screen;
use crate::signals::Signals;
use crate::state::NodeKind;

pub async fn run(context: Context, args: TrackerArgs) -> Result {
    match (&args.backup, &args.restore) {
        (Some(file), _) => return keeping::back_up(&context, file).await,
        (_, Some(file)) => return keeping::restore(&context, file).await,
        (None, None) => {}
    }
    let state = context.state(NodeKind::Tracker)?;
    let door = match (args.open, args.closed) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let tracks = match args.bittorrent {
        Some(which) => Some(which.tracks()),
        None => args.no_bittorrent.then_some(Tracks::Off),
    };
    let decided = Decided { open: door, tracks };
    let child = Child::of_parent()?.map(|(child, _)| child);
    if child.is_none() && door == Some(true) && launch::is_by_invitation(&state).await? {
        context.confirm(OPENED, "Open it.", args.yes).await?;
        if args.yes {
            context.say(OPENED);
        }
    }
    if args.detach && child.is_none() {
        return detached::start(&context, NodeKind::Tracker, &Asked::nothing(), &state).await;
    }
    let common = node::common(
        state.clone(),
        context.settings.clone(),
        args.name,
        args.listen,
        args.advertise,
    );
    let mut signals = Signals::listen()?;
    let mut tracker = tokio::select! {
        tracker = node::tracker(common, decided) => tracker?,
        () = signals.next() => return Ok(ErrorKind::Unfinished.into()),
    };
    let Some(child) = child else {
        attend(&context, &mut tracker, args.lines, &mut signals).await;
        return Ok(signals.goodbye(tracker.stop).await);
    };
    let mut streams = lines::Streams::standard();
    let manner = manner(&context, args.lines);
    lines::greet_tracker((&tracker.door, tracker.listen), &mut streams, manner);
    let detached = child.leave(&state).await?;
    if follow(&mut tracker, None, manner, &mut signals).await != Followed::Signalled {
        context.say("This tracker was stopped.");
    }
    let exit = signals.goodbye(tracker.stop).await;
    detached.finish();
    Ok(exit)
}

const OPENED: &str = "This group was by invitation; from now on every machine that can reach its tracker is let in. \
     The way back: thorp tracker --closed";

/// The screen where there is a terminal for it; elsewhere what happens, or the tables
/// where lines were asked for.
async fn attend(context: &Context, tracker: &mut LocalTracker, lines: bool, signals: &mut Signals) {
    context.say_what_a_log_hides(lines);
    let is_shown = context.can_draw(lines) && context.terminals.in_foreground;
    if is_shown {
        tokio::select! {
            shown = screen::tracker::run(tracker, context.terminals.colour) => if shown.is_ok() {
                return;
            },
            () = signals.next() => return,
        }
    }
    let door = tracker.door.clone();
    follow(tracker, Some(door), manner(context, lines), signals).await;
}

/// Shows lines until the tracker ends or a signal comes. With a door, the first ones say how other
/// machines get in.
async fn follow(
    tracker: &mut LocalTracker,
    door: Option<Door>,
    manner: lines::Manner,
    signals: &mut Signals,
) -> Followed {
    let (mut news, listen) = (tracker.news(), tracker.listen);
    let follow = async move {
        let mut streams = lines::Streams::standard();
        if let Some(door) = door {
            lines::greet_tracker((&door, listen), &mut streams, manner);
        }
        lines::follow_tracker(&mut news, &mut streams, manner).await
    };
    following::until_end(tracker.viewer.clone(), signals, follow).await
}

fn manner(context: &Context, tables: bool) -> lines::Manner {
    lines::Manner {
        tables,
        ..context.line_manner()
    }
}
