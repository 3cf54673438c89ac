//! Torrents and magnet links: what is read of them, what is refused, and what is written.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use thorp_wire::announce::TrackerUrl;
use thorp_wire::bencode::{Dictionary, encoded_list, encoded_string};
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{LayerHasher, content_of, merged_layer};
use thorp_wire::session::metadata::LONGEST_METADATA;
use thorp_wire::torrent::build::{self, FolderFile, Privacy};
use thorp_wire::torrent::{
    Info, LONGEST_TORRENT, MOST_TRACKERS, Magnet, MagnetError, Torrent, TorrentError, info_hash_v1,
    info_hash_v2,
};
use thorp_wire::{Content, InfoHash, InfoHashV2, NameError, Root};

/// A v1 info dictionary of one file of 5 bytes.
fn single(name: &[u8]) -> Dictionary {
    Dictionary::default()
        .integer("length", 5)
        .string("name", name)
        .integer("piece length", 16_384)
        .string("pieces", &[7; 20])
}

/// A v1 info dictionary of a folder `d` with these files of one byte each.
fn folder(paths: &[&[&[u8]]]) -> Dictionary {
    let files = paths.iter().map(|path| {
        Dictionary::default()
            .integer("length", 1)
            .list("path", path.iter().map(|part| encoded_string(part)))
            .encode()
    });
    Dictionary::default()
        .list("files", files)
        .string("name", b"d")
        .integer("piece length", 16_384)
        .string("pieces", &[7; 20])
}

/// A v2 info dictionary named `d` with this file tree.
fn of_tree(tree: &Dictionary) -> Dictionary {
    Dictionary::default()
        .dictionary("file tree", tree)
        .integer("meta version", 2)
        .string("name", b"d")
        .integer("piece length", 16_384)
}

/// A file in a file tree.
fn leaf(length: i64) -> Dictionary {
    let properties = Dictionary::default()
        .integer("length", length)
        .string("pieces root", &[7; 32]);
    Dictionary::default().dictionary("", &properties)
}

fn refusal(info: &Dictionary) -> TorrentError {
    Info::decode(&info.encode()).expect_err("a refusal")
}

fn names(info: &Info) -> Vec<&str> {
    info.files().iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn hostile_paths_are_refused() {
    let dots = |name: &str| TorrentError::Name {
        name: name.into(),
        why: NameError::DotPart,
    };
    for part in ["..", ".", "a/b", "/etc/passwd", "../x"] {
        assert_eq!(refusal(&single(part.as_bytes())), dots(part));
        assert_eq!(refusal(&folder(&[&[b"a", part.as_bytes()]])), dots(part));
        let tree = Dictionary::default().dictionary(part.as_bytes().to_vec(), &leaf(5));
        assert_eq!(refusal(&of_tree(&tree)), dots(part));
    }
    let long = vec![b'x'; 256];
    for (part, why) in [
        (&b""[..], NameError::EmptyPart),
        (b"a\0b", NameError::Nul),
        (&long, NameError::PartTooLong),
    ] {
        let refused = refusal(&folder(&[&[b"a", part]]));
        assert!(matches!(refused, TorrentError::Name { why: found, .. } if found == why));
    }
    assert_eq!(refusal(&single(b"\xff")), TorrentError::NotUtf8);
    assert_eq!(refusal(&folder(&[&[]])), TorrentError::Impossible("path"));
    let many: Vec<&[u8]> = vec![b"0123456789abcdef"; 300];
    let refused = refusal(&folder(&[&many]));
    assert!(matches!(
        refused,
        TorrentError::Name {
            why: NameError::TooLong,
            ..
        }
    ));
}

#[test]
fn files_in_each_others_way_are_refused() {
    let twice = |info: &Dictionary| matches!(refusal(info), TorrentError::Twice(_));
    assert!(twice(&folder(&[&[b"a"], &[b"a"]])));
    assert!(twice(&folder(&[&[b"a"], &[b"a", b"b"]])));
    let both = leaf(5).dictionary("b", &leaf(5));
    let tree = Dictionary::default().dictionary("a", &both);
    assert!(twice(&of_tree(&tree)));
}

#[test]
fn symbolic_links_are_refused() {
    let link = single(b"a").string("attr", b"l");
    assert_eq!(refusal(&link), TorrentError::Link("a".into()));
    let link = single(b"a").list("symlink path", [encoded_string(b"b")]);
    assert_eq!(refusal(&link), TorrentError::Link("a".into()));
}

#[test]
fn files_that_pad_are_told_from_others() {
    let file = |name: &[u8], length: i32, attributes: &[u8]| {
        Dictionary::default()
            .string("attr", attributes)
            .integer("length", length)
            .list("path", [encoded_string(name)])
            .encode()
    };
    let files = [
        file(b"a", 5, b"x"),
        file(b"16379", 16_379, b"p"),
        file(b"b", 1, b"h"),
        file(b"16379", 16_383, b"p"),
    ];
    let info = folder(&[]).list("files", files).string("pieces", &[7; 40]);
    let info = Info::decode(&info.encode()).expect("a torrent");
    let [a, padding, b, _] = info.files() else {
        panic!("four files");
    };
    assert!(a.executable && !a.padding);
    assert!(padding.padding);
    assert_eq!(
        (b.name.as_str(), b.offset, b.padding),
        ("d/b", 16_384, false)
    );
    assert_eq!(info.length(), 6);
}

#[test]
fn pieces_have_possible_lengths() {
    for length in [1, 5, 100_000, 64 * 1024 * 1024] {
        let pieces = vec![7; 20 * 5usize.div_ceil(length)];
        let length = i64::try_from(length).expect("is small");
        let info = single(b"a")
            .integer("piece length", length)
            .string("pieces", &pieces);
        assert!(Info::decode(&info.encode()).is_ok(), "{length}");
        let tree = Dictionary::default().dictionary("a", &leaf(5));
        let v2 = Info::decode(&of_tree(&tree).integer("piece length", length).encode());
        assert_eq!(v2.is_ok(), length == 64 * 1024 * 1024, "{length}");
    }
    let length = 64 * 1024 * 1024 + 1;
    let info = single(b"a").integer("piece length", length);
    assert_eq!(refusal(&info), TorrentError::PieceTooLong(length));
    for length in [0, -1] {
        let info = single(b"a").integer("piece length", length);
        assert_eq!(refusal(&info), TorrentError::Impossible("piece length"));
    }
}

#[test]
fn pieces_are_as_many_as_the_files_need() {
    for (pieces, hashes) in [(0, 0), (40, 2)] {
        let info = single(b"a").string("pieces", &vec![7; pieces]);
        let refused = TorrentError::Pieces {
            pieces: hashes,
            needed: 1,
        };
        assert_eq!(refusal(&info), refused);
    }
    let odd = single(b"a").string("pieces", &[7; 21]);
    assert_eq!(refusal(&odd), TorrentError::Impossible("pieces"));
    let endless = of_tree(&Dictionary::default().dictionary("a", &leaf(i64::MAX)));
    assert_eq!(refusal(&endless), TorrentError::TooLarge);
    let negative = of_tree(&Dictionary::default().dictionary("a", &leaf(-1)));
    assert_eq!(refusal(&negative), TorrentError::Impossible("length"));
}

#[test]
fn what_a_torrent_lacks_is_named() {
    let tree = Dictionary::default().dictionary("a", &leaf(5));
    for (info, why) in [
        (Dictionary::default(), TorrentError::Missing("name")),
        (
            Dictionary::default().string("name", b"a"),
            TorrentError::Missing("piece length"),
        ),
        (
            of_tree(&tree).integer("meta version", 3),
            TorrentError::Version(3),
        ),
        (of_tree(&Dictionary::default()), TorrentError::NoFiles),
        (folder(&[]).string("pieces", b""), TorrentError::NoFiles),
    ] {
        assert_eq!(refusal(&info), why);
    }
    assert_eq!(Torrent::decode(b"de"), Err(TorrentError::Missing("info")));
    assert!(matches!(
        Torrent::decode(b"<html>"),
        Err(TorrentError::Malformed(_))
    ));
    let long = vec![b'x'; LONGEST_TORRENT + 1];
    assert_eq!(
        Torrent::decode(&long),
        Err(TorrentError::TooLong(long.len()))
    );
}

#[test]
fn the_two_parts_of_a_hybrid_describe_the_same_files() {
    let tree = |name: &str, length| {
        Dictionary::default().dictionary(name.as_bytes().to_vec(), &leaf(length))
    };
    let hybrid = |tree: Dictionary| {
        single(b"a")
            .dictionary("file tree", &tree)
            .integer("meta version", 2)
    };
    let info = Info::decode(&hybrid(tree("a", 5)).encode()).expect("a torrent");
    assert_eq!(info.files()[0].root, Some(Root::new([7; 32])));
    assert_eq!(info.info_hashes().count(), 2);
    for other in [
        tree("a", 6),
        tree("b", 5),
        tree("a", 5).dictionary("b", &leaf(1)),
    ] {
        assert_eq!(refusal(&hybrid(other)), TorrentError::Halves);
    }
}

#[test]
fn an_info_dictionary_out_of_order_keeps_its_hash() {
    let raw = b"d4:name1:a6:lengthi5e6:pieces20:0123456789abcdefghij12:piece lengthi16384e\
        7:privatei1ee";
    let info = Info::decode(raw).expect("a torrent");
    assert_eq!(info.raw(), raw);
    assert!(info.is_private());
    assert_eq!(info.info_hashes().collect::<Vec<_>>(), [info_hash_v1(raw)]);
    let torrent = [b"d4:info", &raw[..], b"8:announce3:onee"].concat();
    let torrent = Torrent::decode(&torrent).expect("a torrent");
    assert_eq!(torrent.info(), &info);
    assert_eq!(torrent.tiers(), [["one"]]);
}

#[test]
fn what_is_behind_a_torrent_is_ignored_but_not_what_is_behind_an_info_dictionary() {
    let info = single(b"a").encode();
    let torrent = [b"d4:info", &info[..], b"e"].concat();
    let expected = Torrent::decode(&torrent).expect("a torrent");
    for behind in ["\n", "\r\n", "<script>"] {
        let read = Torrent::decode(&[&torrent[..], behind.as_bytes()].concat());
        assert_eq!(read.as_ref(), Ok(&expected), "{behind:?}");
        let read = Info::decode(&[&info[..], behind.as_bytes()].concat());
        assert!(matches!(read, Err(TorrentError::Malformed(_))), "{read:?}");
    }
}

#[test]
fn trackers_come_in_tiers_and_are_bounded() {
    let torrent = |tiers: Vec<Vec<&str>>| {
        let tiers = tiers
            .iter()
            .map(|tier| encoded_list(tier.iter().map(|url| encoded_string(url.as_bytes()))));
        let torrent = Dictionary::default()
            .encoded("info", single(b"a").encode())
            .string("announce", b"not asked")
            .list("announce-list", tiers);
        Torrent::decode(&torrent.encode()).expect("a torrent")
    };
    let read = torrent(vec![vec!["a", "b"], vec![], vec!["", "c"]]);
    assert_eq!(read.tiers(), [vec!["a", "b"], vec!["c"]]);
    assert_eq!(torrent(vec![]).tiers(), [["not asked"]]);
    let many = torrent(vec![vec!["a"; MOST_TRACKERS - 1], vec!["b"; 5], vec!["c"]]);
    assert_eq!(
        many.tiers().iter().map(Vec::len).sum::<usize>(),
        MOST_TRACKERS
    );
}

#[test]
fn a_layer_that_does_not_make_its_root_is_refused() {
    let (content, layer) = hashed(&vec![1; 600_000]);
    let info = build::v2_info("a", content, Privacy::Private);
    let layers = BTreeMap::from([(content.root, layer.clone())]);
    let torrent = |layers| build::torrent(&info, &[], &layers);
    let read = Torrent::decode(&torrent(layers)).expect("a torrent");
    assert_eq!(read.layer(&content.root), Some(&layer[..]));
    let mut wrong = layer.clone();
    wrong[0][0] ^= 1;
    for wrong in [wrong, layer[1..].to_vec(), Vec::new()] {
        let torrent = torrent(BTreeMap::from([(content.root, wrong)]));
        assert_eq!(
            Torrent::decode(&torrent),
            Err(TorrentError::Layer("a".into()))
        );
    }
    let refused = Torrent::decode(&torrent(BTreeMap::new()));
    assert_eq!(refused, Err(TorrentError::Layer("a".into())));
}

fn hashed(bytes: &[u8]) -> (Content, Vec<[u8; 32]>) {
    let mut hasher = LayerHasher::new(bytes.len() as u64);
    assert!(hasher.update(bytes));
    hasher.finish().expect("all bytes")
}

#[test]
fn what_is_made_of_a_file_is_read_again() {
    let content = content_of(b"hello");
    let url = |url: &str| url.parse::<TrackerUrl>().expect("a URL");
    let tiers = [
        vec![url("http://a:1/announce"), url("udp://a:1")],
        vec![url("udp://b:1")],
    ];
    for (info, is_v2) in [
        (
            build::v1_info("a b", 5, &[[7; 20]], Privacy::Private),
            false,
        ),
        (build::v2_info("a b", content, Privacy::Private), true),
    ] {
        let torrent = build::torrent(&info, &tiers, &BTreeMap::new());
        let read = Torrent::decode(&torrent).expect("a torrent");
        assert_eq!(read.info().raw(), info);
        assert!(read.info().is_private());
        assert_eq!(names(read.info()), ["a b"]);
        assert_eq!(read.info().files()[0].root, is_v2.then_some(content.root));
        assert_eq!(read.info().v2(), is_v2.then(|| info_hash_v2(&info)));
        assert_eq!(
            read.tiers(),
            [vec!["http://a:1/announce", "udp://a:1"], vec!["udp://b:1"]]
        );
    }
    let public = build::v1_info("a", 5, &[[7; 20]], Privacy::Public);
    assert!(!Info::decode(&public).expect("a torrent").is_private());
}

#[test]
fn the_info_dictionaries_of_a_file_in_bytes() {
    let v1 = build::v1_info("a", 5, &[[b'x'; 20]], Privacy::Private);
    assert_eq!(
        String::from_utf8_lossy(&v1),
        "d6:lengthi5e4:name1:a12:piece lengthi262144e6:pieces20:xxxxxxxxxxxxxxxxxxxx\
         7:privatei1ee"
    );
    let content = Content {
        length: 5,
        root: Root::new([b'x'; 32]),
    };
    let v2 = build::v2_info("a", content, Privacy::Private);
    assert_eq!(
        String::from_utf8_lossy(&v2),
        "d9:file treed1:ad0:d6:lengthi5e11:pieces root32:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxeee\
         12:meta versioni2e4:name1:a12:piece lengthi262144e7:privatei1ee"
    );
}

#[test]
fn what_is_made_of_a_folder_is_read_again() {
    let (long, layer) = hashed(&vec![3; 300 * 1024 * 1024]);
    let (middle, middle_layer) = hashed(&vec![4; 600_000]);
    let file = |name: &str, content| FolderFile {
        name: name.parse().expect("a name"),
        content,
    };
    // `a.b` sorts before `a/b` as text, and behind it as a path.
    let mut files = vec![
        file("a.b", content_of(b"x")),
        file("z/long", long),
        file("a/b", middle),
        file("a/empty", Content::EMPTY),
    ];
    build::sort(&mut files);
    let piece_length = build::folder_piece_length(&files);
    assert_eq!(piece_length, 512 * 1024);

    let merged = |content: Content, layer: &[[u8; 32]]| {
        let longer = Layout::cut(content.length, piece_length).expect("a piece length");
        merged_layer(Layout::of(content.length), layer, longer).expect("its layer")
    };
    let layers = BTreeMap::from([
        (long.root, merged(long, &layer)),
        (middle.root, merged(middle, &middle_layer)),
    ]);
    let info = build::v2_folder_info("d", &files, Privacy::Public);
    let read = Torrent::decode(&build::torrent(&info, &[], &layers)).expect("a torrent");
    let order = ["d/a/b", "d/a/empty", "d/a.b", "d/z/long"];
    // The keys of a dictionary are in the order of their bytes.
    assert_eq!(names(read.info()), order);
    assert_eq!(read.info().files()[0].root, Some(middle.root));

    let total: u64 = files.iter().map(|file| file.content.length).sum();
    let pieces = usize::try_from(total.div_ceil(piece_length.into())).expect("few");
    let info = build::v1_folder_info("d", &files, &vec![[7; 20]; pieces], Privacy::Public);
    let read = Torrent::decode(&build::torrent(&info, &[], &BTreeMap::new())).expect("a torrent");
    assert_eq!(names(read.info()), order);
    assert_eq!(read.info().length(), total);
}

#[test]
fn the_pieces_of_a_folder_follow_from_the_length_of_all_its_files() {
    let content = Content {
        length: 1024 * 1024,
        root: Root::new([7; 32]),
    };
    let files = |number: usize| -> Vec<FolderFile> {
        let file = |at: usize| FolderFile {
            name: format!("{at:06}").parse().expect("a name"),
            content,
        };
        (0..number).map(file).collect()
    };
    for (number, kib) in [(1, 256), (256, 256), (257, 512), (5000, 8192)] {
        let piece_length = build::folder_piece_length(&files(number));
        assert_eq!(piece_length, kib * 1024, "{number}");
    }
    // 60 GB of them: a link to it can be used.
    let files = files(60_000);
    let pieces = 60_000 / 8;
    let v1 = build::v1_folder_info("d", &files, &vec![[7; 20]; pieces], Privacy::Public);
    let v2 = build::v2_folder_info("d", &files, Privacy::Public);
    assert!(v1.len().max(v2.len()) < LONGEST_METADATA as usize);
    for info in [v1, v2] {
        Info::decode(&info).expect("a torrent");
    }
}

#[test]
fn magnet_links_of_other_programs_are_read() {
    let hash = InfoHash::new([0xc1; 20]);
    let hex = "C1".repeat(20);
    let base32 = data_encoding::BASE32.encode(&[0xc1; 20]).to_lowercase();
    let v2 = "ab".repeat(32);
    for (link, magnet) in [
        (
            format!(
                "magnet:?xt=urn:btih:{hex}&dn=a+b%2Fc&tr=udp%3A%2F%2Fa%3A1&tr.1=http://b/announce\
                &x.pe=192.0.2.1:6881&x.pe=%5B2001%3Adb8%3A%3A1%5D%3A1&x.pe=name:1&ws=http://c"
            ),
            Magnet {
                v1: Some(hash),
                name: Some("a b/c".into()),
                trackers: vec!["udp://a:1".into(), "http://b/announce".into()],
                peers: vec![
                    "192.0.2.1:6881".parse().expect("an address"),
                    "[2001:db8::1]:1".parse().expect("an address"),
                ],
                ..Magnet::default()
            },
        ),
        (
            format!("MAGNET:?xt.1=urn:btih:{base32}&xt.2=urn:btmh:1220{v2}&xt=urn:sha1:X"),
            Magnet {
                v1: Some(hash),
                v2: Some(InfoHashV2::new([0xab; 32])),
                ..Magnet::default()
            },
        ),
    ] {
        assert_eq!(link.parse(), Ok(magnet), "{link}");
    }
}

#[test]
fn a_magnet_link_in_bytes() {
    let magnet = Magnet {
        v1: Some(InfoHash::new([0x11; 20])),
        v2: Some(InfoHashV2::new([0x22; 32])),
        name: Some("a b&c.txt".into()),
        trackers: vec!["http://192.0.2.1:3333/announce".into()],
        peers: vec!["192.0.2.1:3334".parse().expect("an address")],
    };
    let expected = format!(
        "magnet:?xt=urn:btih:{}&xt=urn:btmh:1220{}&dn=a%20b%26c.txt\
         &tr=http%3A%2F%2F192.0.2.1%3A3333%2Fannounce&x.pe=192.0.2.1:3334",
        "11".repeat(20),
        "22".repeat(32),
    );
    assert_eq!(magnet.to_string(), expected);
}

#[test]
fn a_name_with_a_percent_sign_that_was_not_escaped_is_read_as_it_is() {
    let hash = "11".repeat(20);
    for (written, name) in [
        ("100%", "100%"),
        ("50%+off%2c+really", "50% off, really"),
        ("%zz%4", "%zz%4"),
    ] {
        let link = format!("magnet:?dn={written}&xt=urn:btih:{hash}");
        let read: Magnet = link.parse().expect("a link");
        assert_eq!(read.name.as_deref(), Some(name));
        assert_eq!(read.v1, Some(InfoHash::new([0x11; 20])));
    }
}

#[test]
fn what_is_no_magnet_link_is_refused_with_the_reason() {
    let hash = "11".repeat(20);
    for (link, why) in [
        ("http://a", MagnetError::NoMagnet),
        ("magnet:", MagnetError::NoMagnet),
        ("magnet:?dn=a", MagnetError::NoTopic),
        ("magnet:?xt=urn:sha1:a", MagnetError::NoTopic),
        ("magnet:?xt=urn:btih:11", MagnetError::InfoHash),
        (
            &format!("magnet:?xt=urn:btih:{}g", &hash[1..]),
            MagnetError::InfoHash,
        ),
        (
            &format!("magnet:?xt=urn:btmh:1114{hash}"),
            MagnetError::InfoHash,
        ),
        (
            &format!("magnet:?xt=urn:btmh:1220{hash}"),
            MagnetError::InfoHash,
        ),
        ("magnet:?dn=%2", MagnetError::NoTopic),
        ("magnet:?xt=urn:btih:%2", MagnetError::InfoHash),
        (
            &format!("magnet:?{}", "x".repeat(Magnet::MAX)),
            MagnetError::TooLong,
        ),
        ("é", MagnetError::NoMagnet),
    ] {
        assert_eq!(link.parse::<Magnet>(), Err(why), "{link}");
    }
    let many = format!(
        "magnet:?xt=urn:btih:{hash}{}",
        "&tr=a&x.pe=1.1.1.1:1".repeat(200)
    );
    let read: Magnet = many.parse().expect("a link");
    assert_eq!(
        (read.trackers.len(), read.peers.len()),
        (MOST_TRACKERS, Magnet::MOST_PEERS)
    );
}

/// Torrents of v1, of v2 and of both, made elsewhere.
fn made_elsewhere() -> Vec<Vec<u8>> {
    let lines = include_str!("libtorrent.txt").lines();
    let torrents = lines.filter_map(|line| line.strip_prefix("torrent "));
    torrents
        .map(|line| {
            let hex = line.split(' ').next_back().expect("a word");
            data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hex")
        })
        .collect()
}

#[test]
fn no_torrent_can_be_cut() {
    for torrent in made_elsewhere() {
        for end in 0..torrent.len() {
            assert!(Torrent::decode(&torrent[..end]).is_err(), "{end}");
        }
    }
}

proptest! {
    #[test]
    fn a_torrent_with_changed_bytes_never_panics(
        number in 0usize..6,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut torrent = made_elsewhere().swap_remove(number);
        for (at, byte) in changes {
            let at = at.index(torrent.len());
            torrent[at] = byte;
        }
        if let Ok(read) = Torrent::decode(&torrent) {
            let again = Info::decode(read.info().raw());
            prop_assert_eq!(again.as_ref(), Ok(read.info()));
            for file in read.info().files() {
                prop_assert!(!file.name.as_str().split('/').any(|part| part == ".."));
            }
        }
    }

    #[test]
    fn every_magnet_link_reads_back(
        v1 in option::of(any::<[u8; 20]>().prop_map(InfoHash::new)),
        v2 in any::<[u8; 32]>().prop_map(InfoHashV2::new),
        name in option::of(".{0,40}"),
        trackers in vec(".{0,40}", 0..4),
        peers in vec(any::<std::net::SocketAddrV4>().prop_map(Into::into), 0..4),
    ) {
        let magnet = Magnet { v1, v2: Some(v2), name, trackers, peers };
        let link = magnet.to_string();
        prop_assert!(link.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(link.parse(), Ok(magnet));
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,80}") {
        let _ = text.parse::<Magnet>();
        let _ = format!("magnet:?{text}").parse::<Magnet>();
        let _ = Torrent::decode(text.as_bytes());
    }
}
