//! What holds of a peer after every input.

use super::Peer;
use super::wanted::Surveyor;

impl Peer {
    /// Asserts the invariants. For tests: it walks over everything.
    pub fn check(&self) {
        self.links.check();
        self.wanted.check(&self.links);
        let coming = |id| self.wanted.is_dialling(id) || self.links.is_opening(id);
        self.remembered.check(coming);
        assert!(self.neighbours.len() <= self.config.max_neighbours);
        for (peer, _) in self.links.catalogue().listings() {
            assert!(peer == self.config.me.id || self.neighbours.contains(peer));
        }
        let listed = self.links.present().listed().map(|presence| presence.id);
        assert!(
            listed.eq(self.neighbours.ids()),
            "who may list is a neighbour"
        );
        for neighbour in self.neighbours.ids() {
            let (_, link) = self.links.to(neighbour).expect("a neighbour has a link");
            assert!(link.is_neighbour());
            assert_eq!(
                self.remembered.is_here(neighbour),
                !link.addresses().is_empty()
            );
        }
        self.hearsay.check();
        for (link, _) in self.questions.keys() {
            assert!(self.links.get(*link).is_some(), "no member will answer");
        }
        for inquiry in self.lookups.keys() {
            assert!(self.gets.is_wanted(inquiry.get), "no caller waits for it");
        }
        for surveyor in self.surveys.keys() {
            if let Surveyor::Get(inquiry) = surveyor {
                assert!(self.gets.is_wanted(inquiry.get), "no caller waits for it");
            }
        }
        if let Some((link, _)) = self.renewing {
            assert!(self.links.get(link).is_some(), "no member will answer");
        }
        if let Some(home) = self.home.link() {
            assert!(self.links.get(home).is_some_and(|link| link.member.tracker));
        }
    }
}
