//! Files by their names over HTTP (`/get`), with the real program: while they arrive, and by the
//! programs that people use.
//!
//! ```text
//! scene     a holder, and a peer whose gateway is asked
//! room      what is read takes room, and what is only asked about takes none
//! lying     holders of something else than they list
//! programs  curl, wget, pip; a player that seeks
//! ```

mod lying;
mod programs;
mod room;
mod scene;

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::process::Command;

use crate::support::process::poll;
use crate::support::{PATIENCE, skip};
use scene::{Answer, KIB, MIB, Scene, assert_harmless, assert_leads_on, bytes, send, status};

#[test]
fn any_part_of_a_file_is_the_files_while_it_arrives() {
    let length = 5 * MIB + 7;
    let film = bytes(length, 1);
    let scene = Scene::new(&[("films/film.mp4", &film)]);
    let head = scene.ask("HEAD", "/get/film.mp4", &[]);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, &*length.to_string())
    );
    assert_eq!(head.header("content-type"), "video/mp4");
    assert_eq!(head.header("accept-ranges"), "bytes");
    assert!(head.header("content-disposition").starts_with("inline"));
    assert!(head.body.is_empty());
    assert_harmless(&head);
    let part = scene.ask("HEAD", "/get/film.mp4", &[("Range", "bytes=0-9")]);
    assert_eq!(part.status, 200, "a part is asked for by GET only");
    let tag = head.header("etag").to_owned();
    assert_eq!(tag.len(), 66, "the root");
    // Leaves of 16 KiB, pieces of 256 KiB, reads of 512 KiB, and the end.
    let mut edges = vec![0, length];
    for unit in [16 * KIB, 256 * KIB, 512 * KIB, 3 * MIB + 16 * KIB, 5 * MIB] {
        edges.extend([unit - 1, unit, unit + 1]);
    }
    let mut parts = Vec::new();
    for (number, begin) in edges.iter().rev().enumerate() {
        for (other, end) in edges.iter().enumerate() {
            // From all over the file, so that what was read before is not where it is read next.
            if begin < end && (number + other) % 3 == 0 {
                parts.push((*begin, *end));
            }
        }
    }
    assert!(parts.len() > 30, "{}", parts.len());
    for (begin, end) in parts {
        let range = format!("bytes={begin}-{}", end - 1);
        let answer = scene.get("/get/films/film.mp4", &[("Range", &range)]);
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == film[begin..end], "{range}");
        let of = format!("bytes {begin}-{}/{length}", end - 1);
        assert_eq!(answer.header("content-range"), of);
        assert_eq!(answer.header("etag"), tag);
    }
    let whole = scene.get(
        "/get/film.mp4",
        &[("Range", "bytes=0-1"), ("If-Range", "\"x\"")],
    );
    assert!(whole.status == 200 && whole.body == film);
    let last = scene.get("/get/film.mp4", &[("Range", "bytes=-9")]);
    assert!(last.body == film[length - 9..]);
    let none = scene.get("/get/film.mp4", &[("Range", &format!("bytes={length}-"))]);
    assert_eq!(
        (none.status, none.header("content-range")),
        (416, &*format!("bytes */{length}"))
    );
    let known = scene.get("/get/film.mp4", &[("If-None-Match", &tag)]);
    assert_eq!((known.status, known.body.len()), (304, 0));
    let since = head.header("last-modified");
    assert_eq!(
        scene
            .get("/get/film.mp4", &[("If-Modified-Since", since)])
            .status,
        304
    );
    // Nothing of it is in the share, or listed.
    assert_eq!(fs::read_dir(scene.reader.share()).unwrap().count(), 0);
    assert_eq!(status(&scene.reader)["files"], 0);
    drop(scene.village);
}

#[test]
fn a_name_is_looked_up_as_by_any_get_and_what_is_wrong_is_said_by_a_status() {
    let files: [(&str, &[u8]); 7] = [
        ("a/x.txt", b"one"),
        ("b/x.txt", b"two"),
        ("a/evil.html", b"<script>fetch('/api/node')</script>"),
        ("a/evil.svg", b"<svg onload='alert(1)'/>"),
        ("a/.git/config", b"[core]"),
        ("a/deep/er/y z.txt", b"deep"),
        ("empty", b""),
    ];
    let scene = Scene::new(&files);
    for headers in [&[][..], &[("Authorization", "Bearer nonsense")]] {
        let answer = Answer::to(&scene.at, "GET", "/get/a/x.txt", headers);
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").starts_with("Basic"));
    }
    let answer = scene.get("/get/a/x.txt", &[]);
    assert_eq!((answer.status, &*answer.body), (200, &b"one"[..]));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(scene.get("/get/empty", &[]).body, b"");
    let answer = scene.get("/get/deep/er/y%20z.txt", &[]);
    assert_eq!(
        answer.status,
        404,
        "no name is half a path: {}",
        answer.text()
    );
    assert_eq!(scene.get("/get/y%20z.txt", &[]).body, b"deep");
    assert_eq!(scene.get("/get/nothing", &[]).status, 404);
    assert_eq!(scene.get("/get/a/x.txt?from=nobody", &[]).status, 404);
    assert_eq!(scene.get("/get/a/x.txt?from=oak", &[]).status, 200);

    let several = scene.get("/get/x.txt", &[("Accept", "application/json")]);
    assert_eq!(several.status, 300);
    let variants = several.json()["variants"].as_array().unwrap().clone();
    assert_eq!(variants.len(), 2);
    for variant in variants {
        let one = scene.get(variant["url"].as_str().unwrap(), &[]);
        let expected = if variant["name"] == "a/x.txt" {
            "one"
        } else {
            "two"
        };
        assert_eq!((one.status, one.text().as_str()), (200, expected));
    }
    let several = scene.get("/get/x.txt", &[]);
    assert!(several.status == 300 && several.text().contains("?root="));
    assert_leads_on(&several);
    let of_oak = scene.get("/get/x.txt?from=oak", &[]).text();
    assert!(of_oak.contains("&amp;from=oak\""), "{of_oak}");

    for (name, shown) in [("evil.html", "text/html"), ("evil.svg", "image/svg+xml")] {
        let answer = scene.get(&format!("/get/a/{name}"), &[]);
        assert_eq!((answer.status, answer.header("content-type")), (200, shown));
        assert!(
            answer
                .header("content-disposition")
                .starts_with("attachment"),
            "{name}"
        );
        assert_harmless(&answer);
    }
    assert_eq!(scene.get("/get/a/.git/config", &[]).text(), "[core]");
    assert_eq!(
        scene.get("/get/config", &[]).status,
        300,
        "it is offered, and not taken"
    );
    for path in [
        "/get/../x",
        "/get/a/%2e%2e/x",
        "/get/a%2Fx.txt",
        "/get/a%00",
        "/get/a//x.txt",
    ] {
        let answer = scene.get(path, &[]);
        assert_eq!(answer.status, 400, "{path}");
    }
    assert_eq!(scene.ask("POST", "/get/a/x.txt", &[]).status, 405);
}

#[test]
fn folders_are_listed_for_browsers_and_programs_and_packed() {
    let large = bytes(MIB, 2);
    let files: [(&str, &[u8]); 5] = [
        ("a/x.txt", b"one"),
        ("a/deep/er/y z.txt", b"deep"),
        ("a/large", &large),
        ("a/.hidden", b"no"),
        ("b", b"b"),
    ];
    let scene = Scene::new(&files);
    let answer = scene.get("/get/a", &[]);
    assert_eq!((answer.status, answer.header("location")), (301, "/get/a/"));
    let of_oak = scene.get("/get/a?from=oak", &[]);
    assert_eq!(of_oak.header("location"), "/get/a/?from=oak");
    let of_oak = scene.get("/get/a/?from=oak", &[]).text();
    assert!(of_oak.contains("href=\"./deep/?from=oak\""), "{of_oak}");
    let html = scene.get("/get/a/", &[]);
    assert_eq!(
        (html.status, html.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(html.text().contains("href=\"./deep/\"") && html.text().contains("href=\"./x.txt\""));
    assert!(!html.text().contains("<script") && html.text().contains("1 hidden"));
    assert_leads_on(&html);
    let json = scene
        .get("/get/a/", &[("Accept", "application/json")])
        .json();
    assert_eq!(json["hidden"], 1);
    assert_eq!(json["folders"][0]["name"], "deep");
    let names: Vec<&str> = json["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|file| file["name"].as_str())
        .collect();
    assert_eq!(names, ["large", "x.txt"]);
    assert_eq!(
        scene.get("/get/", &[("Accept", "application/json")]).json()["files"][0]["name"],
        "b"
    );
    assert_eq!(scene.get("/get/nowhere/", &[]).status, 404);

    let beneath = scene.get("/get/a/deep/", &[]);
    assert!(beneath.text().contains("href=\"./er/\""));
    assert!(
        !beneath.header("age").is_empty(),
        "it is told how old it is"
    );
    let head = scene.ask("HEAD", "/get/a/?zip", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, ""));

    let to = scene.village.node("to").share();
    for (query, archive, unpack) in [
        ("zip", "a.zip", &["unzip", "-q", "a.zip", "-d", "zip"][..]),
        (
            "tar",
            "a.tar",
            &["tar", "--one-top-level=tar", "-xf", "a.tar"],
        ),
    ] {
        let answer = scene.get(&format!("/get/a/?{query}"), &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.is_whole);
        assert!(
            answer
                .header("content-disposition")
                .contains(&archive.replace('.', "%2E"))
        );
        assert_harmless(&answer);
        fs::write(to.join(archive), &answer.body).unwrap();
        let unpacked = Command::new(unpack[0])
            .args(&unpack[1..])
            .current_dir(&to)
            .status();
        let Ok(unpacked) = unpacked else {
            skip(
                "folders_are_listed_for_browsers_and_programs_and_packed",
                unpack[0],
            );
            continue;
        };
        assert!(unpacked.success(), "{query}");
        let to = to.join(query).join("a");
        assert_eq!(fs::read(to.join("x.txt")).unwrap(), b"one");
        assert_eq!(fs::read(to.join("deep/er/y z.txt")).unwrap(), b"deep");
        assert!(fs::read(to.join("large")).unwrap() == large);
        assert!(!to.join(".hidden").exists());
    }
    assert_eq!(scene.get("/get/nowhere/?zip", &[]).status, 404);
}

#[test]
fn what_breaks_off_after_the_headers_breaks_the_connection() {
    let film = bytes(300 * MIB, 3);
    let mut scene = Scene::new(&[("film.mkv", &film)]);
    let bearer = format!("Bearer {}", scene.token);
    let asked = [("Authorization", &*bearer)];
    let mut stream = send(&scene.at, "GET", "/get/film.mkv", &asked);
    let mut all = vec![0; 64 * KIB];
    stream.read_exact(&mut all).unwrap();
    scene.running.remove(1).signal("KILL");
    let _ = stream.read_to_end(&mut all);
    let answer = Answer::of("GET", &all);
    assert!(
        answer.status == 200 && !answer.is_whole,
        "{}",
        answer.body.len()
    );
    assert!(film.starts_with(&answer.body), "what has come is right");
    let later = scene.get("/get/film.mkv", &[("Range", "bytes=314000000-")]);
    assert!(
        [404, 503].contains(&later.status),
        "{}: {}",
        later.status,
        later.text()
    );
}

#[test]
fn readers_that_read_nothing_leave_room_and_are_bounded() {
    let film = bytes(20 * MIB, 4);
    let scene = Scene::new(&[("film.mkv", &film)]);
    let bearer = format!("Bearer {}", scene.token);
    let asked = [("Authorization", &*bearer)];
    let stuck: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut stream = send(&scene.at, "GET", "/get/film.mkv", &asked);
            stream.read_exact(&mut [0; KIB]).unwrap();
            stream
        })
        .collect();
    let busy = scene.get("/get/film.mkv", &[]);
    assert_eq!(busy.status, 503, "{}", busy.text());
    assert!(!busy.header("retry-after").is_empty());
    drop(stuck);
    poll("a stream to be free", PATIENCE, || {
        let answer = scene.get("/get/film.mkv", &[]);
        (answer.status == 200 && answer.body == film).then_some(())
    });
}

#[test]
fn the_token_opens_nothing_but_what_is_read() {
    let scene = Scene::new(&[("x", b"x")]);
    let (holder, _) = (status(&scene.holder), status(&scene.reader));
    assert!(
        holder["page"]
            .as_str()
            .is_some_and(|page| page.starts_with("http://127.0.0.1:"))
    );
    assert_eq!(scene.get("/api/node", &[]).status, 403);
    // The token of another node is none here.
    let other = fs::read_to_string(holder["token_file"].as_str().unwrap()).unwrap();
    let bearer = format!("Bearer {}", other.trim());
    let answer = Answer::to(&scene.at, "GET", "/get/x", &[("Authorization", &bearer)]);
    assert_eq!(answer.status, 401);
    for (name, value) in [
        ("Origin", "http://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
    ] {
        assert_eq!(scene.get("/get/x", &[(name, value)]).status, 403, "{name}");
    }
}
