"""A libtorrent session that does what lines of JSON on standard input say, and answers each with a
line: {"done": null}. The first line it writes says at which port it listens."""

import json
import os
import sys

import libtorrent as lt


def main():
    session = lt.session({
        "listen_interfaces": sys.argv[1] + ":0", "enable_dht": False, "enable_lsd": False,
        "enable_upnp": False, "enable_natpmp": False, "allow_multiple_connections_per_ip": True,
        # It would try uTP first, which takes twenty times as long on loopback.
        "enable_incoming_utp": False, "enable_outgoing_utp": False,
        "out_enc_policy": int(lt.enc_policy.pe_disabled),
        "in_enc_policy": int(lt.enc_policy.pe_disabled),
        "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification | lt.alert.category_t.error_notification,
    })
    torrents = {}
    say({"port": session.listen_port()})
    for line in sys.stdin:
        wanted = json.loads(line)
        if "make" in wanted:
            make(wanted["make"], wanted["torrent"], wanted["v2"])
        elif "drop" in wanted:
            session.remove_torrent(torrents.pop(wanted["drop"]))
        else:
            added = lt.load_torrent_file(wanted["torrent"])
            added.save_path = wanted["directory"]
            handle = torrents[wanted["torrent"]] = session.add_torrent(added)
            for ip, port in wanted["from"]:
                handle.connect_peer((ip, port))
            wait(session, handle)
        say({"done": None})


def make(path, torrent, is_v2):
    storage = lt.list_files(path)
    flags = lt.create_torrent.v2_only if is_v2 else lt.create_torrent.v1_only
    made = lt.create_torrent(storage, 0, flags)
    lt.set_piece_hashes(made, os.path.dirname(path))
    with open(torrent, "wb") as file:
        file.write(lt.bencode(made.generate()))


def wait(session, handle):
    while not handle.status().is_seeding:
        session.wait_for_alert(10)
        pop(session)
    # What it has verified it writes a while later.
    handle.flush_cache()
    while not any(isinstance(alert, lt.cache_flushed_alert) for alert in pop(session)):
        session.wait_for_alert(1000)


def pop(session):
    alerts = session.pop_alerts()
    for alert in alerts:
        if alert.category() & lt.alert.category_t.error_notification:
            print(alert.message(), file=sys.stderr)
    return alerts


def say(what):
    print(json.dumps(what), flush=True)


main()
