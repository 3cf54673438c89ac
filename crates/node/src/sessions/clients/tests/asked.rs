//! Clients that call while it is not known what their torrent is.

use super::*;
use crate::sessions::Sought;

/// By this number the client wants to be asked for its info dictionary.
const METADATA: u8 = 5;

#[tokio::test]
async fn a_client_that_calls_while_a_magnet_link_is_asked_about_is_asked_what_it_is() {
    let ground = Ground::new().await;
    let info = v1_info("nobody's", 20_000, &[[1; 20]], Privacy::Public);
    let torrent = info_hash_v1(&info);
    let mut callers = ground.transfers.ask_callers(&[Sought::V1(torrent)]);
    let mut client = ground.client_of(torrent, Extensions::ALL).await;
    let theirs = client.inward.handshake().await.expect("is answered");
    assert_eq!(theirs.name, *torrent.as_bytes());
    let Ok(Message::Extended { number: 0, .. }) = client.hears().await else {
        panic!("an extension handshake comes first");
    };
    let total = u32::try_from(info.len()).expect("is short");
    let ours = ExtendedHandshake {
        metadata: Some(METADATA),
        metadata_length: Some(total),
        port: Some(6881),
        ..ExtendedHandshake::default()
    };
    client.says(&ours.message()).await;
    let Ok(Message::Extended { number, payload }) = client.hears().await else {
        panic!("is asked");
    };
    assert_eq!(number, METADATA);
    assert_eq!(
        MetadataMessage::decode(&payload),
        Ok(MetadataMessage::Request(0))
    );
    let block = MetadataMessage::Block {
        number: 0,
        total,
        bytes: info.clone(),
    };
    client
        .says(&Message::Extended {
            number: MetadataMessage::NUMBER,
            payload: block.encode(),
        })
        .await;
    let told = timeout(PATIENCE, callers.told()).await;
    let (metadata, of, listens) = told.expect("comes in time");
    assert_eq!(metadata.info.raw(), info);
    assert_eq!(of, Sought::V1(torrent));
    assert_eq!(listens, Some(SocketAddr::from(([127, 0, 0, 1], 6881))));

    // Once it is known, nobody is asked any more.
    drop(callers);
    let mut late = ground.client_of(torrent, Extensions::ALL).await;
    let answer = late.inward.handshake().await;
    assert!(
        matches!(answer, Err(Broken::Closed | Broken::Io(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn four_clients_that_call_are_asked_at_a_time_and_the_next_one_gets_no_byte() {
    let ground = Ground::new().await;
    let torrent = InfoHash::new([7; 20]);
    let _callers = ground.transfers.ask_callers(&[Sought::V1(torrent)]);
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut client = ground.client_of(torrent, Extensions::ALL).await;
        client.inward.handshake().await.expect("is answered");
        silent.push(client);
    }
    let mut late = ground.client_of(torrent, Extensions::ALL).await;
    let answer = late.inward.handshake().await;
    assert!(
        matches!(answer, Err(Broken::Closed | Broken::Io(_))),
        "{answer:?}"
    );
    // One that has gone leaves its place.
    drop(silent.pop());
    let takes_place = async {
        loop {
            let mut next = ground.client_of(torrent, Extensions::ALL).await;
            if next.inward.handshake().await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, takes_place).await.expect("there is one");
}
