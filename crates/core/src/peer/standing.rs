//! This peer's membership: renews its certificate, and replaces links that end with a certificate.
//!
//! Group records, and who is no longer a member by them, are handled in [`links`](crate::links).

use thorp_wire::frame::{Frame, Join, Joined, RequestId};

use super::{Output, Peer, Target};
use crate::links::LinkId;
use crate::time::Instant;

impl Peer {
    /// Asks the tracker for a new certificate; one request at a time.
    pub(super) fn renew(&mut self, now: Instant, join: Join) {
        let Some(link) = self.home.link() else {
            self.out.push_back(Output::Renewed(None));
            return;
        };
        let request = self.links.next_request(link);
        self.renewing = Some((link, request));
        self.send(now, link, Frame::with_request(request, join));
    }

    /// Whether this is the request for a new certificate.
    pub(super) fn is_about_renewal(&self, link: LinkId, request: RequestId) -> bool {
        self.renewing == Some((link, request))
    }

    pub(super) fn on_renewed(&mut self, answer: Result<Joined, String>) {
        self.renewing = None;
        self.out.push_back(Output::Renewed(Some(answer)));
    }

    pub(super) fn not_renewed(&mut self, id: LinkId) {
        if self.renewing.take_if(|(link, _)| *link == id).is_some() {
            self.out.push_back(Output::Renewed(None));
        }
    }

    /// A link that this peer dialled will soon end with its certificate. Dials a new one in time,
    /// which replaces it at both ends.
    pub(super) fn on_expiring(&mut self, id: LinkId) {
        let Some(link) = self.links.get(id) else {
            return;
        };
        let member = link.member.id;
        if self.home.link() == Some(id) {
            self.out.push_back(Output::Dial(Target::Tracker));
        } else if self.neighbours.contains(member)
            && self.links.to(member).is_some_and(|(up, _)| up == id)
        {
            let holder = link.holder();
            self.reach(holder);
        }
    }
}
