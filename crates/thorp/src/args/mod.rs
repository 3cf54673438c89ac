//! The command line: every verb, every flag, every environment variable.
//!
//! ```text
//! mod      the verbs, and the checks across flags
//! verbs    the flags of each verb
//! values   parsers of values
//! help     examples, settings and exit codes
//! ```
//!
//! Owns what can be typed and how it is explained. Values are checked here as far as that needs no
//! network and no disk; what they do is decided in `commands`.

#![allow(clippy::doc_markdown, reason = "the doc comments here are help texts")]

mod help;
pub mod values;
mod verbs;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand,
};
use thorp_node::config::Setting;
use thorp_node::invite::Invite;

use crate::logging::LogFormat;
use crate::words;
use help::{
    CLEAN_EXAMPLES, COMPLETIONS_EXAMPLES, FIND_EXAMPLES, GET_EXAMPLES, INVITE_EXAMPLES,
    JOIN_EXAMPLES, LEAVE_EXAMPLES, LS_EXAMPLES, MAGNET_EXAMPLES, PAGE_EXAMPLES, REMOVE_EXAMPLES,
    SHARE_EXAMPLES, TORRENT_EXAMPLES, TRACKER_EXAMPLES, explanation,
};
pub use values::HowLong;
use values::setting;
pub use verbs::{
    CleanArgs, CompletionsArgs, FindArgs, GetArgs, InviteArgs, JoinArgs, LeaveArgs, ListArgs,
    LsArgs, MagnetArgs, PageArgs, RemoveArgs, ShareArgs, StatusArgs, TorrentArgs, TrackerArgs,
    Visiting,
};

/// Share directories among your machines, and fetch any file in them by its name.
#[derive(Debug, Parser)]
#[command(
    name = "thorp",
    version,
    arg_required_else_help = true,
    after_long_help = explanation(),
    max_term_width = 100
)]
pub struct Args {
    /// What holds for every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// `--set` and its environment variables, resolved.
    #[arg(skip)]
    pub settings: Vec<Setting>,
}

/// Flags that every verb takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Keep keys and memory in DIR [default: peer or tracker in
    /// $XDG_STATE_HOME/thorp]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "THORP_STATE",
        hide_env_values = true
    )]
    pub state: Option<PathBuf>,

    /// Answer with one JSON object a line
    #[arg(long, global = true, env = "THORP_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,

    /// Print only data and errors, no remarks
    #[arg(long, short, global = true, env = "THORP_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,

    /// Log to standard error; more with -vv and -vvv
    #[arg(long, short, global = true, action = ArgAction::Count, env = "THORP_VERBOSE")]
    pub verbose: u8,

    /// The form of that log, and of the one that RUST_LOG asks for
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "THORP_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// Override a key of config.toml for this run, such as lookup.hops=0; each
    /// key has a variable too, such as THORP_LOOKUP_HOPS
    #[arg(
        long = "set",
        global = true,
        value_name = "KEY=VALUE",
        env = "THORP_SET",
        value_delimiter = ',',
        value_parser = setting
    )]
    pub set: Vec<Setting>,
}

/// One verb each; a file each in `commands`.
// The flags of a verb are made when it is typed: those of all take as long as a small file.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Verb {
    /// Share a directory and stay
    ///
    /// The group is the one this machine joined before; if there is none, one is
    /// made with a tracker inside this peer, and what to type on other machines is
    /// shown. In a terminal there is a menu, otherwise plain lines.
    #[command(after_long_help = SHARE_EXAMPLES)]
    Share(ShareArgs),

    /// Run a tracker alone
    ///
    /// It keeps a list of the peers that are online and of the files they share, and
    /// shows both in two tables that follow every change.
    #[command(after_long_help = TRACKER_EXAMPLES)]
    Tracker(TrackerArgs),

    /// Make an invite for another machine
    ///
    /// Runs where the group's CA is: on the tracker's machine. The invite goes to
    /// standard output. A machine that has it can join, so hand it over as you would a key.
    #[command(after_long_help = INVITE_EXAMPLES)]
    Invite(InviteArgs),

    /// Join a group with an invite
    ///
    /// The invite is asked for, or read from FILE or standard input (-). It is never
    /// an argument, because other users of a machine can read arguments.
    #[command(after_long_help = JOIN_EXAMPLES)]
    Join(JoinArgs),

    /// List the group's members, present or not
    ///
    /// Runs where the group's CA is: on the tracker's machine.
    Members,

    /// Remove a member from the group
    ///
    /// Runs where the group's CA is: on the tracker's machine, whether the tracker
    /// runs or not. Every member that has learnt of the removal refuses that machine's
    /// key. In an open group the machine can join again with a new key.
    #[command(after_long_help = REMOVE_EXAMPLES)]
    Remove(RemoveArgs),

    /// Fetch files by name
    ///
    /// Into the share of the running peer; with none running, into the current
    /// directory. NAME is the path of a file in a peer's share, the last part of that
    /// path, a glob, a folder, a magnet link, or a .torrent that is here (- for standard
    /// input). Existing files are not overwritten without --overwrite.
    #[command(after_long_help = GET_EXAMPLES)]
    Get(GetArgs),

    /// Find files by a pattern, whichever peer has them
    #[command(after_long_help = FIND_EXAMPLES)]
    Find(FindArgs),

    /// List the files of one peer, of one folder, or all
    #[command(after_long_help = LS_EXAMPLES)]
    Ls(LsArgs),

    /// Print a link by which any BitTorrent client fetches a file or folder of this share
    ///
    /// Where the tracker was started with --bittorrent, and this share too. The link names the
    /// group's tracker and this machine. Of a folder, it is for what is shared in it at this
    /// moment.
    #[command(after_long_help = MAGNET_EXAMPLES)]
    Magnet(MagnetArgs),

    /// Write a .torrent by which any client fetches a file or folder of this share
    #[command(after_long_help = TORRENT_EXAMPLES)]
    Torrent(TorrentArgs),

    /// List the peers that are present
    Peers(Visiting),

    /// List this peer's neighbours
    Neighbours,

    /// Show how this peer or tracker is: what it shares, its group, its lookups so far
    Status(StatusArgs),

    /// Open the page of the running peer or tracker in a browser
    ///
    /// The page shows what the village has, fetches it, and shows how the node is. It is for
    /// you alone: on this machine only, and the browser is led there by a file that only you
    /// can read.
    #[command(after_long_help = PAGE_EXAMPLES)]
    Page(PageArgs),

    /// End the running peer with a goodbye
    Stop,

    /// Remove what interrupted fetches have left
    ///
    /// Lists the partial files in the share, or in DIR, with its folders, and removes them
    /// after a yes. Files that are being fetched now are kept. A fetch whose partial file
    /// is removed starts again from the beginning.
    #[command(after_long_help = CLEAN_EXAMPLES)]
    Clean(CleanArgs),

    /// Forget the group that this machine is in
    ///
    /// A running peer is stopped first, with a goodbye. The machine's key stays.
    /// Where the group's own CA is, only --purge does it, and that ends the group.
    #[command(after_long_help = LEAVE_EXAMPLES)]
    Leave(LeaveArgs),

    /// Show on this machine, step by step, how a group of peers works
    Demo,

    /// Print a completion script
    #[command(after_long_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
}

impl Verb {
    /// Whether a node runs in the process of this verb for long.
    pub fn runs_node(&self) -> bool {
        matches!(self, Self::Share(_) | Self::Tracker(_) | Self::Demo)
    }
}

impl Args {
    /// Reads the arguments and the environment.
    pub fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let mut command = Self::with_short_help(|verb| arguments.iter().any(|word| word == verb));
        // First of all, so that no error message repeats the invite.
        if arguments.iter().any(gives_an_invite_away) {
            return Err(command.error(ErrorKind::ValueValidation, words::INVITE_TYPED));
        }
        let matches = command.try_get_matches_from_mut(arguments)?;
        let mut args = Self::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
        args.settle(&matches, env)
            .map_err(|(kind, why)| command.error(kind, why))?;
        Ok(args)
    }

    /// Whether a word is a verb.
    pub fn is_verb(word: &str) -> bool {
        Self::command().find_subcommand(word).is_some()
    }

    /// Returns the command in which the global flags are explained once: the help of each verb
    /// that may be meant only names them.
    fn with_short_help(may_be_meant: impl Fn(&str) -> bool) -> Command {
        let command = Self::command();
        let global = command.get_arguments().filter(|arg| arg.is_global_set());
        let global: Vec<Arg> = global.cloned().collect();
        let flags = global.iter().filter_map(Arg::get_long);
        let flags: Vec<String> = flags.map(|long| format!("--{long}")).collect();
        let named = format!("Everywhere: {}; see thorp --help.", flags.join(", "));
        command.mut_subcommands(|verb| {
            if !may_be_meant(verb.get_name()) {
                return verb;
            }
            let examples = verb.get_after_long_help();
            let long = examples.map(|examples| format!("{examples}\n\n{named}"));
            // A verb that has a flag of its own does not inherit it again.
            verb.args(global.iter().map(|arg| arg.clone().hide(true)))
                .after_help(named.clone())
                .after_long_help(long.unwrap_or_else(|| named.clone()))
        })
    }

    /// Applies the rules that clap cannot express.
    fn settle(
        &mut self,
        matches: &ArgMatches,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Contradiction> {
        // The last setting of a key wins: the one given by flag.
        self.settings = Setting::from_environment(env)
            .map_err(|error| (ErrorKind::ValueValidation, error.to_string()))?;
        self.settings.append(&mut self.global.set);
        let typed = |id: &str| {
            let here = matches.subcommand().map(|(_, matches)| matches);
            here.and_then(|m| m.value_source(id)) == Some(ValueSource::CommandLine)
        };
        match &mut self.verb {
            Verb::Share(share) => settle_share(share, typed)?,
            Verb::Tracker(tracker) => settle_tracker(tracker, typed)?,
            Verb::Get(get) => settle_get(get, typed)?,
            _ => {}
        }
        // A flag for a setting wins over all other ways to set it.
        let set = |key, value, flag| {
            let setting = Setting::new(key, value, flag);
            setting.map_err(|error| (ErrorKind::ValueValidation, error.to_string()))
        };
        if matches!(&self.verb, Verb::Share(share) if share.bittorrent) {
            self.settings
                .push(set("share.bittorrent", "true", "--bittorrent")?);
        }
        if matches!(
            &self.verb,
            Verb::Share(ShareArgs { no_page: true, .. })
                | Verb::Tracker(TrackerArgs { no_page: true, .. })
        ) {
            self.settings.push(set("page.on", "false", "--no-page")?);
        }
        Ok(())
    }
}

/// Why arguments cannot be meant, each by itself or together.
type Contradiction = (ErrorKind, String);

fn settle_share(share: &mut ShareArgs, typed: impl Fn(&str) -> bool) -> Result<(), Contradiction> {
    if share.tracker.is_none() || share.join.is_none() {
        return Ok(());
    }
    // A flag wins over the variable of the other one; two flags or two variables contradict each
    // other.
    match (typed("tracker"), typed("join")) {
        (true, false) => share.join = None,
        (false, true) => share.tracker = None,
        _ => return contradict("--tracker and --join are two ways in: give one of them"),
    }
    Ok(())
}

fn settle_tracker(
    tracker: &mut TrackerArgs,
    typed: impl Fn(&str) -> bool,
) -> Result<(), Contradiction> {
    if tracker.open && tracker.closed {
        return contradict("--open and --closed are two doors: give one of them");
    }
    // A flag wins over the variable of the other one.
    if tracker.bittorrent.is_some() && tracker.no_bittorrent {
        match (typed("bittorrent"), typed("no_bittorrent")) {
            (true, false) => tracker.no_bittorrent = false,
            (false, true) => tracker.bittorrent = None,
            _ => {
                return contradict(
                    "--bittorrent turns it on and --no-bittorrent off: give one of them",
                );
            }
        }
    }
    if tracker.backup.is_some() && tracker.restore.is_some() {
        return contradict("--backup saves and --restore puts back: give one of them");
    }
    // The variable is meant for trackers that go on: these two end by themselves.
    if tracker.backup.is_some() || tracker.restore.is_some() {
        if typed("detach") && tracker.detach {
            return contradict("--backup and --restore end by themselves: leave out --detach");
        }
        tracker.detach = false;
    }
    Ok(())
}

fn settle_get(get: &GetArgs, typed: impl Fn(&str) -> bool) -> Result<(), Contradiction> {
    if typed("wait")
        && let Some(time) = time_among_names(get)
    {
        let why = format!(
            "--wait takes its time after a =: --wait={time}; a file of that name is ./{time}"
        );
        return Err((ErrorKind::ValueValidation, why));
    }
    if get.rename.is_some() && get.names.len() > 1 {
        return contradict("--as gives a name to one file: ask for one NAME");
    }
    Ok(())
}

fn contradict(why: &str) -> Result<(), Contradiction> {
    Err((ErrorKind::ArgumentConflict, why.to_owned()))
}

/// A name that looks like a time, as for `--wait` without a value.
fn time_among_names(get: &GetArgs) -> Option<&String> {
    let is_time = |name: &&String| name.parse().is_ok_and(|HowLong(time)| time.is_some());
    get.names
        .iter()
        .find(is_time)
        .filter(|_| get.wait == Some(HowLong(None)))
}

/// Whether an argument, or the value in it, is an invite.
fn gives_an_invite_away(argument: &OsString) -> bool {
    let text = argument.to_string_lossy();
    let value = text.split_once('=').map_or("", |(_, value)| value);
    Invite::may_give_away(&text) || Invite::may_give_away(value)
}

#[cfg(test)]
mod tests;
