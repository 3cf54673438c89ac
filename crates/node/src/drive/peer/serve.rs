//! Small files for others: read off the task, sent when the link has room.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use thorp_core::bound::Account;
use thorp_core::links::LinkId;
use thorp_disk::{DiskThread, Handful, Pile};
use thorp_files::share::{ReadError, Share};
use thorp_wire::frame::{Bytes, Frame, MAX_INLINE, Reason, Refused, RequestId};
use thorp_wire::merkle::Hashed;
use thorp_wire::{Content, Remark};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::net::link::{LinkSender, Space};

use super::contents::{Contents, IN_ALL, Room};

/// Files of one member that may be on their way to it at once.
const EACH: usize = 128;

pub(super) struct Server {
    /// Files that are to be read and sent.
    asked: Pile<Granted>,
    contents: Contents,
    places: HashMap<LinkId, Arc<Semaphore>>,
}

impl Server {
    /// `served` is told of the files that were sent: over which links, and how many bytes each.
    pub(super) fn new(share: Share, served: mpsc::Sender<Vec<(LinkId, u64)>>) -> Self {
        let asked = Pile::new(move |disk, asked| {
            let sent = send_all(disk, &share, asked);
            // If the peer is gone, it need not know.
            let _ = served.blocking_send(sent);
        });
        Self {
            asked,
            contents: Contents::new(IN_ALL),
            places: HashMap::new(),
        }
    }

    /// Sends a file, or says why not.
    pub(super) fn serve(
        &mut self,
        account: Account,
        link: &LinkSender,
        request: RequestId,
        content: Content,
    ) {
        let places = self
            .places
            .entry(link.id())
            .or_insert_with(|| Arc::new(Semaphore::new(EACH)));
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            let busy = Refused {
                reason: Reason::Busy,
                text: format!("{EACH} files are on their way already").into(),
            };
            link.send(Frame::with_request(request, busy));
            return;
        };
        // One that is longer is refused without being read.
        let bytes = content.length.min(MAX_INLINE);
        let reply = Reply {
            link: link.clone(),
            request,
            content,
            _place: place,
        };
        // Nothing is read before there is room for it: first on the link, so that a
        // member that does not read has nothing in the way of others.
        if let Some(space) = link.try_space(bytes)
            && let Ok(room) = self.contents.take(account, link, request, bytes)
        {
            return self.asked.push((reply, space, room));
        }
        let (asked, contents) = (self.asked.clone(), self.contents.clone());
        tokio::spawn(async move {
            if let Some(space) = reply.link.space(bytes).await {
                let room = contents.wait(account, &reply.link, request, bytes).await;
                asked.push((reply, space, room));
            }
        });
    }

    /// A link is gone.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.places.remove(&link);
    }
}

/// The way back for one file.
struct Reply {
    link: LinkSender,
    request: RequestId,
    content: Content,
    _place: OwnedSemaphorePermit,
}

/// A reply for which there is room.
type Granted = (Reply, Space, Room);

/// Reads files, and sends them once all are read, so that a link takes many at a time. Returns over
/// which links, and how many bytes each.
fn send_all(disk: DiskThread, share: &Share, asked: &mut Handful<Granted>) -> Vec<(LinkId, u64)> {
    let mut reading = share.reading();
    let mut all = Vec::new();
    loop {
        let granted = asked.together(Hashed::TOGETHER);
        if granted.is_empty() {
            break;
        }
        let contents: Vec<_> = granted.iter().map(|(reply, _, _)| reply.content).collect();
        let read = reading.read_all(disk, &contents);
        all.extend(granted.into_iter().zip(read));
    }
    let mut sent = Vec::with_capacity(all.len());
    let mut answers: BTreeMap<LinkId, (LinkSender, Vec<(Frame, Space)>)> = BTreeMap::new();
    for ((reply, space, room), read) in all {
        match read {
            Ok(_) if room.is_lost() => reply.refuse(Reason::Busy),
            Ok(bytes) => {
                let link = reply.link.id();
                sent.push((link, bytes.len() as u64));
                let frame = Frame::with_request(reply.request, Bytes { bytes });
                let to_link = answers.entry(link);
                let (_, frames) = to_link.or_insert_with(|| (reply.link.clone(), Vec::new()));
                frames.push((frame, space.with(Box::new(room))));
            }
            Err(error) => reply.refuse(refusal(&error)),
        }
    }
    for (link, frames) in answers.into_values() {
        link.contents(frames);
    }
    sent
}

impl Reply {
    fn refuse(self, reason: Reason) {
        let refused = Refused {
            reason,
            // Without the name: it may be none of the asker's business.
            text: Remark::default(),
        };
        self.link.send(Frame::with_request(self.request, refused));
    }
}

fn refusal(error: &ReadError) -> Reason {
    match error {
        ReadError::NotHere => Reason::NotHere,
        ReadError::NotNow { .. } => Reason::Busy,
        ReadError::Changed { .. } => Reason::Changed,
        ReadError::TooLarge { .. } => Reason::TooLarge,
        ReadError::Io { .. } => Reason::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use thorp_disk::testing::DISK;
    use thorp_files::share::Options;
    use thorp_group::clock::Clock;
    use thorp_wire::PeerId;
    use thorp_wire::frame::{Body, MAX_FRAME, PREFIX, announced_length};
    use thorp_wire::merkle::content_of;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;
    use crate::net::link::{self, Term};

    /// The first frame that comes.
    async fn frame(stream: &mut DuplexStream) -> Frame {
        let mut prefix = [0; PREFIX];
        stream.read_exact(&mut prefix).await.expect("a frame");
        let length = announced_length(prefix, MAX_FRAME).expect("is possible");
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await.expect("a frame");
        Frame::decode(&bytes).expect("a frame")
    }

    #[tokio::test]
    async fn a_hundred_that_read_nothing_hold_no_more_than_the_bound_and_others_are_served() {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes = vec![7; 256 * 1024];
        fs::write(dir.path().join("f"), &bytes).expect("is written");
        let content = content_of(&bytes);
        let (share, mut events) =
            Share::open(DISK, dir.path(), Options::default()).expect("a share");
        while share.read(DISK, content).is_err() {
            events.recv().await.expect("the share is open");
        }
        let (told, mut sent) = mpsc::channel(10_000);
        let mut server = Server::new(share, told);
        let (inbox, _arrivals) = link::inbox();
        let connect = |id: u64, room: usize| {
            let (ours, theirs) = duplex(room);
            let clock = Clock::system();
            let ends = clock.wall() + Duration::from_hours(1);
            let term = Term { clock, ends };
            (link::start(LinkId(id), ours, term, inbox.clone()), theirs)
        };
        let account = |n: u8| Account::Member(PeerId::new([n; 32]));
        let mut silent = Vec::new();
        for n in 0..100 {
            let (link, stream) = connect(n.into(), 16);
            for request in 0..64 {
                server.serve(account(n), &link, RequestId(request), content);
            }
            silent.push((link, stream));
        }
        // As many as there is room for are read, or a few more that were read in vain.
        while sent.recv().await.is_some() && server.contents.held() < IN_ALL / 2 {}
        assert!(server.contents.held() <= IN_ALL);
        let (link, mut stream) = connect(200, 1024 * 1024);
        for request in 0..20 {
            server.serve(account(200), &link, RequestId(request), content);
            let answer = timeout(Duration::from_mins(1), frame(&mut stream)).await;
            let answer = answer.expect("is served in time");
            let body = Body::Content(Bytes {
                bytes: bytes.clone(),
            });
            assert_eq!(
                (answer.request, answer.body),
                (Some(RequestId(request)), body)
            );
            assert!(server.contents.held() <= IN_ALL);
        }
        drop(silent);
    }
}
