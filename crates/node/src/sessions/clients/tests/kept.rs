//! Torrents of a folder: a client's session goes over several files of the share.

use std::collections::BTreeMap;

use thorp_wire::merkle::leaf_hashes;
use thorp_wire::torrent::build::{self, FolderFile, folder_piece_length};
use thorp_wire::{Name, Root};

use super::*;

const SHORT: usize = 20_000;
const PIECE: usize = 256 * 1024;

impl Ground {
    /// The files of the folder, in the order of a torrent, and their names in the share.
    pub async fn folder(&self) -> (Vec<FolderFile>, Vec<(Name, Content)>) {
        let (mut files, mut in_share) = (Vec::new(), Vec::new());
        for name in ["a", "b/c", "none"] {
            let here: Name = format!("d/{name}").parse().expect("a name");
            let entry = self.share.hash_now(&here).await.expect("is hashed");
            let content = entry.content().expect("has a root");
            files.push(FolderFile {
                name: name.parse().expect("a name"),
                content,
            });
            in_share.push((here, content));
        }
        (files, in_share)
    }

    /// Keeps a torrent of the folder, and waits until it is served.
    pub async fn keep(&mut self, info: &[u8], files: &[(Name, Content)]) -> InfoHash {
        let names: Vec<Name> = files.iter().map(|(name, _)| name.clone()).collect();
        let kept = self
            .share
            .keep_torrent(DISK, info, &names, &BTreeMap::new());
        let hash = kept.expect("is kept").info_hashes().next();
        let hash = hash.expect("it has one");
        self.until(|share| share.has_kept(hash)).await;
        hash
    }

    async fn is_at_rest_soon(&self) {
        let at_rest = async {
            while !self.is_at_rest() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, at_rest).await.expect("nothing is left");
    }
}

#[tokio::test]
async fn a_client_of_version_1_gets_blocks_that_go_over_the_ends_of_files() {
    let mut ground = Ground::new().await;
    let (files, in_share) = ground.folder().await;
    let pieces = ground
        .share
        .hash_together(DISK, &in_share, folder_piece_length(&files), |_| true);
    let pieces = pieces.expect("are read").expect("is not stopped");
    let info = build::v1_folder_info("d", &files, &pieces, Privacy::Private);
    let hash = ground.keep(&info, &in_share).await;
    assert!(ground.is_at_rest(), "nothing is open before a client comes");

    let mut client = ground.client_of(hash, Extensions::ALL).await;
    client.is_greeted_with(&info).await;
    let together = [ground.bytes.clone(), vec![7; SHORT]].concat();
    for (piece, begin, length) in [(0, 0, 16_384), (1, 32_768, 16_384), (1, 57_000, 856)] {
        let at = piece as usize * PIECE + begin as usize;
        let block = client.gets(piece, begin, length).await;
        assert_eq!(block, together[at..at + length as usize]);
    }
    // It has no hashes of version 2.
    let range = range(files[0].content.root, 4, 2);
    client.says(&Message::HashRequest(range)).await;
    assert_eq!(client.hears().await, Ok(Message::HashReject(range)));
    drop(client);
    ground.is_at_rest_soon().await;

    // A file of it has changed: it is served no more, and the next client gets no byte.
    std::fs::write(ground.dir.path().join("d/b/c"), "other").expect("is written");
    ground.until(|share| !share.has_kept(hash)).await;
    let mut client = ground.client_of(hash, Extensions::ALL).await;
    assert!(client.inward.handshake().await.is_err());
}

#[tokio::test]
async fn a_client_of_version_2_gets_the_hashes_and_the_bytes_of_each_file() {
    let mut ground = Ground::new().await;
    let (files, in_share) = ground.folder().await;
    let info = build::v2_folder_info("d", &files, Privacy::Public);
    let hash = ground.keep(&info, &in_share).await;
    let mut client = ground.client_of(hash, Extensions::ALL).await;
    client.is_greeted_with(&info).await;

    // Each file begins with a piece.
    assert_eq!(client.gets(2, 16_384, 3616).await, [7; 3616]);
    let end = LENGTH - PIECE;
    assert_eq!(
        client.gets(1, 32_768, 4000).await,
        ground.bytes[PIECE + 32_768..][..4000]
    );
    // Between two files there are zeros, if a client asks for them.
    let mut expected = ground.bytes[LENGTH - 100..].to_vec();
    expected.extend([0; 50]);
    let begin = u32::try_from(end - 100).expect("is small");
    assert_eq!(client.gets(1, begin, 150).await, expected);

    let layer = ground.share.open_content(DISK, files[0].content);
    let layer = layer.expect("opens").layer().to_vec();
    let pieces = range(files[0].content.root, 4, 2);
    client.says(&Message::HashRequest(pieces)).await;
    assert_eq!(client.hears().await, Ok(Message::Hashes(pieces, layer)));
    let leaves = range(files[1].content.root, 0, 2);
    client.says(&Message::HashRequest(leaves)).await;
    let hashed = leaf_hashes(&vec![7; SHORT]);
    assert_eq!(client.hears().await, Ok(Message::Hashes(leaves, hashed)));
    let other = range(Root::new([9; 32]), 0, 2);
    client.says(&Message::HashRequest(other)).await;
    assert_eq!(client.hears().await, Ok(Message::HashReject(other)));
    // It may ask for them twice, and for some leaves.
    for _ in 3..64 + 2 * 2 {
        client.says(&Message::HashRequest(leaves)).await;
        let heard = client.hears().await;
        assert!(matches!(heard, Ok(Message::Hashes(..))), "{heard:?}");
    }
    client.says(&Message::HashRequest(leaves)).await;
    assert_eq!(client.hears().await, Ok(Message::HashReject(leaves)));
    drop(client);
    ground.is_at_rest_soon().await;
}

#[tokio::test]
async fn a_torrent_with_pieces_of_another_length_is_served_with_the_hashes_that_came_with_it() {
    let mut ground = Ground::new().await;
    let (files, in_share) = ground.folder().await;
    let all = leaf_hashes(&ground.bytes);
    // Pieces of a leaf: the leaves are the layer.
    let content = files[0].content;
    let raw = [
        &b"d9:file treed1:ad0:d6:lengthi300000e11:pieces root32:"[..],
        content.root.as_bytes(),
        b"eee12:meta versioni2e4:name1:x12:piece lengthi16384ee",
    ]
    .concat();
    let names = [in_share[0].0.clone()];
    let layers = BTreeMap::from([(content.root, all.clone())]);
    let kept = ground.share.keep_torrent(DISK, &raw, &names, &layers);
    let hash = kept
        .expect("is kept")
        .info_hashes()
        .next()
        .expect("has one");
    ground.until(|share| share.has_kept(hash)).await;
    let mut client = ground.client_of(hash, Extensions::ALL).await;
    client.is_greeted_with(&raw).await;
    assert_eq!(
        client.gets(18, 5000, 88).await,
        ground.bytes[18 * 16_384 + 5000..]
    );
    let asked = range(content.root, 0, 16);
    client.says(&Message::HashRequest(asked)).await;
    assert_eq!(
        client.hears().await,
        Ok(Message::Hashes(asked, all[..16].to_vec()))
    );
}

fn range(root: Root, base: u32, length: u32) -> HashRange {
    HashRange {
        root,
        base,
        index: 0,
        length,
        proofs: 0,
    }
}
