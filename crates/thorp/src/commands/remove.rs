//! `thorp remove`: removes a member from the group.

use thorp_node::api::{Command, Event, GroupMember, Note};
use thorp_node::launch;

use super::asking::show;
use super::context::Context;
use crate::args::RemoveArgs;
use crate::exit::{Exit, Result, broken_off};
use crate::node::Answers;
use crate::quoting::quoted;

pub async fn run(context: &Context, args: &RemoveArgs) -> Result {
    let states = context.keepers()?;
    let answers = launch::ask_keeper(&states, Command::Members).await?;
    let (members, notes) = gather(answers).await?;
    let member = launch::meant(&members, &args.member)?;
    launch::removable(member)?;
    let mut renderer = context.renderer(context.answer_style());
    for note in notes {
        renderer.render(&Event::Note(note))?;
    }
    let called = quoted(&member.name);
    if member.removed {
        context.say(&format!("{called} was removed before."));
    } else {
        let id = member.id.get(..8).unwrap_or(&member.id);
        let question = format!(
            "This removes {called} ({id}) from the group. It cannot be taken back: to come back, \
             that machine needs a new key"
        );
        context.confirm(&question, "Remove it.", args.yes).await?;
    }
    let id = member.id.clone();
    let mut answers = launch::ask_keeper(&states, Command::Remove { id }).await?;
    if context.global.json {
        return show(&mut answers, &mut renderer, false).await;
    }
    gather(answers).await?;
    if !member.removed {
        let when = match member.present {
            Some(_) => "",
            None => {
                " The others are told once the tracker runs: thorp tracker, or thorp share where the group was made."
            }
        };
        context.say(&format!("{called} is no longer a member.{when}"));
    }
    Ok(Exit::DONE)
}

/// Collects the rows and notes of an answer; an error if the answer ends with one.
async fn gather(mut answers: Answers) -> Result<(Vec<GroupMember>, Vec<Note>)> {
    let (mut members, mut notes) = (Vec::new(), Vec::new());
    while let Some(event) = answers.recv().await {
        match event {
            Event::Member(row) => members.push(row),
            Event::Note(note) => notes.push(note),
            Event::Done(_) => return Ok((members, notes)),
            Event::Error(failure) => return Err(failure.into()),
            _ => {}
        }
    }
    Err(broken_off())
}
