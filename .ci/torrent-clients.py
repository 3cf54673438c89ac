#!/usr/bin/env python3
"""Plays real BitTorrent clients that seed torrents of their own making, which thorp fetches.

    torrent-clients.py PROGRAM DIRECTORY

Needs root, ip, unshare, the libtorrent module, aria2c, transmission-cli and transmission-create. A
group whose tracker serves any torrent, a peer that serves its share to clients, and the tracker of
another group, all on one host, and the clients on another. libtorrent makes torrents of v1, of v2 and hybrid
ones, of one file and of a folder, and seeds them; aria2 and Transmission seed v1 torrents. Each is
fetched from its torrent or its magnet link, by the peer into its share or by a visitor, who ask its
tracker over HTTP or UDP; all bytes are compared. Prints a line for each, and fails if one does not
come.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections import namedtuple

import libtorrent as lt

from ordinary import (
    ARIA, PATIENCE, THERE, THERE_TOO, TRANSMISSION, filled_in, session, two_hosts, wait,
    write_transmission_settings,
)

ON_ITS_HOST = two_hosts()
PROGRAM, DIRECTORY = sys.argv[1:]
STATES = [os.path.join(DIRECTORY, of) for of in ("tracker", "peer", "other")]
SHARED = os.path.join(DIRECTORY, "shared")
KIB = 1024
MIB = 1024 * KIB
ONE = {"": 300 * KIB + 1}
BYTE, LEAF, FIVE, BIG = {"": 1}, {"": 16 * KIB + 1}, {"": 5 * MIB + 1}, {"": 200 * MIB}
# Three pieces of 16 MiB, the last of which is short.
LONG = {"": 40 * MIB + 1}
FOLDER = {"a/one.bin": 700 * KIB + 1, "b.bin": 1, "c/d/two.bin": 100 * KIB, "z.bin": 64 * KIB}
# Transmission leaves out what is empty.
WITH_EMPTY = FOLDER | {"c/d/none": 0}
FLAGS = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}
# Who seeds what, with pieces of so many KiB, who fetches, by what, and how the client is heard of:
# from the group's tracker over HTTP or over UDP ("own udp"), or from the other group's over UDP.
Play = namedtuple("Play", "client version files piece who by over")
PLAYS = [
    Play("libtorrent", "v1", ONE, 16, "peer", "torrent", "http"),
    Play("libtorrent", "v1", FOLDER, 16, "peer", "magnet", "http"),
    Play("libtorrent", "v2", FOLDER, 16, "visitor", "magnet", "http"),
    Play("libtorrent", "hybrid", FOLDER, 32, "peer", "magnet", "http"),
    Play("aria2", "v1", ONE, 16, "visitor", "magnet", "http"),
    Play("Transmission", "v1", FOLDER, 32, "visitor", "magnet", "http"),
    Play("libtorrent", "v1", WITH_EMPTY, 32, "visitor", "torrent", "http"),
    Play("libtorrent", "v2", ONE, 16, "visitor", "torrent", "http"),
    Play("libtorrent", "v2", WITH_EMPTY, 64, "peer", "torrent", "http"),
    Play("libtorrent", "hybrid", ONE, 64, "peer", "torrent", "http"),
    Play("libtorrent", "hybrid", WITH_EMPTY, 16, "visitor", "torrent", "http"),
    Play("aria2", "v1", FOLDER, 128, "peer", "torrent", "http"),
    Play("Transmission", "v1", FOLDER, 32, "peer", "torrent", "http"),
    # Among these twelve each client and version meets each length, fetcher, way and tracker, and
    # each of those meets each of the others.
    Play("libtorrent", "v1", BYTE, 16, "peer", "torrent", "udp"),
    Play("libtorrent", "v1", LEAF, 16, "visitor", "magnet", "http"),
    Play("libtorrent", "v1", FIVE, 16, "peer", "magnet", "http"),
    Play("libtorrent", "v2", BYTE, 16, "visitor", "magnet", "http"),
    Play("libtorrent", "v2", LEAF, 16, "peer", "torrent", "http"),
    Play("libtorrent", "v2", FIVE, 64, "visitor", "torrent", "udp"),
    Play("aria2", "v1", BYTE, 16, "visitor", "magnet", "http"),
    Play("aria2", "v1", LEAF, 16, "visitor", "torrent", "udp"),
    Play("aria2", "v1", FIVE, 64, "peer", "magnet", "udp"),
    Play("Transmission", "v1", BYTE, 32, "peer", "magnet", "http"),
    Play("Transmission", "v1", LEAF, 32, "peer", "magnet", "udp"),
    Play("Transmission", "v1", FIVE, 32, "visitor", "torrent", "udp"),
    Play("libtorrent", "v2", BIG, 256, "visitor", "magnet", "udp"),
    Play("aria2", "v1", BIG, 256, "peer", "torrent", "http"),
    Play("libtorrent", "v1", LONG, 16 * KIB, "peer", "torrent", "udp"),
    Play("libtorrent", "v2", LONG, 16 * KIB, "visitor", "magnet", "http"),
    Play("libtorrent", "v1", ONE, 16, "visitor", "torrent", "own udp"),
]


def thorp(verb, *args, state):
    return [*ON_ITS_HOST, PROGRAM, verb, "--state", state, *args]


def start(what, verb, *args, state):
    process = subprocess.Popen(thorp(verb, "--lines", "--listen", "[::]:0", *args, state=state),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    overdue = threading.Timer(PATIENCE, process.kill)
    overdue.start()
    said = []
    for line in process.stdout:
        said.append(line.strip())
        if found := re.match(what, line.strip()):
            overdue.cancel()
            # So that it never waits for somebody who reads.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, found
    # It may live on without its output, and is killed then.
    code = process.wait()
    overdue.cancel()
    sys.exit(f"thorp {verb} has ended with {code}, or was killed after {PATIENCE} s: "
             f"a line {what!r} was expected, and it said {said}")


def end(process):
    """Ends a process. Returns what is wrong with how it ended."""
    process.terminate()
    try:
        code = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"{process.args} goes on for {PATIENCE} s after SIGTERM"
    return f"{process.args} ended with {code}, not with 0" if code != 0 else None


def make_files(number, files):
    """Makes what is seeded. Returns its directory and its name there."""
    name = f"{number}.data"
    seeds = os.path.join(DIRECTORY, f"seeds{number}")
    for path, size in files.items():
        path = os.path.join(seeds, name, path) if path else os.path.join(seeds, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            for begin in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - begin)))
    return seeds, name


def make_torrent(number, seeds, name, announce):
    play = PLAYS[number]
    maker = lt.create_torrent(lt.list_files(os.path.join(seeds, name)),
                              piece_size=play.piece * KIB, flags=FLAGS[play.version])
    maker.add_tracker(announce)
    # Else the group's tracker would be asked over HTTP, too.
    maker.set_priv(play.over == "own udp")
    lt.set_piece_hashes(maker, seeds)
    path = os.path.join(DIRECTORY, f"{number}.torrent")
    with open(path, "wb") as file:
        file.write(lt.bencode(maker.generate()))
    return path


def transmission_torrent(number, seeds, name, announce):
    path = os.path.join(DIRECTORY, f"{number}.torrent")
    subprocess.run(["transmission-create", "-o", path, "-t", announce, "-s",
                    str(PLAYS[number].piece), os.path.join(seeds, name)],
                   check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
    return path


def seed(client, metainfo, seeds):
    """Begins to seed. Returns what tells whether that has failed, and what ends it."""
    if client == "libtorrent":
        return seed_by_libtorrent(metainfo, seeds)
    if client == "aria2":
        command = filled_in(ARIA, metainfo, seeds)
        command = [part for part in command if not part.startswith("--seed-time")]
        command[1:1] = ["--seed-ratio=0.0", "--check-integrity=true"]
    else:
        command = filled_in(TRANSMISSION, metainfo, seeds)
        command = [part for part in command if not part.startswith("--config-dir")]
        command[1:1] = [f"--config-dir={seeds}/home/config"]
    return seed_by_program(command, seeds)


def seed_by_libtorrent(metainfo, seeds):
    seeder = session()
    wanted = lt.load_torrent_file(metainfo)
    wanted.save_path = seeds
    seeding = seeder.add_torrent(wanted)

    def failure():
        error = seeding.status().errc
        return f"libtorrent: {error.message()}" if error.value() else None
    return failure, lambda: seeder.remove_torrent(seeding)


def seed_by_program(command, seeds):
    home = os.path.join(seeds, "home")
    os.makedirs(home)
    write_transmission_settings(os.path.join(home, "config"))
    log = os.path.join(home, "log")
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file,
                                   env={**os.environ, "HOME": home})

    def failure():
        if process.poll() is None:
            return None
        with open(log, errors="replace") as file:
            said = file.read()[-1000:]
        return f"{command[0]} does not seed, but has ended with {process.returncode}: {said}"
    return failure, lambda: end(process)


def wait_for_announce(metainfo, announce, failure):
    """Waits until the tracker knows a seeder: of a later one thorp hears an interval later."""
    hashes = lt.load_torrent_file(metainfo).info_hashes
    info_hash = hashes.v1 if hashes.has_v1() else hashes.v2
    query = urllib.parse.quote(info_hash.to_bytes()[:20])
    # It answers over HTTP whatever it is told over UDP.
    scrape = f"http://{urllib.parse.urlsplit(announce).netloc}/scrape?info_hash={query}"

    def is_known():
        if why := failure():
            sys.exit(why)
        with urllib.request.urlopen(scrape, timeout=PATIENCE) as answer:
            return re.search(rb"8:completei[1-9]", answer.read()) is not None
    wait(f"{metainfo}: a seeder announces itself to {announce}", is_known)


def play(number, announces, at, said):
    client, version, files, _, who, by, over = PLAYS[number]
    told = f"{files['']} bytes" if "" in files else f"{len(files)} files"
    what = f"{client}, {version}, {told}, {by}, {over}, {who}"
    begun = time.monotonic()
    try:
        said[number] = played(number, announces[over], at)
    except (SystemExit, subprocess.SubprocessError, OSError, RuntimeError) as error:
        said[number] = f"{type(error).__name__}: {error}"
    taken = f"{time.monotonic() - begun:.1f} s"
    print(f"{what}: {said[number] or taken}\n", end="", flush=True)


def played(number, announce, at):
    """Seeds, and fetches that. Returns what is wrong with what has come."""
    client = PLAYS[number].client
    seeds, name = make_files(number, PLAYS[number].files)
    make = transmission_torrent if client == "Transmission" else make_torrent
    metainfo = make(number, seeds, name, announce)
    failure, end_seeding = seed(client, metainfo, seeds)
    try:
        wait_for_announce(metainfo, announce, failure)
        return fetched(number, metainfo, seeds, name, at)
    finally:
        end_seeding()


def fetched(number, metainfo, seeds, name, at):
    """Fetches, and returns what is wrong with what has come."""
    _, _, files, _, who, by, _ = PLAYS[number]
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
        if why := difference(there, seeded):
            return why
    events = [json.loads(line) for line in done.stdout.splitlines()]
    names = sorted(event["name"] for event in events if event["event"] == "fetched")
    wanted = sorted(f"{name}/{path}" if path else name for path in files)
    return None if names == wanted else f"it told of {names}, not of {wanted}"


def difference(there, seeded):
    """Returns how a file that has come differs from what was seeded, if it does."""
    if not os.path.isfile(there):
        return f"{there} has not come"
    size = os.path.getsize(seeded)
    if os.path.getsize(there) != size:
        return f"{there} has {os.path.getsize(there)} bytes, not {size}"
    with open(there, "rb") as one, open(seeded, "rb") as other:
        for begin in range(0, size, MIB):
            came, expected = one.read(MIB), other.read(MIB)
            if came != expected:
                at = next(at for at, byte in enumerate(expected) if came[at] != byte)
                return f"{there} has {came[at]} at {begin + at}, not {expected[at]}"
    return None


def main():
    os.makedirs(SHARED)
    nodes, said = [], {}
    try:
        serves = [r"Listening on .*:(\d+)$", "tracker", "--open", "--bittorrent=any"]
        tracker, port = start(*serves, state=STATES[0])
        nodes.append(tracker)
        other, other_port = start(*serves, state=STATES[2])
        nodes.append(other)
        at = f"{THERE}:{port.group(1)}"
        peer, _ = start(r"Sharing ", "share", SHARED, "--bittorrent", "--tracker", at,
                        state=STATES[1])
        nodes.append(peer)
        announces = {
            "http": f"http://{at}/announce",
            # The group's own would be asked over HTTP, too.
            "udp": f"udp://{THERE_TOO}:{other_port.group(1)}/announce",
            "own udp": f"udp://{at}/announce",
        }
        players = [threading.Thread(target=play, args=(number, announces, at, said))
                   for number in range(len(PLAYS))]
        for player in players:
            player.start()
        for player in players:
            player.join()
    finally:
        ends = [why for node in reversed(nodes) if (why := end(node))]
    failed = [number for number in range(len(PLAYS)) if said.get(number, "it died") is not None]
    if failed or ends:
        sys.exit("\n".join([f"{len(failed)} of {len(PLAYS)} failed", *ends]))


main()
