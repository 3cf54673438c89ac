// What the page knows of the node, as the stream of changes tells it, and which views want to hear
// of it. Views are told once for each drawn frame, however much has changed.

/** What is known. `info` is said once; everything else changes. */
export const known = {
  /** What the node is: its kind, and what it can do. */
  info: null,
  /** Its own row: the status of a peer, or of a tracker. */
  self: null,
  share: null,
  /** Rows of peers by id, at a peer only; a tracker's are paged. */
  peers: new Map(),
  transfers: new Map(),
  uploads: new Map(),
  warnings: new Map(),
  jobs: new Map(),
  /** Names of members by their ids, from any row that had both. */
  names: new Map(),
  village: null,
  /** When `village` was told, because its ages count from then. */
  villageAt: 0,
  /** Whether the stream of changes is up. */
  isLive: false,
};

const listeners = new Map();
const touched = new Set();

/** Calls `listener` after what is called `topic` has changed. Returns a function that ends this. */
export function on(topic, listener) {
  if (!listeners.has(topic)) listeners.set(topic, new Set());
  listeners.get(topic).add(listener);
  return () => listeners.get(topic).delete(listener);
}

/** Something has changed. */
export function touch(topic) {
  if (touched.size === 0) soon(tell);
  touched.add(topic);
}

function tell() {
  const topics = [...touched];
  touched.clear();
  const told = new Set(topics.flatMap((topic) => [...(listeners.get(topic) ?? [])]));
  for (const listener of told) listener();
}

// A tab in the background draws no frames, and is to know what has happened nevertheless.
function soon(then) {
  if (document.visibilityState === "visible") requestAnimationFrame(then);
  else setTimeout(then, 500);
}

/** Takes a row of the snapshot. */
export function take(row) {
  switch (row.row) {
    case "node":
    case "tracker":
      known.self = row;
      return touch("self");
    case "share":
      known.share = row;
      return touch("share");
    case "peer":
      if (known.info.kind === "peer") known.peers.set(row.id, row);
      meet([row]);
      return touch("peers");
    case "transfer":
      known.transfers.set(row.root, row);
      return touch("transfers");
    case "upload":
      known.uploads.set(row.upload, row);
      return touch("transfers");
    case "warning":
      known.warnings.set(row.number, row);
      return touch("warnings");
  }
}

/** Remembers what members are called, for rows that only have their ids. */
export function meet(members) {
  for (const { id, name } of members) if (name) known.names.set(id, name);
}

/** A row is gone. */
export function drop(gone) {
  if (gone.upload !== undefined) {
    known.uploads.delete(gone.upload);
    touch("transfers");
  } else if (gone.root) {
    known.transfers.delete(gone.root);
    touch("transfers");
  } else if (gone.id) {
    known.peers.delete(gone.id);
    touch("peers");
  }
}

/** Forgets all rows, before all pages are read again. */
export function forget() {
  for (const rows of [known.peers, known.transfers, known.uploads, known.warnings]) rows.clear();
  for (const topic of ["peers", "transfers", "warnings"]) touch(topic);
}
