#!/usr/bin/env python3
"""Plays real BitTorrent clients that seed torrents of their own making, which thorp fetches.

    torrent-clients.py PROGRAM DIRECTORY

Needs the libtorrent module, aria2c, transmission-cli and transmission-create. A group whose tracker
serves any torrent, and a peer that serves its share to clients. libtorrent makes torrents of v1, of
v2 and hybrid ones, of one file and of a folder, and seeds them; aria2 and Transmission seed v1
torrents. Each is fetched from its torrent or its magnet link, by the peer into its share or by a
visitor, and all bytes are compared. Prints a line for each, and fails if one does not come.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

import libtorrent as lt

from ordinary import ARIA, PATIENCE, TRANSMISSION, filled_in, is_same, session, wait
from ordinary import write_transmission_settings

PROGRAM, DIRECTORY = sys.argv[1:]
STATES = [os.path.join(DIRECTORY, of) for of in ("tracker", "peer")]
SHARED = os.path.join(DIRECTORY, "shared")
KIB = 1024
ONE = {"": 300 * KIB + 1}
FOLDER = {"a/one.bin": 700 * KIB + 1, "b.bin": 1, "c/d/two.bin": 100 * KIB, "z.bin": 64 * KIB}
# Transmission leaves out what is empty.
WITH_EMPTY = FOLDER | {"c/d/none": 0}
V1, V2, HYBRID = lt.create_torrent.v1_only, lt.create_torrent.v2_only, 0
# Who seeds what, with which pieces, who fetches, and by what.
PLAYS = [
    ("libtorrent", "v1", V1, ONE, 16, "peer", "torrent"),
    ("libtorrent", "v1", V1, FOLDER, 16, "peer", "magnet"),
    ("libtorrent", "v2", V2, FOLDER, 16, "visitor", "magnet"),
    ("libtorrent", "hybrid", HYBRID, FOLDER, 32, "peer", "magnet"),
    ("aria2", "v1", V1, ONE, 16, "visitor", "magnet"),
    ("Transmission", "v1", V1, FOLDER, 32, "visitor", "magnet"),
    ("libtorrent", "v1", V1, WITH_EMPTY, 32, "visitor", "torrent"),
    ("libtorrent", "v2", V2, ONE, 16, "visitor", "torrent"),
    ("libtorrent", "v2", V2, WITH_EMPTY, 64, "peer", "torrent"),
    ("libtorrent", "hybrid", HYBRID, ONE, 64, "peer", "torrent"),
    ("libtorrent", "hybrid", HYBRID, WITH_EMPTY, 16, "visitor", "torrent"),
    ("aria2", "v1", V1, FOLDER, 128, "peer", "torrent"),
    ("Transmission", "v1", V1, FOLDER, 32, "peer", "torrent"),
]


def thorp(verb, *args, state):
    return [PROGRAM, verb, "--state", state, *args]


def start(what, verb, *args, state):
    process = subprocess.Popen(thorp(verb, "--lines", "--listen", "[::]:0", *args, state=state),
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    overdue = threading.Timer(PATIENCE, process.kill)
    overdue.start()
    for line in process.stdout:
        if found := re.match(what, line.strip()):
            overdue.cancel()
            return process, found
    sys.exit(f"thorp {verb} did not say that it is ready")


def make_files(number, files):
    """Makes what is seeded. Returns its directory and its name there."""
    name = f"{number}.data"
    seeds = os.path.join(DIRECTORY, f"seeds{number}")
    for path, size in files.items():
        path = os.path.join(seeds, name, path) if path else os.path.join(seeds, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(os.urandom(size))
    return seeds, name


def make_torrent(number, seeds, name, flags, piece, announce):
    maker = lt.create_torrent(lt.list_files(os.path.join(seeds, name)), piece_size=piece * KIB,
                              flags=flags)
    maker.add_tracker(announce)
    lt.set_piece_hashes(maker, seeds)
    path = os.path.join(DIRECTORY, f"{number}.torrent")
    with open(path, "wb") as file:
        file.write(lt.bencode(maker.generate()))
    return path


def transmission_torrent(number, seeds, name, piece, announce):
    path = os.path.join(DIRECTORY, f"{number}.torrent")
    subprocess.run(["transmission-create", "-o", path, "-t", announce, "-s", str(piece),
                    os.path.join(seeds, name)], check=True, stdout=subprocess.DEVNULL)
    return path


def seed_by_program(command, metainfo, seeds):
    home = os.path.join(seeds, "home")
    os.makedirs(home)
    write_transmission_settings(os.path.join(home, "config"))
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env={**os.environ, "HOME": home})


def seed(client, metainfo, seeds):
    """Begins to seed. Returns how to end that."""
    if client == "libtorrent":
        seeder = session()
        wanted = lt.load_torrent_file(metainfo)
        wanted.save_path = seeds
        seeding = seeder.add_torrent(wanted)
        wait(f"{metainfo}: seeds", lambda: seeding.status().is_seeding)
        return lambda: seeder.remove_torrent(seeding)
    if client == "aria2":
        command = filled_in(ARIA, metainfo, seeds)
        command = [part for part in command if not part.startswith("--seed-time")]
        command[1:1] = ["--seed-ratio=0.0", "--check-integrity=true"]
    else:
        command = filled_in(TRANSMISSION, metainfo, seeds)
        command = [part for part in command if not part.startswith("--config-dir")]
        command[1:1] = [f"--config-dir={seeds}/home/config"]
    process = seed_by_program(command, metainfo, seeds)

    def end():
        process.terminate()
        process.wait()
    return end


def is_announced(metainfo, at):
    """Whether the tracker knows a seeder. One that comes later is heard of an interval later."""
    hashes = lt.load_torrent_file(metainfo).info_hashes
    info_hash = hashes.v1 if hashes.has_v1() else hashes.v2
    query = urllib.parse.quote(info_hash.to_bytes()[:20])
    with urllib.request.urlopen(f"http://{at}/scrape?info_hash={query}") as answer:
        return b"8:completei1e" in answer.read()


def play(number, at, said):
    client, version, flags, files, piece, who, by = PLAYS[number]
    what = f"{client}, {version}, {'a file' if files is ONE else 'a folder'}, {by}, {who}"
    begun = time.monotonic()
    announce = f"http://{at}/announce"
    try:
        seeds, name = make_files(number, files)
        make = (seeds, name, piece, announce)
        if client == "Transmission":
            metainfo = transmission_torrent(number, *make)
        else:
            metainfo = make_torrent(number, seeds, name, flags, piece, announce)
        end = seed(client, metainfo, seeds)
        wait(f"{metainfo}: is announced", lambda: is_announced(metainfo, at))
        said[number] = fetched(number, metainfo, seeds, name, at)
        end()
    except (SystemExit, subprocess.SubprocessError, OSError, RuntimeError) as error:
        said[number] = f"{type(error).__name__}: {error}"
    taken = f"{time.monotonic() - begun:.1f} s"
    print(f"{what}: {said[number] or taken}\n", end="", flush=True)


def fetched(number, metainfo, seeds, name, at):
    """Fetches, and returns what is wrong with what has come."""
    _, _, _, files, _, who, by = PLAYS[number]
    source = metainfo
    if by == "magnet":
        source = lt.make_magnet_uri(lt.load_torrent_file(metainfo))
    to, state, where = SHARED, STATES[1], []
    if who == "visitor":
        to = os.path.join(DIRECTORY, f"got{number}")
        os.makedirs(to)
        state = os.path.join(DIRECTORY, f"visitor{number}")
        where = ["-o", to, "--tracker", at]
    get = thorp("get", source, "--json", f"--wait={PATIENCE}s", *where, state=state)
    done = subprocess.run(get, capture_output=True, text=True, timeout=2 * PATIENCE)
    if done.returncode != 0:
        events = [line for line in done.stdout.splitlines() if '"event":"progress"' not in line]
        return f"thorp get ends with {done.returncode}: {events}{done.stderr}"
    for path in files:
        there, seeded = (os.path.join(of, name, path) if path else os.path.join(of, name)
                         for of in (to, seeds))
        if not is_same(there, seeded):
            return f"{there} has other bytes"
    events = [json.loads(line) for line in done.stdout.splitlines()]
    names = sorted(event["name"] for event in events if event["event"] == "fetched")
    wanted = sorted(f"{name}/{path}" if path else name for path in files)
    return None if names == wanted else f"it told of {names}"


def main():
    os.makedirs(SHARED)
    tracker, port = start(r"Listening on .*:(\d+)$", "tracker", "--open", "--bittorrent=any",
                          state=STATES[0])
    at = f"127.0.0.1:{port.group(1)}"
    peer, _ = start(r"Sharing ", "share", SHARED, "--bittorrent", "--tracker", at, state=STATES[1])
    said = {}
    try:
        players = [threading.Thread(target=play, args=(number, at, said))
                   for number in range(len(PLAYS))]
        for player in players:
            player.start()
        for player in players:
            player.join()
    finally:
        for process in (peer, tracker):
            process.send_signal(signal.SIGTERM)
            process.wait()
    failed = [number for number in range(len(PLAYS)) if said.get(number, "it died") is not None]
    if failed:
        sys.exit(f"{len(failed)} of {len(PLAYS)} failed")


main()
