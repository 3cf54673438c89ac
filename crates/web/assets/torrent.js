// Torrents and magnet links that the user brings along: typed into a dialog, chosen as a file, or
// dropped on the page.

import * as api from "./api.js";
import { open } from "./dialog.js";
import { h } from "./dom.js";
import { complain, remark } from "./remarks.js";
import { address } from "./route.js";
import { size } from "./units.js";

/** The most bytes of a torrent: in base64 it has to fit into a request. */
const LONGEST = 12_000_000;

/** Asks for a torrent file or a magnet link. */
export function askTorrent() {
  const link = h("textarea", { class: "field mono", id: "magnet", rows: 3, placeholder: "magnet:?xt=…", spellcheck: "false", autocomplete: "off", autofocus: true });
  const file = h("input", { class: "field", id: "torrent-file", type: "file", accept: ".torrent,application/x-bittorrent" });
  const form = h("form", { class: "form", id: "torrent-form" },
    h("p", {}, "Its files come into the share, from members and from ordinary BitTorrent clients."),
    h("label", { for: "magnet" }, "Magnet link"), link,
    h("label", { for: "torrent-file" }, "Or a torrent file"), file);
  const fetch = h("button", { class: "button first", type: "submit", form: "torrent-form" }, "Fetch");
  const dialog = open({ title: "Fetch a torrent", content: form, buttons: [fetch], narrow: true });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const typed = link.value.trim();
    if (!typed && !file.files.length) return link.focus();
    fetch.disabled = true;
    const isBegun = typed ? await begin({ magnet: typed }) : await bring(file.files[0]);
    if (isBegun) dialog.close();
    else fetch.disabled = false;
  });
}

/** Lets torrents and magnet links be dropped anywhere on the page. */
export function takeDropped() {
  const wants = ({ types }) => types.includes("Files") || types.includes("text/uri-list");
  const mark = (isOver) => document.body.classList.toggle("dropping", isOver);
  addEventListener("dragover", (event) => {
    if (!wants(event.dataTransfer)) return;
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) mark(false);
  });
  addEventListener("drop", async (event) => {
    mark(false);
    if (!wants(event.dataTransfer)) return;
    event.preventDefault();
    const link = event.dataTransfer.getData("text/uri-list");
    if (link) await begin({ magnet: link.trim() });
    for (const file of event.dataTransfer.files) await bring(file);
  });
}

/** Fetches what a torrent file is of. Returns whether that has begun. */
async function bring(file) {
  if (file.size > LONGEST) {
    complain({ message: `${file.name} has ${size(file.size)}: a torrent may have ${size(LONGEST)}.` });
    return false;
  }
  try {
    return await begin({ torrent: await inBase64(file) });
  } catch {
    complain({ message: `${file.name} cannot be read.` });
    return false;
  }
}

function inBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

async function begin(wanted) {
  try {
    await api.post("jobs", wanted);
    remark([h("span", {}, "Fetching a torrent. "), h("a", { href: address("transfers") }, "Transfers")]);
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}
