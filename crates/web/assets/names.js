// How names of files and members are shown. Other members choose them, so a character that would
// deceive a reader is shown as an escape, by the same rule as in a terminal (`printable` in
// crates/wire), and a name that is written from right to left disturbs nothing beside it.

import { h } from "./dom.js";

const HIDDEN = new RegExp(
  "[\\p{Cc}\\u{ad}\\u{34f}\\u{61c}\\u{115f}\\u{1160}\\u{3164}\\u{ffa0}\\u{17b4}\\u{17b5}\\u{180e}" +
    "\\u{200b}\\u{200e}\\u{200f}\\u{2028}-\\u{202e}\\u{2060}-\\u{206f}\\u{feff}\\u{fff0}-\\u{fffb}" +
    "\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e00ff}\\u{e01f0}-\\u{e0fff}]",
  "u",
);
const HIDDEN_ALL = new RegExp(`(${HIDDEN.source})`, "gu");

/** Returns an element that shows a name. */
export function shown(name) {
  if (!HIDDEN.test(name)) return h("bdi", {}, name);
  // Every other part is a hidden character, because the expression captures it.
  const parts = name.split(HIDDEN_ALL);
  const children = parts.map((part, i) => (i % 2 ? h("code", { class: "hidden" }, escape(part)) : part));
  return h("bdi", {}, children);
}

/** Returns a name for an attribute, where there is room for text only. */
export function plain(name) {
  return name.replace(HIDDEN_ALL, escape);
}

function escape(character) {
  const code = character.codePointAt(0);
  if (character === "\n") return "\\n";
  if (character === "\r") return "\\r";
  if (character === "\t") return "\\t";
  return code < 128 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}

/** Returns the last part of a path. */
export function base(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Returns the path without its last part; empty for a name without folders. */
export function folder(path) {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** Returns what a member is called: its name, otherwise its address, otherwise its id. */
export function member(of) {
  if (of.name) return of.name;
  if (typeof of.address === "string" && of.address && of.address !== "0.0.0.0") return host(of.address);
  return of.id ? of.id.slice(0, 8) : "a member";
}

/** Returns an address without its port. */
export function host(address) {
  const ported = /^(?:\[(.*)\]|([^:]*)):\d+$/.exec(address);
  return ported ? (ported[1] ?? ported[2]) : address;
}

/** How much a search may have in it: words, and bytes of UTF-8. */
const MOST_WORDS = 16;
const MOST_BYTES = 256;

/** Returns so much of what was typed as a search may have in it. */
export function fitting(typed) {
  const words = typed.toWellFormed().trim().split(/\s+/u).slice(0, MOST_WORDS).join(" ");
  const bytes = new TextEncoder().encode(words);
  if (bytes.length <= MOST_BYTES) return words;
  // A character of which only a part is left is left out.
  return new TextDecoder().decode(bytes.subarray(0, MOST_BYTES), { stream: true }).trim();
}
