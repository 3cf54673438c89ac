// What the buttons of files and folders do: fetch into the share, or download in the browser.

import * as api from "./api.js";
import { h } from "./dom.js";
import { base, shown } from "./names.js";
import { complain, remark } from "./remarks.js";
import { address } from "./route.js";

/** Fetches a file into the share: the content of this row, whatever else goes by its name. */
export function fetchFile(row) {
  return fetchJob({ names: [row.name], root: row.root ?? null, from: null, folder: false }, row.name);
}

export function fetchFolder(name) {
  return fetchJob({ names: [name], root: null, from: null, folder: true }, name);
}

/** Downloads a file in the browser. */
export function saveFile(row) {
  return save({ name: row.name, root: row.root ?? null, from: null, as: "file" });
}

/** Downloads a folder in the browser, as a zip file. */
export function saveFolder(name) {
  return save({ name, root: null, from: null, as: "zip" });
}

async function fetchJob(wanted, name) {
  try {
    await api.post("jobs", wanted);
    remark([h("span", {}, "Fetching ", shown(base(name)), ". "), h("a", { href: address("transfers") }, "Transfers")]);
  } catch (error) {
    complain(error);
  }
}

async function save(wanted) {
  try {
    const { url } = await api.post("downloads", wanted);
    const link = h("a", { href: url, download: "" });
    document.body.append(link);
    link.click();
    link.remove();
  } catch (error) {
    complain(error);
  }
}
