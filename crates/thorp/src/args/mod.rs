//! The command line: every verb, every flag, every environment variable.
//!
//! Owns what can be typed and how it is explained. Values are checked here as
//! far as that needs no network and no disk; what they lead to is decided in
//! `commands`.

#![allow(clippy::doc_markdown, reason = "the doc comments here are help texts")]

pub mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand,
};
use clap_complete::Shell;

use thorp_node::MemberName;
use thorp_node::address::{ListenAddress, NetAddress};
use thorp_node::config::{Key, Setting};

use values::{TrackerArg, expiry, root_prefix, setting};

/// Any file in the village, by its name, from whoever has it.
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

    /// Only data and errors, no talk
    #[arg(long, short, global = true, env = "THORP_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,

    /// Log to standard error; more with -vv and -vvv
    #[arg(long, short, global = true, action = ArgAction::Count, env = "THORP_VERBOSE")]
    pub verbose: u8,

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
#[derive(Debug, Subcommand)]
pub enum Verb {
    Share(Share),
    Tracker(Tracker),
    Invite(Invite),
    Join(Join),
    /// List the group's members, present or not
    ///
    /// Runs where the group's CA is: on the tracker's machine.
    Members,
    Remove(Remove),
    Get(Get),
    Find(Find),
    Ls(Ls),
    /// List the peers that are present
    Peers(Visiting),
    /// List this peer's neighbours
    Neighbours,
    /// Say how this peer is: share, tracker, lookups so far
    Status,
    /// End the running peer with a goodbye
    Stop,
    Leave(Leave),
    /// Play a whole village on loopback, told step by step
    Demo,
    Completions(Completions),
}

/// Share a directory and stay
///
/// The group is the one this machine joined before; if there is none, one is
/// made with a tracker inside this peer, and what to type on other machines is
/// shown. In a terminal there is a menu, otherwise plain lines.
#[derive(Debug, clap::Args)]
#[command(after_long_help = SHARE_EXAMPLES)]
pub struct Share {
    /// What to share
    #[arg(default_value = ".", value_name = "DIR", hide_default_value = false)]
    pub dir: PathBuf,

    /// Join the open group of this tracker; asks for the address when left out
    #[arg(long, value_name = "ADDR[:PORT]", num_args = 0..=1, default_missing_value = "", env = "THORP_TRACKER")]
    pub tracker: Option<TrackerArg>,

    /// Join with the invite in FILE, or from standard input (-)
    #[arg(long, value_name = "FILE|-", env = "THORP_JOIN")]
    pub join: Option<PathBuf>,

    /// This machine's name in the group: a-z, 0-9 and -, at most 32
    #[arg(long, env = "THORP_NAME")]
    pub name: Option<MemberName>,

    /// Listen here [default: [::]:3334, or :3333 with a tracker inside]
    #[arg(long, value_name = "ADDR:PORT", env = "THORP_LISTEN")]
    pub listen: Option<ListenAddress>,

    /// Plain lines instead of a menu (the default outside a terminal)
    #[arg(long, env = "THORP_LINES", value_parser = FalseyValueParser::new())]
    pub lines: bool,

    /// Share hidden files as well
    #[arg(long, env = "THORP_HIDDEN", value_parser = FalseyValueParser::new())]
    pub hidden: bool,
}

/// Run a tracker alone
///
/// It knows who is there and who has what, and shows both in two tables that
/// follow every change.
#[derive(Debug, clap::Args)]
#[command(after_long_help = TRACKER_EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Tracker {
    /// Listen here [default: [::]:3333]
    #[arg(long, value_name = "ADDR:PORT", env = "THORP_LISTEN")]
    pub listen: Option<ListenAddress>,

    /// Save the group to FILE, or to standard output (-), and end: CA, members,
    /// invites; of the tracker inside a peer as well, running or not
    #[arg(long, value_name = "FILE|-", env = "THORP_BACKUP")]
    pub backup: Option<PathBuf>,

    /// Put a saved group into this machine's tracker state, which has none yet,
    /// and end
    #[arg(long, value_name = "FILE|-", env = "THORP_RESTORE")]
    pub restore: Option<PathBuf>,

    /// Let in whoever knows the address, without an invite, from now on
    #[arg(long, env = "THORP_OPEN", value_parser = FalseyValueParser::new())]
    pub open: bool,

    /// Let in only who is invited, from now on; members stay
    #[arg(long, env = "THORP_CLOSED", value_parser = FalseyValueParser::new())]
    pub closed: bool,

    /// Open a group that was by invitation without asking
    #[arg(long, short, env = "THORP_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,

    /// Plain lines instead of a screen (the default outside a terminal)
    #[arg(long, env = "THORP_LINES", value_parser = FalseyValueParser::new())]
    pub lines: bool,

    /// This machine's name in the group: a-z, 0-9 and -, at most 32
    #[arg(long, env = "THORP_NAME")]
    pub name: Option<MemberName>,
}

/// Make an invite for another machine
///
/// Runs where the group's CA is: on the tracker's machine. The invite goes to
/// standard output; whoever has it can join, so hand it over as you would a key.
#[derive(Debug, clap::Args)]
#[command(after_long_help = INVITE_EXAMPLES)]
pub struct Invite {
    /// How many machines may join with it
    #[arg(long, value_name = "N", default_value_t = 1, env = "THORP_USES",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: u32,

    /// How long it is good for, such as 30m, 24h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = expiry, env = "THORP_EXPIRES")]
    pub expires: Duration,
}

/// Join a group with an invite
///
/// The invite is asked for, or read from FILE or standard input (-); it is never
/// an argument, for arguments are in the process list.
#[derive(Debug, clap::Args)]
#[command(after_long_help = JOIN_EXAMPLES)]
pub struct Join {
    /// Where the invite is
    #[arg(value_name = "FILE|-")]
    pub file: Option<PathBuf>,

    /// This machine's name in the group: a-z, 0-9 and -, at most 32 [default:
    /// its host name]
    #[arg(long, env = "THORP_NAME")]
    pub name: Option<MemberName>,
}

/// Remove a member from the group
///
/// Runs where the group's CA is: on the tracker's machine, whether the tracker
/// runs or not. That machine's key is not let in any more, by anybody who has
/// heard of it. In an open group it can come back with another key.
#[derive(Debug, clap::Args)]
#[command(after_long_help = REMOVE_EXAMPLES)]
pub struct Remove {
    /// Its name, or at least the first 8 characters of its id
    #[arg(value_name = "NAME")]
    pub member: String,

    /// Do it without asking
    #[arg(long, short, env = "THORP_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
}

/// Forget the group that this machine is in
///
/// A running peer is stopped first, with a goodbye. The machine's key stays.
/// Where the group's own CA is, only --purge does it, and that ends the group.
#[derive(Debug, clap::Args)]
#[command(after_long_help = LEAVE_EXAMPLES)]
pub struct Leave {
    /// Remove everything that thorp keeps in the state directory, keys as well
    #[arg(long, env = "THORP_PURGE", value_parser = FalseyValueParser::new())]
    pub purge: bool,

    /// Do it without asking
    #[arg(long, short, env = "THORP_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
}

/// Fetch files by name
///
/// Into the share of the running peer; with none running, into the current
/// directory. A name is a full path in somebody's share, or a base name, or a
/// glob. What is there already is never overwritten unless you say so.
#[derive(Debug, clap::Args)]
#[command(after_long_help = GET_EXAMPLES)]
pub struct Get {
    /// File names or globs
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,

    /// Write to DIR instead, which must be there (not shared then)
    #[arg(long, short, value_name = "DIR", env = "THORP_OUT")]
    pub out: Option<PathBuf>,

    /// Save it under another name
    #[arg(long = "as", value_name = "NEWNAME", env = "THORP_AS")]
    pub rename: Option<String>,

    /// Replace what is there
    #[arg(long, env = "THORP_OVERWRITE", value_parser = FalseyValueParser::new())]
    pub overwrite: bool,

    /// Only from this peer: a name, an address or the start of an id
    #[arg(long, value_name = "PEER", env = "THORP_FROM")]
    pub from: Option<String>,

    /// Only the content whose root starts so
    #[arg(long, value_name = "PREFIX", value_parser = root_prefix, env = "THORP_ROOT")]
    pub root: Option<String>,

    /// Whom to visit.
    #[command(flatten)]
    pub visiting: Visiting,
}

/// List the files that match a pattern, wherever they are
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIND_EXAMPLES)]
pub struct Find {
    /// A glob: on the full path, or without / on the base name
    pub pattern: String,

    /// Whom to visit.
    #[command(flatten)]
    pub visiting: Visiting,
}

/// List one peer's files, or everybody's
#[derive(Debug, clap::Args)]
#[command(after_long_help = LS_EXAMPLES)]
pub struct Ls {
    /// A name, an address or the start of an id
    pub peer: Option<String>,

    /// Whom to visit.
    #[command(flatten)]
    pub visiting: Visiting,
}

/// For verbs that work without a running peer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Visiting {
    /// With no peer running: visit the open group of this tracker
    #[arg(long, value_name = "ADDR[:PORT]", env = "THORP_TRACKER")]
    pub tracker: Option<NetAddress>,
}

/// Print a completion script
#[derive(Debug, clap::Args)]
#[command(after_long_help = COMPLETIONS_EXAMPLES)]
pub struct Completions {
    /// For which shell
    pub shell: Shell,
}

impl Args {
    /// Reads the arguments and the environment.
    pub fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, clap::Error> {
        let mut command = Self::with_short_help();
        let matches = command.try_get_matches_from_mut(arguments)?;
        let mut args = Self::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
        args.settle(&matches, env)
            .map_err(|(kind, why)| command.error(kind, why))?;
        Ok(args)
    }

    /// What is to be typed, where the flags that every verb takes are explained
    /// once: a verb's help only names them.
    fn with_short_help() -> Command {
        let command = Self::command();
        let global = command.get_arguments().filter(|arg| arg.is_global_set());
        let global: Vec<Arg> = global.cloned().collect();
        let flags = global.iter().filter_map(Arg::get_long);
        let flags: Vec<String> = flags.map(|long| format!("--{long}")).collect();
        let named = format!("Everywhere: {}; see thorp --help.", flags.join(", "));
        command.mut_subcommands(|verb| {
            let examples = verb.get_after_long_help();
            let long = examples.map(|examples| format!("{examples}\n\n{named}"));
            // A verb that has a flag does not inherit it a second time.
            verb.args(global.iter().map(|arg| arg.clone().hide(true)))
                .after_help(named.clone())
                .after_long_help(long.unwrap_or_else(|| named.clone()))
        })
    }

    /// What clap's own rules do not express.
    fn settle(
        &mut self,
        matches: &ArgMatches,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<(), (ErrorKind, String)> {
        // Whoever comes last wins: the flags.
        self.settings = Setting::from_environment(env)
            .map_err(|error| (ErrorKind::ValueValidation, error.to_string()))?;
        self.settings.append(&mut self.global.set);
        match &mut self.verb {
            Verb::Share(share) => {
                let typed = |id| {
                    let here = matches.subcommand().map(|(_, matches)| matches);
                    here.and_then(|m| m.value_source(id)) == Some(ValueSource::CommandLine)
                };
                // A flag wins over the other's variable; two of a kind contradict.
                if share.tracker.is_some() && share.join.is_some() {
                    match (typed("tracker"), typed("join")) {
                        (true, false) => share.join = None,
                        (false, true) => share.tracker = None,
                        _ => {
                            return Err((
                                ErrorKind::ArgumentConflict,
                                "--tracker and --join are two ways in: give one of them".into(),
                            ));
                        }
                    }
                }
            }
            Verb::Tracker(tracker) if tracker.open && tracker.closed => {
                return Err((
                    ErrorKind::ArgumentConflict,
                    "--open and --closed are two doors: give one of them".into(),
                ));
            }
            Verb::Tracker(tracker) if tracker.backup.is_some() && tracker.restore.is_some() => {
                return Err((
                    ErrorKind::ArgumentConflict,
                    "--backup saves and --restore puts back: give one of them".into(),
                ));
            }
            Verb::Get(get) if get.rename.is_some() && get.names.len() > 1 => {
                return Err((
                    ErrorKind::ArgumentConflict,
                    "--as gives a name to one file: ask for one NAME".into(),
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

const EXAMPLES: &str = "\
Examples:
  thorp share ~/papers              share a folder; shows what to type elsewhere
  thorp share --tracker 10.0.0.7    share this folder in the group of that tracker
  thorp get 2.txt                   fetch a file by its name
  thorp find '*.pdf'                who has what";

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 other, 2 usage, 3 nobody shares it, 4 exists already,
5 ambiguous, 6 network or tracker unreachable, 7 interrupted or unfinished,
8 verification failed, 9 not a member.";

/// What stands behind the flags in the program's help.
fn explanation() -> String {
    let settings = Key::all().iter().map(|key| {
        format!(
            "\n  {:21}  {:27}  {} [default: {}]",
            key.name,
            key.variable(),
            key.allowed(),
            key.default
        )
    });
    let settings: String = settings.collect();
    format!(
        "{EXAMPLES}\n\nSettings, for --set or config.toml in the state directory, and their variables:{settings}\n\n{EXIT_CODES}"
    )
}

const SHARE_EXAMPLES: &str = "\
Examples:
  thorp share                                share this folder
  thorp share ~/papers --name oak            under a name of your choice
  thorp share --tracker 192.168.198.138      join that tracker's open group first
  thorp share --tracker                      asks for the tracker's address
  thorp share --join invite.txt              join with an invite first
  thorp share --lines >> thorp.log           without a menu";

const TRACKER_EXAMPLES: &str = "\
Examples:
  thorp tracker                          by invitation only
  thorp tracker --open                   typing the address is enough to join
  thorp tracker --closed                 by invitation again
  thorp tracker --listen 10.0.0.7:3333   on one address only
  thorp tracker --backup group.backup    save the group, and end
  thorp tracker --restore group.backup   put it back, here or elsewhere, and end";

const INVITE_EXAMPLES: &str = "\
Examples:
  thorp invite > invite.txt             for one machine, within a day
  thorp invite --uses 30 --expires 2h   for a class";

const JOIN_EXAMPLES: &str = "\
Examples:
  thorp join                  asks for the invite
  thorp join invite.txt       reads it from a file
  thorp join - < invite.txt   reads it from standard input";

const REMOVE_EXAMPLES: &str = "\
Examples:
  thorp remove elm              asks first
  thorp remove k3v9qz2a --yes   by the start of its id, without asking";

const LEAVE_EXAMPLES: &str = "\
Examples:
  thorp leave                   the key stays; thorp join joins another group
  thorp leave --purge           nothing stays, not even the key
  thorp leave --purge --state ~/.local/state/thorp/tracker
                                the same for a tracker alone: ends its group";

const GET_EXAMPLES: &str = "\
Examples:
  thorp get 2.txt                    into the share, or into this folder
  thorp get 'slides/**' -o /tmp      a whole folder, elsewhere
  thorp get 2.txt --as 2-oak.txt --from oak
  thorp get -- -rf                   a name that starts with a dash";

const FIND_EXAMPLES: &str = "\
Examples:
  thorp find '*.pdf'          any PDF
  thorp find 'slides/**'      everything in a folder
  thorp find 2.txt --json     for a script";

const LS_EXAMPLES: &str = "\
Examples:
  thorp ls                    everybody's files
  thorp ls oak                one peer's";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  thorp completions bash > ~/.local/share/bash-completion/completions/thorp
  thorp completions zsh > ~/.zfunc/_thorp
  thorp completions fish > ~/.config/fish/completions/thorp.fish";

#[cfg(test)]
mod tests;
