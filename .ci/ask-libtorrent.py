"""Prints what libtorrent says of files around every boundary.

`.ci/run` compares it with crates/wire/tests/libtorrent.txt, which a test of
that crate compares with what thorp says. Takes an empty directory for the files.
A file's bytes count 0, 1, ... 250, 0, 1, ...
"""

import hashlib
import os
import socket
import struct
import sys

import libtorrent

LEAF = 16 * 1024
KIB, MIB = 1024, 1024 * 1024
COUNTING = bytes(range(251)) * 4096


def sizes():
    around = [
        LEAF,
        2 * LEAF,
        256 * KIB,  # the piece of a short file, and the longest inline file
        512 * KIB,
        768 * KIB,
        5 * MIB,
        16 * MIB,  # where pieces become shorter
        32 * MIB,  # 512 pieces of 64 KiB
        64 * MIB,  # where pieces become longer
        256 * MIB,
    ]
    return sorted({1} | {size + by for size in around for by in (-1, 0, 1)})


# Size, and what is asked for: base layer, index, length, proof layers.
QUESTIONS = [
    # 5 leaves in one piece
    (5 * LEAF - 1, [(0, 0, 8, 0), (0, 0, 8, 2), (0, 4, 4, 2), (0, 4, 2, 2)]),
    # 83 leaves in 6 pieces
    (
        83 * LEAF - 1,
        [(4, 0, 8, 0), (4, 0, 8, 2), (4, 0, 4, 2), (4, 4, 4, 2), (4, 4, 4, 1)]
        + [(4, 4, 4, 0), (4, 4, 2, 2), (4, 2, 2, 1), (0, 0, 16, 0), (0, 80, 16, 0)]
        + [(0, 80, 16, 6), (0, 80, 4, 6), (0, 82, 2, 6), (0, 12, 2, 3)]
        + [(0, 64, 32, 6), (0, 0, 128, 6)],
    ),
    # 513 pieces
    (
        513 * 256 * KIB,
        [(4, 0, 512, 9), (4, 512, 512, 9), (4, 512, 2, 9), (4, 256, 256, 8)]
        + [(0, 8192, 16, 0), (0, 8192, 16, 13), (0, 4096, 512, 13)],
    ),
]


def main(directory):
    print("# What libtorrent %s says, by .ci/ask-libtorrent.py." % libtorrent.__version__)
    print("# content: size, piece length, root, SHA-256 of the piece layer (- without one)")
    for size in sizes():
        made = Torrent(directory, size)
        layer = digest(made.layer) if made.layer else "-"
        print("content", size, made.piece_length, made.root.hex(), layer)
    print("# hashes: size, base layer, index, length, proof layers,")
    print("# how many hashes and uncles are answered, SHA-256 of them")
    for size, ranges in QUESTIONS:
        made = Torrent(directory, size)
        for asked, hashes in answers(made, ranges):
            print("hashes", size, *asked, len(hashes) // 32, digest(hashes))
    print("# info: size, info-hashes of v1 and v2 of the private torrent of a file with the name")
    print("# `file` and pieces as above")
    for size in sizes():
        if size < 6 * MIB:
            print("info", size, *info_hashes(directory, size))
    print("# torrent: info-hashes of v1 and v2 (- without one), the torrent in hexadecimal")
    for files in [ONE_FILE, FOLDER]:
        for version in VERSIONS:
            print("torrent", *torrent(directory, files, version))


VERSIONS = [
    libtorrent.create_torrent.v1_only,
    libtorrent.create_torrent.v2_only,
    0,  # hybrid
]
ONE_FILE = [("file", 5 * LEAF - 1)]
FOLDER = [
    ("folder/a", 100_000),
    ("folder/b/c d.txt", 3 * LEAF),
    ("folder/b/empty", 0),
    ("folder/e/f/g", 1),
]


def info_hashes(directory, size):
    hashes = []
    for version in VERSIONS[:2]:
        made = create(directory, [("file", size)], piece_length(size), version)
        made.set_priv(True)
        info = libtorrent.torrent_info(made.generate())
        hashes.append(hash_of(info, version))
    return hashes


def torrent(directory, files, version):
    """A torrent with pieces of 16 KiB and two tiers of trackers."""
    made = create(directory, files, LEAF, version)
    made.add_tracker("http://tracker.example:6969/announce", 0)
    made.add_tracker("udp://tracker.example:6969", 1)
    said = made.generate()
    said.pop(b"creation date", None)
    info = libtorrent.torrent_info(said)
    v1 = hash_of(info, VERSIONS[0]) if info.info_hashes().has_v1() else "-"
    v2 = hash_of(info, VERSIONS[1]) if info.info_hashes().has_v2() else "-"
    return v1, v2, libtorrent.bencode(said).hex()


def create(directory, files, length_of_pieces, version):
    entries = []
    for name, size in files:
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write(path, size)
        entries.append(libtorrent.create_file_entry(name, size))
    made = libtorrent.create_torrent(entries, length_of_pieces, version)
    libtorrent.set_piece_hashes(made, directory)
    return made


def hash_of(info, version):
    hashes = info.info_hashes()
    return (hashes.v1 if version == VERSIONS[0] else hashes.v2).to_bytes().hex()


def write(path, size):
    with open(path, "wb") as file:
        left = size
        while left > 0:
            left -= file.write(COUNTING[:left])


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Torrent:
    """A v2 torrent of one file, which lies in the directory from now on."""

    def __init__(self, directory, size):
        self.directory = directory
        write(os.path.join(directory, "file"), size)
        entry = libtorrent.create_file_entry("file", size)
        version = libtorrent.create_torrent.v2_only
        made = libtorrent.create_torrent([entry], piece_length(size), version)
        libtorrent.set_piece_hashes(made, directory)
        self.said = made.generate()
        file = self.said[b"info"][b"file tree"][b"file"][b""]
        assert file[b"length"] == size
        self.piece_length = self.said[b"info"][b"piece length"]
        self.root = file[b"pieces root"]
        self.layer = self.said[b"piece layers"].get(self.root)


def piece_length(size):
    if size < 16 * MIB:
        return 256 * KIB
    ideal = 1
    while ideal * 1024 < size:
        ideal *= 2
    return min(max(ideal, 64 * KIB), 8 * MIB)


def answers(torrent, ranges):
    """What a libtorrent that has the file answers on the wire, on loopback."""
    session = libtorrent.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "alert_mask": libtorrent.alert.category_t.status_notification,
        }
    )
    adding = libtorrent.add_torrent_params()
    adding.ti = libtorrent.torrent_info(torrent.said)
    adding.save_path = torrent.directory
    name = adding.ti.info_hashes().v2.to_bytes()[:20]
    session.add_torrent(adding)
    checked = False
    while not checked:
        assert session.wait_for_alert(60_000), "libtorrent does not check the file"
        alerts = session.pop_alerts()
        checked = any(type(said).__name__ == "torrent_checked_alert" for said in alerts)
    for asked in ranges:
        address = ("127.0.0.1", session.listen_port())
        with socket.create_connection(address, timeout=60) as wire:
            extensions = bytes([0, 0, 0, 0, 0, 0x10, 0, 0x14])
            wire.sendall(b"\x13BitTorrent protocol" + extensions + name)
            wire.sendall(b"a stranger in the CI")
            range_ = torrent.root + struct.pack(">IIII", *asked)
            wire.sendall(struct.pack(">IB", 49, 21) + range_)
            exactly(wire, 68)
            kind = None
            while kind != 22:
                (length,) = struct.unpack(">I", exactly(wire, 4))
                message = exactly(wire, length)
                kind = message[0] if message else None
                assert kind != 23, "rejected: %s" % (asked,)
        assert message[1:49] == range_
        yield asked, message[49:]


def exactly(wire, length):
    data = b""
    while len(data) < length:
        more = wire.recv(length - len(data))
        assert more, "libtorrent has closed the connection"
        data += more
    return data


main(sys.argv[1])
