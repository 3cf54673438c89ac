//! The arguments of each verb: its flags with their variables.
//!
//! What a verb does is said where the verbs are: a doc comment on its flags would take the place of
//! that in the help.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{FalseyValueParser, NonEmptyStringValueParser};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCompleter;
use thorp_node::MemberName;
use thorp_node::address::{ListenAddress, NetAddress, OuterAddress};
use thorp_node::launch::MAX_USES;

use super::values::{HowLong, WhichTorrents, WhichTracker, expiry, root_prefix};
use crate::completing;
use crate::sorting::Order;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ShareArgs {
    /// What to share
    #[arg(default_value = ".", value_name = "DIR", hide_default_value = false)]
    pub dir: PathBuf,

    /// Join the open group of this tracker; without an address, asks for it
    #[arg(long, value_name = "ADDR[:PORT]", num_args = 0..=1, default_missing_value = "", env = "THORP_TRACKER")]
    pub tracker: Option<WhichTracker>,

    /// Join with the invite in FILE, or from standard input (-)
    #[arg(long, value_name = "FILE|-", env = "THORP_JOIN")]
    pub join: Option<PathBuf>,

    /// This machine's name in the group: a-z, 0-9 and -, at most 32
    #[arg(long, env = "THORP_NAME")]
    pub name: Option<MemberName>,

    /// Listen here [default: [::]:3334, or :3333 with a tracker inside]
    #[arg(long, value_name = "ADDR:PORT", env = "THORP_LISTEN")]
    pub listen: Option<ListenAddress>,

    /// Where other machines reach it if it is behind port forwarding; several may be given
    #[arg(
        long,
        value_name = "ADDR[:PORT]",
        env = "THORP_ADVERTISE",
        value_delimiter = ','
    )]
    pub advertise: Vec<OuterAddress>,

    /// Plain lines instead of a menu (the default outside a terminal)
    #[arg(long, env = "THORP_LINES", value_parser = FalseyValueParser::new())]
    pub lines: bool,

    /// Go on without this terminal, once the peer is ready; thorp stop ends it
    #[arg(long, env = "THORP_DETACH", value_parser = FalseyValueParser::new())]
    pub detach: bool,

    /// Share hidden files as well
    #[arg(long, env = "THORP_HIDDEN", value_parser = FalseyValueParser::new())]
    pub hidden: bool,

    /// Serve this share to ordinary BitTorrent clients as well, without encryption; in a group
    /// whose tracker says --bittorrent
    #[arg(long, env = "THORP_SHARE_BITTORRENT", value_parser = FalseyValueParser::new())]
    pub bittorrent: bool,

    /// Serve no page for a browser, no /get and no /metrics
    #[arg(long, env = "THORP_SHARE_NO_PAGE", value_parser = FalseyValueParser::new())]
    pub no_page: bool,
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct TrackerArgs {
    /// Listen here [default: [::]:3333]
    #[arg(long, value_name = "ADDR:PORT", env = "THORP_LISTEN")]
    pub listen: Option<ListenAddress>,

    /// Where other machines reach it if it is behind port forwarding; several may be given
    #[arg(
        long,
        value_name = "ADDR[:PORT]",
        env = "THORP_ADVERTISE",
        value_delimiter = ','
    )]
    pub advertise: Vec<OuterAddress>,

    /// Save the group to FILE, or to standard output (-), and end: CA, members,
    /// invites; of the tracker inside a peer as well, running or not
    #[arg(long, value_name = "FILE|-", env = "THORP_BACKUP")]
    pub backup: Option<PathBuf>,

    /// Put a saved group into this machine's tracker state, which has none yet,
    /// and end
    #[arg(long, value_name = "FILE|-", env = "THORP_RESTORE")]
    pub restore: Option<PathBuf>,

    /// Go on without this terminal, once the tracker is ready; what stops it is shown
    #[arg(long, env = "THORP_DETACH", value_parser = FalseyValueParser::new())]
    pub detach: bool,

    /// From now on let in every machine that can reach this tracker, without an invite
    #[arg(long, env = "THORP_OPEN", value_parser = FalseyValueParser::new())]
    pub open: bool,

    /// From now on let in only machines with an invite; members stay
    #[arg(long, env = "THORP_CLOSED", value_parser = FalseyValueParser::new())]
    pub closed: bool,

    /// Serve ordinary BitTorrent clients, from now on: they find the files of those peers that
    /// say share --bittorrent. With =any it is an open tracker, for any torrent
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true,
          default_missing_value = "group", env = "THORP_TRACKER_BITTORRENT")]
    pub bittorrent: Option<WhichTorrents>,

    /// Serve no ordinary BitTorrent clients, from now on
    #[arg(long, env = "THORP_TRACKER_NO_BITTORRENT", value_parser = FalseyValueParser::new())]
    pub no_bittorrent: bool,

    /// Serve no page for a browser and no /metrics
    #[arg(long, env = "THORP_TRACKER_NO_PAGE", value_parser = FalseyValueParser::new())]
    pub no_page: bool,

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

#[derive(Debug, clap::Args)]
pub struct InviteArgs {
    /// How many machines may join with it, at most 10000
    #[arg(long, value_name = "N", default_value_t = 1, env = "THORP_USES",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_USES)))]
    pub uses: u32,

    /// How long it is good for, such as 30m, 24h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = expiry, env = "THORP_EXPIRES")]
    pub expires: Duration,
}

#[derive(Debug, clap::Args)]
pub struct JoinArgs {
    /// Where the invite is
    #[arg(value_name = "FILE|-")]
    pub file: Option<PathBuf>,

    /// This machine's name in the group: a-z, 0-9 and -, at most 32 [default:
    /// its host name]
    #[arg(long, env = "THORP_NAME")]
    pub name: Option<MemberName>,

    /// Reach the tracker here, whatever addresses the invite has; several may be given
    #[arg(
        long,
        value_name = "ADDR[:PORT]",
        env = "THORP_TRACKER",
        value_delimiter = ','
    )]
    pub tracker: Vec<NetAddress>,
}

#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// Its name, or at least the first 8 characters of its id
    #[arg(value_name = "NAME")]
    pub member: String,

    /// Do it without asking
    #[arg(long, short, env = "THORP_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
}

#[derive(Debug, clap::Args)]
pub struct LeaveArgs {
    /// Remove everything that thorp keeps in the state directory, keys as well
    #[arg(long, env = "THORP_PURGE", value_parser = FalseyValueParser::new())]
    pub purge: bool,

    /// Do it without asking
    #[arg(long, short, env = "THORP_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
}

#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// File names, globs, in a terminal a folder; or a .torrent or a magnet link
    #[arg(required = true, value_name = "NAME", add = ArgValueCompleter::new(completing::files))]
    pub names: Vec<String>,

    /// Write to DIR instead, which must be there (not shared then); - is standard output, to which
    /// one file is written as it arrives
    #[arg(long, short, value_name = "DIR", env = "THORP_OUT")]
    pub out: Option<PathBuf>,

    /// Save it under another name
    #[arg(long = "as", value_name = "NEWNAME", env = "THORP_AS", value_parser = NonEmptyStringValueParser::new())]
    pub rename: Option<String>,

    /// Replace what is there
    #[arg(long, env = "THORP_OVERWRITE", value_parser = FalseyValueParser::new())]
    pub overwrite: bool,

    /// Only from this peer: a name, an address or the start of an id
    #[arg(long, value_name = "PEER", env = "THORP_FROM", value_parser = NonEmptyStringValueParser::new(),
          add = ArgValueCompleter::new(completing::peers))]
    pub from: Option<String>,

    /// Only the file whose root starts with these digits
    #[arg(long, value_name = "PREFIX", value_parser = root_prefix, env = "THORP_ROOT")]
    pub root: Option<String>,

    /// Wait for files that no peer can send yet, even if no peer lists them: for this long,
    /// such as 30m, or without limit
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true,
          default_missing_value = "", env = "THORP_GET_WAIT")]
    pub wait: Option<HowLong>,

    /// Hidden files too, and others that programs act on by themselves; without it
    /// they come by their whole path only
    #[arg(long, env = "THORP_GET_HIDDEN", value_parser = FalseyValueParser::new())]
    pub hidden: bool,

    /// The tracker to visit.
    #[command(flatten)]
    pub visiting: Visiting,
}

#[derive(Debug, clap::Args)]
pub struct FindArgs {
    /// A glob: for the whole path if it has a /, otherwise for the last part of it
    #[arg(add = ArgValueCompleter::new(completing::files))]
    pub pattern: String,

    /// How it is listed.
    #[command(flatten)]
    pub listing: ListArgs,

    /// The tracker to visit.
    #[command(flatten)]
    pub visiting: Visiting,
}

#[derive(Debug, clap::Args)]
pub struct MagnetArgs {
    /// The file or folder: its path in the share, or the last part of it; . is the whole share
    #[arg(add = ArgValueCompleter::new(completing::files))]
    pub name: String,

    /// Which torrent of it.
    #[command(flatten)]
    pub which: WhichTorrent,
}

#[derive(Debug, clap::Args)]
pub struct TorrentArgs {
    /// The file or folder: its path in the share, or the last part of it; . is the whole share
    #[arg(add = ArgValueCompleter::new(completing::files))]
    pub name: String,

    /// Where to write it; - is standard output
    #[arg(long, short, value_name = "FILE|-", env = "THORP_TORRENT_OUTPUT")]
    pub output: PathBuf,

    /// Which torrent of it.
    #[command(flatten)]
    pub which: WhichTorrent,
}

// Which torrent of a file or folder is meant.
#[derive(Debug, clap::Args)]
pub struct WhichTorrent {
    /// One of version 2: it proves more, but fewer clients take it
    #[arg(long, env = "THORP_TORRENT_V2", value_parser = FalseyValueParser::new())]
    pub v2: bool,

    /// One that clients may also find without the group's tracker
    #[arg(long, env = "THORP_TORRENT_PUBLIC", value_parser = FalseyValueParser::new())]
    pub public: bool,
}

#[derive(Debug, clap::Args)]
pub struct LsArgs {
    /// A peer: a name, an address or the start of an id; or a folder. What ends in /
    /// is always a folder
    #[arg(value_name = "PEER|FOLDER", add = ArgValueCompleter::new(completing::peers_and_folders))]
    pub whose: Option<String>,

    /// Only this folder of that peer
    #[arg(value_name = "FOLDER")]
    pub folder: Option<String>,

    /// How it is listed.
    #[command(flatten)]
    pub listing: ListArgs,

    /// The tracker to visit.
    #[command(flatten)]
    pub visiting: Visiting,
}

// For verbs that list files.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct ListArgs {
    /// In this order: by name, the largest first, or the newest first
    #[arg(long, value_name = "ORDER", env = "THORP_SORT")]
    pub sort: Option<Order>,

    /// Do not show a long list in a pager ($PAGER, otherwise less)
    #[arg(long, env = "THORP_NO_PAGER", value_parser = FalseyValueParser::new())]
    pub no_pager: bool,
}

// For verbs that work without a running peer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Visiting {
    /// With no peer running: visit the open group of this tracker
    #[arg(long, value_name = "ADDR[:PORT]", env = "THORP_TRACKER")]
    pub tracker: Option<NetAddress>,
}

#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct StatusArgs {
    /// List what of the directory is not shared, and why
    #[arg(long, env = "THORP_STATUS_LEFT_OUT", value_parser = FalseyValueParser::new())]
    pub left_out: bool,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PageArgs {
    /// Print a link instead, for a browser that cannot be opened from here; it is good once
    /// and for a minute, and as good as a key: keep it out of logs
    #[arg(long, env = "THORP_PAGE_PRINT", value_parser = FalseyValueParser::new())]
    pub print: bool,
}

#[derive(Debug, clap::Args)]
pub struct CleanArgs {
    /// Where to look [default: what the running peer shares, otherwise this
    /// directory]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Do it without asking
    #[arg(long, short, env = "THORP_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
}

#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// For which shell
    pub shell: Shell,
}
