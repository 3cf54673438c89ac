// The view of the claim: how much of what is looked up the neighbourhood answers, and what the
// tracker is left with.

import * as api from "./api.js";
import { bars } from "./chart.js";
import { h, put } from "./dom.js";
import { known, on } from "./store.js";
import * as swarms from "./swarms.js";
import { count, many, percent, size } from "./units.js";

const EVERY_MS = 5000;

const ANSWERED = [
  { key: "memory", name: "memory" },
  { key: "neighbours", name: "neighbours" },
  { key: "tracker", name: "tracker" },
  { key: "nobody", name: "nobody" },
];
const MOVED = [
  { key: "received", name: "received", class: "in" },
  { key: "sent", name: "sent", class: "out" },
];
const MESSAGES = [
  { key: "messages_sent", name: "sent", class: "out" },
  { key: "messages_received", name: "received", class: "in" },
];

export function view(root) {
  const page = h("div", { class: "claim" });
  put(root, page);
  let isClosed = false;
  let last = [null, []];
  const show = () => {
    const [claim, torrents] = last;
    put(page, headline(claim), claim && history(claim), known.info.kind === "tracker" && figures(), swarms.table(torrents));
  };
  const read = async () => {
    try {
      const now = await Promise.all([api.get("claim"), swarms.busiest()]);
      if (isClosed) return;
      if (JSON.stringify(now) === JSON.stringify(last) && page.hasChildNodes()) return;
      last = now;
      show();
    } catch {
      // The bar says that the node is out of reach; the last figures stay.
    }
  };
  const off = on("self", show);
  const clock = setInterval(read, EVERY_MS);
  show();
  read();
  return {
    close: () => {
      isClosed = true;
      off();
      clearInterval(clock);
    },
  };
}

function headline(claim) {
  const spared = claim?.spared ?? known.self?.spared;
  const { last_hour: hour, since_start: all } = spared ?? {};
  const most = hour?.lookups ? hour : all;
  if (!most?.lookups) {
    return h("section", { class: "headline", "aria-label": "Lookups spared" },
      h("h2", {}, "No lookups yet"),
      h("p", { class: "soft" }, "Fetch something, and here is seen who knew where it was: this peer's memory, a neighbour, or the tracker."));
  }
  const when = most === hour ? "in the last hour" : "since the start";
  return h("section", { class: "headline", "aria-label": "Lookups spared" },
    h("p", { class: "large" }, percent(most.spared, most.lookups)),
    h("div", {},
      h("h2", {}, "of what was looked up never reached the tracker"),
      h("p", { class: "soft" }, `${count(most.spared)} of ${many(most.lookups, "lookup")} ${when}`,
        most === hour ? `; since the start ${percent(all.spared, all.lookups)} of ${count(all.lookups)}.` : ".")));
}

function history({ hour, day, since_start: all }) {
  const charts = [];
  const periods = [["Last hour", hour, 60], ["Last day", day, 3600]];
  for (const [title, period, unit] of periods) {
    if (!period?.steps?.length) continue;
    const label = (i) => since((period.steps.length - i) * period.every_s, unit);
    charts.push(h("section", { class: "card", "aria-label": title },
      h("h2", {}, title),
      bars({ title: "Lookups, by who answered", series: ANSWERED, steps: period.steps, label, written: count }),
      bars({ title: "Messages with the tracker", series: MESSAGES, steps: period.steps, label, written: count, isLow: true }),
      bars({ title: "Bytes of large files", series: MOVED, steps: period.steps, label, written: size, isLow: true, isBytes: true })));
  }
  return [
    h("div", { class: "charts" }, charts),
    all && h("p", { class: "soft small" },
      `Since the start: ${many(all.messages_sent + all.messages_received, "message")} with the tracker, ${size(all.received)} received and ${size(all.sent)} sent.`),
  ];
}

function since(seconds, unit) {
  return unit === 60 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

/** What a tracker counts. */
function figures() {
  const { self } = known;
  if (!self) return null;
  const { torrents, seeders, leechers } = self.swarms;
  const all = [
    ["Peers", self.peers], ["Files they list", self.entries], ["Questions asked", self.finds],
    ...(swarms.areServed() ? [["Torrents", torrents], ["Seeders", seeders], ["Leechers", leechers]] : []),
  ];
  return h("dl", { class: "figures" }, all.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, count(value ?? 0)))));
}
