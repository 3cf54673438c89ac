//! Every frame, byte for byte, with a line for each field.
//!
//! A change here is a change of the protocol, which other versions in use do not know.
//! `frames.md` describes the same in words. `11x32` stands for 32 bytes of `11`.

mod support;

use data_encoding::HEXLOWER;
use support::parse;
use thorp_wire::frame::{
    Ack, Bytes, Find, Found, Get, GroupRecord, Hello, Holder, Join, Joined, Leave, MemberRow,
    NameFilter, PREFIX, Position, Query, Reason, Record, Refused, SignedRecord, Token, Told,
    ToldFile, Update, Variant,
};
use thorp_wire::{Content, Entry, Frame, FrameError, InfoHash, Name, PeerId, RequestId, Root};

#[test]
fn hello_in_bytes() {
    let hello = Hello {
        oldest: 1,
        newest: 2,
        port: Some(3334),
        claimed: vec![
            "10.0.0.5:3334".parse().expect("an address"),
            "[2001:db8::5]:3334".parse().expect("an address"),
        ],
        epoch: 0x0123_4567_89ab_cdef,
        applied: Some(Position {
            epoch: 0xfedc_ba98_7654_3210,
            seq: 9,
        }),
        neighbour: true,
        visitor: false,
        interval: 5000,
        record: Some(4),
        bittorrent: true,
        advertised: 1,
    };
    golden(
        Frame::plain(hello),
        "
        00 00 00 4b                     # 75 bytes follow
        ad                              # a map of 13
           00 00                        # type: Hello
           02 01                        # oldest: 1
           03 02                        # newest: 2
           04 19 0d06                   # port: 3334
           05 82                        # claimed: 2 addresses
              46 0a000005 0d06          #   10.0.0.5, 3334
              52 20010db8 00x11 05 0d06 #   2001:db8::5, 3334
           06 1b 0123456789abcdef       # epoch
           07 82                        # applied: a position
              1b fedcba9876543210       #   epoch
              09                        #   seq: 9
           08 f5                        # neighbour: true
           09 f4                        # visitor: false
           0a 19 1388                   # interval: 5000 ms
           0b 04                        # record: number 4
           0c f5                        # bittorrent: true
           0d 01                        # advertised: 1
        ",
    );
}

#[test]
fn hello_with_nothing_optional_in_bytes() {
    let hello = Hello {
        oldest: 1,
        newest: 1,
        port: None,
        claimed: Vec::new(),
        epoch: 5,
        applied: None,
        neighbour: false,
        visitor: true,
        interval: 15_000,
        record: None,
        bittorrent: false,
        advertised: 0,
    };
    golden(
        Frame::plain(hello),
        "
        00 00 00 11    # 17 bytes follow
        a7             # a map of 7
           00 00       # type: Hello
           02 01       # oldest: 1
           03 01       # newest: 1
           06 05       # epoch: 5
           08 f4       # neighbour: false
           09 f5       # visitor: true
           0a 19 3a98  # interval: 15,000 ms
        ",
    );
}

#[test]
fn join_in_bytes() {
    let join = Join {
        token: Some(Token([0x70; 16])),
        request: vec![0x30, 0x82],
        name: Some("oak".parse().expect("a name")),
    };
    golden(
        Frame::with_request(QUESTION, join),
        "
        00 00 00 20     # 32 bytes follow
        a5              # a map of 5
           00 01        # type: Join
           01 07        # request: 7
           02 50 70x16  # token
           03 42 3082   # request, PKCS #10 (here cut to 2 bytes)
           04 63 6f616b # name: oak
        ",
    );
}

#[test]
fn joined_in_bytes() {
    let joined = Joined {
        certificate: vec![0x30, 0x83],
        record: Some(record(Vec::new())),
        time: 1_700_000_000,
    };
    golden(
        Frame::with_request(QUESTION, joined),
        "
        00 00 00 59       # 89 bytes follow
        a5                # a map of 5
           00 02          # type: Joined
           01 07          # request: 7
           02 42 3083     # certificate, X.509 (here cut to 2 bytes)
           03 58 47       # group record, 71 bytes
              55x64       #   signature
              a3          #   a map of 3
                 00 04    #     number: 4
                 01 f5    #     open: true
                 02 f4    #     bittorrent: false
           04 1a 6553f100 # time: 1,700,000,000 s
        ",
    );
}

#[test]
fn update_in_bytes() {
    let update = Update {
        seq: 12,
        since: Some(11),
        first: true,
        last: true,
        added: vec![
            Entry {
                name: name("a/b.txt"),
                length: 1000,
                mtime: -1,
                root: Some(ROOT),
                partial: false,
                nanos: 999_999_999,
                executable: true,
                v1: Some(InfoHash::new([0x33; 20])),
            },
            Entry {
                name: name("new"),
                length: 0,
                mtime: 1_700_000_000,
                root: None,
                partial: false,
                nanos: 0,
                executable: false,
                v1: None,
            },
            Entry {
                name: name("part"),
                length: 5,
                mtime: 0,
                root: Some(ROOT),
                partial: true,
                nanos: 0,
                executable: false,
                v1: None,
            },
        ],
        removed: vec![name("old")],
        neighbours: Some(vec![OAK]),
        entries: None,
        bytes: None,
        lookups: 0,
        spared: 0,
        met: Vec::new(),
        parted: Vec::new(),
        torrents: None,
        looking: false,
    };
    golden(
        Frame::plain(update),
        "
        00 00 00 c6                   # 198 bytes follow
        a8                            # a map of 8
           00 03                      # type: Update
           02 0c                      # seq: 12
           03 0b                      # since: 11
           04 f5                      # first: true
           05 f5                      # last: true
           06 83                      # added: 3 entries
              a7                      #   a map of 7
                 00 67 612f622e747874 #     name: a/b.txt
                 01 19 03e8           #     length: 1000
                 02 20                #     mtime: -1
                 03 58 20 11x32       #     root
                 05 1a 3b9ac9ff       #     nanos: 999,999,999
                 06 f5                #     executable: true
                 07 54 33x20          #     v1
              a3                      #   a map of 3: not hashed yet
                 00 63 6e6577         #     name: new
                 01 00                #     length: 0
                 02 1a 6553f100       #     mtime: 1,700,000,000
              a5                      #   a map of 5
                 00 64 70617274       #     name: part
                 01 05                #     length: 5
                 02 00                #     mtime: 0
                 03 58 20 11x32       #     root
                 04 f5                #     partial: true
           07 81                      # removed: 1 name
              63 6f6c64               #   old
           08 81                      # neighbours: 1 id
              58 20 22x32
        ",
    );
}

#[test]
fn a_sign_of_life_where_the_listing_is_not_kept_says_how_large_that_is() {
    let update = Update {
        entries: Some(1000),
        bytes: Some(300_000),
        ..Update::heartbeat(0)
    };
    golden(
        Frame::plain(update),
        "
        00 00 00 15          # 21 bytes follow
        a7                   # a map of 7
           00 03             # type: Update
           02 00             # seq: 0
           03 00             # since: 0
           04 f5             # first: true
           05 f5             # last: true
           0a 19 03e8        # entries: 1000
           0b 1a 000493e0    # bytes: 300,000
        ",
    );
}

#[test]
fn a_sign_of_life_tells_the_tracker_that_the_share_is_still_looked_through() {
    let update = Update {
        looking: true,
        ..Update::heartbeat(12)
    };
    golden(
        Frame::plain(update),
        "
        00 00 00 0d     # 13 bytes follow
        a6              # a map of 6
           00 03        # type: Update
           02 0c        # seq: 12
           03 0c        # since: 12
           04 f5        # first: true
           05 f5        # last: true
           11 f5        # looking: true
        ",
    );
}

#[test]
fn a_sign_of_life_tells_the_tracker_of_lookups() {
    let update = Update {
        lookups: 30,
        spared: 29,
        ..Update::heartbeat(12)
    };
    golden(
        Frame::plain(update),
        "
        00 00 00 11     # 17 bytes follow
        a7              # a map of 7
           00 03        # type: Update
           02 0c        # seq: 12
           03 0c        # since: 12
           04 f5        # first: true
           05 f5        # last: true
           0c 18 1e     # lookups: 30
           0d 18 1d     # spared: 29
        ",
    );
}

#[test]
fn a_sign_of_life_is_15_bytes() {
    golden(
        Frame::plain(Update::heartbeat(12)),
        "
        00 00 00 0b # 11 bytes follow
        a5          # a map of 5
           00 03    # type: Update
           02 0c    # seq: 12
           03 0c    # since: 12
           04 f5    # first: true
           05 f5    # last: true
        ",
    );
}

#[test]
fn ack_in_bytes() {
    let ack = Ack {
        seq: Some(12),
        interval: Some(5000),
        unlisted: true,
        record: Some(4),
    };
    golden(
        Frame::plain(ack),
        "
        00 00 00 0d   # 13 bytes follow
        a5            # a map of 5
           00 04      # type: Ack
           02 0c      # seq: 12
           03 19 1388 # interval: 5000 ms
           04 f5      # unlisted: true
           05 04      # record: number 4
        ",
    );
}

#[test]
fn an_ack_that_asks_for_a_full_listing_in_bytes() {
    let ack = Ack {
        seq: None,
        interval: None,
        unlisted: false,
        record: None,
    };
    golden(
        Frame::plain(ack),
        "
        00 00 00 05 # 5 bytes follow
        a2          # a map of 2
           00 04    # type: Ack; no seq: send a full one
           04 f4    # unlisted: false
        ",
    );
}

#[test]
fn find_names_in_bytes() {
    let find = Find {
        query: Query::Names(vec!["a.txt".into(), "b".into()]),
        hops: 1,
        hash_now: true,
        after: None,
        most: None,
        until: None,
    };
    golden(
        Frame::with_request(QUESTION, find),
        "
        00 00 00 16               # 22 bytes follow
        a5                        # a map of 5
           00 05                  # type: Find
           01 07                  # request: 7
           02 82                  # query: kind and arguments
              00                  #   kind: names
              81                  #   1 argument
                 82               #     2 names
                    65 612e747874 #       a.txt
                    61 62         #       b
           03 01                  # hops: 1
           04 f5                  # hash now: true
        ",
    );
}

#[test]
fn find_pattern_in_bytes() {
    let find = Find {
        query: Query::Pattern("*.txt".into()),
        hops: 0,
        hash_now: false,
        after: Some(name("m.txt")),
        most: None,
        until: None,
    };
    golden(
        Frame::with_request(QUESTION, find),
        "
        00 00 00 1a            # 26 bytes follow
        a6                     # a map of 6
           00 05               # type: Find
           01 07               # request: 7
           02 82               # query: kind and arguments
              01               #   kind: pattern
              81               #   1 argument
                 65 2a2e747874 #     *.txt
           03 00               # hops: 0
           04 f4               # hash now: false
           05 65 6d2e747874    # after: m.txt
        ",
    );
}

#[test]
fn find_content_in_bytes() {
    let find = Find {
        query: Query::Content(CONTENT),
        hops: 1,
        hash_now: false,
        after: None,
        most: None,
        until: None,
    };
    golden(
        Frame::with_request(QUESTION, find),
        "
        00 00 00 33               # 51 bytes follow
        a5                        # a map of 5
           00 05                  # type: Find
           01 07                  # request: 7
           02 82                  # query: kind and arguments
              02                  #   kind: content
              81                  #   1 argument
                 82               #     a content
                    19 03e8       #       length: 1000
                    58 20 11x32   #       root
           03 01                  # hops: 1
           04 f4                  # hash now: false
        ",
    );
}

#[test]
fn find_with_long_answers_in_bytes() {
    golden(
        Frame::with_request(
            QUESTION,
            Find {
                query: Query::Pattern("*".to_owned()),
                hops: 0,
                hash_now: false,
                after: None,
                most: Some(1000),
                until: None,
            },
        ),
        "
        00 00 00 13      # 19 bytes follow
        a6               # a map of 6
           00 05         # type: Find
           01 07         # request: 7
           02 82         # query: kind and arguments
              01         #   kind: pattern
              81         #   1 argument
                 61 2a   #     *
           03 00         # hops: 0
           04 f4         # hash now: false
           06 19 03e8    # most: 1000
        ",
    );
}

#[test]
fn find_members_in_bytes() {
    let find = |after| Find {
        query: Query::Members(after),
        hops: 0,
        hash_now: false,
        after: None,
        most: None,
        until: None,
    };
    golden(
        Frame::with_request(QUESTION, find(None)),
        "
        00 00 00 0d # 13 bytes follow
        a5          # a map of 5
           00 05    # type: Find
           01 07    # request: 7
           02 82    # query: kind and arguments
              03    #   kind: members
              80    #   no argument: from the first
           03 00    # hops: 0
           04 f4    # hash now: false
        ",
    );
    golden(
        Frame::with_request(QUESTION, find(Some(OAK))),
        "
        00 00 00 2f            # 47 bytes follow
        a5                     # a map of 5
           00 05               # type: Find
           01 07               # request: 7
           02 82               # query: kind and arguments
              03               #   kind: members
              81               #   1 argument: behind this id
                 58 20 22x32
           03 00               # hops: 0
           04 f4               # hash now: false
        ",
    );
}

#[test]
fn update_of_some_neighbours_in_bytes() {
    let update = Update {
        since: Some(11),
        met: vec![OAK],
        parted: vec![PeerId::new([0x33; 32])],
        ..Update::heartbeat(12)
    };
    golden(
        Frame::plain(update),
        "
        00 00 00 53          # 83 bytes follow
        a7                   # a map of 7
           00 03             # type: Update
           02 0c             # seq: 12
           03 0b             # since: 11
           04 f5             # first: true
           05 f5             # last: true
           0e 81 58 20 22x32 # met: 1 id
           0f 81 58 20 33x32 # parted: 1 id
        ",
    );
}

#[test]
fn update_of_torrents_in_bytes() {
    let update = Update {
        since: Some(11),
        torrents: Some(vec![InfoHash::new([0x33; 20])]),
        ..Update::heartbeat(12)
    };
    golden(
        Frame::plain(update),
        "
        00 00 00 22       # 34 bytes follow
        a6                # a map of 6
           00 03          # type: Update
           02 0c          # seq: 12
           03 0b          # since: 11
           04 f5          # first: true
           05 f5          # last: true
           10 81 54 33x20 # torrents: 1 info-hash
        ",
    );
}

#[test]
fn find_beyond_in_bytes() {
    let mut known = NameFilter::new(7, 4);
    known.insert(&name("a.txt"));
    let find = Find {
        query: Query::Beyond(known, Some(500)),
        hops: 1,
        hash_now: false,
        after: None,
        most: None,
        until: None,
    };
    golden(
        Frame::with_request(QUESTION, find),
        "
        00 00 00 17            # 23 bytes follow
        a5                     # a map of 5
           00 05               # type: Find
           01 07               # request: 7
           02 82               # query: kind and arguments
              04               #   kind: beyond
              82               #   2 arguments: a filter, and how many files
                 82            #     salt and bits
                    07         #       salt: 7
                    44 20080401 #       bits: 4 bytes, of them four bits set for a.txt
                 19 01f4       #     told: 500
           03 01               # hops: 1
           04 f4               # hash now: false
        ",
    );
}

#[test]
fn find_beyond_of_some_names_in_bytes() {
    let find = Find {
        query: Query::Beyond(NameFilter::new(7, 1), Some(500)),
        hops: 1,
        hash_now: false,
        after: Some(name("a")),
        most: None,
        until: Some(name("b")),
    };
    golden(
        Frame::with_request(QUESTION, find),
        "
        00 00 00 1a            # 26 bytes follow
        a7                     # a map of 7
           00 05               # type: Find
           01 07               # request: 7
           02 82               # query: kind and arguments
              04               #   kind: beyond
              82               #   2 arguments: a filter, and how many files
                 82            #     salt and bits
                    07         #       salt: 7
                    41 00      #       bits: 1 byte
                 19 01f4       #     told: 500
           03 01               # hops: 1
           04 f4               # hash now: false
           05 61 61            # after: a
           07 61 62            # until: b
        ",
    );
}

#[test]
fn found_variants_in_bytes() {
    let found = Found {
        variants: vec![Variant {
            entry: Entry {
                name: name("a.txt"),
                length: 1000,
                mtime: 0,
                root: None,
                partial: false,
                nanos: 0,
                executable: false,
                v1: None,
            },
            holders: vec![Holder {
                id: OAK,
                name: Some("oak".parse().expect("a name")),
                addresses: vec!["10.0.0.5:3334".parse().expect("an address")],
                partial: true,
            }],
            hashed: Some(500),
        }],
        more: true,
        ..Found::default()
    };
    golden(
        Frame::with_request(QUESTION, found),
        "
        00 00 00 53                      # 83 bytes follow
        a4                               # a map of 4
           00 06                         # type: Found
           01 07                         # request: 7
           02 81                         # variants: 1
              a3                         #   a map of 3
                 00 a3                   #     entry: a map of 3
                    00 65 612e747874     #       name: a.txt
                    01 19 03e8           #       length: 1000
                    02 00                #       mtime: 0
                 01 81                   #     holders: 1
                    a4                   #       a map of 4
                       00 58 20 22x32    #         id
                       01 63 6f616b      #         name: oak
                       02 81             #         addresses: 1
                          46 0a0000050d06 #          10.0.0.5, 3334
                       03 f5             #         partial: true
                 02 19 01f4              #     hashed: 500
           03 f5                         # more: true
        ",
    );
}

#[test]
fn found_a_part_of_the_way_in_bytes() {
    let found = Found {
        more: true,
        behind: Some(name("a.txt")),
        answered: Some(2),
        ..Found::default()
    };
    golden(
        Frame::with_request(QUESTION, found),
        "
        00 00 00 10                # 16 bytes follow
        a5                         # a map of 5
           00 06                   # type: Found
           01 07                   # request: 7
           03 f5                   # more: true
           05 65 612e747874        # behind: a.txt
           06 02                   # answered: 2
        ",
    );
}

#[test]
fn found_unlisted_members_in_bytes() {
    let found = Found {
        unlisted: vec![Holder {
            id: OAK,
            name: None,
            addresses: vec!["10.0.0.5:3334".parse().expect("an address")],
            partial: false,
        }],
        more_unlisted: true,
        ..Found::default()
    };
    golden(
        Frame::with_request(QUESTION, found),
        "
        00 00 00 3a                # 58 bytes follow
        a5                         # a map of 5
           00 06                   # type: Found
           01 07                   # request: 7
           03 f4                   # more: false
           07 81                   # unlisted: 1
              a3                   #   a map of 3
                 00 58 20 22x32    #     id
                 02 81             #     addresses: 1
                    46 0a0000050d06 #      10.0.0.5, 3334
                 03 f4             #     partial: false
           08 f5                   # more unlisted: true
        ",
    );
}

#[test]
fn found_told_files_in_bytes() {
    let file = |path: &str, nanos, holders: &[u8]| ToldFile {
        entry: Entry {
            name: name(path),
            length: 1000,
            mtime: 5,
            root: Some(Root::new([0x44; 32])),
            partial: false,
            nanos,
            executable: false,
            v1: None,
        },
        holders: holders.to_vec(),
    };
    let found = Found {
        told: Some(Told {
            holders: vec![Holder {
                id: OAK,
                name: None,
                addresses: vec!["10.0.0.5:3334".parse().expect("an address")],
                partial: false,
            }],
            files: vec![file("d/a.txt", 0, &[0]), file("d/b.txt", 9, &[0])],
        }),
        ..Found::default()
    };
    golden(
        Frame::with_request(QUESTION, found),
        "
        00 00 00 9d                # 157 bytes follow
        a4                         # a map of 4
           00 06                   # type: Found
           01 07                   # request: 7
           03 f4                   # more: false
           09 82                   # told: holders and files
              81                   #   holders: 1
                 a3                #     a map of 3
                   00 58 20 22x32  #       id
                   02 81           #       addresses: 1
                      46 0a0000050d06 #      10.0.0.5, 3334
                   03 f4           #       partial: false
              82                   #   files: 2
                 86                #     an array of 6
                    00             #       nothing in common with the name before
                    67 642f612e747874 #    d/a.txt
                    41 00          #       holders: the first one
                    19 03e8        #       length: 1000
                    05             #       mtime: 5
                    58 20 44x32    #       root
                 87                #     an array of 7
                    02             #       2 bytes in common
                    65 622e747874  #       b.txt
                    41 00          #       holders: the first one
                    19 03e8        #       length: 1000
                    05             #       mtime: 5
                    58 20 44x32    #       root
                    09             #       nanos: 9
        ",
    );
}

#[test]
fn found_members_in_bytes() {
    let found = Found {
        members: vec![MemberRow {
            member: Holder::bare(OAK),
            files: 2,
            bytes: 1000,
            neighbours: vec![PeerId::new([0x33; 32])],
        }],
        ..Found::default()
    };
    golden(
        Frame::with_request(QUESTION, found),
        "
        00 00 00 5d                # 93 bytes follow
        a4                         # a map of 4
           00 06                   # type: Found
           01 07                   # request: 7
           03 f4                   # more: false
           04 81                   # members: 1
              a4                   #   a map of 4
                 00 a3             #     member: a map of 3
                    00 58 20 22x32 #       id
                    02 80          #       addresses: none
                    03 f4          #       partial: false
                 01 02             #     files: 2
                 02 19 03e8        #     bytes: 1000
                 03 81             #     neighbours: 1
                    58 20 33x32
        ",
    );
}

#[test]
fn get_in_bytes() {
    golden(
        Frame::with_request(QUESTION, Get { content: CONTENT }),
        "
        00 00 00 2c         # 44 bytes follow
        a3                  # a map of 3
           00 07            # type: Get
           01 07            # request: 7
           02 82            # content
              19 03e8       #   length: 1000
              58 20 11x32   #   root
        ",
    );
}

#[test]
fn content_in_bytes() {
    let bytes = b"hello".to_vec();
    golden(
        Frame::with_request(QUESTION, Bytes { bytes }),
        "
        00 00 00 0c         # 12 bytes follow
        a3                  # a map of 3
           00 08            # type: Content
           01 07            # request: 7
           02 45 68656c6c6f # the file: hello
        ",
    );
}

#[test]
fn refused_in_bytes() {
    let refused = Refused {
        reason: Reason::NotHere,
        text: "gone".into(),
    };
    golden(
        Frame::with_request(QUESTION, refused),
        "
        00 00 00 0d       # 13 bytes follow
        a4                # a map of 4
           00 09          # type: Refused
           01 07          # request: 7
           02 01          # reason: not here
           03 64 676f6e65 # text: gone
        ",
    );
}

#[test]
fn leave_in_bytes() {
    let reason = "stopped".into();
    golden(
        Frame::plain(Leave { reason }),
        "
        00 00 00 0c             # 12 bytes follow
        a2                      # a map of 2
           00 0a                # type: Leave
           02 67 73746f70706564 # reason: stopped
        ",
    );
}

#[test]
fn record_in_bytes() {
    let record = record(vec![PeerId::new([0x11; 32]), OAK]);
    golden(
        Frame::plain(Record { record }),
        "
        00 00 00 93             # 147 bytes follow
        a2                      # a map of 2
           00 0b                # type: Record
           02 58 8d             # signed record, 141 bytes
              55x64             #   signature
              a4                #   a map of 4
                 00 04          #     number: 4
                 01 f5          #     open: true
                 02 f4          #     bittorrent: false
                 03 82          #     removed: 2 ids
                    58 20 11x32
                    58 20 22x32
        ",
    );
}

/// Makes a record whose signature is made of the context and the record's bytes.
fn record(removed: Vec<PeerId>) -> SignedRecord {
    let record = GroupRecord {
        number: 4,
        open: true,
        bittorrent: false,
        removed,
    };
    let signed = SignedRecord::sign(record, |message| {
        assert!(message.starts_with(b"thorp group record 1\0"));
        Some([0x55; 64])
    });
    signed.expect("is within bounds").expect("is signed")
}

#[test]
fn every_reason_has_its_number() {
    for (number, reason) in [
        (0, Reason::Unknown),
        (1, Reason::NotHere),
        (2, Reason::TooLarge),
        (3, Reason::Busy),
        (4, Reason::NotInvited),
        (5, Reason::Unreadable),
        (6, Reason::NotServed),
        (7, Reason::Changed),
    ] {
        let text = "".into();
        let frame = Frame::plain(Refused { reason, text });
        golden(frame, &format!("00 00 00 05  a2  00 09  02 {number:02x}"));
    }
}

const QUESTION: RequestId = RequestId(7);
const ROOT: Root = Root::new([0x11; 32]);
const CONTENT: Content = Content {
    length: 1000,
    root: ROOT,
};
const OAK: PeerId = PeerId::new([0x22; 32]);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// Checks that the frame is encoded as these bytes and decoded from them, that no byte can be
/// removed or added, and that an unknown field changes nothing.
#[track_caller]
fn golden(frame: Frame, commented_hex: &str) {
    let bytes = parse(commented_hex);
    let mut out = Vec::new();
    frame.encode(&mut out).expect("an encoded frame");
    assert_eq!(HEXLOWER.encode(&out), HEXLOWER.encode(&bytes));

    let (_, body) = bytes.split_at(PREFIX);
    for end in 0..body.len() {
        let refused = Frame::decode(&body[..end]);
        assert!(matches!(refused, Err(FrameError::Malformed(_))), "{end}");
    }
    let longer = [body, &[0]].concat();
    let refused = Frame::decode(&longer);
    assert!(matches!(refused, Err(FrameError::Malformed(_))));

    let mut newer = body.to_vec();
    newer[0] += 1; // one more field:
    newer.extend([0x18, 0x64, 0x82, 0xa1, 0x00, 0xf5, 0x61, b'?']); // 100: [{0: true}, "?"]
    assert_eq!(Frame::decode(&newer).as_ref(), Ok(&frame));
    assert_eq!(Frame::decode(body), Ok(frame));
}
