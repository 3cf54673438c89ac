"""Real BitTorrent clients, as the scripts beside this one play them: libtorrent sessions, and the
commands of aria2 and Transmission; and the two hosts that they and thorp are on."""

import atexit
import filecmp
import itertools
import json
import os
import subprocess
import sys
import time

import libtorrent as lt

PATIENCE = 90
# The addresses of the host that thorp runs on. libtorrent says to all trackers at one address what one
# of them gave it to say by UDP, whatever their ports, so a second tracker has an address of its own.
THERE, THERE_TOO, THERE_6 = "192.168.197.1", "192.168.197.3", "fd00:197::1"
PORTS = itertools.count(20000 + os.getpid() % 20000)

# Without DHT aria2 asks no tracker over UDP. The torrents are private, so nothing gets there.
# Each has its own ports: of a range two may take the same one for UDP, and one hears nothing then.
ARIA = ["aria2c", "--dir={path}", "--seed-time=0", "--enable-dht=true", "--enable-dht6=false",
        "--dht-file-path={path}/dht", "--dht-listen-port={udp}",
        "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--listen-port={tcp}",
        "--no-conf", "{source}"]
TRANSMISSION = ["transmission-cli", "--config-dir={path}/config", "--download-dir={path}",
                "--no-portmap", "--encryption-tolerated", "{source}"]


def two_hosts():
    """Goes on on a host of its own (a network namespace), where the clients are, with a link to
    another one and to nobody else. Returns what runs a command on that one. `.ci/remove-hosts`
    removes what a kill has left."""
    if sys.argv[-1] != "here":
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-B", *sys.argv, "here"])
    sys.argv.pop()
    name = f"thorp-{os.getpid()}-there"
    there = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    atexit.register(subprocess.run, ["ip", "netns", "delete", name])
    subprocess.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", name],
                   check=True)
    for host, v4, v6 in ([], "192.168.197.2", "fd00:197::2"), (there, THERE, THERE_6):
        for words in (["link", "set", "lo", "up"], ["link", "set", "eth0", "up"],
                      ["address", "add", f"{v4}/24", "dev", "eth0"],
                      ["address", "add", f"{v6}/64", "dev", "eth0", "nodad"]):
            subprocess.run([*host, "ip", *words], check=True)
    subprocess.run([*there, "ip", "address", "add", f"{THERE_TOO}/24", "dev", "eth0"], check=True)
    return there


def session():
    # Only the tracker tells of peers. The port has to be the same at all addresses of the machine:
    # with 0 libtorrent takes another one at each.
    return lt.session({
        "listen_interfaces": f"0.0.0.0:{next(PORTS)},[::]:{next(PORTS)}",
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
    })


def add(in_session, source, path):
    """Adds a torrent's file or a magnet link."""
    os.makedirs(path, exist_ok=True)
    is_magnet = source.startswith("magnet:")
    wanted = lt.parse_magnet_uri(source) if is_magnet else lt.load_torrent_file(source)
    wanted.save_path = path
    return in_session.add_torrent(wanted)


def leave_one_tracker(path, over):
    """Leaves of a torrent's trackers the first that is asked over `http` or `udp`."""
    with open(path, "rb") as file:
        metainfo = lt.bdecode(file.read())
    trackers = [tracker for tier in metainfo[b"announce-list"] for tracker in tier]
    metainfo[b"announce"] = next(one for one in trackers if one.startswith(over.encode()))
    del metainfo[b"announce-list"]
    with open(path, "wb") as file:
        file.write(lt.bencode(metainfo))


def wait(what, holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {PATIENCE} s")
        time.sleep(0.1)


def is_same(one, other):
    """Whether two files, or all files of two folders, are equal. Empty files may be missing in the
    other folder: clients make them or not."""
    if os.path.isdir(one):
        files = [os.path.relpath(os.path.join(folder, file), one)
                 for folder, _, files in os.walk(one) for file in files]
        return all(is_same(os.path.join(one, file), os.path.join(other, file))
                   for file in files if os.path.getsize(os.path.join(one, file)) > 0)
    try:
        filecmp.clear_cache()
        return filecmp.cmp(one, other, shallow=False)
    except FileNotFoundError:
        return False


def by_libtorrent(source, path, original):
    leecher = session()
    fetch = add(leecher, source, path)
    wait(f"{original}: libtorrent", lambda: fetch.status().is_seeding)


def by_program(command):
    def fetch(source, path, original):
        write_transmission_settings(os.path.join(path, "config"))
        process = subprocess.Popen(
            filled_in(command, source, path),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": path},
        )
        fetched = os.path.join(path, os.path.basename(original))
        try:
            wait(f"{original}: {command[0]}", lambda: is_same(original, fetched))
        finally:
            process.terminate()
            process.wait()
    return fetch


def filled_in(command, source, path):
    ports = {"tcp": next(PORTS), "udp": next(PORTS)}
    return [part.format(source=source, path=path, **ports) for part in command]


def write_transmission_settings(directory):
    # It tries uTP first. A refusal makes it open a TCP connection, close it unused, and try uTP again
    # after 15 and after 25 minutes. Without a port of its own it has no UDP.
    settings = {"utp-enabled": False, "peer-port": next(PORTS)}
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "settings.json"), "w") as file:
        json.dump(settings, file)
