//! `thorp share`: shares a directory until the user ends it.

use std::io;
use std::path::{Path, PathBuf};

use thorp_disk::DiskThread;
use thorp_node::address::{AddressError, NetAddress};
use thorp_node::api::{ErrorKind, Notice};
use thorp_node::launch::Group;
use thorp_node::share::{self, Broad};

use super::context::{Context, on_disk};
use super::detached::{self, Asked, Child};
use super::following::{self, Followed, Standard, StartLines};
use super::invitation;
use crate::args::ShareArgs;
use crate::args::values::WhichTracker;
use crate::exit::{Complaint, Result, failure};
use crate::lines::{self, Streams, Welcome};
use crate::menu::terminal::{self, End};
use crate::node::{self, LocalPeer};
use crate::quoting::for_shell;
use crate::signals::Signals;
use crate::state::NodeKind;
use crate::{out, prompt, words};

pub async fn run(context: Context, args: ShareArgs) -> Result {
    let asked = args.dir.clone();
    let dir = on_disk(move |disk| directory(disk, &asked)).await??;
    let shared = dir.clone();
    let broad = on_disk(move |disk| broad(disk, &shared)).await?;
    let child = Child::of_parent()?;
    let (child, group) = if let Some((child, asked)) = child {
        (Some(child), asked.group()?)
    } else {
        if let Some(broad) = broad {
            confirm(&context, &dir, broad).await?;
        }
        let Some(group) = group(&context, &args).await? else {
            return Ok(ErrorKind::Usage.into());
        };
        (None, group)
    };
    let options = share::Options {
        hidden: args.hidden,
        broad: broad.is_some(),
        ..share::Options::default()
    };
    let state = context.state(NodeKind::Peer)?;
    if args.detach && child.is_none() {
        let asked = Asked::new(&group);
        return detached::start(&context, NodeKind::Peer, &asked, &state).await;
    }
    let common = node::common(
        state.clone(),
        context.settings.clone(),
        args.name,
        args.listen,
        args.advertise,
    );
    let manner = context.line_manner();
    let start_lines = StartLines::start(manner);
    let show = |notice: &Notice| start_lines.tell(notice);
    let mut signals = Signals::listen()?;
    let peer = tokio::select! {
        peer = node::share(common, &dir, options, group, show) => peer,
        () = signals.next() => return Err(not_started()),
    };
    let mut peer = match peer {
        Ok(peer) => peer,
        Err(failure) => {
            start_lines.end().await;
            return Err(failure);
        }
    };
    let Some(child) = child else {
        let ended = attend(&context, &mut peer, args.lines, start_lines, &mut signals).await;
        return end(&context, peer, ended, signals).await;
    };
    start_lines.end().await;
    let _ = lines::greet(&Welcome::of(&peer), &mut Streams::standard(), manner);
    let detached = child.leave(&state).await?;
    let greeted = std::future::ready(Streams::standard());
    let ended = follow(&context, &mut peer, greeted, &mut signals).await;
    let exit = end(&context, peer, ended, signals).await;
    let exit = exit.unwrap_or_else(|failure| {
        super::show_failure(&failure, context.global.json);
        failure.kind.into()
    });
    detached.finish();
    Ok(exit)
}

/// Says the goodbyes, and returns how the program ends.
async fn end(context: &Context, peer: LocalPeer, ended: End, mut signals: Signals) -> Result {
    if ended == End::Ended && (peer.was_removed)() {
        peer.stop.await;
        return Err(failure(ErrorKind::NotAMember, words::REMOVED));
    }
    if ended == End::Ended {
        context.say("This peer was stopped.");
    }
    Ok(signals.goodbye(peer.stop).await)
}

/// Shows the menu if the terminal can do that, otherwise lines, until the peer ends or a signal
/// comes.
async fn attend(
    context: &Context,
    peer: &mut LocalPeer,
    lines: bool,
    start_lines: StartLines,
    signals: &mut Signals,
) -> End {
    let is_asked = context.can_converse(lines);
    context.say_what_a_log_hides(lines);
    let start_lines = if is_asked {
        start_lines.end().await;
        None
    } else {
        Some(start_lines)
    };
    if is_asked {
        let mut welcome = vec![words::sharing(&peer.directory, peer.listen)];
        welcome.extend(peer.door.as_ref().map(lines::door));
        welcome.extend(context.terminals.able.then(|| words::TABS.into()));
        welcome.extend(peer.has_page.then(|| words::page_opens(&peer.at)));
        // If the terminal cannot show it after all, there are lines.
        if let Ok(end) = terminal::run(peer, welcome, context.terminals, signals).await {
            return end;
        }
    }
    let (welcome, manner) = (Welcome::of(peer), context.line_manner());
    let greeted = async move {
        let mut streams = match start_lines {
            Some(start_lines) => start_lines.streams().await,
            None => Streams::standard(),
        };
        let _ = lines::greet(&welcome, &mut streams, manner);
        streams
    };
    follow(context, peer, greeted, signals).await
}

/// Shows lines until the peer ends or a signal comes, on streams that are ready once `greeted` is.
async fn follow(
    context: &Context,
    peer: &mut LocalPeer,
    greeted: impl Future<Output = Standard> + Send + 'static,
    signals: &mut Signals,
) -> End {
    let (mut news, manner) = (peer.news(), context.line_manner());
    let follow = async move {
        let mut streams = greeted.await;
        lines::follow_peer(&mut news, &mut streams, manner).await
    };
    match following::until_end(peer.viewer.clone(), signals, follow).await {
        Followed::Ended => End::Ended,
        Followed::Unread | Followed::Signalled => End::Left,
    }
}

/// Returns how to join the group; `None` if the address is missing and the user gave none.
async fn group(context: &Context, args: &ShareArgs) -> Result<Option<Group>> {
    Ok(Some(match (&args.tracker, &args.join) {
        (Some(WhichTracker::At(address)), _) => Group::Open(address.clone()),
        (Some(WhichTracker::Ask), _) => match ask_tracker(context).await? {
            Some(address) => Group::Open(address),
            None => return Ok(None),
        },
        (None, Some(file)) => Group::Invited(invitation::read(context, Some(file)).await?),
        (None, None) => Group::Remembered,
    }))
}

async fn ask_tracker(context: &Context) -> Result<Option<NetAddress>> {
    if !context.terminals.can_ask() {
        out::talk(words::WHICH_TRACKER);
        return Ok(None);
    }
    while let Some(line) = prompt::line(words::WHICH_TRACKER).await? {
        match line.parse() {
            Ok(address) => return Ok(Some(address)),
            Err(why) => out::talk(&AddressError::to_string(&why)),
        }
    }
    Ok(None)
}

/// The failure of a start that the user interrupted.
fn not_started() -> Complaint {
    failure(ErrorKind::Unfinished, "interrupted: nothing is shared")
}

/// Returns the absolute path of an existing directory.
fn directory(_: DiskThread, asked: &Path) -> Result<PathBuf> {
    let refuse = |why: String| {
        let why = format!("{}: {why}: name a directory to share", asked.display());
        failure(ErrorKind::Usage, why)
    };
    let path = asked.canonicalize().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => refuse("there is no such directory".into()),
        _ => refuse(e.to_string()),
    })?;
    if path.is_dir() {
        Ok(path)
    } else {
        Err(refuse("it is not a directory".into()))
    }
}

/// Returns what this is if it is more than a user is likely to mean, but may be meant: the root or
/// the home directory. The other broad ones are refused.
fn broad(disk: DiskThread, share: &Path) -> Option<Broad> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let broad = Broad::of(disk, share, home.as_deref());
    broad.filter(|broad| matches!(broad, Broad::Machine | Broad::OwnHome))
}

async fn confirm(context: &Context, share: &Path, broad: Broad) -> Result<()> {
    let shown = words::escaped(share);
    let what = match broad {
        Broad::Machine => "the root of this machine".to_owned(),
        broad => broad.to_string(),
    };
    if context.terminals.can_ask() {
        let question = format!("{shown} is {what}: this shares all of it with the whole group.");
        return context.confirm(&question, "Share it.", false).await;
    }
    let why = format!(
        "{shown} is {what}, which is not shared without a yes in a terminal: name a folder in it, \
         such as thorp share {}",
        for_shell(&share.join("papers").display().to_string())
    );
    Err(failure(ErrorKind::Usage, why))
}

#[cfg(test)]
mod tests {
    use thorp_disk::testing::DISK;

    use super::*;

    #[test]
    fn directories_that_can_be_shared() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, b"x").expect("a file");
        assert!(
            directory(DISK, folder.path())
                .expect("shared")
                .is_absolute()
        );
        for (path, why) in [
            (file.as_path(), "it is not a directory"),
            (&folder.path().join("none"), "there is no such directory"),
        ] {
            let failure = directory(DISK, path).expect_err("refused");
            assert_eq!(failure.kind, ErrorKind::Usage);
            assert!(failure.message.contains(why), "{}", failure.message);
        }
    }

    #[test]
    fn the_root_is_broad_and_no_home_that_is_not_there() {
        assert_eq!(broad(DISK, Path::new("/")), Some(Broad::Machine));
        assert_eq!(broad(DISK, Path::new("/no/such/home")), None);
    }
}
