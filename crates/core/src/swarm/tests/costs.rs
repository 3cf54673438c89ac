//! How many messages it takes to fetch a large file: each costs both ends a turn of their tasks.
//! And how often one end waits for the other before the first bytes come.

use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::session::Message;

use super::world::{File, Manner, World};
use crate::bound::Account;
use crate::swarm::{Config, Have, Input, Offer, Output, SessionId, Swarm, SwarmLimits};
use crate::time::Instant;

const MIB: u64 = 1024 * 1024;

/// Fetches 64 MiB of a file with pieces of 1 MiB, from one holder. Returns the number of requests,
/// and of all messages of both.
fn fetched_at(rate: u64) -> (usize, usize) {
    let file = File::sparse(1024 * MIB, |piece| piece % 16 == 0);
    let mut world = World::of(file, Duration::from_micros(100));
    world.add(rate, true, Manner::Honest);
    let fetcher = world.add(rate, false, Manner::Honest);
    world.tell_holders(fetcher);
    world.run(Duration::from_mins(10), |world| {
        world.nodes[fetcher].complete.is_some()
    });
    assert_eq!(world.progress(fetcher).received, 64 * MIB);
    let said = world.nodes.iter().map(|node| node.said).sum();
    (world.nodes[fetcher].asked, said)
}

#[test]
fn a_large_file_over_a_fast_link_takes_a_request_a_mib_and_hardly_another_message() {
    let (asked, said) = fetched_at(1_000_000_000);
    // The window is small at first, and so are requests.
    assert!((64..100).contains(&asked), "{asked} requests");
    assert!(said < asked + 50, "{said} messages");
}

#[test]
fn over_a_slower_link_it_is_asked_for_in_parts_of_256_kib() {
    let (asked, said) = fetched_at(12_500_000);
    assert!((256..300).contains(&asked), "{asked} requests");
    assert!(said < asked + 50, "{said} messages");
}

const NOW: Instant = Instant::after_start(Duration::ZERO);

fn swarm(file: &File, number: u8, have: Have) -> Swarm {
    let config = Config {
        content: file.content,
        me: PeerId::new([number; 32]),
        seed: 1,
        have,
        limits: SwarmLimits::default(),
    };
    Swarm::new(NOW, config).unwrap()
}

/// A session begins with that member. Returns what is said at once.
fn open(swarm: &mut Swarm, number: u8) -> Vec<Message> {
    let member = PeerId::new([number; 32]);
    let opened = Input::Opened {
        session: SessionId(number.into()),
        source: member.into(),
        account: Account::Member(member),
        dialled: true,
        offer: Offer {
            fast: true,
            longest_request: 1024 * 1024,
            most_requests: None,
            member: true,
            hashes: true,
        },
    };
    after(swarm, opened)
}

fn hears(swarm: &mut Swarm, number: u8, message: Message) -> Vec<Message> {
    let session = SessionId(number.into());
    after(swarm, Input::Message { session, message })
}

fn after(swarm: &mut Swarm, input: Input) -> Vec<Message> {
    swarm.handle(NOW, input);
    let outputs = std::iter::from_fn(|| swarm.poll_output());
    let said = outputs.filter_map(|output| match output {
        Output::Send(_, message) => Some(message),
        _ => None,
    });
    said.collect()
}

#[test]
fn bytes_are_asked_for_in_answer_to_the_first_words_of_a_holder_with_all_of_the_file() {
    let file = File::of(20 * MIB);
    let layer = file.layer.clone();
    let mut asker = swarm(&file, 1, Have::Nothing);
    let mut holder = swarm(&file, 2, Have::Everything { layer });
    after(&mut asker, Input::Holders(Vec::new()));
    let said = asker.call(NOW, SessionId(2));
    assert!(matches!(said[..], [Message::HashRequest(_)]), "{said:?}");
    let mut answers = open(&mut holder, 1);
    for message in said {
        answers.extend(hears(&mut holder, 1, message));
    }
    let mut said = open(&mut asker, 2);
    for answer in answers {
        said.extend(hears(&mut asker, 2, answer));
    }
    let again = |message: &Message| matches!(message, Message::HashRequest(_));
    assert!(!said.iter().any(again), "{said:?}");
    let of_bytes = |message: &&Message| matches!(message, Message::Request(_));
    assert!(said.iter().filter(of_bytes).count() > 1, "{said:?}");
}

#[test]
fn what_was_asked_of_a_holder_with_which_no_session_begins_is_asked_of_the_next_one() {
    let file = File::of(40 * MIB);
    let mut asker = swarm(&file, 1, Have::Nothing);
    let first = asker.call(NOW, SessionId(2));
    let reason = String::new();
    let session = SessionId(2);
    after(&mut asker, Input::Closed { session, reason });
    open(&mut asker, 3);
    let said = hears(&mut asker, 3, Message::HaveAll);
    assert!(said.contains(&first[0]), "{said:?}");
}
