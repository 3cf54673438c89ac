//! The programs that people use: curl, wget, pip; and a player that seeks.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::scene::{KIB, MIB, Scene, bytes, status};
use crate::support::process::poll;
use crate::support::{self, Net, PATIENCE, Village, skip};

#[test]
fn curl_and_wget_read_files_with_the_token_of_a_netrc() {
    let test = "curl_and_wget_read_files_with_the_token_of_a_netrc";
    let film = bytes(3 * MIB, 5);
    let scene = Scene::new(&[
        ("site/film.mkv", &film),
        ("site/a/b.txt", b"b"),
        ("site/ü &.txt", b"u"),
    ]);
    let netrc = scene.netrc();
    let to = scene.village.node("to").share();
    let url = scene.url("/get/film.mkv");
    let curl = |args: &[&str]| {
        let mut command = Command::new("curl");
        command
            .args(["-sSf", "--netrc-file"])
            .arg(&netrc)
            .args(args);
        command.current_dir(&to).output()
    };
    let Ok(output) = curl(&[&url]) else {
        return skip(test, "curl");
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stdout == film);
    let part = curl(&["-r", "1000000-1000009", &url]).unwrap();
    assert_eq!(part.stdout, film[1_000_000..1_000_010]);
    // What was interrupted goes on.
    fs::write(to.join("half"), &film[..MIB]).unwrap();
    assert!(
        curl(&["-C", "-", "-o", "half", &url])
            .unwrap()
            .status
            .success()
    );
    assert!(fs::read(to.join("half")).unwrap() == film);
    let missing = curl(&[&scene.url("/get/nothing")]).unwrap();
    assert_eq!(missing.status.code(), Some(22), "404");

    let home = netrc.with_file_name(".netrc");
    fs::rename(&netrc, home).unwrap();
    let site = scene.url("/get/site/");
    let mut wget = Command::new("wget");
    wget.args([
        "-q",
        "-r",
        "-np",
        "-nH",
        "--cut-dirs=1",
        "-R",
        "index.html*",
        &site,
    ]);
    wget.env("HOME", scene.reader.state())
        .env("LC_ALL", "C.UTF-8");
    let Ok(status) = wget.current_dir(&to).status() else {
        return skip(test, "wget");
    };
    assert!(status.success(), "{status}");
    assert!(fs::read(to.join("site/film.mkv")).unwrap() == film);
    assert_eq!(fs::read(to.join("site/a/b.txt")).unwrap(), b"b");
    assert_eq!(fs::read(to.join("site/ü &.txt")).unwrap(), b"u");
}

#[test]
fn pip_installs_a_package_from_a_shared_index() {
    let test = "pip_installs_a_package_from_a_shared_index";
    let made = tempfile::tempdir().unwrap();
    let Some(wheel) = wheel(made.path()) else {
        return skip(test, "python3");
    };
    let name = "acorn-1.0-py3-none-any.whl";
    let scene = Scene::new(&[(&format!("simple/acorn/{name}"), &wheel)]);
    let to = scene.village.node("to").share();
    let (host, _) = scene.at.split_once(':').unwrap();
    let index = format!("http://thorp:{}@{}/get/simple/", scene.token, scene.at);
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--disable-pip-version-check",
    ]);
    pip.args([
        "--no-cache-dir",
        "--trusted-host",
        host,
        "--index-url",
        &index,
    ]);
    pip.args(["--target", "installed", "acorn"])
        .current_dir(&to)
        .env("PIP_CONFIG_FILE", "/dev/null");
    let output = pip.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("No module named pip") {
        return skip(test, "pip");
    }
    assert!(output.status.success(), "{said}");
    assert_eq!(
        fs::read_to_string(to.join("installed/acorn.py")).unwrap(),
        "OAK = 1\n"
    );
}

/// A package as pip installs it.
fn wheel(dir: &Path) -> Option<Vec<u8>> {
    let script = "import zipfile\n\
        z = zipfile.ZipFile('w.whl', 'w')\n\
        z.writestr('acorn.py', 'OAK = 1\\n')\n\
        i = 'acorn-1.0.dist-info/'\n\
        z.writestr(i + 'METADATA', 'Metadata-Version: 2.1\\nName: acorn\\nVersion: 1.0\\n')\n\
        z.writestr(i + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        z.writestr(i + 'RECORD', 'acorn.py,,\\n' + i + 'METADATA,,\\n' + i + 'WHEEL,,\\n' + i + 'RECORD,,\\n')\n\
        z.close()\n";
    let made = Command::new("python3")
        .args(["-c", script])
        .current_dir(dir)
        .status();
    made.ok().filter(std::process::ExitStatus::success)?;
    fs::read(dir.join("w.whl")).ok()
}

#[test]
#[ignore = "makes a file of 3 GiB: for a release build"]
fn a_seek_to_the_end_of_a_film_answers_within_a_second_of_a_round_trip() {
    const GIB: u64 = 1 << 30;
    let test = "a_seek_to_the_end_of_a_film_answers_within_a_second_of_a_round_trip";
    let [host, holds, reads] = [1, 2, 3].map(|last| Ipv4Addr::new(192, 168, 198, last));
    let Some(net) = Net::new(test, &[host, holds, reads]) else {
        return;
    };
    for address in [host, holds, reads] {
        net.limit(address, "100mbit");
    }
    let village = Village::new();
    let tracker = village.node("tracker").on(net.host(host));
    let serving = tracker.start(&["tracker", "--open", "--lines"]);
    support::village::listening(&serving);
    let (holder, reader) = (
        village.node("oak").on(net.host(holds)),
        village.node("elm").on(net.host(reads)),
    );
    let film = fs::File::create(holder.share().join("film.mkv")).unwrap();
    let length = 3 * GIB + 5;
    film.set_len(length).unwrap();
    for at in (0..length).step_by(16 * KIB) {
        film.write_at(&(at + 1).to_be_bytes(), at).unwrap();
    }
    let tracker = format!("{host}:3333");
    let _sharing = holder.start_sharing(&tracker, "[::]:3334");
    poll("the film to be hashed", Duration::from_mins(5), || {
        let status = status(&holder);
        (status["files"] == 1 && status["unhashed"] == 0).then_some(())
    });
    let _reading = reader.start_sharing(&tracker, "[::]:3334");
    let status = status(&reader);
    let page = status["page"].as_str().unwrap();
    let token = fs::read_to_string(status["token_file"].as_str().unwrap()).unwrap();
    let curl = |args: &[&str]| {
        let mut curl = net.host(reads).command("curl");
        curl.args(["-sSf", "-u", &format!("thorp:{}", token.trim())])
            .args(args);
        curl.arg(format!("{page}get/film.mkv"));
        curl
    };
    // One reads from the start, as fast as the link gives it.
    let mut playing = curl(&["-o", "/dev/null"]).spawn().unwrap();
    poll("the film to come", PATIENCE, || {
        let (_, events) = reader.json(&["status"]);
        let received = events.first()?["received"].as_u64()?;
        (received > 40_000_000).then_some(())
    });
    for begin in [
        length - 1_000_000,
        GIB + 7,
        2 * GIB + 12_345,
        length - 300_000_000,
    ] {
        let range = format!("{begin}-{}", begin + 999_999);
        let write = "%{time_starttransfer} %{time_total} %{size_download}";
        let output = curl(&["-r", &range, "-o", "/dev/null", "-w", write])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let said = String::from_utf8(output.stdout).unwrap();
        let figures: Vec<f64> = said
            .split(' ')
            .map(|figure| figure.parse().unwrap())
            .collect();
        eprintln!(
            "{range}: first byte after {:.3} s, all of 1 MB after {:.3} s",
            figures[0], figures[1]
        );
        assert!(
            figures[1] < 1.0 && figures[2] > 999_999.0,
            "{range}: {said}"
        );
    }
    assert!(playing.try_wait().unwrap().is_none(), "it still plays");
    playing.kill().unwrap();
    playing.wait().unwrap();
}
