// Small pictures on buttons and in lists, drawn with lines of the text's colour.

import { svg } from "./dom.js";

const PATHS = {
  folder: "M2.5 5.5a1.5 1.5 0 0 1 1.5-1.5h3.2l1.8 2h6.5a1.5 1.5 0 0 1 1.5 1.5v7a1.5 1.5 0 0 1-1.5 1.5h-11.5a1.5 1.5 0 0 1-1.5-1.5z",
  file: "M5 2.5h6l4 4v11h-10zM11 2.5v4h4",
  fetch: "M2.5 9.5l7.5-6.5 7.5 6.5M4.5 8v8.5h11v-8.5M10 8v5.5M7.8 11.5l2.2 2.2 2.2-2.2",
  download: "M10 2.5v7M7 7l3 3 3-3M3.5 12v4.5h13v-4.5",
  pause: "M7 4.5v11M13 4.5v11",
  resume: "M6.5 4.5l8.5 5.5-8.5 5.5z",
  close: "M5 5l10 10M15 5l-10 10",
  search: "M9 3.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11zM13 13l4 4",
  again: "M16 10a6 6 0 1 1-1.8-4.3M16.5 3v3.5h-3.5",
  up: "M10 16v-11M5.5 9.5l4.5-4.5 4.5 4.5",
  twins: "M4 6.5h8v10h-8zM8 6.5v-3h8v10h-4",
  plus: "M10 4v12M4 10h12",
  check: "M4 10.5l4 4 8-9",
  copy: "M7 7h9v9h-9zM4 13v-9h9",
};

export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));
}
