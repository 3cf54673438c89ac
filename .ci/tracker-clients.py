#!/usr/bin/env python3
"""Plays real BitTorrent clients against a thorp tracker that serves any torrent.

    tracker-clients.py PROGRAM DIRECTORY

Needs the libtorrent module, aria2c and transmission-cli. Each pair has a seeder that is a libtorrent
session, and a leecher; they know of each other only through the tracker. Prints a line for each
pair, and fails with the first that does not finish. The tracker then says --no-bittorrent, and
gives neither a scrape nor a connection request a byte.
"""

import itertools
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import libtorrent as lt

PROGRAM, DIRECTORY = sys.argv[1:]
PATIENCE = 90
SIZE = 5 * 1024 * 1024 + 1


def start_tracker(flag):
    state = os.path.join(DIRECTORY, "state")
    os.makedirs(state, exist_ok=True)
    process = subprocess.Popen(
        [PROGRAM, "tracker", "--state", state, "--open", "--lines", flag,
         "--listen", "[::]:0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    for line in process.stdout:
        if found := re.match(r"Listening on .*:(\d+)$", line.strip()):
            return process, int(found.group(1))
    sys.exit("the tracker did not say where it listens")


PORTS = itertools.count(20000 + os.getpid() % 20000)


def session():
    # Only the tracker tells of peers. The port has to be the same at all addresses of the machine:
    # with 0 libtorrent takes another one at each.
    return lt.session({
        "listen_interfaces": f"0.0.0.0:{next(PORTS)},[::]:{next(PORTS)}",
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
    })


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


def add(in_session, metainfo, path):
    os.makedirs(path, exist_ok=True)
    wanted = lt.load_torrent_file(metainfo)
    wanted.save_path = path
    return in_session.add_torrent(wanted)


def same(name, path):
    with open(os.path.join(DIRECTORY, "seeds", name), "rb") as one:
        try:
            with open(os.path.join(path, name), "rb") as other:
                return one.read() == other.read()
        except FileNotFoundError:
            return False


def wait(what, holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {PATIENCE} s")
        time.sleep(0.1)


def by_libtorrent(metainfo, name, path):
    leecher = session()
    fetch = add(leecher, metainfo, path)
    wait(f"{name}: libtorrent", lambda: fetch.status().is_seeding)


def by_program(command):
    def fetch(metainfo, name, path):
        os.makedirs(path, exist_ok=True)
        process = subprocess.Popen(
            [part.format(torrent=metainfo, path=path) for part in command],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": path},
        )
        try:
            wait(f"{name}: {command[0]}", lambda: same(name, path))
        finally:
            process.terminate()
            process.wait()
    return fetch


# Without DHT aria2 asks no tracker over UDP. The torrents are private, so nothing gets there.
ARIA = ["aria2c", "--dir={path}", "--seed-time=0", "--enable-dht=true", "--enable-dht6=false",
        "--dht-file-path={path}/dht", "--dht-listen-port=6800-6899",
        "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--listen-port=6900-6999",
        "--no-conf", "{torrent}"]
TRANSMISSION = ["transmission-cli", "--config-dir={path}/config", "--download-dir={path}",
                "--no-portmap", "--encryption-tolerated", "{torrent}"]


def main():
    tracker, port = start_tracker("--bittorrent=any")
    try:
        http, udp = (f"{scheme}://127.0.0.1:{port}/announce" for scheme in ("http", "udp"))
        v1, v2 = lt.create_torrent.v1_only, lt.create_torrent.v2_only
        pairs = [("libtorrent", by_libtorrent, "http", http, v1),
                 ("libtorrent", by_libtorrent, "udp", udp, v1),
                 ("libtorrent, v2", by_libtorrent, "http", http, v2),
                 ("libtorrent, v2", by_libtorrent, "udp", udp, v2),
                 ("libtorrent", by_libtorrent, "http over IPv6", f"http://[::1]:{port}/announce", v1)]
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
            fetch(metainfo, name, path)
            if not same(name, path):
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
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as stream:
        stream.sendall(b"GET /scrape?info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n")
        try:
            said = stream.recv(1)
        except ConnectionResetError:
            said = b""
    if said:
        sys.exit("off: a scrape over HTTP is answered")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(PATIENCE)
        datagrams.connect(("127.0.0.1", port))
        datagrams.send(struct.pack(">QII", 0x41727101980, 0, 1))
        try:
            datagrams.recv(100)
        except ConnectionRefusedError:
            return
    sys.exit("off: UDP is answered")


main()
