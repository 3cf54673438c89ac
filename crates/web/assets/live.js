// Keeps what is known up to date: reads all pages once, then follows the stream of changes, and
// takes both up again after an interruption.

import * as api from "./api.js";
import { drop, forget, known, take, touch } from "./store.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
/** The node sends something every 15 s. */
const SILENCE_MS = 40000;

/** Follows the node until another tab of this browser does, or the bearer has ended. */
export async function follow({ onelsewhere, onshut }) {
  let number = null;
  let wait = FIRST_WAIT_MS;
  for (;;) {
    try {
      number ??= await readAll();
      for await (const event of events(number)) {
        wait = FIRST_WAIT_MS;
        live(true);
        if (event.event === "elsewhere") {
          live(false);
          return onelsewhere();
        }
        number = event.number ?? number;
        if (event.event === "start-again") number = await readAll();
        else happened(event);
      }
    } catch (error) {
      if (error.isShut) {
        live(false);
        return onshut(error);
      }
      // A node that was started anew has other numbers; reading all costs little.
      number = null;
    }
    live(false);
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

/** Reads all pages that are kept whole, and returns the number of the latest change in them. */
async function readAll() {
  const isPeer = known.info.kind === "peer";
  const parts = ["node", "share", "transfers", "uploads", "warnings", isPeer && "peers"].filter(Boolean);
  const asks = parts.map((part) => ({ part, at: "start", limit: 1000, names: 20 }));
  const read = await api.pages(...asks);
  forget();
  for (const page of read) page.rows.forEach(take);
  return Math.min(...read.map((page) => page.number));
}

function happened(event) {
  switch (event.event) {
    case "changes":
      for (const change of event.changes) {
        if (change.now) take(change.now);
        else drop(change.gone);
      }
      break;
    case "jobs":
      // Others may have gone while no stream told of it.
      if (event.all) known.jobs.clear();
      for (const job of event.jobs) known.jobs.set(job.id, job);
      touch("jobs");
      break;
    case "job-gone":
      known.jobs.delete(event.id);
      touch("jobs");
      break;
    case "village":
      known.village = event.village;
      known.villageAt = Date.now();
      touch("village");
      break;
  }
}

/** Yields the events of the stream, one a line. */
async function* events(since) {
  const silence = new AbortController();
  let patience = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await api.request("GET", `events?since=${since}`, undefined, silence.signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(patience);
      patience = setTimeout(() => silence.abort(), SILENCE_MS);
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) yield JSON.parse(line);
    }
  } finally {
    clearTimeout(patience);
    silence.abort();
  }
}

function live(isLive) {
  if (known.isLive === isLive) return;
  known.isLive = isLive;
  touch("live");
}
