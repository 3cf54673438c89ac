"""An ordinary BitTorrent client, for tests: libtorrent, without DHT and discovery.

    make FILE TORRENT v1|v2|hybrid PIECE_LENGTH [TRACKER]   prints the info-hash
    leech TORRENT|MAGNET DIR [PEER]               ends when all of it is there
    seed TORRENT DIR [PEER]                       prints `listening PORT`; ends when it is killed

PEER is HOST:PORT. Without one, peers come from the torrent's trackers alone.
"""

import os
import sys
import time

import libtorrent as lt

SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "out_enc_policy": int(lt.enc_policy.pe_disabled),
    "in_enc_policy": int(lt.enc_policy.pe_disabled),
    "allow_multiple_connections_per_ip": True,
    "alert_mask": int(lt.alert.category_t.all_categories) if os.environ.get("TALK") else int(
        lt.alert.category_t.error_notification | lt.alert.category_t.status_notification
    ),
    "min_reconnect_time": 1,
}


def make(path, out, version, piece_length, *trackers):
    storage = lt.file_storage()
    lt.add_files(storage, path)
    flags = {
        "v1": lt.create_torrent.v1_only,
        "v2": lt.create_torrent.v2_only,
        "hybrid": 0,
    }[version]
    torrent = lt.create_torrent(storage, int(piece_length), flags)
    torrent.set_priv(True)
    for tracker in trackers:
        torrent.add_tracker(tracker)
    lt.set_piece_hashes(torrent, os.path.dirname(path))
    encoded = lt.bencode(torrent.generate())
    with open(out, "wb") as file:
        file.write(encoded)
    info = lt.torrent_info(out)
    hashes = info.info_hashes()
    print(hashes.v1 if version == "v1" else hashes.v2)


def add(session, what, directory):
    if what.startswith("magnet:"):
        params = lt.parse_magnet_uri(what)
    else:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(what)
    params.save_path = directory
    params.flags &= ~lt.torrent_flags.auto_managed
    params.flags &= ~lt.torrent_flags.paused
    return session.add_torrent(params)


def connect(handle, peers):
    for peer in peers:
        host, port = peer.rsplit(":", 1)
        handle.connect_peer((host.strip("[]"), int(port)))


def alerts(session):
    for alert in session.pop_alerts():
        if os.environ.get("TALK"):
            print(alert, file=sys.stderr, flush=True)


def leech(what, directory, *peers):
    listen = os.environ.get("LISTEN", "0.0.0.0:0,[::]:0")
    session = lt.session({**SETTINGS, "listen_interfaces": listen})
    handle = add(session, what, directory)
    connect(handle, peers)
    started = time.monotonic()
    while not handle.status().is_seeding:
        session.wait_for_alert(200)
        alerts(session)
        status = handle.status()
        if status.errc.value():
            sys.exit(f"libtorrent: {status.errc.message()}")
    seconds = time.monotonic() - started
    print(f"done {handle.status().total_payload_download} {seconds:.3f}", flush=True)


def seed(what, directory, *peers):
    listen = os.environ.get("LISTEN", "0.0.0.0:0,[::]:0")
    session = lt.session({**SETTINGS, "listen_interfaces": listen})
    handle = add(session, what, directory)
    while not handle.status().is_seeding:
        session.wait_for_alert(200)
        alerts(session)
    connect(handle, peers)
    print(f"listening {session.listen_port()}", flush=True)
    while True:
        session.wait_for_alert(1000)
        alerts(session)


{"make": make, "leech": leech, "seed": seed}[sys.argv[1]](*sys.argv[2:])
