//! What a peer has that a visitor has not: a share, and members that call.

use thorp_core::bound::Account;
use thorp_core::links::LinkId;
use thorp_core::remembered::Known;
use thorp_files::share::{Share, ShareEvent};
use thorp_wire::Content;
use thorp_wire::Name;
use thorp_wire::frame::RequestId;
use tokio::sync::mpsc;

use crate::api::Notice;
use crate::net::link::LinkSender;
use crate::net::listener::Incoming;

use super::Role;
use super::event::{EVENTS, Event};
use super::hash_now::HashNow;
use super::memory::Writer;
use super::serve::Server;

pub(super) struct Sharing {
    share: Share,
    changes: mpsc::Receiver<ShareEvent>,
    incoming: mpsc::Receiver<Incoming>,
    memory: Writer,
    hash_now: HashNow,
    server: Server,
    /// Links over which files were sent.
    served: mpsc::Receiver<Vec<(LinkId, u64)>>,
}

impl Sharing {
    /// With the neighbours from earlier; nothing for a visitor.
    pub(super) fn new(
        role: Role,
        events: &mpsc::Sender<Event>,
        notices: &mpsc::Sender<Notice>,
    ) -> Option<(Self, Vec<Known>)> {
        let Role::Sharing {
            share,
            changes,
            inbound,
            memory,
            ..
        } = role
        else {
            return None;
        };
        let (served, served_in) = mpsc::channel(EVENTS);
        let known = memory.known.clone();
        let sharing = Self {
            changes,
            incoming: inbound.members,
            memory: memory.start(notices.clone()),
            hash_now: HashNow::new(share.clone(), events.clone()),
            server: Server::new(share.clone(), served),
            served: served_in,
            share,
        };
        Some((sharing, known))
    }

    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    /// Waits for what happens next to it.
    pub(super) async fn next_event(&mut self) -> Event {
        tokio::select! {
            Some(change) = self.changes.recv() => Event::Share(change),
            Some(incoming) = self.incoming.recv() => Event::Called(Box::new(incoming)),
            // Never over: the server has the other end.
            Some(files) = self.served.recv() => Event::Served(files),
        }
    }

    /// A member asks for a small file on this link.
    pub(super) fn serve(
        &mut self,
        account: Account,
        link: &LinkSender,
        request: RequestId,
        content: Content,
    ) {
        self.server.serve(account, link, request, content);
    }

    pub(super) fn on_closed(&mut self, link: LinkId) {
        self.server.forget(link);
    }

    pub(super) fn hash_now(&mut self, name: Name) {
        self.hash_now.hash(name);
    }

    pub(super) fn on_hashed(&mut self, name: &Name) {
        self.hash_now.on_hashed(name);
    }

    /// These are the neighbours for the next start.
    pub(super) fn remember(&self, known: Vec<Known>) {
        self.memory.write(known);
    }

    /// Waits until the neighbours are written down.
    pub(super) async fn finish(self) -> Share {
        self.memory.finish().await;
        self.share
    }
}
