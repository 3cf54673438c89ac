//! Which peers are served when more want bytes than can be served well at a time.
//!
//! Owns the rule (BEP 3) and no state. As long as there are enough places, each peer has one.
//! Otherwise members come before clients, which have an eighth of the places to themselves. Among
//! members, and among clients, a peer that is fetching serves those that give it most, and one
//! more at random, since a newcomer has nothing to give yet. A peer that has the whole file serves
//! those that got least from it, so that all get their turn.

use std::collections::BTreeSet;
use std::time::Duration;

use super::io::SessionId;

/// How often the choice is made anew.
pub const EVERY: Duration = Duration::from_secs(10);

/// A peer that wants bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanting {
    /// The session with the peer.
    pub session: SessionId,
    /// Whether the peer is a member.
    pub member: bool,
    /// Bytes that have come from the peer since the last choice.
    pub came: u64,
    /// Bytes the peer has received in all.
    pub got: u64,
    /// Whether the peer has a place now.
    pub unchoked: bool,
}

/// Of how many places one is for clients, however many members want it.
const CLIENTS_PART: usize = 8;

/// Chooses which sessions are served from now on.
pub fn choose(
    wanting: &[Wanting],
    places: usize,
    complete: bool,
    rng: &mut fastrand::Rng,
) -> BTreeSet<SessionId> {
    let mut chosen = BTreeSet::new();
    for (alike, places) in divided(wanting, places) {
        chosen.extend(choose_among(alike, places, complete, rng));
    }
    chosen
}

/// Gives free places to sessions that want one, in order, between two choices. A session with a
/// place keeps it, but for one of a client that a member comes before.
pub fn fill(wanting: &[Wanting], places: usize) -> BTreeSet<SessionId> {
    let mut chosen = BTreeSet::new();
    for (alike, places) in divided(wanting, places) {
        let have = alike.iter().filter(|one| one.unchoked);
        let wait = alike.iter().filter(|one| !one.unchoked);
        let first = have.chain(wait).take(places);
        chosen.extend(first.map(|one| one.session));
    }
    chosen
}

/// Divides the places between members and clients.
fn divided(wanting: &[Wanting], places: usize) -> [(Vec<Wanting>, usize); 2] {
    let (members, clients): (Vec<Wanting>, Vec<Wanting>) =
        wanting.iter().partition(|one| one.member);
    let left = places.saturating_sub(members.len());
    let for_clients = left.max(places / CLIENTS_PART).min(clients.len());
    [(members, places - for_clients), (clients, for_clients)]
}

fn choose_among(
    mut alike: Vec<Wanting>,
    places: usize,
    complete: bool,
    rng: &mut fastrand::Rng,
) -> Vec<SessionId> {
    if alike.len() > places {
        rng.shuffle(&mut alike);
        if complete {
            alike.sort_by_key(|one| one.got);
        } else {
            alike.sort_by_key(|one| std::cmp::Reverse(one.came));
            let best = places.saturating_sub(1);
            let lucky = best + rng.usize(..alike.len() - best);
            alike.swap(best, lucky);
        }
        alike.truncate(places);
    }
    alike.into_iter().map(|one| one.session).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanting(came: &[u64], got: &[u64]) -> Vec<Wanting> {
        (0..)
            .zip(came.iter().zip(got))
            .map(|(session, (came, got))| Wanting {
                session: SessionId(session),
                member: true,
                came: *came,
                got: *got,
                unchoked: false,
            })
            .collect()
    }

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(1)
    }

    #[test]
    fn with_enough_places_every_peer_has_one() {
        let all = wanting(&[0, 0, 0], &[0, 9, 0]);
        assert_eq!(choose(&all, 3, false, &mut rng()).len(), 3);
    }

    #[test]
    fn a_peer_that_fetches_serves_the_best_givers_and_one_at_random() {
        let all = wanting(&[1, 50, 3, 40, 0, 2], &[0; 6]);
        let mut lucky = BTreeSet::new();
        let mut rng = rng();
        for _ in 0..100 {
            let mut chosen = choose(&all, 3, false, &mut rng);
            assert!(chosen.remove(&SessionId(1)) && chosen.remove(&SessionId(3)));
            lucky.append(&mut chosen);
        }
        assert_eq!(lucky.len(), 4);
    }

    #[test]
    fn a_peer_with_the_whole_file_serves_the_peers_that_got_least() {
        let all = wanting(&[9, 9, 0, 0], &[500, 1, 2, 600]);
        let chosen = choose(&all, 2, true, &mut rng());
        assert_eq!(chosen, BTreeSet::from([SessionId(1), SessionId(2)]));
    }

    #[test]
    fn a_peer_with_the_whole_file_serves_all_peers_in_turn() {
        let mut all = wanting(&[0; 10], &[0; 10]);
        let mut rng = rng();
        for _ in 0..30 {
            let chosen = choose(&all, 3, true, &mut rng);
            for one in all.iter_mut().filter(|one| chosen.contains(&one.session)) {
                one.got += 100;
            }
        }
        assert!(all.iter().all(|one| one.got == 900), "{all:?}");
    }

    #[test]
    fn between_two_choices_no_peer_loses_its_place_to_a_newcomer() {
        let mut all = wanting(&[0; 3], &[0; 3]);
        all[2].unchoked = true;
        let chosen = fill(&all, 2);
        assert_eq!(chosen, BTreeSet::from([SessionId(0), SessionId(2)]));
    }

    #[test]
    fn members_come_before_clients_which_keep_an_eighth_of_the_places() {
        let mut all = wanting(&[0; 50], &[0; 50]);
        for client in &mut all[..20] {
            client.member = false;
            client.unchoked = true;
        }
        let count = |chosen: &BTreeSet<SessionId>| {
            let clients = all[..20].iter();
            let clients = clients.filter(|one| chosen.contains(&one.session)).count();
            (chosen.len() - clients, clients)
        };
        assert_eq!(count(&choose(&all, 32, true, &mut rng())), (28, 4));
        assert_eq!(count(&choose(&all, 32, false, &mut rng())), (28, 4));
        assert_eq!(
            count(&fill(&all, 32)),
            (28, 4),
            "a client gives way at once"
        );
        // What members do not want is for clients.
        assert_eq!(count(&fill(&all[..25], 32)), (5, 20));
        assert_eq!(count(&fill(&all[..25], 8)), (5, 3));
    }
}
