#!/usr/bin/env python3
"""Plays real BitTorrent clients against a thorp tracker that serves any torrent.

    tracker-clients.py PROGRAM DIRECTORY

Needs root, ip, unshare, the libtorrent module, aria2c and transmission-cli. The tracker has a host of
its own. Each pair has a seeder that is a libtorrent session, and a leecher; they know of each other
only through the tracker. Prints a line for each
pair, and fails with the first that does not finish. The tracker then says --no-bittorrent, and
gives neither a scrape nor a connection request a byte.
"""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import libtorrent as lt

from ordinary import (
    ARIA, PATIENCE, THERE, THERE_6, TRANSMISSION, add, by_libtorrent, by_program, is_same, session,
    two_hosts, wait,
)

ON_ITS_HOST = two_hosts()
PROGRAM, DIRECTORY = sys.argv[1:]
SIZE = 5 * 1024 * 1024 + 1


def start_tracker(flag):
    state = os.path.join(DIRECTORY, "state")
    os.makedirs(state, exist_ok=True)
    process = subprocess.Popen(
        [*ON_ITS_HOST, PROGRAM, "tracker", "--state", state, "--open", "--lines", flag,
         "--listen", "[::]:0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    for line in process.stdout:
        if found := re.match(r"Listening on .*:(\d+)$", line.strip()):
            return process, int(found.group(1))
    sys.exit("the tracker did not say where it listens")


def torrent(name, announce, flags):
    """Makes a file with a torrent of its own, and returns the torrent's path."""
    seeds = os.path.join(DIRECTORY, "seeds")
    os.makedirs(seeds, exist_ok=True)
    path = os.path.join(seeds, name)
    with open(path, "wb") as file:
        file.write(os.urandom(SIZE))
    maker = lt.create_torrent(lt.list_files(path), flags=flags)
    maker.add_tracker(announce)
    maker.set_priv(True)
    lt.set_piece_hashes(maker, seeds)
    metainfo = os.path.join(DIRECTORY, name + ".torrent")
    with open(metainfo, "wb") as file:
        file.write(lt.bencode(maker.generate()))
    return metainfo


def main():
    tracker, port = start_tracker("--bittorrent=any")
    try:
        http, udp = (f"{scheme}://{THERE}:{port}/announce" for scheme in ("http", "udp"))
        v1, v2 = lt.create_torrent.v1_only, lt.create_torrent.v2_only
        pairs = [("libtorrent", by_libtorrent, "http", http, v1),
                 ("libtorrent", by_libtorrent, "udp", udp, v1),
                 ("libtorrent, v2", by_libtorrent, "http", http, v2),
                 ("libtorrent, v2", by_libtorrent, "udp", udp, v2),
                 ("libtorrent", by_libtorrent, "http over IPv6", f"http://[{THERE_6}]:{port}/announce", v1)]
        pairs += [("aria2", by_program(ARIA), "http", http, v1),
                  ("aria2", by_program(ARIA), "udp", udp, v1),
                  ("transmission", by_program(TRANSMISSION), "http", http, v1),
                  ("transmission", by_program(TRANSMISSION), "udp", udp, v1)]
        for number, (client, fetch, over, announce, flags) in enumerate(pairs):
            name = f"{number}.bin"
            metainfo = torrent(name, announce, flags)
            seeder = session()
            seeding = add(seeder, metainfo, os.path.join(DIRECTORY, "seeds"))
            wait(f"{name}: the seeder", lambda: seeding.status().is_seeding)
            begun = time.monotonic()
            path = os.path.join(DIRECTORY, f"leech{number}")
            original = os.path.join(DIRECTORY, "seeds", name)
            fetch(metainfo, path, original)
            if not is_same(original, os.path.join(path, name)):
                sys.exit(f"{name}: other bytes")
            print(f"{client} over {over}: {time.monotonic() - begun:.1f} s", flush=True)
    finally:
        tracker.send_signal(signal.SIGTERM)
        tracker.wait()

    tracker, port = start_tracker("--no-bittorrent")
    try:
        gives_no_byte(port)
        print("off: not a byte")
    finally:
        tracker.send_signal(signal.SIGTERM)
        tracker.wait()


def gives_no_byte(port):
    with socket.create_connection((THERE, port), PATIENCE) as stream:
        stream.sendall(b"GET /scrape?info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n")
        try:
            said = stream.recv(1)
        except ConnectionResetError:
            said = b""
    if said:
        sys.exit("off: a scrape over HTTP is answered")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(PATIENCE)
        datagrams.connect((THERE, port))
        datagrams.send(struct.pack(">QII", 0x41727101980, 0, 1))
        try:
            datagrams.recv(100)
        except ConnectionRefusedError:
            return
    sys.exit("off: UDP is answered")


main()
