//! A large file that is fetched or served, and peers that say anything.
//!
//! Whatever they say and send: nothing is verified that is not the file's, and one
//! honest holder that comes afterwards is enough.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use thorp_core::bound::Account;
use thorp_core::swarm::{
    Config, Have, Input, Offer, Output, ReaderId, SessionId, SourceId, Swarm, SwarmLimits,
};
use thorp_core::time::Instant;
use thorp_wire::frame::Holder;
use thorp_wire::layout::{Block, Layout, Piece};
use thorp_wire::merkle::{self, Hash, HashReply, Tree};
use thorp_wire::session::{HashRange, Message, Span};
use thorp_wire::{Content, PeerId};

use crate::source::Source;

const LEAF: u32 = 16_384;
const ME: u8 = 0;
/// The holder that comes last and tells the truth.
const HONEST: u8 = 200;
const MOST_STEPS: usize = 300;
const MOST_TURNS: usize = 20_000;

pub(crate) fn swarm(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let settings = source.byte();
    let leaves = 1 + u64::from(source.byte() % 80);
    let length = (leaves - 1) * u64::from(LEAF) + 1 + u64::from(source.short()) % u64::from(LEAF);
    let file = File::of(length);
    let mut run = Run::new(file, settings);
    for _ in 0..MOST_STEPS {
        if source.is_empty() {
            break;
        }
        run.step(&mut source);
    }
    run.end();
}

/// A file that exists only in its hashes.
struct File {
    layout: Layout,
    leaves: Vec<Hash>,
    tree: Tree,
}

impl File {
    fn of(length: u64) -> Self {
        let layout = Layout::of(length);
        let leaves: Vec<Hash> = (0..layout.leaves())
            .map(|leaf| merkle::leaf_hash(&leaf.to_be_bytes()))
            .collect();
        let per_piece = layout.leaves_per_piece() as usize;
        let pieces = layout.pieces().expect("a short file");
        let piece = |number| layout.piece(number).expect("within the file");
        let layer: Vec<Hash> = (0..pieces)
            .zip(leaves.chunks(per_piece))
            .map(|(number, leaves)| {
                merkle::piece_hash(layout, piece(number), leaves).expect("all its leaves")
            })
            .collect();
        let root = merkle::root_of_layer(layout, &layer).expect("all its pieces");
        let tree = Tree::of(Content { length, root }, layer).expect("it makes the root");
        Self {
            layout,
            leaves,
            tree,
        }
    }

    fn leaves_of(&self, block: Block) -> Vec<Hash> {
        let first = self.layout.offset_of(block) / u64::from(LEAF);
        let number = block.length().div_ceil(LEAF) as usize;
        let first = usize::try_from(first).expect("a short file");
        self.leaves[first..first + number].to_vec()
    }

    fn leaves_of_pieces(&self, pieces: &[Piece]) -> Vec<Hash> {
        let of = |piece: &Piece| {
            let first = self.layout.begin_of(*piece) / u64::from(LEAF);
            let first = usize::try_from(first).expect("a short file");
            self.leaves[first..first + self.layout.leaves_of(*piece) as usize].to_vec()
        };
        pieces.iter().flat_map(of).collect()
    }

    /// What an honest holder says to this question.
    fn hashes(&self, range: HashRange) -> Message {
        match self.tree.answer(&range) {
            Ok(HashReply::Hashes(hashes)) => Message::Hashes(range, hashes),
            Ok(HashReply::AfterHashing(pieces)) => {
                let leaves = self.leaves_of_pieces(&pieces);
                let hashes = self.tree.answer_with(&range, leaves).expect("its leaves");
                Message::Hashes(range, hashes)
            }
            Err(_) => Message::HashReject(range),
        }
    }
}

/// A swarm, and what its shell has in hand.
struct Run {
    file: File,
    swarm: Swarm,
    now: Instant,
    serves: bool,
    numbers: u64,
    open: Vec<SessionId>,
    honest: BTreeSet<SessionId>,
    dials: Vec<SourceId>,
    /// What was asked of a peer and has not come.
    asked: Vec<(SessionId, Span)>,
    questions: Vec<(SessionId, HashRange)>,
    /// What was claimed and is being written.
    writing: Vec<(SessionId, Block)>,
    uploads: Vec<(SessionId, Block)>,
    hashing: Vec<(SessionId, HashRange, Vec<Piece>)>,
    stopped: bool,
}

impl Run {
    fn new(file: File, settings: u8) -> Self {
        let serves = settings & 1 == 1;
        let have = if serves {
            Have::Everything {
                layer: file.tree.layer().to_vec(),
            }
        } else {
            Have::Nothing
        };
        let config = Config {
            content: file.tree.content(),
            me: id(ME),
            seed: settings.into(),
            have,
            limits: SwarmLimits {
                dialled: 4,
                sessions: 8,
                uploads: 2,
                ..SwarmLimits::default()
            },
        };
        let now = Instant::default();
        Self {
            swarm: Swarm::new(now, config).expect("fit to be fetched"),
            file,
            now,
            serves,
            numbers: 0,
            open: Vec::new(),
            honest: BTreeSet::new(),
            dials: Vec::new(),
            asked: Vec::new(),
            questions: Vec::new(),
            writing: Vec::new(),
            uploads: Vec::new(),
            hashing: Vec::new(),
            stopped: false,
        }
    }

    fn step(&mut self, source: &mut Source<'_>) {
        let kind = source.byte();
        match kind % 16 {
            0 => {
                let holders = 1 + source.below(3);
                let holders = (0..holders)
                    .map(|_| holder(1 + source.byte() % 6))
                    .collect();
                self.input(Input::Holders(holders));
                if source.flag() {
                    let clients = vec![client(1 + source.byte() % 6)];
                    self.input(Input::Clients(clients));
                }
            }
            1 => self.open(1 + source.byte() % 6, source.flag(), source.byte()),
            2 => {
                if let Some(session) = self.session(source) {
                    self.close(session);
                }
            }
            3 | 4 => {
                let session = self.session(source);
                if let (Some(session), Ok(message)) = (session, Message::decode(source.bytes()))
                    && !matches!(message, Message::Piece(_))
                {
                    self.input(Input::Message { session, message });
                }
            }
            5 | 6 => {
                if let Some(session) = self.session(source) {
                    let message = message(source);
                    self.input(Input::Message { session, message });
                }
            }
            7..10 => self.block_comes(source),
            10 => self.answer_question(source),
            11 => {
                if let Some(session) = self.session(source) {
                    let bytes = source.short().into();
                    self.input(Input::Flowing { session, bytes });
                }
            }
            12 => self.finish_upload(source),
            13 => {
                if let Some(peer) = take(source, &mut self.dials) {
                    let reason = "no answer".to_owned();
                    self.input(Input::DialFailed {
                        source: peer,
                        reason,
                    });
                }
            }
            14 => self.write(source),
            _ if kind == 0xff && source.byte() == 0xff => {
                self.stopped = true;
                let reason = "the disk is full".to_owned();
                self.input(Input::Stop { reason });
            }
            0xbf => {
                if let Some(session) = self.session(source) {
                    let most = source.byte().into();
                    self.input(Input::MostRequests { session, most });
                }
            }
            // A reader comes, goes elsewhere or leaves.
            _ if kind >= 0xcf => {
                let reader = ReaderId(source.below(3) as u64);
                self.input(match kind {
                    0xef => Input::ReadOver { reader },
                    0xdf => Input::OnDemand(source.flag()),
                    _ => {
                        let at = u64::from(source.short()) * u64::from(LEAF) / 7;
                        let range = at..at + u64::from(source.short());
                        Input::Read { reader, range }
                    }
                });
            }
            _ => {
                self.now = self.now + Duration::from_millis(source.short().into());
                self.input(Input::Tick);
            }
        }
    }

    fn open(&mut self, who: u8, dialled: bool, offer: u8) {
        if self.stopped {
            return;
        }
        self.numbers += 1;
        let session = SessionId(self.numbers);
        self.open.push(session);
        if who == HONEST {
            self.honest.insert(session);
        }
        let member = offer & 8 == 0;
        let address = client(who);
        let (peer, account) = if member {
            (id(who).into(), Account::Member(id(who)))
        } else {
            (SourceId::Client(address), Account::Address(address.ip()))
        };
        self.dials.retain(|dialling| !dialled || *dialling != peer);
        if dialled && member && offer & 32 == 0 {
            for message in self.swarm.call(self.now, session) {
                if let Message::HashRequest(range) = message {
                    self.questions.push((session, range));
                }
            }
            // It may come to nothing.
            if offer & 0xc0 == 0xc0 {
                return self.close(session);
            }
        }
        self.input(Input::Opened {
            session,
            source: peer,
            account,
            dialled,
            offer: Offer {
                fast: offer & 1 == 0,
                longest_request: if offer & 2 == 0 { LEAF } else { 16 * LEAF },
                most_requests: (offer & 4 == 0).then_some(u32::from(offer)),
                member,
                hashes: member || offer & 16 == 0,
            },
        });
    }

    /// A connection ends, once nothing is written for it any more.
    fn close(&mut self, session: SessionId) {
        for (_, block) in self
            .writing
            .extract_if(.., |(of, _)| *of == session)
            .collect::<Vec<_>>()
        {
            let leaves = self.file.leaves_of(block);
            self.input(Input::Written {
                session,
                block,
                leaves,
            });
        }
        self.open.retain(|open| *open != session);
        self.asked.retain(|(of, _)| *of != session);
        self.questions.retain(|(of, _)| *of != session);
        self.uploads.retain(|(of, _)| *of != session);
        self.hashing.retain(|(of, ..)| *of != session);
        let reason = "closed".to_owned();
        self.input(Input::Closed { session, reason });
    }

    /// Bytes that were asked for come, or some that were not.
    fn block_comes(&mut self, source: &mut Source<'_>) {
        if let Some((session, span)) = take(source, &mut self.asked) {
            self.receive(session, span);
        }
    }

    fn receive(&mut self, session: SessionId, span: Span) {
        let Some(block) = self.swarm.on_piece(self.now, session, span) else {
            return self.drain();
        };
        if self.swarm.claim(self.now, session, block) {
            self.writing.push((session, block));
        }
        self.drain();
    }

    /// A block is on disk, and its hashes are the file's or not.
    fn write(&mut self, source: &mut Source<'_>) {
        let Some((session, block)) = take(source, &mut self.writing) else {
            return;
        };
        let mut leaves = self.file.leaves_of(block);
        let wrong = usize::from(source.byte());
        if let Some(leaf) = leaves.get_mut(wrong) {
            leaf[0] ^= 1;
        }
        self.input(Input::Written {
            session,
            block,
            leaves,
        });
    }

    fn answer_question(&mut self, source: &mut Source<'_>) {
        let Some((session, range)) = take(source, &mut self.questions) else {
            return;
        };
        let message = match (self.file.hashes(range), source.below(3)) {
            (Message::Hashes(range, mut hashes), 0) => {
                let number = source.below(hashes.len());
                if let Some(hash) = hashes.get_mut(number) {
                    hash[31] ^= 1;
                }
                Message::Hashes(range, hashes)
            }
            (_, 1) => Message::HashReject(range),
            (honest, _) => honest,
        };
        self.input(Input::Message { session, message });
    }

    fn finish_upload(&mut self, source: &mut Source<'_>) {
        let is_done = source.flag();
        if let Some((session, block)) = take(source, &mut self.uploads) {
            self.input(if is_done {
                Input::Served { session, block }
            } else {
                Input::NotServed { session, block }
            });
        }
        if let Some((session, range, pieces)) = take(source, &mut self.hashing) {
            let leaves = is_done.then(|| self.file.leaves_of_pieces(&pieces));
            self.input(Input::LeavesHashed {
                session,
                range,
                leaves,
            });
        }
    }

    fn input(&mut self, input: Input) {
        self.swarm.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut ended = Vec::new();
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Dial(source) => self.dials.push(source.id()),
                Output::Send(session, Message::Request(span)) => self.asked.push((session, span)),
                Output::Send(session, Message::HashRequest(range)) => {
                    self.questions.push((session, range));
                }
                Output::Send(_, message) => message.encode(&mut Vec::new()),
                Output::Upload(session, block) => self.uploads.push((session, block)),
                Output::HashLeaves(session, range, pieces) => {
                    self.hashing.push((session, range, pieces));
                }
                Output::Close(session, _) => ended.push(session),
                _ => {}
            }
        }
        for session in ended {
            if self.open.contains(&session) {
                self.close(session);
            }
        }
        self.swarm.check();
        let progress = self.swarm.progress();
        assert!(progress.verified <= self.file.layout.length());
        if let Some(layer) = self.swarm.layer() {
            assert_eq!(layer, self.file.tree.layer(), "hashes of another file");
        }
    }

    /// All others leave; an honest holder comes, and the file is fetched.
    fn end(&mut self) {
        while let Some(session) = self.open.pop() {
            self.close(session);
        }
        if self.serves || self.stopped {
            return;
        }
        self.input(Input::OnDemand(false));
        self.input(Input::Holders(vec![holder(HONEST)]));
        for _ in 0..MOST_TURNS {
            if self.swarm.is_complete() {
                return;
            }
            if !self.turn() {
                let at = self.swarm.next_deadline().expect("it is not complete");
                assert!(at > self.now, "it spins");
                self.now = at;
                self.input(Input::Tick);
            }
        }
        panic!(
            "an honest holder is not enough: {:?}",
            self.swarm.progress()
        );
    }

    /// What the honest holder does next; whether there was anything.
    fn turn(&mut self) -> bool {
        if let Some(peer) = self.dials.pop() {
            if peer == id(HONEST).into() {
                self.open(HONEST, true, 0);
                let session = SessionId(self.numbers);
                for message in [Message::HaveAll, Message::Unchoke] {
                    self.input(Input::Message { session, message });
                }
            } else {
                let reason = "no answer".to_owned();
                self.input(Input::DialFailed {
                    source: peer,
                    reason,
                });
            }
        } else if let Some((session, range)) = self.questions.pop() {
            let message = self.file.hashes(range);
            self.input(Input::Message { session, message });
        } else if let Some((session, span)) = self.asked.pop() {
            self.receive(session, span);
        } else if let Some((session, block)) = self.writing.pop() {
            let leaves = self.file.leaves_of(block);
            self.input(Input::Written {
                session,
                block,
                leaves,
            });
        } else {
            return false;
        }
        true
    }

    fn session(&self, source: &mut Source<'_>) -> Option<SessionId> {
        source.one(&self.open).copied()
    }
}

fn take<T>(source: &mut Source<'_>, of: &mut Vec<T>) -> Option<T> {
    let number = source.below(of.len());
    (number < of.len()).then(|| of.swap_remove(number))
}

fn message(source: &mut Source<'_>) -> Message {
    let number = u32::from(source.byte());
    let span = Span {
        piece: number & 7,
        begin: u32::from(source.byte()) * 4096,
        length: u32::from(source.byte()) * 4096,
    };
    match source.below(10) {
        0 => Message::Choke,
        1 => Message::Unchoke,
        2 => Message::Interested,
        3 => Message::NotInterested,
        4 => Message::HaveAll,
        5 => Message::HaveNone,
        6 => Message::Have(number & 7),
        7 => Message::Request(span),
        8 => Message::Cancel(span),
        _ => Message::Reject(span),
    }
}

/// Where a client listens.
fn client(who: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, who % 3, who], 6881))
}

fn holder(who: u8) -> Holder {
    Holder::bare(id(who))
}

fn id(who: u8) -> PeerId {
    PeerId::new([who; 32])
}
