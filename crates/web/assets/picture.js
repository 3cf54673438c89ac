// The picture of a peer's links: itself in the middle, each neighbour the further away the longer
// a frame takes there and back, and as thick a line as bytes have gone over it.

import { svg } from "./dom.js";
import { member, plain } from "./names.js";
import { many, size, trip } from "./units.js";

/** The picture's size, in the middle of which this peer is: wide, or for a narrow window. */
const SIZES = { wide: { width: 940, height: 380 }, narrow: { width: 360, height: 380 } };
/** How near a neighbour is drawn, as a part of the half axes. */
const NEAREST = { wide: 0.46, narrow: 0.66 };
const FURTHEST = 1;
/** Round trips that are drawn nearest and furthest. */
const QUICK_MS = 0.3;
const SLOW_MS = 300;
/** Room for a name beside and below the furthest ones. */
const ASIDE = { wide: 110, narrow: 48 };
const BELOW = 46;
/** Beyond this many neighbours, names would be written over one another. */
const NAMED = 16;
const NAME_LENGTH = 14;

/** Draws the links. */
export function picture({ self, peers, isSilent, isNarrow }) {
  const shape = isNarrow ? "narrow" : "wide";
  const { width, height } = SIZES[shape];
  const middle = { x: width / 2, y: height / 2 + 12, halfWidth: width / 2 - ASIDE[shape], halfHeight: height / 2 - BELOW, nearest: NEAREST[shape] };
  const places = peers.map((peer, i) => place(peer, i, peers.length, middle));
  const hasTracker = Boolean(self?.tracker);
  const links = peers.map((peer, i) => link(peer, middle, places[i], isSilent(peer)));
  const houses = peers.map((peer, i) => house(peer, places[i], isSilent(peer)));
  const names = peers.length <= NAMED && peers.map((peer, i) => name(peer, places[i], isSilent(peer)));
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": told(self, peers, isSilent) },
    rings(middle),
    hasTracker && svg("line", { class: self.tracker_connected ? "link to-tracker" : "link to-tracker lost", x1: middle.x, y1: middle.y, x2: middle.x, y2: 30 }),
    links,
    hasTracker && tracker(self.tracker_connected, middle.x),
    houses,
    names,
    svg("g", { class: "house itself", transform: `translate(${middle.x} ${middle.y})` },
      svg("circle", { class: "ground", r: 25 }), roof(1.25),
      svg("text", { y: 44, "text-anchor": "middle" }, short(self?.name ?? "this peer"))));
}

function told(self, peers, isSilent) {
  const silent = peers.filter(isSilent).length;
  const near = peers.find((peer) => peer.link?.rtt_us != null);
  return [
    `${many(peers.length, "neighbour")} of ${plain(self?.name ?? "this peer")}`,
    silent > 0 && `${silent} silent`,
    near && `the nearest is ${plain(member(near))}, ${trip(near.link.rtt_us / 1000)}`,
    self?.tracker && (self.tracker_connected ? "the tracker is connected" : "the tracker is out of reach"),
  ].filter(Boolean).join(", ");
}

/** The tracker has the top; neighbours share what is left of the circle, in the order of nearness
 * from side to side, so that a new one moves the others little. */
function place(peer, i, total, middle) {
  const free = 2 * Math.PI * 0.8;
  const angle = -Math.PI / 2 + Math.PI * 0.2 + (free * (i + 0.5)) / total;
  const ms = milliseconds(peer);
  const far = ms === null ? 1 : Math.log(Math.max(ms, QUICK_MS) / QUICK_MS) / Math.log(SLOW_MS / QUICK_MS);
  const distance = middle.nearest + (FURTHEST - middle.nearest) * Math.min(1, far);
  return {
    x: middle.x + Math.cos(angle) * middle.halfWidth * distance,
    y: middle.y + Math.sin(angle) * middle.halfHeight * distance,
  };
}

function rings({ x, y, halfWidth, halfHeight, nearest }) {
  return [nearest, (nearest + FURTHEST) / 2, FURTHEST].map((part) =>
    svg("ellipse", { class: "ring", cx: x, cy: y, rx: halfWidth * part, ry: halfHeight * part }));
}

function link(peer, middle, { x, y }, isSilent) {
  const moved = peer.comes + peer.goes;
  const width = 1.4 + Math.min(5, Math.log10(1 + moved / 65536) * 1.4);
  return svg("line", { class: `link${isSilent ? " lost" : ""}${moved ? " used" : ""}`, x1: middle.x, y1: middle.y, x2: x, y2: y, "stroke-width": width });
}

function house(peer, at, isSilent) {
  const ms = milliseconds(peer);
  const facts = [
    plain(member(peer)), peer.address, many(peer.files, "file"),
    ms !== null && `${trip(ms)} there and back`,
    peer.comes > 0 && `${size(peer.comes)} has come from it`,
    peer.goes > 0 && `${size(peer.goes)} has gone to it`,
    isSilent && "silent",
  ];
  return svg("g", { class: `house${isSilent ? " silent" : ""}`, transform: placed(at), "data-peer": peer.id },
    svg("title", {}, facts.filter(Boolean).join("\n")),
    svg("circle", { class: "ground", r: 19 }), roof(1));
}

/** Names lie above all houses, so that none is hidden by another one's house. */
function name(peer, at, isSilent) {
  const ms = milliseconds(peer);
  return svg("g", { class: `called${isSilent ? " silent" : ""}`, transform: placed(at) },
    svg("text", { y: 33, "text-anchor": "middle" }, short(member(peer))),
    ms !== null && svg("text", { class: "trip", y: 46, "text-anchor": "middle" }, trip(ms)));
}

/** Returns how long a frame takes there and back; null where that is not known. */
function milliseconds(peer) {
  const us = peer.link?.rtt_us;
  return us === null || us === undefined ? null : us / 1000;
}

function placed({ x, y }) {
  return `translate(${x.toFixed(1)} ${y.toFixed(1)})`;
}

function tracker(isConnected, x) {
  return svg("g", { class: `house tracker${isConnected ? "" : " silent"}`, transform: `translate(${x} 30)` },
    svg("title", {}, isConnected ? "The tracker" : "The tracker is out of reach"),
    svg("circle", { class: "ground", r: 17 }),
    // A tower with a bell: it knows who is there.
    svg("path", { class: "roof", d: "M-5 9V-4L0-9L5-4V9ZM-2 9V3H2V9" }),
    svg("text", { x: 24, y: 4 }, isConnected ? "tracker" : "tracker, out of reach"));
}

function roof(scale) {
  return svg("path", { class: "roof", transform: `scale(${scale})`, d: "M-9 0L0-8L9 0M-6.5-1.5V8H6.5V-1.5M-1.8 8V3H1.8V8" });
}

function short(name) {
  const letters = [...plain(name)];
  return letters.length > NAME_LENGTH ? `${letters.slice(0, NAME_LENGTH - 1).join("")}…` : letters.join("");
}
