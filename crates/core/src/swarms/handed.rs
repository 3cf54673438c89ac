//! Which peers of a torrent a client is told.

use thorp_wire::announce::{Announce, Compact};

use super::{AnnouncedFrom, Handed, Swarms, Wanted, address_of};

impl Swarms {
    /// Appends peers to an answer: members first, as they are known to be there, but where there
    /// are many they take only half of it.
    pub(super) fn hand_out(
        &mut self,
        torrent: usize,
        (said, from): (&Announce, AnnouncedFrom),
        row: Option<usize>,
        wanted: Wanted,
        handed: &mut Handed,
    ) {
        let Self {
            torrents,
            members,
            random,
            ..
        } = self;
        let torrent = &torrents[torrent];
        let wants_seeders = said.wants_seeders();
        let own = address_of(said, from);
        let (of_v4, of_v6) = match own {
            Compact::V4(_) => (row, None),
            Compact::V6(_) => (None, row),
        };
        let v6 = torrent.v6();
        let others_of_v6 = v6.map_or(0, |v6| v6.others(of_v6, wants_seeders));
        for (wanted, others, is_wanted_v4) in [
            (wanted.v4, torrent.v4.others(of_v4, wants_seeders), true),
            (wanted.v6, others_of_v6, false),
        ] {
            let has = torrent.members();
            let most = wanted - others.min(wanted / 2);
            let mut given = 0;
            let from = if has.is_empty() {
                0
            } else {
                random.usize(..has.len())
            };
            for has in has[from..].iter().chain(&has[..from]) {
                if given >= most {
                    break;
                }
                if has.is_whole() && !wants_seeders {
                    continue;
                }
                let (v4, v6) = (members.v4(has.member), members.v6(has.member));
                match (is_wanted_v4, v4, v6) {
                    (true, Some(v4), _) if Compact::V4(*v4) != own => {
                        handed.v4.extend_from_slice(v4);
                    }
                    (false, _, Some(v6)) if Compact::V6(*v6) != own => {
                        handed.v6.extend_from_slice(v6);
                    }
                    _ => continue,
                }
                given += 1;
            }
            let left = wanted - given;
            if is_wanted_v4 {
                let out = &mut handed.v4;
                torrent.v4.sample(random, left, of_v4, wants_seeders, out);
            } else if let Some(v6) = v6 {
                let out = &mut handed.v6;
                v6.sample(random, left, of_v6, wants_seeders, out);
            }
        }
    }
}
