//! The swarm of a torrent, whose pieces are verified as a whole: clients come, go and lie.
//!
//! Whatever they do, a piece that counts as verified is right on the disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thorp_core::bound::Account;
use thorp_core::swarm::{
    Input, Offer, Output, SessionId, SourceId, Swarm, SwarmLimits, TorrentConfig,
};
use thorp_core::time::Instant;
use thorp_wire::layout::{Block, Piece};
use thorp_wire::session::{HashRange, Message, Span};
use thorp_wire::torrent::{Info, PieceSpace};
use thorp_wire::{PeerId, Root};

use crate::source::Source;

/// The files: of these lengths, and which of them pad.
const FILES: [(u32, bool); 4] = [
    (70_000, false),
    (10_000, true),
    (50_000, false),
    (90_001, false),
];
/// Of a v1 torrent: also shorter than a leaf.
const PIECES: [u32; 3] = [40_000, 16_384, 5_000];
const LEAF: u32 = 16_384;

struct World {
    swarm: Swarm,
    space: Arc<PieceSpace>,
    now: Duration,
    sessions: BTreeSet<SessionId>,
    next: u64,
    /// What was asked on each session.
    asked: BTreeMap<SessionId, Vec<Span>>,
    /// Claimed, and not written yet; and whether it is right.
    writing: Vec<(SessionId, Block, bool)>,
    /// The leaves on disk that are right, by piece and number.
    right: BTreeSet<(u32, u32)>,
    hashing: VecDeque<Piece>,
    /// To be closed once nothing more is written for them.
    closing: Vec<SessionId>,
}

pub(crate) fn torrent_swarm(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let wanted = source.byte();
    let space = space(usize::from(wanted >> 4) % PIECES.len());
    let config = TorrentConfig {
        space: Arc::clone(&space),
        files: (0..FILES.len())
            .filter(|file| wanted >> file & 1 == 0)
            .collect(),
        me: PeerId::new([1; 32]),
        seed: source.long(),
        limits: SwarmLimits::default(),
    };
    let now = Instant::after_start(Duration::ZERO);
    let Ok(swarm) = Swarm::of_torrent(now, config) else {
        return;
    };
    let mut world = World {
        swarm,
        space,
        now: Duration::ZERO,
        sessions: BTreeSet::new(),
        next: 0,
        asked: BTreeMap::new(),
        writing: Vec::new(),
        right: BTreeSet::new(),
        hashing: VecDeque::new(),
        closing: Vec::new(),
    };
    world.input(Input::Clients((0..4).map(address).collect()));
    while !source.is_empty() {
        world.step(&mut source);
    }
    world.settle();
}

/// The torrent with pieces of one of the lengths. Each is read once.
fn space(number: usize) -> Arc<PieceSpace> {
    static SPACES: OnceLock<[Arc<PieceSpace>; PIECES.len()]> = OnceLock::new();
    let made = |piece: u32| {
        let mut raw = b"d5:filesl".to_vec();
        for (number, (length, pads)) in FILES.iter().enumerate() {
            let attr = if *pads { "4:attr1:p" } else { "" };
            raw.extend(format!("d{attr}6:lengthi{length}e4:pathl1:{number}ee").into_bytes());
        }
        let total: u32 = FILES.iter().map(|(length, _)| length).sum();
        let hashes = total.div_ceil(piece) as usize * 20;
        raw.extend(format!("e4:name1:n12:piece lengthi{piece}e6:pieces{hashes}:").into_bytes());
        raw.extend(vec![0; hashes]);
        raw.push(b'e');
        let info = Info::decode(&raw).expect("a torrent");
        Arc::new(PieceSpace::of(&info).expect("fits"))
    };
    Arc::clone(&SPACES.get_or_init(|| PIECES.map(made))[number])
}

/// Hashes that nobody has asked for: a torrent's swarm asks for none.
fn range(source: &mut Source<'_>) -> HashRange {
    HashRange {
        root: Root::EMPTY,
        base: u32::from(source.byte() % 3),
        index: source.short().into(),
        length: 1 << (source.byte() % 10),
        proofs: u32::from(source.byte() % 4),
    }
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 6881))
}

impl World {
    fn step(&mut self, source: &mut Source<'_>) {
        match source.byte() % 10 {
            0 => {
                self.now += Duration::from_millis(source.short().into());
                self.input(Input::Tick);
            }
            1 => self.open(source.byte() % 4),
            2 => {
                if let Some(session) = self.session(source) {
                    self.close(session);
                }
            }
            3 => self.word(source),
            4 | 5 => self.block(source),
            6 | 7 => self.write(source),
            8 => self.hash(),
            _ => {
                let number = u32::from(source.byte() % 6);
                if let Some(piece) = self.space.layout().piece(number) {
                    // An earlier fetch has left it, if nobody works on it.
                    let is_left = self.is_right(piece) && !self.is_written(piece);
                    if is_left && !self.hashing.contains(&piece) {
                        self.input(Input::PieceLeft { piece });
                    }
                }
            }
        }
    }

    fn open(&mut self, client: u8) {
        self.next += 1;
        let session = SessionId(self.next);
        self.sessions.insert(session);
        self.input(Input::Opened {
            session,
            source: SourceId::Client(address(client)),
            account: Account::Address(address(client).ip()),
            dialled: true,
            offer: Offer {
                fast: client != 0,
                longest_request: LEAF,
                most_requests: None,
                member: false,
                hashes: client == 1,
            },
        });
    }

    /// A shell says that a session is closed once nothing more is written for it.
    fn close(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        self.asked.remove(&session);
        while let Some(at) = self.writing.iter().position(|(own, ..)| *own == session) {
            self.write_at(at);
        }
        let reason = "it goes".to_owned();
        self.input(Input::Closed { session, reason });
    }

    fn word(&mut self, source: &mut Source<'_>) {
        let Some(session) = self.session(source) else {
            return;
        };
        let piece = u32::from(source.byte() % 8);
        let kind = source.byte() % 12;
        if kind == 11 {
            let most = source.byte().into();
            return self.input(Input::MostRequests { session, most });
        }
        let message = match kind {
            0 => Message::HaveAll,
            1 => Message::HaveNone,
            2 => Message::Have(piece),
            3 => Message::Choke,
            4 => Message::Interested,
            5 => match self.asked.get(&session).and_then(|asked| asked.first()) {
                Some(span) => Message::Reject(*span),
                None => Message::NotInterested,
            },
            6 => Message::Request(Span {
                piece,
                begin: 0,
                length: LEAF,
            }),
            7 => Message::HashRequest(range(source)),
            8 => Message::Hashes(range(source), vec![[7; 32]; 4]),
            9 => Message::HashReject(range(source)),
            _ => Message::Unchoke,
        };
        self.input(Input::Message { session, message });
    }

    fn block(&mut self, source: &mut Source<'_>) {
        let Some(session) = self.session(source) else {
            return;
        };
        let asked = self.asked.entry(session).or_default();
        if asked.is_empty() {
            return;
        }
        let span = asked.remove(source.below(asked.len()));
        let is_right = source.flag();
        let at = Instant::after_start(self.now);
        let Some(block) = self.swarm.on_piece(at, session, span) else {
            return self.drain();
        };
        let claimed = self.swarm.claim(at, session, block);
        self.drain();
        if claimed {
            self.writing.push((session, block, is_right));
        }
    }

    fn write(&mut self, source: &mut Source<'_>) {
        if !self.writing.is_empty() {
            self.write_at(source.below(self.writing.len()));
        }
    }

    fn write_at(&mut self, at: usize) {
        let (session, block, is_right) = self.writing.remove(at);
        let leaf = (block.piece().number(), block.begin() / LEAF);
        assert!(
            !self.swarm.has(block.piece()) || self.right.contains(&leaf) && is_right,
            "what is verified is written again"
        );
        if is_right {
            self.right.insert(leaf);
        } else {
            self.right.remove(&leaf);
        }
        self.input(Input::Written {
            session,
            block,
            leaves: vec![[0; 32]],
        });
    }

    fn hash(&mut self) {
        if let Some(piece) = self.hashing.pop_front() {
            let is_right = self.is_right(piece);
            self.input(Input::PieceHashed { piece, is_right });
        }
    }

    fn session(&self, source: &mut Source<'_>) -> Option<SessionId> {
        let sessions: Vec<SessionId> = self.sessions.iter().copied().collect();
        source.one(&sessions).copied()
    }

    fn is_right(&self, piece: Piece) -> bool {
        let leaves = self.space.asked_length_of(piece).div_ceil(LEAF);
        (0..leaves).all(|leaf| self.right.contains(&(piece.number(), leaf)))
    }

    fn is_written(&self, piece: Piece) -> bool {
        let mut writing = self.writing.iter();
        writing.any(|(_, block, _)| block.piece() == piece)
    }

    fn input(&mut self, input: Input) {
        self.swarm.handle(Instant::after_start(self.now), input);
        self.drain();
        self.swarm.check();
        for number in 0..self.space.layout().pieces().unwrap_or(0) {
            if let Some(piece) = self.space.layout().piece(number)
                && self.swarm.has(piece)
            {
                assert!(self.is_right(piece), "piece {number} is verified and wrong");
            }
        }
        while let Some(session) = self.closing.pop() {
            self.close(session);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Send(session, Message::Request(span)) => {
                    self.asked.entry(session).or_default().push(span);
                }
                Output::Send(_, message) => message.encode(&mut Vec::new()),
                Output::HashPiece(piece) => self.hashing.push_back(piece),
                Output::Close(session, _) => self.closing.push(session),
                _ => {}
            }
        }
    }

    /// All that is under way ends.
    fn settle(&mut self) {
        while !self.writing.is_empty() || !self.hashing.is_empty() {
            if self.writing.is_empty() {
                self.hash();
            } else {
                self.write_at(0);
            }
        }
    }
}
