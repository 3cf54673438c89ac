#!/usr/bin/env python3
"""Plays real BitTorrent clients that fetch from a thorp peer.

    peer-clients.py PROGRAM DIRECTORY

Needs root, ip, unshare, the libtorrent module, aria2c and transmission-cli. A new group with the
tracker inside the only peer, which has a host of its own; each client has a file of its own to fetch, which nobody but the peer has, and begins
with what `thorp torrent` and `thorp magnet` made of it. The clients fetch at once. Prints a line for
each, and fails if one does not finish with the same bytes. Some fetch a folder of several files. Then
a member that has joined, libtorrent and aria2 fetch one file at once.
"""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time

import libtorrent as lt

from ordinary import (
    ARIA, PATIENCE, TRANSMISSION, by_libtorrent, by_program, is_same, leave_one_tracker, two_hosts,
    wait,
)

ON_ITS_HOST = two_hosts()
PROGRAM, DIRECTORY = sys.argv[1:]
STATE = os.path.join(DIRECTORY, "state")
SHARED = os.path.join(DIRECTORY, "shared")
MIB = 1024 * 1024
ONE, LEAF, FIVE, BIG = 1, 16 * 1024 + 1, 5 * MIB + 1, 200 * MIB
# Folders: files of one byte to several pieces, which begin and end anywhere in pieces. One has a file
# so long that its pieces are longer than the others would have alone.
FOLDER = {"a": ONE, "b/c": LEAF, "b/d e": FIVE, "none": 0, "z/y/x": 70_001}
LONG_FOLDER = {"a": FIVE, "b": 260 * MIB + 7}
FOLDERS = {"folder": FOLDER, "long folder": LONG_FOLDER}
MIXED, MIXED_SIZE = "mixed.bin", 64 * MIB
MADE = itertools.count()

ARIA, TRANSMISSION = by_program(ARIA), by_program(TRANSMISSION)
V1, V2, PUBLIC = [], ["--v2"], ["--public"]
# Who fetches how much by what, and what of it is left: one tracker's address, or all as it was made.
PLAYS = [
    ("libtorrent v1", by_libtorrent, V1, FIVE, "torrent", "http"),
    ("libtorrent v1", by_libtorrent, V1, LEAF, "magnet", "udp"),
    ("libtorrent v1", by_libtorrent, V1, ONE, "magnet", "http"),
    ("libtorrent v1", by_libtorrent, V1, BIG, "torrent", "all"),
    ("libtorrent v2", by_libtorrent, V2, FIVE, "torrent", "udp"),
    ("libtorrent v2", by_libtorrent, V2, LEAF, "magnet", "http"),
    ("libtorrent v2", by_libtorrent, V2, ONE, "magnet", "udp"),
    ("aria2", ARIA, V1, FIVE, "torrent", "http"),
    ("aria2", ARIA, V1, FIVE, "magnet", "all"),
    ("aria2", ARIA, V1, LEAF, "magnet", "udp"),
    ("aria2", ARIA, V1, ONE, "torrent", "udp"),
    ("aria2", ARIA, V1, BIG, "torrent", "all"),
    ("Transmission", TRANSMISSION, V1, FIVE, "torrent", "http"),
    ("Transmission", TRANSMISSION, V1, FIVE, "magnet", "all"),
    ("Transmission", TRANSMISSION, V1, LEAF, "magnet", "udp"),
    ("Transmission", TRANSMISSION, V1, ONE, "torrent", "udp"),
    ("libtorrent v1", by_libtorrent, V1, FOLDER, "torrent", "http"),
    ("libtorrent v2", by_libtorrent, V2, FOLDER, "magnet", "udp"),
    ("libtorrent v2 public", by_libtorrent, V2 + PUBLIC, LONG_FOLDER, "magnet", "http"),
    ("libtorrent v1 public", by_libtorrent, V1 + PUBLIC, FIVE, "magnet", "http"),
    ("aria2", ARIA, V1, FOLDER, "magnet", "all"),
    ("Transmission", TRANSMISSION, V1, FOLDER, "torrent", "http"),
]


def thorp(verb, *args, state=STATE):
    return [PROGRAM, verb, "--state", state, *args]


def start_peer(shared, *args, state=STATE):
    process = subprocess.Popen(
        [*ON_ITS_HOST, *thorp("share", shared, "--bittorrent", "--lines", "--listen", "[::]:0", *args,
                              state=state)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    overdue = threading.Timer(PATIENCE, process.kill)
    overdue.start()
    for line in process.stdout:
        if re.match(r"Sharing ", line):
            overdue.cancel()
            return process
    sys.exit("the peer did not say that it shares")


def make_torrent(name, which, over):
    path = os.path.join(DIRECTORY, f"{name}{next(MADE)}.torrent")

    def is_made():
        # It is refused until the file is hashed.
        made = subprocess.run(thorp("torrent", name, *which, "-o", path), capture_output=True)
        return made.returncode == 0
    wait(f"{name}: the torrent", is_made)
    magnet = subprocess.run(thorp("magnet", name, *which), capture_output=True, text=True, check=True)
    hashes, told = lt.load_torrent_file(path).info_hashes, magnet.stdout
    if str(hashes.v2 if hashes.has_v2() else hashes.v1) not in told:
        sys.exit(f"{name}: libtorrent finds another info-hash than thorp magnet")
    if over != "all":
        leave_one_tracker(path, over)
    return path


def make_magnet(name, which, over):
    made = subprocess.run(thorp("magnet", name, *which), capture_output=True, text=True, check=True)
    link = made.stdout.strip()
    if over == "all":
        return link
    parts = link.split("&")
    tracker = next(part for part in parts if part.startswith("tr=" + over))
    # Without `x.pe`, too, so that only the tracker tells of the peer.
    return "&".join([parts[0], tracker])


def play(number, said):
    client, fetch, which, size, by, over = PLAYS[number]
    told = f"{size} bytes" if isinstance(size, int) else f"{len(size)} files"
    what = f"{client}, {told}, {by}, {over}"
    name = name_of(number)
    path = os.path.join(DIRECTORY, f"leech{number}")
    original = os.path.join(SHARED, name)
    begun = time.monotonic()
    try:
        source = make_torrent(name, which, over)
        if by == "magnet":
            source = make_magnet(name, which, over)
        begun = time.monotonic()
        fetch(source, path, original)
    except (SystemExit, subprocess.CalledProcessError) as error:
        said[number] = str(error)
    else:
        is_whole = is_same(original, os.path.join(path, name))
        said[number] = None if is_whole else f"{what}: other bytes"
    taken = f"{time.monotonic() - begun:.1f} s"
    print(f"{what}: {said[number] or taken}\n", end="", flush=True)


def name_of(number):
    # A folder is for several: it has several torrents.
    of = PLAYS[number][3]
    return next((name for name, files in FOLDERS.items() if files is of), f"{number}.bin")


def put(name, size):
    path = os.path.join(SHARED, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(os.urandom(size))


def play_mixed(name):
    """A member, libtorrent and aria2 fetch one file at once."""
    original = os.path.join(SHARED, name)
    metainfo = make_torrent(name, V1, "all")
    state, shared = (os.path.join(DIRECTORY, of) for of in ("joined-state", "joined-shared"))
    os.makedirs(shared)
    invite = os.path.join(DIRECTORY, "invite")
    with open(invite, "w") as file:
        subprocess.run(thorp("invite", "--quiet"), stdout=file, check=True)
    joined = start_peer(shared, "--join", invite, state=state)
    ends = {}

    def by_member(source, path, original):
        # It goes into the share.
        get = thorp("get", name, "--quiet", state=state)
        subprocess.run(get, stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE)

    def fetch(who, by, path):
        os.makedirs(path, exist_ok=True)
        begun = time.monotonic()
        by(metainfo, path, original)
        if is_same(original, os.path.join(path, name)):
            ends[who] = f"{time.monotonic() - begun:.1f} s"

    mixed = [("member", by_member, shared)]
    mixed += [(who, by, os.path.join(DIRECTORY, "mixed-" + who))
              for who, by in (("libtorrent", by_libtorrent), ("aria2", ARIA))]
    try:
        fetchers = [threading.Thread(target=fetch, args=one) for one in mixed]
        for fetcher in fetchers:
            fetcher.start()
        for fetcher in fetchers:
            fetcher.join()
    finally:
        joined.send_signal(signal.SIGTERM)
        joined.wait()
    print("at once:", ", ".join(f"{who} {ends.get(who, 'not finished')}" for who, _, _ in mixed))
    if len(ends) < len(mixed):
        sys.exit("not all of the mixed swarm have finished")


def main():
    put(MIXED, MIXED_SIZE)
    for number, (_, _, _, size, _, _) in enumerate(PLAYS):
        if isinstance(size, int):
            put(name_of(number), size)
    for folder, files in FOLDERS.items():
        for name, size in files.items():
            put(os.path.join(folder, name), size)
    peer = start_peer(SHARED)
    said = {}
    try:
        players = [threading.Thread(target=play, args=(number, said)) for number in range(len(PLAYS))]
        for player in players:
            player.start()
        for player in players:
            player.join()
        play_mixed(MIXED)
    finally:
        peer.send_signal(signal.SIGTERM)
        peer.wait()
    failed = [number for number in range(len(PLAYS)) if said.get(number, "it died") is not None]
    if failed:
        sys.exit(f"{len(failed)} of {len(PLAYS)} failed")


main()
