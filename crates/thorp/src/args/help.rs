//! What follows the flags in the help: examples, settings, exit codes.

use thorp_node::config::Key;

/// Returns what follows the flags in the help of the program.
pub fn explanation() -> String {
    let settings = Key::all().iter().map(|key| {
        format!(
            "\n  {:24}  {} [default: {}]\n  {:24}  {}",
            key.name,
            key.allowed(),
            key.default,
            "",
            key.variable(),
        )
    });
    let settings: String = settings.collect();
    format!(
        "{EXAMPLES}\n\nSettings, for --set or config.toml in the state directory, and their variables:{settings}\n\n{EXIT_CODES}"
    )
}

const EXAMPLES: &str = "\
Examples:
  thorp share ~/papers              share a folder; shows what to type elsewhere
  thorp share --tracker 10.0.0.7    share this folder in the group of that tracker
  thorp get 2.txt                   fetch a file by its name
  thorp find '*.pdf'                find files, and the peers that have them";

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 other, 2 usage, 3 no peer shares it, 4 exists already,
5 ambiguous, 6 network or tracker unreachable, 7 interrupted or unfinished,
8 verification failed, 9 not a member.";

pub const SHARE_EXAMPLES: &str = "\
Examples:
  thorp share                                share this folder
  thorp share ~/papers --name oak            under a name of your choice
  thorp share --tracker 192.168.198.138      join that tracker's open group first
  thorp share --tracker                      asks for the tracker's address
  thorp share --join invite.txt              join with an invite first
  thorp share --lines >> thorp.log           without a menu
  thorp share ~/papers --bittorrent          to ordinary BitTorrent clients as well
  thorp share ~/papers --detach              in the background, until thorp stop";

pub const TRACKER_EXAMPLES: &str = "\
Examples:
  thorp tracker                          by invitation only
  thorp tracker --open                   typing the address is enough to join
  thorp tracker --closed                 by invitation again
  thorp tracker --bittorrent             any BitTorrent client can fetch what is shared so
  thorp tracker --listen 10.0.0.7:3333   on one address only
  thorp tracker --detach                 in the background; says how to stop it
  thorp tracker --backup group.backup    save the group, and end
  thorp tracker --restore group.backup   put it back, here or elsewhere, and end";

pub const INVITE_EXAMPLES: &str = "\
Examples:
  thorp invite > invite.txt             for one machine, within a day
  thorp invite --uses 30 --expires 2h   for a class";

pub const JOIN_EXAMPLES: &str = "\
Examples:
  thorp join                  asks for the invite
  thorp join invite.txt       reads it from a file
  thorp join - < invite.txt   reads it from standard input";

pub const REMOVE_EXAMPLES: &str = "\
Examples:
  thorp remove elm              asks first
  thorp remove k3v9qz2a --yes   by the start of its id, without asking";

pub const LEAVE_EXAMPLES: &str = "\
Examples:
  thorp leave                   the key stays; thorp join joins another group
  thorp leave --purge           nothing stays, not even the key
  thorp leave --purge --state ~/.local/state/thorp/tracker
                                the same for a tracker alone: ends its group";

pub const GET_EXAMPLES: &str = "\
Examples:
  thorp get 2.txt                    into the share, or into this folder
  thorp get 'slides/**' -o /tmp      a whole folder, elsewhere
  thorp get 2.txt --as 2-oak.txt --from oak
  thorp get 2.txt --wait=30m         also if no peer has it yet
  thorp get film.mkv -o - | mpv -    to standard output, as it arrives
  thorp get film.torrent             from ordinary BitTorrent clients
  thorp get 'magnet:?xt=...'         the same
  thorp get -- -rf                   a name that starts with a dash";

pub const FIND_EXAMPLES: &str = "\
Examples:
  thorp find '*.pdf'          any PDF
  thorp find 'slides/**'      everything in a folder
  thorp find 2.txt --json     for a script";

pub const MAGNET_EXAMPLES: &str = "\
Examples:
  thorp magnet film.mkv               for any client
  thorp magnet film.mkv --v2          for clients of version 2
  thorp magnet holidays               a folder, with all that is shared in it";

pub const TORRENT_EXAMPLES: &str = "\
Examples:
  thorp torrent film.mkv -o film.torrent
  thorp torrent holidays -o holidays.torrent
  thorp torrent film.mkv -o - | ssh HOST 'cat > film.torrent'";

pub const LS_EXAMPLES: &str = "\
Examples:
  thorp ls                    the files of all peers
  thorp ls oak                the files of one peer
  thorp ls slides/            the files in a folder
  thorp ls --sort time        the newest first";

pub const PAGE_EXAMPLES: &str = "\
Examples:
  thorp page                  opens it in a browser
  thorp page --print          prints a link, where there is no browser
  ssh -L 4000:127.0.0.1:4000 HOST
                              the page of another machine, with page.port=4000 there";

pub const CLEAN_EXAMPLES: &str = "\
Examples:
  thorp clean                 lists what is left in the share, and asks
  thorp clean ~/Downloads     the same elsewhere
  thorp clean --yes           without asking";

pub const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  thorp completions bash > ~/.local/share/bash-completion/completions/thorp
  thorp completions zsh > ~/.zfunc/_thorp
  thorp completions fish > ~/.config/fish/completions/thorp.fish";
