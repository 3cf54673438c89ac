//! `thorp remove`: removes a member from the group.

use thorp_node::api::{Command, Event, GroupMember, Note};
use thorp_node::launch::{self, MeantMember};

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
    let removal = Removal::of(launch::meant(&members, &args.member)?)?;
    let mut renderer = context.renderer(context.answer_style());
    for note in notes {
        renderer.render(&Event::Note(note))?;
    }
    if removal.is_done {
        context.say(&format!("{} was removed before.", removal.called));
    } else {
        context
            .confirm(&removal.question(), "Remove it.", args.yes)
            .await?;
    }
    let id = removal.id.clone();
    let mut answers = launch::ask_keeper(&states, Command::Remove { id }).await?;
    if context.global.json {
        return show(&mut answers, &mut renderer, false).await;
    }
    let (rows, _) = gather(answers).await?;
    if !removal.is_done {
        // Who is present is known only while the tracker runs.
        let is_told = rows.iter().all(|row| row.present.is_some());
        let when = if is_told {
            ""
        } else {
            " The others are told once the tracker runs: thorp tracker, or thorp share where the group was made."
        };
        context.say(&format!("{} is no longer a member.{when}", removal.called));
    }
    Ok(Exit::DONE)
}

/// What is to be removed.
struct Removal {
    id: String,
    /// What it is called here.
    called: String,
    /// Whether the group's table has it.
    is_listed: bool,
    /// Whether it was removed before.
    is_done: bool,
}

impl Removal {
    fn of(meant: MeantMember) -> Result<Self> {
        Ok(match meant {
            MeantMember::Listed(member) => {
                launch::removable(&member.name, member.role)?;
                Self {
                    id: member.id.clone(),
                    called: quoted(&member.name),
                    is_listed: true,
                    is_done: member.removed,
                }
            }
            MeantMember::Unlisted(id) => Self {
                id: id.to_string(),
                called: id.to_string(),
                is_listed: false,
                is_done: false,
            },
        })
    }

    fn question(&self) -> String {
        let called = &self.called;
        let removes = if self.is_listed {
            let id = self.id.get(..8).unwrap_or(&self.id);
            format!("This removes {called} ({id}) from the group.")
        } else {
            format!(
                "The group's table has no member with this id. It may have joined after the backup \
                 was made that was restored here; then this removes it from the group: {called}."
            )
        };
        format!("{removes} It cannot be taken back: to come back, that machine needs a new key")
    }
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
