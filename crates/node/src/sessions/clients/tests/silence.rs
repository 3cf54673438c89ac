//! When a client hears that this peer is there, and when it is let go for saying nothing. No test
//! waits for that: where all wait, the clock goes on at once.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::time::{Instant, pause, sleep, sleep_until};

use super::*;

/// What a client hears in a session, and when that began.
struct Heard<R> {
    inward: Inward<R>,
    begun: Instant,
}

impl Ground {
    /// A session in which a client is served: what it hears, and where it says something.
    async fn serves_silently(
        &self,
    ) -> (
        Heard<ReadHalf<DuplexStream>>,
        Outward<WriteHalf<DuplexStream>>,
    ) {
        let (there, here) = duplex(1 << 20);
        let torrent = info_hash("f", self.content);
        let found = self.transfers.torrent(torrent).await;
        let (info, version, transfer) = found.expect("is shared");
        let handshake = Handshake::of_client(torrent, ClientId::new([9; 20]));
        let opening = Opening {
            session: self.transfers.next_session(),
            source: SourceId::Client(self.at),
            account: Account::Address(self.at.ip()),
            dialled: false,
            offer: offer_of(&handshake, version),
            answers: Answers::default(),
            client: Some((Talk::new(torrent, Some(info)), LastUse::now())),
        };
        pause();
        let begun = Instant::now();
        tokio::spawn(async move {
            let (read, write) = split(here);
            let (mut inward, mut outward) = (Inward::new(read), Outward::new(write));
            let ends = (&mut inward, &mut outward);
            session::run(ends.0, ends.1, &transfer, opening, std::future::pending()).await
        });
        let (read, write) = split(there);
        let inward = Inward::new(read);
        (Heard { inward, begun }, Outward::new(write))
    }
}

impl<R: AsyncRead + Unpin> Heard<R> {
    /// What comes next, and in which second; nothing once the session is closed.
    async fn next(&mut self) -> (Option<Message>, u64) {
        let next = async {
            let head = self.inward.head(ByHand::limits()).await?;
            self.inward.message(head).await
        };
        let heard = match next.await {
            Ok(message) => Some(message.expect("is known")),
            Err(Broken::Closed) => None,
            Err(why) => panic!("{why}"),
        };
        (heard, self.begun.elapsed().as_secs())
    }

    async fn is_first(&mut self, message: Message) {
        assert_eq!(self.next().await, (Some(message), 0));
    }

    async fn are_signs_of_life(&mut self, seconds: &[u64]) {
        for second in seconds {
            assert_eq!(self.next().await, (Some(Message::KeepAlive), *second));
        }
    }

    async fn ends_at(&mut self, second: u64) {
        assert_eq!(self.next().await, (None, second));
    }

    async fn second(&self, second: u64) {
        sleep_until(self.begun + Duration::from_secs(second)).await;
    }
}

async fn say(outward: &mut Outward<impl AsyncWrite + Unpin>, message: Message) {
    outward.say(&[message]).await.expect("is read");
}

#[tokio::test]
async fn a_client_hears_each_minute_that_this_peer_is_there_and_is_let_go_after_150_s_of_silence() {
    let ground = Ground::new().await;
    let (mut heard, _outward) = ground.serves_silently().await;
    heard.is_first(Message::HaveAll).await;
    heard.are_signs_of_life(&[60, 120]).await;
    heard.ends_at(150).await;
}

#[tokio::test]
async fn a_client_that_is_asked_for_something_is_let_go_after_as_long() {
    let ground = Ground::new().await;
    let (fetching, _dir) = ground.fetch_own_torrent();
    pause();
    let begun = Instant::now();
    let (inward, _outward) = ground.asks(&fetching.transfer);
    let mut heard = Heard { inward, begun };
    heard.is_first(Message::HaveNone).await;
    heard.are_signs_of_life(&[60, 120]).await;
    heard.ends_at(150).await;
}

#[tokio::test]
async fn whatever_either_side_says_is_a_sign_of_its_life() {
    let ground = Ground::new().await;
    let (mut heard, mut outward) = ground.serves_silently().await;
    heard.is_first(Message::HaveAll).await;
    heard.second(30).await;
    say(&mut outward, Message::Interested).await;
    assert_eq!(heard.next().await, (Some(Message::Unchoke), 30));
    // A minute after that.
    heard.are_signs_of_life(&[90, 150]).await;
    heard.second(179).await;
    say(&mut outward, Message::KeepAlive).await;
    // What the client says is answered by nothing, so this peer has said nothing since.
    heard.are_signs_of_life(&[210, 270]).await;
    heard.second(328).await;
    say(&mut outward, Message::KeepAlive).await;
    heard.are_signs_of_life(&[330, 390, 450]).await;
    heard.ends_at(328 + 150).await;
}

#[tokio::test]
async fn a_client_that_never_ends_the_head_of_a_message_is_let_go_as_one_that_says_nothing() {
    never_ends(&[0, 0], 1, 150).await;
}

#[tokio::test]
async fn a_client_that_never_ends_a_message_is_let_go_150_s_after_its_head() {
    never_ends(&[0, 0, 0, 99, 20], 90, 250).await;
}

/// A client begins to say something at the second 100, and then a byte every two seconds.
async fn never_ends(begins: &'static [u8], goes_on: u8, ends_at: u64) {
    let ground = Ground::new().await;
    let (mut heard, mut outward) = ground.serves_silently().await;
    tokio::spawn(async move {
        sleep(Duration::from_secs(100)).await;
        outward.send(begins).await.expect("is read");
        for _ in 0..goes_on {
            sleep(Duration::from_secs(2)).await;
            // The session may have ended.
            let _ = outward.send(&[0]).await;
        }
        std::future::pending::<()>().await;
    });
    heard.is_first(Message::HaveAll).await;
    let signs: Vec<u64> = (60..ends_at).step_by(60).collect();
    heard.are_signs_of_life(&signs).await;
    heard.ends_at(ends_at).await;
}
