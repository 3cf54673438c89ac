// One file from near: who has it, and beside it every other content of the same name.

import * as api from "./api.js";
import { open } from "./dialog.js";
import { h, put } from "./dom.js";
import { fetchFile, saveFile } from "./fetching.js";
import { icon } from "./icons.js";
import { base, folder, member, shown } from "./names.js";
import { complain } from "./remarks.js";
import { count, many, moment, size } from "./units.js";

/** Opens a dialog about the file of a row. */
export function show(row) {
  const content = h("div", { class: "twins" }, card(row, false));
  const above = folder(row.name);
  open({
    title: [shown(base(row.name)), above && h("span", { class: "above soft small" }, "in ", shown(above))],
    content: [
      row.has_twin && h("p", { class: "notice" }, "Different files go by this name. Choose one."),
      content,
    ],
  });
  if (row.has_twin) {
    twins(row).then((rows) => put(content, rows.map((twin) => card(twin, true))), complain);
  }
}

/** Returns all rows with the name of this one. */
async function twins(row) {
  const { rows } = await api.post("search", { name: row.name, limit: 1000 });
  return rows.length ? rows : [row];
}

function card(row, isOneOfSeveral) {
  const named = row.holders.map((holder) => h("li", {}, shown(member(holder))));
  const more = row.holders_total - row.holders.length;
  return h("section", { class: "card", "aria-label": isOneOfSeveral ? `The one of ${size(row.length)}` : "File" },
    h("dl", { class: "facts" },
      fact("Size", [size(row.length), row.length >= 1024 && h("span", { class: "soft small" }, ` (${count(row.length)} B)`)]),
      fact("Changed", moment(row.mtime)),
      fact("Content", row.root ? h("code", { title: row.root }, row.root.slice(0, 12)) : h("span", { class: "soft" }, "still being hashed")),
      fact(many(row.holders_total, "holder"), h("ul", { class: "people" }, named, more > 0 && h("li", { class: "soft" }, `and ${more} more`))),
      row.partial_total > 0 && fact("On its way to", many(row.partial_total, "peer"))),
    row.here && h("p", { class: "small" }, h("span", { class: "tag" }, "here"), " It is in your share."),
    h("div", { class: "buttons" },
      !row.here && h("button", { type: "button", class: "button first", onclick: act(() => fetchFile(row)) }, icon("fetch"), "Fetch into the share"),
      h("button", { type: "button", class: "button", onclick: act(() => saveFile(row)) }, icon("download"), "Download")));
}

function fact(name, value) {
  return [h("dt", {}, name), h("dd", {}, value)];
}

function act(then) {
  return (event) => {
    then();
    event.currentTarget.closest("dialog").close();
  };
}
