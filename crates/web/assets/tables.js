// The view of a tracker: the two tables of who has what, live, paged by rows and not by offsets, so
// that the last page of a million files costs what the first one does.

import * as api from "./api.js";
import { h, put, say } from "./dom.js";
import { fitting, host, member, plain, shown } from "./names.js";
import { complain } from "./remarks.js";
import { on } from "./store.js";
import { count, many, moment, size, time } from "./units.js";

const PAGE = 50;
const NAMES = 12;
const SOON_MS = 1000;
const TYPING_MS = 200;
/** A search through a million files costs the tracker time: it rests so many times as long as the
 * last one took before what has changed is searched again. */
const REST = 20;

export function view(root) {
  const peers = new Table({
    title: "Peers", part: "peers", thing: "peer",
    heads: ["Peer", "Files", "Size", "Names", "Neighbours"],
    line: (row) => [
      h("th", { scope: "row" }, shown(member(row)), " ", h("span", { class: "soft small" }, `${row.address}:${row.port}`)),
      h("td", { class: "number" }, count(row.files)),
      h("td", { class: "number" }, size(row.bytes)),
      h("td", { class: "wide" }, list(row.names, row.files)),
      h("td", {}, list(row.neighbours.map(member), row.neighbours_total)),
    ],
    key: (row) => ({ peer: { address: row.address.includes(":") ? `[${row.address}]:${row.port}` : `${row.address}:${row.port}`, id: row.id } }),
  });
  const files = new Table({
    title: "Files", part: "files", thing: "row", isSearched: true,
    heads: ["File", "Size", "Changed", "Peers that have it"],
    line: (row) => [
      h("th", { scope: "row", class: "wide" }, shown(row.name), row.has_twin && h("span", { class: "tag amber" }, "several")),
      h("td", { class: "number" }, size(row.length)),
      h("td", { title: moment(row.mtime) }, time(row.mtime)),
      h("td", {}, list(row.holders.map((holder) => (holder.address ? host(holder.address) : holder.id.slice(0, 8))), row.holders_total),
        row.partial_total > 0 && h("span", { class: "soft" }, `, ${row.partial_total} in part`)),
    ],
    key: (row) => ({ file: { name: row.name, nth: row.nth } }),
  });
  put(root, h("div", { class: "tables" }, peers.element, files.element));
  return {
    close: () => {
      peers.close();
      files.close();
    },
  };
}

/** A table of which one page is shown and kept up to date. */
class Table {
  constructor({ title, part, thing, heads, line, key, isSearched = false }) {
    Object.assign(this, { part, thing, line, key });
    this.at = "start";
    this.words = "";
    this.offset = 0;
    this.rows = h("tbody");
    this.sum = h("p", { class: "soft small", role: "status" });
    this.steps = ["First", "Previous", "Next", "Last"].map((text) =>
      h("button", { type: "button", class: "button", onclick: () => this.step(text) }, text));
    this.pager = h("div", { class: "steps" }, this.steps);
    this.search = isSearched && h("input", {
      type: "search", class: "field", id: "search", placeholder: "Search files", "aria-label": "Search files", autocomplete: "off",
      oninput: () => {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => this.look(this.search.value), TYPING_MS);
      },
    });
    this.element = h("section", { "aria-label": title },
      h("div", { class: "heading" }, h("h2", {}, title), this.sum, this.search, this.pager),
      h("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": `Table of ${title.toLowerCase()}` },
        h("table", {},
          h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col", class: ["Files", "Size"].includes(head) && head !== heads[0] ? "number" : null }, head)))),
          this.rows)));
    this.off = on("peers", () => this.soon());
    this.read();
  }

  close() {
    this.off();
    this.reading?.abort();
    clearTimeout(this.pause);
    clearTimeout(this.typing);
  }

  /** Reads again what is shown, in a while. What was asked for before is answered first. */
  soon() {
    const rest = this.words ? Math.max(SOON_MS, REST * (this.took ?? 0)) : SOON_MS;
    this.pause ??= setTimeout(() => {
      this.pause = undefined;
      if (this.isReading) this.isStale = true;
      else this.read({ isRefresh: true });
    }, rest);
  }

  look(words) {
    this.words = fitting(words);
    this.offset = 0;
    this.at = "start";
    this.read();
  }

  step(text) {
    if (this.words) {
      const last = Math.max(0, Math.floor((this.total - 1) / PAGE) * PAGE);
      this.offset = { First: 0, Previous: Math.max(0, this.offset - PAGE), Next: this.offset + PAGE, Last: last }[text];
    } else {
      const [first, last] = [this.shownRows[0], this.shownRows.at(-1)];
      this.at = {
        First: "start",
        Previous: first ? { before: this.key(first) } : "start",
        Next: last ? { after: this.key(last) } : "start",
        Last: "end",
      }[text];
    }
    this.read();
  }

  async read({ isRefresh = false } = {}) {
    this.reading?.abort();
    this.reading = new AbortController();
    const { signal } = this.reading;
    const begun = performance.now();
    this.isReading = true;
    try {
      const answer = this.words ? await this.searched(signal) : await this.paged();
      if (signal.aborted) return;
      this.took = performance.now() - begun;
      this.show(answer);
    } catch (error) {
      if (signal.aborted) return;
      // Another page of this node searches: what is shown stays until there is time for it.
      if (isRefresh && error.status === 429) this.isStale = true;
      else complain(error);
    }
    this.isReading = false;
    if (this.isStale) {
      this.isStale = false;
      this.soon();
    }
  }

  async paged() {
    const isBack = this.at === "end" || this.at.before;
    const [page] = await api.pages({ part: this.part, at: this.at, limit: PAGE, names: NAMES });
    // Before the first row and after the last one there is nothing to show: stay at that end.
    if (page.rows.length === 0 && page.total > 0) {
      this.at = isBack ? "start" : "end";
      return this.paged();
    }
    const isFirst = this.at === "start" || (isBack && !page.more);
    const isLast = this.at === "end" || (!isBack && !page.more);
    // From here on the same rows are shown, whatever comes or goes before them.
    if (this.at !== "start" && this.at !== "end" && page.rows.length) this.at = { from: this.key(page.rows[0]) };
    return { rows: page.rows, total: page.total, isFirst, isLast };
  }

  async searched(signal) {
    const asked = { words: this.words, offset: this.offset, limit: PAGE };
    const { rows, total } = await api.post("search", asked, signal);
    return { rows, total, isFirst: this.offset === 0, isLast: rows.length < PAGE || this.offset + PAGE >= total };
  }

  show({ rows, total, isFirst, isLast }) {
    this.shownRows = rows;
    this.total = total;
    say(this.sum, this.words ? `${count(total)} found` : many(total, this.thing));
    put(this.rows, rows.map((row) => h("tr", {}, this.line(row))));
    this.pager.hidden = isFirst && isLast;
    this.steps.forEach((button, i) => {
      button.disabled = i < 2 ? isFirst : isLast;
    });
  }
}

function list(names, total) {
  const more = total - names.length;
  return [names.flatMap((name, i) => (i ? [", ", shown(name)] : [shown(name)])), more > 0 && h("span", { class: "soft" }, ` and ${count(more)} more`)];
}
