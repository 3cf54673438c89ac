//! One client, two connections.

use super::*;

/// Its id is greater than that of this program: of two connections the one stays that it has made.
const GREATER: ClientId = ClientId::new([0xff; 20]);

#[tokio::test]
async fn a_client_that_has_called_gets_no_second_connection_where_it_listens() {
    let ground = Ground::new().await;
    let (mut fetching, _dir) = ground.fetch_own_torrent();
    let transfer = Arc::clone(&fetching.transfer);
    let torrent = torrent_of(&transfer);
    let mut caller = ByHand::new(ground.at).await;
    let handshake = Handshake::of_client(torrent, GREATER);
    let said = greeting::say(&mut caller.outward, &handshake, None).await;
    said.expect("is read");
    caller.inward.handshake().await.expect("is answered");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let listens = listener.local_addr().expect("has one");
    transfer.clients(torrent, vec![listens]);
    let dialled = async {
        while let Some(happening) = fetching.happenings.recv().await {
            if let Happening::Dial(source) = happening {
                ground.transfers.call(&transfer, source);
                break;
            }
        }
        listener.accept().await.expect("is dialled").0
    };
    let stream = timeout(PATIENCE, dialled).await.expect("comes in time");
    let (read, write) = stream.into_split();
    let mut second = ByHand {
        inward: Inward::new(read),
        outward: Outward::new(write),
    };
    second.inward.handshake().await.expect("is greeted");
    let said = greeting::say(&mut second.outward, &handshake, None).await;
    said.expect("is read");
    assert!(second.is_closed().await);

    // The first one goes on.
    caller.says(&Message::HaveAll).await;
    while caller.hears().await.expect("is there") != Message::Interested {}
}

#[tokio::test]
async fn a_peer_that_dials_itself_finds_out() {
    let ground = Ground::new().await;
    let (fetching, _dir) = ground.fetch_own_torrent();
    let transfer = Arc::clone(&fetching.transfer);
    transfer.clients(torrent_of(&transfer), vec![ground.at]);
    let called = ground.transfers.call_client(&transfer, ground.at).await;
    assert_eq!(called, Err(ITSELF.to_owned()));
}

fn torrent_of(transfer: &Transfer) -> InfoHash {
    let torrent = transfer.torrent().expect("is one");
    torrent.info.info_hashes().next().expect("it has one")
}
