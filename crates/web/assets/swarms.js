// What ordinary BitTorrent clients do at a tracker: the torrents with the most of them.

import * as api from "./api.js";
import { h } from "./dom.js";
import { shown } from "./names.js";
import { known } from "./store.js";
import { count } from "./units.js";

const MOST = 20;

/** Whether this node is a tracker that serves ordinary clients. */
export function areServed() {
  return (known.self?.bittorrent ?? "off") !== "off" && known.info.kind === "tracker";
}

/** Returns the torrents with the most clients, if there are any. */
export async function busiest() {
  if (!areServed()) return [];
  const [page] = await api.pages({ part: "swarms", limit: MOST });
  return page.rows;
}

export function table(torrents) {
  if (torrents.length === 0) return null;
  const heads = ["Busiest torrents", "Hash", "Seeders", "Leechers", "Completed"];
  return h("section", { "aria-label": "Torrents" },
    h("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": "Table of torrents" },
      h("table", {},
        h("thead", {}, h("tr", {}, heads.map((head, i) => h("th", { scope: "col", class: i > 1 ? "number" : null }, head)))),
        h("tbody", {}, torrents.map(line)))));
}

/** Of folders, and of what no member has, the tracker is told no name. */
function line({ info_hash: hash, name, seeders, leechers, downloaded }) {
  return h("tr", {},
    h("th", { scope: "row", class: "wide" }, name === null ? hash : shown(name)),
    h("td", {}, h("span", { class: "soft" }, hash.slice(0, 8))),
    [seeders, leechers, downloaded].map((number) => h("td", { class: "number" }, count(number))));
}
