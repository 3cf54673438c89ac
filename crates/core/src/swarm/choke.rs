//! Which peers are served when more want bytes than can be served well at a time.
//!
//! Owns the rule (BEP 3) and no state. As long as there are enough places, each peer has one.
//! Otherwise a peer that is fetching serves the peers that give it most, and one more at random,
//! since a newcomer has nothing to give yet. A peer that has the whole file serves the peers that
//! got least from it, so that all get their turn.

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
    /// Bytes the peer has given since the last choice.
    pub given: u64,
    /// Bytes the peer has received in all.
    pub got: u64,
    /// Whether the peer has a place now.
    pub unchoked: bool,
}

/// Chooses which sessions are served from now on.
pub fn choose(
    wanting: &[Wanting],
    places: usize,
    complete: bool,
    rng: &mut fastrand::Rng,
) -> BTreeSet<SessionId> {
    if wanting.len() <= places {
        return wanting.iter().map(|one| one.session).collect();
    }
    let mut by_worth = wanting.to_vec();
    rng.shuffle(&mut by_worth);
    if complete {
        by_worth.sort_by_key(|one| one.got);
        let first = by_worth.iter().take(places);
        return first.map(|one| one.session).collect();
    }
    by_worth.sort_by_key(|one| std::cmp::Reverse(one.given));
    let (best, others) = by_worth.split_at(places.saturating_sub(1));
    let lucky = others.get(rng.usize(..others.len().max(1)));
    best.iter().chain(lucky).map(|one| one.session).collect()
}

/// Gives free places to sessions that want one, in order, between two choices. Sessions with a
/// place keep it.
pub fn fill(wanting: &[Wanting], places: usize) -> BTreeSet<SessionId> {
    let have = wanting.iter().filter(|one| one.unchoked);
    let wait = wanting.iter().filter(|one| !one.unchoked);
    have.chain(wait)
        .take(places)
        .map(|one| one.session)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanting(given: &[u64], got: &[u64]) -> Vec<Wanting> {
        (0..)
            .zip(given.iter().zip(got))
            .map(|(session, (given, got))| Wanting {
                session: SessionId(session),
                given: *given,
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
}
