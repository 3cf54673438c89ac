//! What is read takes room in a cache that is bounded, and what is only asked about takes none.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpStream;

use super::scene::{KIB, MIB, Scene, send, status};
use crate::support::process::poll;
use crate::support::{Node, PATIENCE};

/// Files of zeros, each another content.
fn films(node: &Node, films: &[(&str, usize)]) -> usize {
    for (number, (name, length)) in films.iter().enumerate() {
        node.file(name, "");
        let file = File::create(node.share().join(name)).unwrap();
        file.set_len((length + number) as u64).unwrap();
    }
    films.len()
}

/// Begins to read a film, and reads no further.
fn watched(scene: &Scene, name: &str) -> TcpStream {
    let bearer = format!("Bearer {}", scene.token);
    let path = format!("/get/{name}");
    let mut stream = send(&scene.at, "GET", &path, &[("Authorization", &*bearer)]);
    let mut begun = vec![0; 64 * KIB];
    stream.read_exact(&mut begun).unwrap();
    assert!(begun.starts_with(b"HTTP/1.1 200 OK"));
    stream
}

#[test]
fn a_question_about_a_file_fetches_nothing_of_it() {
    let (small, film) = (vec![1; 100 * KIB], vec![2; MIB]);
    let scene = Scene::new(&[("small.txt", &small), ("film.mkv", &film)]);
    for name in ["small.txt", "film.mkv"] {
        let path = format!("/get/{name}");
        let head = scene.ask("HEAD", &path, &[]);
        assert_eq!(head.status, 200);
        let tag = head.header("etag");
        for (header, value, answered) in [
            ("If-None-Match", tag, 304),
            ("If-Modified-Since", head.header("last-modified"), 304),
            ("If-Match", "\"x\"", 412),
            ("Range", "bytes=99999999-", 416),
        ] {
            let answer = scene.get(&path, &[(header, value)]);
            assert_eq!(answer.status, answered, "{name}, {header}");
        }
    }
    let come = || {
        let figures = scene.get("/metrics", &[]).text();
        let come = |line: &&str| line.contains("_file_bytes_total{direction=\"received\"}");
        let come = figures.lines().filter(come).map(|line| {
            let (_, bytes) = line.rsplit_once(' ').unwrap();
            bytes.parse::<usize>().unwrap()
        });
        come.sum::<usize>()
    };
    assert_eq!(come(), 0);
    assert_eq!(scene.reader.neighbours().len(), 0, "no holder was dialled");
    assert_eq!(scene.get("/get/small.txt", &[]).status, 200);
    assert_eq!(come(), 100 * KIB);
}

#[test]
fn a_film_that_nobody_reads_any_more_makes_room_and_one_that_is_read_does_not() {
    let scene = Scene::with("[read]\ncache_mib = 300\n", |holder| {
        films(holder, &[("one.mkv", 200 * MIB), ("two.mkv", 200 * MIB)])
    });
    let one = watched(&scene, "one.mkv");
    let part = [("Range", "bytes=0-9")];
    let refused = scene.get("/get/two.mkv", &part);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(scene.ask("HEAD", "/get/two.mkv", &[]).status, 200);
    drop(one);
    // That its reader has gone is seen when it is written to next.
    poll("the room to be free", PATIENCE, || {
        (scene.get("/get/two.mkv", &part).status == 206).then_some(())
    });
}

#[test]
fn what_can_never_be_read_is_said_before_an_archive_begins() {
    let scene = Scene::with("[read]\ncache_mib = 2\n", |holder| {
        films(holder, &[("films/a.txt", 10), ("films/long.mkv", 3 * MIB)])
    });
    for path in ["/get/films/long.mkv", "/get/films/?zip", "/get/films/?tar"] {
        let answer = scene.get(path, &[]);
        assert_eq!(answer.status, 507, "{path}: {}", answer.text());
        assert!(answer.json()["error"]["message"].is_string());
    }
    // What this peer shares is read from where it is.
    let long = fs::read(scene.holder.share().join("films/long.mkv")).unwrap();
    scene.reader.file("films/long.mkv", long);
    poll("the own copy to be hashed", PATIENCE, || {
        let status = status(&scene.reader);
        (status["files"] == 1 && status["unhashed"] == 0).then_some(())
    });
    poll("the archive to be sent", PATIENCE, || {
        let answer = scene.get("/get/films/?tar", &[]);
        (answer.status == 200 && answer.is_whole && answer.body.len() > 3 * MIB).then_some(())
    });
}
