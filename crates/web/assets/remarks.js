// Short remarks in a corner, which screen readers are told politely. What went wrong stays until
// it is closed; what went well leaves by itself.

import { h, say } from "./dom.js";
import { icon } from "./icons.js";

const SHOWN_MS = 5000;
const MOST = 4;

/** Says that something was done. `text` is a text or an element. */
export function remark(text) {
  const shown = show(text, "");
  setTimeout(() => shown.remove(), SHOWN_MS);
}

/** Says what went wrong. */
export function complain(error) {
  if (error.name === "AbortError") return;
  show(error.message, "bad");
}

/** Tells screen readers something that is seen elsewhere. */
export function speak(text) {
  say(document.getElementById("spoken"), text);
}

function show(text, kind) {
  const corner = document.getElementById("remarks");
  const close = h("button", { class: "button quiet", type: "button", "aria-label": "Close" }, icon("close"));
  const shown = h("div", { class: `remark ${kind}` }, h("div", {}, text), close);
  close.addEventListener("click", () => shown.remove());
  corner.append(shown);
  while (corner.children.length > MOST) corner.firstElementChild.remove();
  return shown;
}
