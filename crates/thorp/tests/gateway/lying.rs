//! Holders that send something else than they list.

use thorp_node::net::dial::Expected;
use thorp_wire::frame::{Bytes, Update};
use thorp_wire::{Body, Frame};
use tokio::runtime::Runtime;

use super::scene::{Scene, status};
use crate::support::hostile::{Link, encoded, entry, hello};
use crate::support::process::poll;
use crate::support::{Hostile, PATIENCE};

#[test]
fn what_does_not_verify_is_a_bad_gateway_and_nothing_of_it_is_sent() {
    let scene = Scene::new(&[("honest.txt", b"honest")]);
    let runtime = Runtime::new().unwrap();
    let tracker = scene.tracker.parse().unwrap();
    let _lying = runtime.block_on(async {
        let mallory = Hostile::join(tracker, "mallory").await;
        let ambush = mallory.listen().await;
        let link = mallory.link(tracker, Expected::Tracker, Some(ambush.port));
        let mut link = link.await.unwrap();
        let update = Update {
            since: None,
            added: vec![entry("acorn.txt", b"what it lists")],
            ..Update::heartbeat(1)
        };
        link.say(&encoded(&Frame::plain(update))).await.unwrap();
        tokio::spawn(async move {
            // All of it: it listens as long as it is there.
            let mut ambush = ambush;
            while let Some(call) = ambush.calls.recv().await {
                tokio::spawn(lie(Link::new(call.stream)));
            }
        });
        link
    });
    poll("the lie to be listed", PATIENCE, || {
        let (_, events) = scene.reader.json(&["find", "acorn.txt"]);
        events
            .iter()
            .any(|event| event["event"] == "file")
            .then_some(())
    });
    let answer = scene.get("/get/acorn.txt", &[]);
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "verification");
    let message = answer.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains("mallory"), "it says who: {message}");
    assert!(!answer.text().contains("what it sends"));
    assert_eq!(scene.get("/get/honest.txt", &[]).body, b"honest");
    assert_eq!(status(&scene.reader)["files"], 0);
}

/// Says hello, and sends other bytes of the same length for whatever is asked for.
async fn lie(mut link: Link) {
    let greeting = encoded(&Frame::plain(hello(None)));
    if link.say(&greeting).await.is_err() {
        return;
    }
    while let Some(frame) = link.reads.next().await {
        let (Body::Get(_), Some(request)) = (frame.body, frame.request) else {
            continue;
        };
        let bytes = b"what it sends".to_vec();
        let answer = Frame::with_request(request, Bytes { bytes });
        if link.say(&encoded(&answer)).await.is_err() {
            return;
        }
    }
}
