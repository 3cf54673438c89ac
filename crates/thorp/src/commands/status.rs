//! `thorp status`: shows the state of this machine's peer, otherwise of its tracker.

use std::io::Write;
use std::time::{Instant, UNIX_EPOCH};

use thorp_node::api::{Command, Done, ErrorKind, Event};
use thorp_node::launch;
use thorp_node::snapshot::{Ask, Page, Part, SnapshotRow};

use super::context::Context;
use crate::args::StatusArgs;
use crate::exit::{Complaint, Exit, Result, broken_off, failure};
use crate::listing::RowTable;
use crate::out::{self, Flow};
use crate::pager::Pager;
use crate::signals::Signals;
use crate::state::NodeKind;
use crate::{units, words, wrap};

/// How many rows of files that are not shared are read at a time.
const ROWS: usize = 1000;

pub async fn run(context: &Context, args: StatusArgs) -> Result {
    let answered = if args.left_out {
        left_out(context).await
    } else {
        let answered = context.answer_of_running(Command::Status).await;
        answered.map(|(_, exit)| exit)
    };
    match answered {
        // A user who has interrupted it does not wait for the disk once more.
        Err(failure) if failure.kind != ErrorKind::Unfinished => {
            Err(with_group(context, failure).await)
        }
        answered => answered,
    }
}

/// Lists what is not shared, and why; for a user in a pager.
async fn left_out(context: &Context) -> Result {
    let mut signals = Signals::listen()?;
    let is_looked_at = context.terminals.stdout && !context.global.json;
    let pager = if is_looked_at && context.terminals.able {
        Pager::wanted()
    } else {
        Pager::none()
    };
    let mut out = pager.data(out::standard());
    let listed = list_left_out(context, &mut out);
    let end = context.unless_interrupted(&mut signals, None, listed).await;
    drop(out);
    pager.close(&mut signals).await;
    end
}

async fn list_left_out(context: &Context, out: &mut impl Write) -> Result {
    let state = context.state(NodeKind::Peer)?;
    let mut table = RowTable::within(wrap::width(std::io::stdout()));
    let mut ask = Some(Ask::first(Part::LeftOut, ROWS));
    let started = Instant::now();
    let mut count = 0;
    while let Some(asked) = ask {
        let page = page(&state, &asked).await?;
        for row in &page.rows {
            let SnapshotRow::LeftOut(row) = row else {
                continue;
            };
            count += 1;
            let text = if context.global.json {
                let mut value = serde_json::to_value(row).unwrap_or_default();
                value["event"] = "left-out".into();
                Some(value.to_string())
            } else {
                table.left_out(row)
            };
            if let Some(text) = text
                && out::line(out, &text).map_err(|why| out::unwritten(&why))? == Flow::Closed
            {
                return Ok(Exit::DONE);
            }
        }
        ask = page.next(&asked);
    }
    let done = Done {
        count,
        ms: started.elapsed().as_secs_f64() * 1000.0,
        ..Done::default()
    };
    let end = if context.global.json {
        serde_json::to_string(&Event::Done(done)).ok()
    } else {
        table.finish()
    };
    if let Some(text) = end {
        let _ = out::line(out, &text).map_err(|why| out::unwritten(&why))?;
    }
    if count == 0 {
        context.say("Nothing is left out: all that is in the directory is shared.");
    }
    Ok(Exit::DONE)
}

async fn page(state: &std::path::Path, ask: &Ask) -> Result<Page> {
    let states = [state.to_owned()];
    let command = Command::Snapshot(ask.clone());
    let Some((_, mut answers)) = launch::ask_running(&states, &command).await else {
        let why = format!(
            "No peer is running on the state directory {}, so nothing is shared. Start one: \
             thorp share",
            state.display()
        );
        return Err(failure(ErrorKind::Other, why));
    };
    while let Some(event) = answers.recv().await {
        match event {
            Event::Page(page) => return Ok(page),
            Event::Error(failure) => return Err(failure.into()),
            _ => {}
        }
    }
    Err(broken_off())
}

/// Adds to a failure which group this machine is a member of, though no node runs.
async fn with_group(context: &Context, mut failure: Complaint) -> Complaint {
    let Ok(state) = context.state(NodeKind::Peer) else {
        return failure;
    };
    if let Ok(Some(group)) = launch::membership(&state).await {
        let member = group.member();
        let name = member.as_ref().and_then(|member| member.name.as_ref());
        let ends = member.as_ref().and_then(|member| {
            let ends = member.ends.duration_since(UNIX_EPOCH).ok()?;
            ends.as_secs().try_into().ok()
        });
        let ca = group.ca.to_string();
        let sentence = if launch::was_removed(&state).await.unwrap_or(false) {
            words::no_member_of(&ca)
        } else {
            words::member_of(
                name.map(ToString::to_string).as_deref(),
                &ca,
                &group.trackers,
                ends,
                units::now(),
            )
        };
        failure.message.push('\n');
        failure.message.push_str(&sentence);
    }
    failure
}
