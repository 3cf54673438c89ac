//! Blocks of a client are short: what has come of them is written together.

use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, AsyncWrite, duplex, split};

use super::*;

impl Ground {
    /// A connection on which a client is asked for the blocks of a fetch. Returns the client's end.
    pub fn asks(
        &self,
        transfer: &Arc<Transfer>,
    ) -> (Inward<impl AsyncRead>, Outward<impl AsyncWrite>) {
        let (there, here) = duplex(1 << 20);
        let fetched = transfer.torrent().expect("is one");
        let torrent = fetched.info.info_hashes().next().expect("it has one");
        let handshake = Handshake::of_client(torrent, ClientId::new([9; 20]));
        let opening = Opening {
            session: self.transfers.next_session(),
            source: SourceId::Client(self.at),
            account: Account::Address(self.at.ip()),
            dialled: true,
            offer: offer_of(&handshake, Version::V1),
            answers: Answers::default(),
            client: Some((Talk::new(torrent, None), LastUse::now())),
        };
        let transfer = Arc::clone(transfer);
        tokio::spawn(async move {
            let (read, write) = split(here);
            let (mut inward, mut outward) = (Inward::new(read), Outward::new(write));
            let ends = (&mut inward, &mut outward);
            session::run(ends.0, ends.1, &transfer, opening, std::future::pending()).await
        });
        let (read, write) = split(there);
        (Inward::new(read), Outward::new(write))
    }
}

#[tokio::test]
async fn blocks_that_have_come_are_written_together() {
    let ground = Ground::new().await;
    let (mut fetching, _dir) = ground.fetch_own_torrent();
    let transfer = Arc::clone(&fetching.transfer);
    let (mut inward, mut outward) = ground.asks(&transfer);
    let has = [Message::HaveAll, Message::Unchoke];
    outward.say(&has).await.expect("is read");
    let layout = transfer.layout();
    let bytes = ground.bytes.clone();
    let seeds = async {
        loop {
            let (mut requests, mut answers) = (0, Vec::new());
            // All that was asked for is answered in one go.
            while requests == 0 || inward.has_more() {
                let head = inward.head(ByHand::limits()).await.expect("a head");
                let message = inward.message(head).await.expect("a message");
                if let Some(Message::Request(span)) = message {
                    let begin = (span.piece * layout.piece_length() + span.begin) as usize;
                    Message::Piece(span).encode(&mut answers);
                    answers.extend(&bytes[begin..begin + span.length as usize]);
                    requests += 1;
                }
            }
            outward.send(&answers).await.expect("is read");
            outward.flush().await.expect("is read");
        }
    };
    let complete = async {
        while !matches!(
            fetching.happenings.recv().await,
            Some(Happening::Complete(_))
        ) {}
    };
    tokio::select! {
        // The client's end may be gone by then.
        biased;
        complete = timeout(PATIENCE, complete) => complete.expect("comes in time"),
        () = seeds => {}
    }
    let on_disk = &transfer.on_disk;
    let writes = on_disk.writes.load(Ordering::Relaxed);
    let blocks = on_disk.claimed.load(Ordering::Relaxed);
    assert_eq!(blocks, LENGTH.div_ceil(LEAF as usize) as u64);
    assert!(writes * 3 <= blocks, "{writes} writes for {blocks} blocks");
    // They were hashed once for both: it need not be read again to be listed.
    let fetched = transfer.torrent().expect("is one");
    let (content, _) = fetched.take_hashes_of_file(DISK).expect("it is one file");
    assert_eq!(content, ground.content);
}
