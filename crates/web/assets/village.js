// The view of who is there: this peer's links as a picture, its neighbours as a table, and, where
// the CA is, the members of the group, invites and removal.

import * as api from "./api.js";
import { h, put, say } from "./dom.js";
import { Members } from "./members.js";
import { member, plain, shown } from "./names.js";
import { picture } from "./picture.js";
import { drop, known, on, take } from "./store.js";
import { count, many, size, span, trip } from "./units.js";

/** A neighbour promises a sign of life every minute. */
const SILENT_MS = 90000;
const EVERY_MS = 5000;
/** A picture that is narrower than this in pixels has another shape. */
const NARROW = 560;
/** The latest warnings that are shown. */
const WARNINGS = 10;

export function view(root) {
  const drawing = h("figure", { class: "picture" });
  const rows = h("tbody");
  const sum = h("p", { class: "soft small" });
  const own = h("p", { class: "soft small" });
  const warned = h("ul", { class: "warned" });
  const warnings = h("section", { "aria-label": "Warnings" }, h("div", { class: "heading" }, h("h2", {}, "Warnings")), warned);
  const table = h("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": "Table of neighbours" },
    h("table", {},
      h("thead", {}, h("tr", {},
        h("th", { scope: "col" }, "Neighbour"), h("th", { scope: "col" }, "Address"),
        h("th", { scope: "col", class: "number" }, "Files"), h("th", { scope: "col", class: "number" }, "Round trip"),
        h("th", { scope: "col", class: "number" }, "Heard"), h("th", { scope: "col", class: "number" }, "Comes from it"),
        h("th", { scope: "col", class: "number" }, "Goes to it"))),
      rows));
  const members = known.info.keeps_ca ? new Members() : null;
  const isPeer = known.info.kind === "peer";
  put(root, h("div", { class: "village" },
    isPeer && h("section", { "aria-label": "Links" }, h("div", { class: "heading" }, h("h2", {}, "Links"), sum), drawing, own, table),
    members?.element,
    warnings,
    !members && h("p", { class: "soft small" }, "Members are invited and removed on the machine where the group was made.")));

  const show = () => {
    const latest = [...known.warnings.values()].sort((a, b) => b.number - a.number).slice(0, WARNINGS);
    warnings.hidden = latest.length === 0;
    put(warned, latest.map((warning) => h("li", {}, warning.message ?? warning.warning)));
    if (!isPeer) return;
    say(own, shared());
    const peers = [...known.peers.values()].map(withTransfers).sort((a, b) => nearness(a) - nearness(b) || member(a).localeCompare(member(b)));
    const { self } = known;
    say(sum, `${many(peers.length, "neighbour")}${self?.tracker_connected ? ", and the tracker" : ", without a tracker now"}`);
    put(drawing, picture({ self, peers, isSilent, isNarrow: drawing.clientWidth < NARROW }));
    put(rows, peers.map((peer) => line(peer)));
    table.hidden = peers.length === 0;
  };
  const forget = [on("warnings", show), on("share", show), on("peers", show), on("self", show), on("transfers", show)];
  // Round trips, and how long a neighbour has been silent, are as of when its row was made.
  const read = () => readPeers().catch(() => {});
  const clock = isPeer && setInterval(read, EVERY_MS);
  if (isPeer) read();
  addEventListener("resize", show);
  show();
  return {
    close: () => {
      forget.forEach((off) => off());
      clearInterval(clock);
      removeEventListener("resize", show);
      members?.close();
    },
  };
}

/** Has the rows of all neighbours made anew, and drops those of whom there is none any more. */
async function readPeers() {
  // Who comes while it is asked may not be on the page, and stays.
  const gone = new Set(known.peers.keys());
  const [page] = await api.pages({ part: "peers", at: "start", limit: 1000, names: 20 });
  for (const { id } of page.rows) gone.delete(id);
  if (!page.more) gone.forEach((id) => drop({ id }));
  page.rows.forEach(take);
}

/** What this peer itself shares, in a line. */
function shared() {
  const { share } = known;
  if (!share) return "";
  const hashing = share.unhashed > 0 ? `, ${count(share.unhashed)} still to be hashed` : "";
  return `This peer shares ${many(share.files, "file")}, ${size(share.bytes)}${hashing}: ${plain(share.directory.text ?? share.directory)}`;
}

/** Adds to a peer what has come from it and gone to it in the transfers that are on their way. */
function withTransfers(peer) {
  const comes = [...known.transfers.values()].flatMap(({ sent_by: senders }) => senders ?? [])
    .filter(([who]) => who === peer.id || who === peer.name);
  const goes = [...known.uploads.values()].filter(({ member: to }) => to?.id === peer.id);
  return {
    ...peer,
    comes: comes.reduce((sum, [, bytes]) => sum + bytes, 0),
    goes: goes.reduce((sum, { sent }) => sum + sent, 0),
  };
}

/** Whether nothing has been heard of a neighbour for longer than it promised. */
function isSilent(peer) {
  return (peer.link?.silent_ms ?? 0) > SILENT_MS;
}

function nearness(peer) {
  return peer.link?.rtt_us ?? Infinity;
}

function line(peer) {
  const { link } = peer;
  return h("tr", { "data-peer": peer.id },
    h("th", { scope: "row" }, shown(member(peer)), isSilent(peer) && h("span", { class: "tag amber" }, "silent")),
    h("td", { class: "soft" }, peer.address),
    h("td", { class: "number", title: size(peer.bytes) }, count(peer.files)),
    h("td", { class: "number" }, link?.rtt_us == null ? "–" : trip(link.rtt_us / 1000)),
    h("td", { class: "number" }, link ? `${span(link.silent_ms / 1000)} ago` : "–"),
    h("td", { class: "number" }, peer.comes ? size(peer.comes) : "–"),
    h("td", { class: "number" }, peer.goes ? size(peer.goes) : "–"));
}
