// The view of what comes and what goes: with its rate, its time left, from whom and to whom; and
// of what is finished, and where it lies.

import * as api from "./api.js";
import { confirm } from "./dialog.js";
import { h, put } from "./dom.js";
import { icon } from "./icons.js";
import { base, folder, member, plain, shown } from "./names.js";
import { pieces } from "./pieces.js";
import { complain } from "./remarks.js";
import { address } from "./route.js";
import { known, on } from "./store.js";
import { askTorrent } from "./torrent.js";
import { ago, many, percent, rate, size, span } from "./units.js";

const IS_OVER = new Set(["done", "failed", "cancelled"]);
/** Files that are named of a job that has fetched many. */
const NAMED = 3;

export function view(root) {
  const coming = h("ul", { class: "cards" });
  const going = h("ul", { class: "cards" });
  const over = h("ul", { class: "cards" });
  const sections = [section("Coming", coming), section("Going out", going), section("Finished", over)];
  const blank = h("div", { class: "blank" },
    h("h2", {}, "Nothing is on its way"),
    h("p", {}, "What you fetch is seen here while it comes, and what others fetch from you."),
    h("a", { class: "button", href: address("files") }, "To the files"));
  const sum = h("p", { class: "soft small" });
  const bring = h("div", { class: "bring" }, sum, h("button", { type: "button", class: "button", onclick: askTorrent }, icon("plus"), "Fetch a torrent"));
  const clear = h("button", { type: "button", class: "button quiet", onclick: () => dismissAll() }, "Clear");
  sections[2].firstElementChild.append(clear);
  put(root, h("div", { class: "transfers" }, bring, blank, sections));

  const show = () => {
    const jobs = [...known.jobs.values()].sort((a, b) => b.id - a.id);
    const rest = new Map(known.transfers);
    const running = jobs.filter((job) => !IS_OVER.has(job.state));
    // The end of a transfer is told a moment later than that of its job.
    jobs.filter((job) => job.state === "done").forEach((job) => ofJob(job, rest));
    const begun = running.map((job) => {
      const own = ofJob(job, rest);
      return [`job${job.id}`, (row) => drawJob(row, job, own)];
    });
    const elsewhere = [...rest.values()].filter((transfer) => transfer.verified < transfer.length);
    const others = elsewhere.map((transfer) => [`transfer${transfer.root}`, (row) => drawTransfer(row, transfer)]);
    const uploads = [...known.uploads].map(([key, upload]) => [`upload${key}`, (row) => drawUpload(row, upload)]);
    const ended = jobs.filter((job) => IS_OVER.has(job.state)).map((job) => [`job${job.id}`, (row) => drawOver(row, job)]);
    const lists = [[coming, [...begun, ...others]], [going, uploads], [over, ended]];
    lists.forEach(([list, rows], i) => {
      arrange(list, rows);
      sections[i].hidden = rows.length === 0;
    });
    const flow = (rows) => rate([...rows.values()].reduce((all, row) => all + row.rate, 0));
    put(sum, h("span", {}, `${flow(known.transfers)} in`), h("span", {}, `${flow(known.uploads)} out`));
    blank.hidden = lists.some(([, rows]) => rows.length > 0);
  };
  const forget = [on("jobs", show), on("transfers", show)];
  show();
  return { close: () => forget.forEach((off) => off()) };
}

/** Takes the transfers of large files that belong to a job out of those that are left. */
function ofJob(job, rest) {
  const own = [...rest.values()].filter((transfer) => isOf(job, transfer));
  own.forEach((transfer) => rest.delete(transfer.root));
  return own.filter((transfer) => transfer.verified < transfer.length);
}

function isOf(job, { name }) {
  return name !== null && (name === job.title || base(name) === job.title || name.startsWith(`${job.title}/`));
}

function drawJob(row, job, transfers) {
  const isPaused = job.state === "paused";
  const sum = job.of_bytes ? `${size(job.bytes)} of ${size(job.of_bytes)}` : "looking for it";
  const facts = [
    sum,
    job.of_files > 1 && `${job.files} of ${many(job.of_files, "file")}`,
    isPaused ? "paused" : job.rate > 0 && rate(job.rate),
    !isPaused && job.eta !== null && job.eta !== undefined && `${span(job.eta)} left`,
    !isPaused && job.sources > 0 && `from ${many(job.sources, "peer")}`,
    !isPaused && job.silent > 5 && `silent for ${span(job.silent)}`,
  ];
  const waits = !isPaused && job.waiting_for?.length > 0 && h("p", { class: "soft small" }, "Waits for ", people(job.waiting_for));
  const step = isPaused
    ? button("resume", `Take up again: ${plain(job.title)}`, "Take up again", () => order(job, "resume"))
    : button("pause", `Pause ${plain(job.title)}`, "Pause", () => order(job, "pause"));
  draw(row, {
    title: job.title,
    facts,
    bar: transfers.length === 1 ? pieces(transfers[0]) : bar(job.bytes, job.of_bytes, job.title),
    more: [waits, job.waiting && h("p", { class: "soft small" }, job.waiting), hashing(job), transfers.map((transfer) => senders(transfer)), job.notes?.length > 0 && notes(job.notes)],
    buttons: [step, button("close", `Cancel ${plain(job.title)}`, "Cancel", () => cancel(job))],
  });
}

/** Says that a wanted file is being hashed where it is, and how far that has come. */
function hashing({ hashing: it }) {
  if (!it) return null;
  const by = it.by && [" by ", shown(member(it.by))];
  return h("p", { class: "soft small" }, "Being hashed", by, `: ${percent(it.hashed, it.length)} of ${size(it.length)}`);
}

function drawTransfer(row, transfer) {
  draw(row, {
    title: transfer.name ?? transfer.root.slice(0, 12),
    facts: [
      `${size(transfer.verified)} of ${size(transfer.length)}`,
      transfer.rate > 0 && rate(transfer.rate),
      transfer.rate > 0 && `${span((transfer.length - transfer.verified) / transfer.rate)} left`,
      transfer.sources > 0 && `from ${many(transfer.sources, "peer")}`,
      "asked for in a terminal",
    ],
    bar: pieces(transfer),
    more: [senders(transfer)],
    buttons: [],
  });
}

function drawUpload(row, upload) {
  const to = upload.member ? member(upload.member) : upload.client;
  draw(row, {
    title: upload.name ?? upload.root.slice(0, 12),
    facts: [h("span", {}, "to ", shown(to)), `${size(upload.sent)} sent`, upload.rate > 0 && rate(upload.rate)],
    buttons: [],
  });
}

function drawOver(row, job) {
  const isDone = job.state === "done";
  const places = job.fetched.slice(-NAMED).map((file) => h("li", {}, h("code", {}, shown(file.path.text ?? file.path)), came(file)));
  const unnamed = job.files - places.length;
  const failed = job.failed.slice(-NAMED).map((file) => h("li", { class: "bad" }, shown(file.name), ": ", file.message));
  draw(row, {
    title: job.title,
    facts: [
      h("span", { class: isDone ? "tag" : "tag red" }, { done: "finished", failed: "failed", cancelled: "cancelled" }[job.state]),
      job.of_files > 1 && many(job.files, "file"),
      job.bytes > 0 && size(job.bytes),
      ago(job.since),
    ],
    more: [
      job.error && h("p", { class: "bad" }, job.error.message),
      failed.length > 0 && h("ul", { class: "small" }, failed),
      places.length > 0 && h("ul", { class: "small places" }, places, unnamed > 0 && places.length > 0 && h("li", { class: "soft" }, `and ${unnamed} more`)),
      job.variants?.length > 0 && h("ul", { class: "small variants" }, job.variants.map(variant)),
    ],
    buttons: [
      !isDone && !job.variants?.length && button("resume", `Take up again: ${plain(job.title)}`, "Take up again", () => order(job, "resume")),
      button("close", `Forget ${plain(job.title)}`, "", () => order(job, "dismiss")),
    ],
  });
}

/** One of the contents that an ambiguous name may mean. */
function variant(row) {
  const fetch = async () => {
    try {
      await api.post("jobs", { names: [row.name], root: row.root, from: null, folder: false });
    } catch (error) {
      complain(error);
    }
  };
  const more = row.holders_total - row.holders.length;
  return h("li", {}, shown(row.name), ` ${size(row.length)}, from `, people(row.holders), more > 0 && ` and ${more} more`, " ",
    button("fetch", `Fetch the one of ${size(row.length)}`, "Fetch this one", fetch));
}

function came(file) {
  if (!file.from) return null;
  const how = { memory: "found in memory", neighbour: "found by a neighbour", tracker: "found by the tracker" }[file.answer?.source];
  return h("span", { class: "soft" }, " from ", shown(member(file.from)), how ? `, ${how}` : "");
}

/** Draws a card. Its buttons stay the same elements for as long as they say the same: a click on one
 * that is replaced between press and release would be lost. */
function draw(row, { title, facts, bar: drawn, more = [], buttons }) {
  const above = folder(title);
  const texts = facts.filter(Boolean).flatMap((fact, i) => (i ? [" · ", fact] : [fact]));
  const offered = buttons.filter(Boolean);
  const said = offered.map((button) => button.getAttribute("aria-label")).join();
  if (row.said !== said) {
    row.said = said;
    row.head = h("div", { class: "label" });
    row.rest = h("div", { class: "rest" });
    put(row, h("div", { class: "top" }, row.head, h("div", { class: "buttons" }, offered)), row.rest);
  }
  put(row.head, h("h3", {}, shown(base(title)), above && h("span", { class: "above soft" }, " in ", shown(above))));
  put(row.rest, drawn ?? null, h("p", { class: "soft small" }, texts), more);
}

/** Puts rows into a list in this order, keeping the elements of rows that were there. */
function arrange(list, rows) {
  const old = new Map([...list.children].map((element) => [element.dataset.key, element]));
  rows.forEach(([key, fill], i) => {
    const element = old.get(key) ?? h("li", { class: "card", "data-key": key });
    old.delete(key);
    if (list.children[i] !== element) list.insertBefore(element, list.children[i] ?? null);
    fill(element);
  });
  for (const element of old.values()) element.remove();
}

function bar(part, whole, title) {
  return h("progress", { class: "bar-of", max: whole || 1, value: whole ? part : null, "aria-label": `${plain(title)}: ${percent(part, whole)}` });
}

function senders(transfer) {
  if (!transfer.sent_by?.length) return null;
  const named = transfer.sent_by.slice(0, 6).map(([who, bytes]) => h("li", {}, shown(called(who)), ` ${size(bytes)}`));
  return h("ul", { class: "people small soft" }, named);
}

/** Who has sent is told by id, or, of a client, by its address. */
function called(who) {
  const peer = known.peers.get(who);
  return known.names.get(who) ?? (peer ? member(peer) : /^[a-z2-7]{52}$/.test(who) ? who.slice(0, 8) : who);
}

function people(members) {
  return members.flatMap((of, i) => (i ? [", ", shown(member(of))] : [shown(member(of))]));
}

function notes(texts) {
  return h("ul", { class: "small soft" }, texts.slice(-NAMED).map((text) => h("li", {}, text)));
}

function section(title, list) {
  return h("section", { "aria-label": title, hidden: true }, h("div", { class: "heading" }, h("h2", {}, title)), list);
}

function button(picture, label, text, then) {
  return h("button", { type: "button", class: "button quiet", "aria-label": label, title: text ? null : label, onclick: then }, icon(picture), text);
}

async function order(job, what) {
  try {
    await api.post(`jobs/${job.id}/${what}`);
  } catch (error) {
    complain(error);
  }
}

async function cancel(job) {
  // A transfer is told of more often than its job.
  const ofIt = [...known.transfers.values()].filter((transfer) => isOf(job, transfer));
  const isFar = known.jobs.get(job.id)?.bytes > 0 || ofIt.some(({ verified }) => verified > 0);
  const text = "What has arrived is kept, so that it can be taken up again.";
  if (!isFar || (await confirm({ title: ["Cancel ", shown(base(job.title)), "?"], text, action: "Cancel the fetch" }))) await order(job, "cancel");
}

function dismissAll() {
  for (const job of known.jobs.values()) if (IS_OVER.has(job.state)) order(job, "dismiss");
}
