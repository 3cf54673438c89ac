"""Prints what libtorrent says of files around every boundary, a line for each.

`.ci/run` compares it with crates/wire/tests/roots.txt, which a test of
that crate compares with what thorp says. Takes a directory for the files, one
at a time. A file's bytes count 0, 1, ... 250, 0, 1, ...
"""

import hashlib
import os
import sys

import libtorrent

LEAF = 16 * 1024
KIB, MIB = 1024, 1024 * 1024
COUNTING = bytes(range(251)) * 4096


def sizes():
    around = [
        LEAF,
        2 * LEAF,
        256 * KIB,  # the smallest piece, and the longest inline file
        512 * KIB,
        768 * KIB,
        5 * MIB,
        128 * MIB,  # 512 pieces of 256 KiB
        256 * MIB,  # where pieces become longer
    ]
    return sorted({1} | {size + by for size in around for by in (-1, 0, 1)})


def piece_length(size):
    ideal = 1
    while ideal * 1024 < size:
        ideal *= 2
    return min(max(ideal, 256 * KIB), 8 * MIB)


def write(path, size):
    with open(path, "wb") as file:
        while size > 0:
            size -= file.write(COUNTING[:size])


def torrent(directory, size):
    file = libtorrent.create_file_entry("file", size)
    made = libtorrent.create_torrent(
        [file], piece_length(size), libtorrent.create_torrent.v2_only
    )
    libtorrent.set_piece_hashes(made, directory)
    return made.generate()


def main(directory):
    print("# What libtorrent %s says, by .ci/roots.py." % libtorrent.__version__)
    print("# size, piece length, root, SHA-256 of the piece layer (- without one)")
    path = os.path.join(directory, "file")
    for size in sizes():
        write(path, size)
        said = torrent(directory, size)
        file = said[b"info"][b"file tree"][b"file"][b""]
        assert file[b"length"] == size
        root = file[b"pieces root"]
        layer = said[b"piece layers"].get(root)
        print(
            size,
            said[b"info"][b"piece length"],
            root.hex(),
            hashlib.sha256(layer).hexdigest() if layer else "-",
        )
    os.remove(path)


main(sys.argv[1])
