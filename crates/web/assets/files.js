// The view of everything the village has: as folders, or as a list that is searched while the
// user types.

import * as api from "./api.js";
import { h, put, say } from "./dom.js";
import { fetchFile, fetchFolder, saveFile, saveFolder } from "./fetching.js";
import { show as showFile } from "./file.js";
import { icon } from "./icons.js";
import { base, fitting, folder, member, plain, shown } from "./names.js";
import { speak, complain } from "./remarks.js";
import { address, go } from "./route.js";
import { cell, Rows } from "./rows.js";
import { known, meet, on } from "./store.js";
import { count, many, moment, size, span, time } from "./units.js";

/** How long the user has to stop typing before it is searched. */
const TYPING_MS = 120;
/** The orders that can be chosen, and whether each begins with the largest. */
const ORDERS = { name: false, length: true, mtime: true, holders: true };
const TITLES = { name: "Name", length: "Size", mtime: "Changed", holders: "Holders" };

/** Shows the view in `root`. Returns what to call when the address changes, and at the end. */
export function view(root, place) {
  const files = new Files(root, place);
  return { moved: (to) => files.moved(to), close: () => files.close() };
}

class Files {
  constructor(root, place) {
    this.place = place;
    this.list = new Rows({
      label: "Files",
      columns: [
        { key: "name", title: "Name", class: "name", sort: true },
        { key: "length", title: "Size", class: "number", sort: true },
        { key: "mtime", title: "Changed", class: "when", sort: true },
        { key: "holders", title: "Holders", class: "who", sort: true },
        { key: "do", title: "Fetch and download", class: "do", isUnseen: true },
      ],
      load: (offset, limit, signal) => this.load(offset, limit, signal),
      draw: (row) => this.draw(row),
      open: (row) => this.open(row),
      sort: (order) => this.sortBy(order),
      onloaded: (answer) => this.loaded(answer),
      onfailed: complain,
    });
    this.list.element.addEventListener("keydown", (event) => {
      if (event.key === "Backspace") this.up();
    });
    this.search = h("input", {
      type: "search", class: "field", id: "search", placeholder: "Search all files", "aria-label": "Search all files",
      autocomplete: "off", spellcheck: "false", oninput: () => this.typed(), onkeydown: (event) => this.pressed(event),
    });
    this.flat = h("button", { type: "button", class: "button", "aria-pressed": "false", onclick: () => this.flatten() }, "As a list");
    this.order = h("select", { class: "field order", "aria-label": "Sort by", onchange: () => this.sortBy(this.order.value, true) },
      Object.entries(TITLES).map(([key, title]) => h("option", { value: key }, title)));
    this.again = h("button", { type: "button", class: "button", "aria-label": "Ask the village", onclick: () => this.ask() }, icon("again"), h("span", { class: "text" }, "Ask the village"));
    this.age = h("span", { class: "soft small age" });
    this.path = h("nav", { class: "path", "aria-label": "Folder" });
    this.sum = h("p", { class: "soft small sum" });
    this.blank = h("div", { class: "blank", hidden: true });
    put(root,
      h("section", { class: "files", "aria-label": "Files" },
        h("div", { class: "tools" },
          h("div", { class: "searching" }, icon("search"), this.search),
          this.order, this.flat,
          known.info.asks_village && h("div", { class: "asking" }, this.again, this.age)),
        h("div", { class: "where" }, this.path, this.sum),
        this.list.element, this.blank));
    this.forget = [on("village", () => this.villageTold()), on("share", () => this.shareChanged())];
    this.clock = setInterval(() => this.tellAge(), 1000);
    this.moved(place);
    this.tellAge();
    this.villageTold();
  }

  close() {
    this.forget.forEach((off) => off());
    clearInterval(this.clock);
    clearTimeout(this.typing);
    clearTimeout(this.changing);
    this.list.close();
  }

  moved(place) {
    this.place = place;
    const { params } = place;
    this.words = params.get("q") ?? "";
    this.isFlat = params.has("list");
    this.by = params.get("sort") in ORDERS ? params.get("sort") : "name";
    this.isDescending = params.has("down");
    if (document.activeElement !== this.search) this.search.value = this.words;
    this.flat.setAttribute("aria-pressed", String(this.isFlat));
    this.order.value = this.by;
    this.list.sorted(this.by, this.isDescending);
    this.showPath();
    this.list.restart();
  }

  /** Whether folders are shown, and not all files below one. */
  isFolders() {
    return !this.words.trim() && !this.isFlat;
  }

  async load(offset, limit, signal) {
    if (!hasList()) return { rows: [], total: 0 };
    const asked = { order: this.by, descending: this.isDescending, offset, limit };
    const path = this.place.path.join("/");
    const answer = this.isFolders()
      ? await api.post("folder", { ...asked, path }, signal)
      : await api.post("search", { ...asked, words: fitting(this.words), folder: path }, signal);
    meet(answer.rows.flatMap((row) => row.holders ?? []));
    return answer;
  }

  loaded(answer) {
    const what = this.isFolders() && answer.files === undefined ? many(answer.total, "item") : many(answer.files ?? answer.total, "file");
    const bytes = !answer.bytes ? "" : `, ${size(answer.bytes)}`;
    const told = `${what}${bytes}`;
    say(this.sum, answer.total > 0 ? told : "");
    if (this.words) speak(answer.total > 0 ? `${told} found` : "Nothing found");
    this.blank.hidden = answer.total > 0;
    this.list.element.hidden = answer.total === 0;
    if (answer.total > 0) return;
    if (!hasList()) {
      const { village } = known;
      put(this.blank, village?.error && !village.asking
        ? [h("h2", {}, "The village has not answered"), h("p", {}, village.error.message)]
        : [h("h2", {}, "Asking the village …"), h("p", {}, "Everybody who is there is asked what there is.")]);
    } else if (this.words) {
      put(this.blank, h("h2", {}, "Nothing by that name"),
        h("p", {}, "No path has all of these words in it."),
        h("button", { type: "button", class: "button", onclick: () => this.look("") }, "Clear the search"));
    } else if (this.place.path.length) {
      put(this.blank, h("h2", {}, "Nothing here any more"), h("p", {}, "Nobody shares a file in this folder now."));
    } else {
      put(this.blank, h("h2", {}, "Nothing is shared yet"),
        h("p", {}, "Files appear here as soon as a member shares some. Put one into your share, or let another machine in under Village."));
    }
  }

  draw(row) {
    if (row.row === "folder") {
      return [
        cell("name", icon("folder"),
          h("span", { class: "label" }, shown(base(row.name)), h("span", { class: "above soft" }, ` ${many(row.files, "file")}`))),
        cell("number", size(row.bytes)),
        h("div", { role: "gridcell", class: "cell when", title: moment(row.mtime) }, time(row.mtime)),
        cell("who"),
        cell("do",
          act("fetch", `Fetch the folder ${plain(row.name)} into the share`, () => fetchFolder(row.name)),
          act("download", `Download the folder ${plain(row.name)}`, () => saveFolder(row.name))),
      ];
    }
    const above = this.isFolders() ? "" : folder(row.name);
    return [
      cell("name", icon("file"),
        h("span", { class: "label", title: plain(row.name) },
          shown(base(row.name)), above && h("span", { class: "above soft" }, " in ", shown(above))),
        row.has_twin && h("span", { class: "tag amber", title: "Another content has the same name" }, "several"),
        row.here && h("span", { class: "tag", title: "In your share" }, "here")),
      cell("number", size(row.length)),
      h("div", { role: "gridcell", class: "cell when", title: moment(row.mtime) }, time(row.mtime)),
      cell("who", holders(row)),
      cell("do",
        row.here ? null : act("fetch", `Fetch ${plain(row.name)} into the share`, () => (row.has_twin ? this.open(row) : fetchFile(row))),
        act("download", `Download ${plain(row.name)}`, () => saveFile(row))),
    ];
  }

  open(row) {
    if (row.row === "folder") this.goTo(row.name.split("/"));
    else showFile(row);
  }

  up() {
    if (this.place.path.length) this.goTo(this.place.path.slice(0, -1));
  }

  goTo(path) {
    go(address("files", path, { sort: this.by === "name" ? "" : this.by, down: this.isDescending && "1" }));
    this.list.element.focus();
  }

  sortBy(order, keepsDirection) {
    const isSame = order === this.by;
    const down = isSame && !keepsDirection ? !this.isDescending : ORDERS[order];
    this.change({ sort: order === "name" ? "" : order, down: down ? "1" : "" });
  }

  flatten() {
    this.change({ list: this.isFlat ? "" : "1" });
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.look(this.search.value), TYPING_MS);
  }

  pressed(event) {
    if (event.key === "Escape" && this.search.value) {
      this.look("");
      event.preventDefault();
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      this.list.element.focus();
      event.preventDefault();
    }
  }

  look(words) {
    if (this.search.value !== words) this.search.value = words;
    this.change({ q: words });
  }

  change(params) {
    const all = { ...Object.fromEntries(this.place.params), ...params };
    go(address("files", this.place.path, all), true);
  }

  showPath() {
    const { path } = this.place;
    const steps = path.map((name, i) => (i === path.length - 1
      ? h("span", { "aria-current": "location" }, shown(name))
      : h("a", { href: address("files", path.slice(0, i + 1)) }, shown(name))));
    const top = path.length ? h("a", { href: address("files") }, "Village") : h("span", { "aria-current": "location" }, "Village");
    put(this.path, [top, ...steps].flatMap((step, i) => (i ? [h("span", { class: "soft", "aria-hidden": "true" }, "/"), step] : [step])));
  }

  async ask() {
    try {
      // What becomes of it is told by the stream of changes, which may be quicker than this answer.
      await api.post("village");
    } catch (error) {
      complain(error);
    }
  }

  async villageTold() {
    if (!known.village) return;
    const { asking, list, wait_s: wait } = known.village;
    this.tellAge();
    // When the page is opened, the village is asked, unless it was a moment ago.
    if (!wasOpened && known.info.asks_village) {
      wasOpened = true;
      if (!asking && wait === 0) return this.ask();
    }
    // An answer may be here before it is told that it was asked for.
    if (asking !== this.wasAsking || list !== this.wasList) this.list.refresh();
    [this.wasAsking, this.wasList] = [asking, list];
  }

  /** Which files are here has changed; a burst of changes is read once. */
  shareChanged() {
    const state = `${known.share?.files} ${known.share?.bytes} ${known.share?.unhashed}`;
    if (state === this.shareState) return;
    this.shareState = state;
    this.changing ??= setTimeout(() => {
      this.changing = null;
      this.list.refresh();
    }, 500);
  }

  tellAge() {
    const { village } = known;
    if (!village) return;
    const past = Date.now() - known.villageAt;
    const wait = village.wait_s - past / 1000;
    this.again.disabled = village.asking || wait > 0;
    if (village.asking) say(this.age, "asking …");
    else if (village.age_ms === null) say(this.age, village.error ? "not answered" : "");
    else {
      const age = (village.age_ms + past) / 1000;
      say(this.age, `${age < 5 ? "just now" : `${span(age)} ago`}${village.error ? ", in part" : ""}${village.cut ? `, first ${count(village.files)}` : ""}`);
    }
    this.age.title = (village.error?.message ?? village.error) || "";
  }
}

/** Whether the village was looked after since the page was opened. */
let wasOpened = false;

/** Whether the village has answered once, so that there is something to look into. */
function hasList() {
  return known.village !== null && known.village.age_ms !== null;
}

function act(what, label, then) {
  return h("button", {
    type: "button", class: "button quiet", tabindex: -1, "aria-label": label, title: label,
    onclick: () => then(),
  }, icon(what));
}

function holders(row) {
  const total = row.holders_total + row.partial_total;
  if (total > 1 || row.holders.length === 0) return [count(total), " ", h("span", { class: "soft" }, total === 1 ? "peer" : "peers")];
  return shown(member(row.holders[0]));
}
