//! One file for each verb, each thin: options for the node, then the right way to show the answer.
//!
//! ```text
//! context     what verbs have in common: flags, terminals, directories, confirmation
//! asking      sends a command to a node and shows its whole answer
//! invitation  reads an invite
//! given       reads a torrent that is to be fetched
//! keeping     saves a group to a file, and restores it
//! detached    a node in a session of its own, started by this program anew
//! ```

mod asking;
mod clean;
mod completions;
mod context;
mod demo;
mod detached;
mod find;
mod following;
mod get;
mod invitation;
mod invite;
mod join;
mod keeping;
mod leave;
mod ls;
mod magnet;
mod members;
mod neighbours;
mod page;
mod peers;
mod reading;
mod remove;
mod share;
mod status;
mod stop;
mod torrent;
mod tracker;

use crate::args::{Args, Verb};
use crate::exit::{Complaint, Result};
use crate::signals::outlive_file_limit;
use crate::{json, out};

use context::Context;

/// Carries out the verb that was typed.
pub async fn run(args: Args) -> Result {
    outlive_file_limit()?;
    let context = Context::new(args.global, args.settings);
    match args.verb {
        Verb::Share(share) => share::run(context, share).await,
        Verb::Tracker(tracker) => tracker::run(context, tracker).await,
        Verb::Invite(invite) => invite::run(&context, &invite).await,
        Verb::Join(join) => join::run(&context, &join).await,
        Verb::Members => members::run(&context).await,
        Verb::Remove(remove) => remove::run(&context, &remove).await,
        Verb::Get(get) => get::run(&context, get).await,
        Verb::Find(find) => find::run(&context, find).await,
        Verb::Ls(ls) => ls::run(&context, ls).await,
        Verb::Magnet(magnet) => magnet::run(&context, magnet).await,
        Verb::Torrent(torrent) => torrent::run(&context, torrent).await,
        Verb::Peers(visiting) => peers::run(&context, visiting).await,
        Verb::Neighbours => neighbours::run(&context).await,
        Verb::Status(status) => status::run(&context, status).await,
        Verb::Page(page) => page::run(&context, page).await,
        Verb::Stop => stop::run(&context).await,
        Verb::Clean(clean) => clean::run(&context, clean).await,
        Verb::Leave(leave) => leave::run(&context, &leave).await,
        Verb::Demo => demo::run(&context).await,
        Verb::Completions(completions) => completions::run(&completions),
    }
}

/// Shows a failure that ends the process, as the last line in either form.
pub fn show_failure(failure: &Complaint, json: bool) {
    if json
        && let Ok(line) = json::failure(failure)
        && out::data(&line).is_ok()
    {
        return;
    }
    out::complain(failure);
}
