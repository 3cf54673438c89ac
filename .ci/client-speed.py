#!/usr/bin/env python3
"""Moves a large file between a thorp peer and libtorrent, both ways, and between two of libtorrent.

    client-speed.py PROGRAM DIRECTORY [MIB] [ROUNDS]

Needs the libtorrent module; DIRECTORY is best on a tmpfs. All are processes on this machine, without
encryption, and of the other ends each knows the address. They take turns, so that a busy machine slows
all alike. Prints the median of how long each took from knowing the other end to the last byte, and how
long all processes together had a processor meanwhile, which can be compared on a busy machine, too.

    client-speed.py seed TORRENT PATH          plays libtorrent, and says where it listens
    client-speed.py leech TORRENT PATH PORT    ends when it has all
"""

import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

import libtorrent as lt

MIB = 1024 * 1024
SETTINGS = {
    "listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False,
    "enable_upnp": False, "enable_natpmp": False, "enable_incoming_utp": False,
    "enable_outgoing_utp": False, "allow_multiple_connections_per_ip": True,
    "out_enc_policy": int(lt.enc_policy.pe_disabled), "in_enc_policy": int(lt.enc_policy.pe_disabled),
}


def playing(torrent, path):
    session = lt.session(SETTINGS)
    wanted = lt.load_torrent_file(torrent)
    wanted.save_path = path
    return session, session.add_torrent(wanted)


def seed(torrent, path):
    session, handle = playing(torrent, path)
    while not handle.status().is_seeding:
        time.sleep(0.05)
    print("listening", session.listen_port(), flush=True)
    signal.sigwait([signal.SIGTERM])


def leech(torrent, path, port):
    session, handle = playing(torrent, path)
    begun = time.monotonic()
    handle.connect_peer(("127.0.0.1", int(port)))
    while not handle.status().is_seeding:
        time.sleep(0.005)
    print("took", time.monotonic() - begun, flush=True)


def processor_time():
    """Of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def processor_time_of(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return sum(int(ticks) for ticks in fields[11:13]) / os.sysconf("SC_CLK_TCK")


class Ground:
    """A tracker, a peer that shares a large file, and the same file as another torrent that only
    libtorrent seeds. The third of the machines only fetches."""

    def __init__(self, program, directory, mib):
        self.program, self.directory, self.nodes = program, directory, []
        self.tracker = self.node("hall", "tracker", "--open", "--bittorrent=any",
                                 "--listen", "127.0.0.1:0")
        shared = self.path("shared", "large.bin")
        with open(shared, "wb") as file:
            for _ in range(mib):
                file.write(os.urandom(MIB))
        self.peer = self.node("oak", "share", os.path.dirname(shared), "--bittorrent",
                              "--tracker", self.tracker, "--listen", "127.0.0.1:0")
        self.torrent = self.path("made", "large.torrent")
        while subprocess.run(self.thorp("oak", "torrent", "large.bin", "-o", self.torrent, "--quiet"),
                             capture_output=True).returncode != 0:
            time.sleep(0.2)
        self.other = self.path("other", "other.bin")
        os.link(shared, self.other)
        self.other_torrent = self.path("made", "other.torrent")
        made = lt.create_torrent(lt.list_files(self.other), 0, lt.create_torrent.v1_only)
        made.add_tracker(f"http://{self.tracker}/announce")
        lt.set_piece_hashes(made, os.path.dirname(self.other))
        with open(self.other_torrent, "wb") as file:
            file.write(lt.bencode(made.generate()))
        self.seeder = subprocess.Popen(
            [sys.executable, __file__, "seed", self.other_torrent, os.path.dirname(self.other)],
            stdout=subprocess.PIPE, text=True)
        self.nodes.append(self.seeder)
        self.seeds_at = self.seeder.stdout.readline().split()[1]
        self.wait_for_seeder()

    def path(self, *parts):
        path = os.path.join(self.directory, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def thorp(self, node, verb, *words):
        return [self.program, verb, "--state", self.path(node, "state"), *words]

    def node(self, name, verb, *words):
        process = subprocess.Popen(self.thorp(name, verb, *words, "--lines"), stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        self.nodes.append(process)
        for line in process.stdout:
            if at := re.match(r"(?:Sharing .* on|Listening on) (\S+)", line):
                return at[1]
        sys.exit(f"thorp {verb} did not say that it is up")

    def wait_for_seeder(self):
        info_hash = lt.torrent_info(self.other_torrent).info_hash().to_bytes()
        escaped = "".join(f"%{byte:02x}" for byte in info_hash)
        url = f"http://{self.tracker}/scrape?info_hash={escaped}"
        while b"8:completei1" not in urllib.request.urlopen(url).read():
            time.sleep(0.1)

    def libtorrent_from(self, torrent, port, original):
        into = self.into()
        took = subprocess.run([sys.executable, __file__, "leech", torrent, into, port],
                              capture_output=True, text=True, check=True).stdout
        self.check(original, into)
        return float(took.split()[1])

    def thorp_from_libtorrent(self):
        into = self.into()
        got = self.thorp("elm", "get", self.other_torrent, "--tracker", self.tracker, "-o", into,
                         "--json", "--wait=300s")
        told = subprocess.run(got, capture_output=True, text=True, check=True).stdout
        self.check(self.other, into)
        return json.loads(told.splitlines()[-1])["ms"] / 1000

    def into(self):
        into = self.path("into", "")
        shutil.rmtree(into, ignore_errors=True)
        os.makedirs(into)
        return into

    def check(self, original, into):
        subprocess.run(["cmp", original, os.path.join(into, os.path.basename(original))], check=True)

    def end(self):
        for process in reversed(self.nodes):
            process.send_signal(signal.SIGTERM)
            process.wait()


def main(program, directory, mib="1024", rounds="3"):
    if os.listdir(directory):
        sys.exit(f"{directory} is not empty: name a new directory")
    ground = Ground(os.path.abspath(program), directory, int(mib))
    shared = ground.path("shared", "large.bin")
    peer_port = ground.peer.rsplit(":", 1)[1]
    plays = {
        "libtorrent from libtorrent": lambda: ground.libtorrent_from(
            ground.other_torrent, ground.seeds_at, ground.other),
        "libtorrent from thorp": lambda: ground.libtorrent_from(ground.torrent, peer_port, shared),
        "thorp from libtorrent": ground.thorp_from_libtorrent,
    }
    took, used = {what: [] for what in plays}, {what: [] for what in plays}
    try:
        for _ in range(int(rounds)):
            for what, play in plays.items():
                before = processor_time() + sum(map(processor_time_of, ground.nodes))
                took[what].append(play())
                after = processor_time() + sum(map(processor_time_of, ground.nodes))
                used[what].append(after - before)
    finally:
        ground.end()
    print("| what | took | MB/s | processor |\n|---|---|---|---|")
    for what in plays:
        seconds = statistics.median(took[what])
        print(f"| {what} | {seconds:.2f} s | {int(mib) * 1.048576 / seconds:.0f} | "
              f"{statistics.median(used[what]):.2f} s |")


if __name__ == "__main__":
    {"seed": seed, "leech": leech}.get(sys.argv[1], lambda *_: main(*sys.argv[1:]))(*sys.argv[2:])
