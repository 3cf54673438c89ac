// The dialog that lets a machine in: how many, for how long, and then the invite as text and as a
// QR code.

import * as api from "./api.js";
import { open } from "./dialog.js";
import { h, put, svg } from "./dom.js";
import { icon } from "./icons.js";
import { complain, remark } from "./remarks.js";
import { many, span } from "./units.js";

const SPANS = [3600, 86400, 7 * 86400, 30 * 86400];
/** A code is read only with empty space around it, of this many modules. */
const QUIET = 4;

export function openInvite() {
  const uses = h("input", { class: "field", id: "invite-uses", type: "number", min: 1, max: 1000, value: 1, required: true });
  const valid = h("select", { class: "field", id: "invite-span" },
    SPANS.map((seconds) => h("option", { value: seconds, selected: seconds === 86400 }, seconds < 86400 * 2 ? `${seconds / 3600} h` : span(seconds))));
  const content = h("form", { class: "form", id: "invite-form" },
    h("p", {}, "Any machine that has the invite can join. Show it only to whom it is for."),
    h("label", { for: "invite-uses" }, "Machines"), uses,
    h("label", { for: "invite-span" }, "Valid for"), valid);
  const make = h("button", { class: "button first", type: "submit", form: "invite-form" }, "Make an invite");
  const dialog = open({ title: "Let a machine in", content, buttons: [make], narrow: true });
  content.addEventListener("submit", async (event) => {
    event.preventDefault();
    make.disabled = true;
    try {
      const made = await api.post("invites", { uses: Number(uses.value), seconds: Number(valid.value) });
      put(content, shownInvite(made, Number(uses.value), Number(valid.value)));
      make.closest("footer").remove();
      dialog.querySelector("#invite-text").focus();
    } catch (error) {
      make.disabled = false;
      complain(error);
    }
  });
}

function shownInvite({ invite, qr }, uses, seconds) {
  const text = h("textarea", { class: "field mono", id: "invite-text", readonly: true, rows: 4, "aria-label": "Invite" }, invite);
  text.addEventListener("focus", () => text.select());
  const copy = h("button", {
    type: "button", class: "button", onclick: async () => {
      try {
        await navigator.clipboard.writeText(invite);
        remark("Copied.");
      } catch {
        text.select();
      }
    },
  }, icon("copy"), "Copy");
  return [
    h("p", {}, "On the other machine: ", h("code", {}, "thorp join"), ", and paste this."),
    text, copy,
    qr && code(qr),
    h("p", { class: "soft small" }, `Good for ${many(uses, "machine")}, for ${seconds < 172800 ? `${seconds / 3600} h` : span(seconds)}.`),
  ];
}

/** Draws a QR code, dark on light in either theme: readers expect it so. */
function code(rows) {
  const side = rows.length + 2 * QUIET;
  const dark = rows.flatMap((row, y) => [...row].map((bit, x) => (bit === "1" ? `M${x + QUIET} ${y + QUIET}h1v1h-1z` : "")));
  return svg("svg", { class: "qr", viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": "The invite as a QR code", "shape-rendering": "crispEdges" },
    svg("rect", { class: "light", width: side, height: side }),
    svg("path", { class: "dark", d: dark.join("") }));
}
