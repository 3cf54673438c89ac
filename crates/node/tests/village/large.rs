//! Files in pieces: from one, from many, after an interruption.

use super::support::{Village, bytes, files_in, read};

const PIECE: usize = 256 * 1024;

/// Around every boundary: the longest small file and the first large one, a
/// piece, several, and many.
const LENGTHS: [usize; 8] = [
    PIECE,
    PIECE + 1,
    2 * PIECE - 1,
    2 * PIECE,
    2 * PIECE + 1,
    3 * PIECE - 16_384,
    5 * 1024 * 1024,
    5 * 1024 * 1024 + 1,
];

fn files() -> Vec<(String, Vec<u8>)> {
    let file = |length: usize| (format!("{length}"), bytes(length as u64, length));
    LENGTHS.into_iter().map(file).collect()
}

fn slices(files: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    files
        .iter()
        .map(|(name, bytes)| (&**name, &**bytes))
        .collect()
}

#[tokio::test]
async fn files_of_every_length_around_the_boundaries_come_from_one_holder() {
    let village = Village::new().await;
    let files = files();
    let oak = village.peer("oak", &slices(&files)).await;
    let elm = village.peer("elm", &[]).await;
    for (name, bytes) in &files {
        let answer = elm.get_name(name).await;
        let fetched = answer.only_fetched();
        assert_eq!(fetched.received, bytes.len() as u64);
        assert_eq!(fetched.sources.len(), 1);
        assert_eq!(fetched.sources[0].name.as_deref(), Some("oak"));
        assert!(read(&elm.dir, name) == *bytes, "{name}");
    }
    assert!(files_in(&elm.dir) == files_in(&oak.dir), "and nothing else");
    village.lists("elm", files.len()).await;
    elm.has_neighbour("oak").await;
}
