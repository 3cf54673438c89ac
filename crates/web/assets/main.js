// Opens the page: lets the user in, learns what the node is, and shows the view that the address
// names.

import * as api from "./api.js";
import { h, put, say } from "./dom.js";
import * as claim from "./claim.js";
import * as files from "./files.js";
import { follow } from "./live.js";
import { member, plain, shown } from "./names.js";
import { complain, remark } from "./remarks.js";
import { address, code, go, parse } from "./route.js";
import { known, on } from "./store.js";
import * as tables from "./tables.js";
import { takeDropped } from "./torrent.js";
import * as transfers from "./transfers.js";
import * as village from "./village.js";

const VIEWS = {
  peer: { files: ["Files", files], transfers: ["Transfers", transfers], village: ["Village", village], claim: ["Claim", claim] },
  tracker: { tables: ["Tables", tables], village: ["Members", village], claim: ["Claim", claim] },
};

const main = document.getElementById("main");
const tabs = document.getElementById("tabs");
let current = null;

addEventListener("hashchange", () => {
  // A new link was opened in this tab.
  if (code(location.hash)) location.reload();
});
start();

async function start() {
  try {
    await letIn();
    known.info = await api.get("node");
  } catch (error) {
    return shut(error);
  }
  showTabs();
  addEventListener("hashchange", moved);
  addEventListener("keydown", pressed);
  on("self", showState);
  on("live", showState);
  on("jobs", showJobs);
  if (known.info.kind === "peer") takeDropped();
  follow({ onelsewhere: elsewhere, onshut: shut });
  moved();
}

/** Exchanges the code of the link, if there is one, and takes it out of the address. */
async function letIn() {
  const given = code(location.hash);
  if (given) {
    history.replaceState(null, "", location.pathname);
    await api.enter(given);
  }
  if (!api.hasBearer()) throw new api.Refusal(401, "no-bearer", "This page opens with the link of `thorp page`: type that in a terminal.");
}

function moved() {
  if (code(location.hash)) return;
  const views = VIEWS[known.info.kind];
  const place = parse(location.hash);
  if (!(place.view in views)) return go(address(Object.keys(views)[0]), true);
  if (current?.name === place.view && current.shown.moved) return current.shown.moved(place);
  const isFirst = current === null;
  current?.shown.close();
  const [title, { view }] = views[place.view];
  main.scrollTop = 0;
  current = { name: place.view, shown: view(main, place) };
  document.title = `${title} – thorp`;
  for (const tab of tabs.children) {
    if (tab.dataset.view === place.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  // Readers of a screen are led to the new view; at first they begin at the top.
  if (!isFirst) main.focus({ preventScroll: true });
}

function showTabs() {
  const views = Object.entries(VIEWS[known.info.kind]);
  put(tabs, views.map(([name, [title]]) => h("a", { href: address(name), "data-view": name },
    title, name === "transfers" && h("span", { class: "badge", id: "badge", hidden: true }))));
}

function showState() {
  const line = document.getElementById("state");
  const banner = document.getElementById("banner");
  banner.hidden = known.isLive || known.self === null;
  say(banner, banner.hidden ? "" : "The node cannot be reached. What is shown may be old; the page goes on by itself once it is back.");
  const { self, info } = known;
  if (!self) return;
  const isGood = info.kind === "tracker" || self.tracker_connected;
  const text = info.kind === "tracker" ? "tracker" : !self.tracker ? "no tracker" : isGood ? "tracker connected" : "tracker out of reach";
  put(line, h("span", { class: `dot ${isGood ? "good" : "bad"}` }), info.kind === "peer" && shown(member(self)), h("span", {}, text));
}

/** Counts in the tab what is on its way, and says what has ended since. */
function showJobs() {
  const jobs = [...known.jobs.values()];
  const running = jobs.filter((job) => job.state === "running" || job.state === "paused").length;
  const badge = document.getElementById("badge");
  if (badge) {
    badge.hidden = running === 0;
    say(badge, String(running));
    badge.setAttribute("aria-label", `${running} on the way`);
  }
  for (const job of jobs) {
    const before = showJobs.states?.get(job.id);
    if (before === "running" && job.state === "done") remark([shown(job.title), " is in your share."]);
    if (before === "running" && job.state === "failed") complain({ message: `${plain(job.title)}: ${job.error?.message ?? "not fetched"}` });
  }
  showJobs.states = new Map(jobs.map((job) => [job.id, job.state]));
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key !== "/") return;
  event.preventDefault();
  if (!document.getElementById("search")) go(address(Object.keys(VIEWS[known.info.kind])[0]));
  // The view that has the field is shown once the address has changed.
  setTimeout(() => document.getElementById("search")?.focus());
}

/** Another tab of this browser shows the page now. */
function elsewhere() {
  end("The page is open in another tab", "It shows changes in one tab at a time.",
    h("button", { type: "button", class: "button first", onclick: () => location.reload() }, "Show it here"));
}

function shut(error) {
  const command = /`([^`]+)`/;
  const parts = error.message.split(command).map((part, i) => (i % 2 ? h("code", {}, part) : part));
  const isDoor = error.status === 401 || error.status === 403;
  end(isDoor ? "This page is closed" : "The page cannot be shown", parts,
    !isDoor && h("button", { type: "button", class: "button first", onclick: () => location.reload() }, "Try again"));
}

function end(title, text, button) {
  current?.shown.close();
  current = null;
  removeEventListener("hashchange", moved);
  removeEventListener("keydown", pressed);
  put(tabs);
  put(main, h("div", { class: "blank" }, h("h2", {}, title), h("p", {}, text), button));
}
