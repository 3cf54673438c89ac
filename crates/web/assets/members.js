// The members of the group, where its CA is: who they are, who is there, how a machine is let in
// and how it is removed.

import * as api from "./api.js";
import { confirm } from "./dialog.js";
import { h, put, say } from "./dom.js";
import { icon } from "./icons.js";
import { openInvite } from "./invite.js";
import { plain, shown } from "./names.js";
import { complain, remark } from "./remarks.js";
import { on } from "./store.js";
import { ago, many, time } from "./units.js";

const EVERY_MS = 15000;
/** Changes of peers come in bursts. */
const SOON_MS = 700;

export class Members {
  constructor() {
    this.rows = h("tbody");
    this.sum = h("p", { class: "soft small" });
    this.element = h("section", { "aria-label": "Members", class: "members" },
      h("div", { class: "heading" }, h("h2", {}, "Members"), this.sum,
        h("button", { type: "button", class: "button first", onclick: () => openInvite() }, icon("plus"), "Let a machine in")),
      h("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": "Table of members" },
        h("table", {},
          h("thead", {}, h("tr", {},
            h("th", { scope: "col" }, "Member"), h("th", { scope: "col" }, "Role"), h("th", { scope: "col" }, "Since"),
            h("th", { scope: "col" }, "Seen"), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Remove")))),
          this.rows)));
    this.off = on("peers", () => this.soon());
    this.clock = setInterval(() => this.read(), EVERY_MS);
    this.read();
  }

  close() {
    this.off();
    clearInterval(this.clock);
    clearTimeout(this.pause);
    this.isClosed = true;
  }

  soon() {
    this.pause ??= setTimeout(() => {
      this.pause = undefined;
      this.read();
    }, SOON_MS);
  }

  async read() {
    try {
      const { members } = await api.get("members");
      if (!this.isClosed) this.show(members);
    } catch (error) {
      if (!this.isClosed) say(this.sum, error.message);
    }
  }

  show(members) {
    const text = JSON.stringify(members);
    if (text === this.shownText) return;
    this.shownText = text;
    const there = members.filter((member) => member.present && !member.removed).length;
    const kept = members.filter((member) => !member.removed).length;
    say(this.sum, `${many(kept, "member")}, ${there} there`);
    const order = (member) => (member.removed ? 2 : member.present ? 0 : 1);
    const rows = [...members].sort((a, b) => order(a) - order(b) || a.name.localeCompare(b.name));
    put(this.rows, rows.map((member) => this.line(member)));
  }

  line(member) {
    const canGo = member.role === "member" && !member.removed;
    return h("tr", { class: member.removed ? "removed" : null, "data-member": member.id },
      h("th", { scope: "row" }, shown(member.name), " ", h("code", { class: "soft small", title: member.id }, member.id.slice(0, 8))),
      h("td", {}, member.role === "host" ? "keeps the tracker" : member.role),
      h("td", {}, member.since ? time(member.since) : "–"),
      h("td", {}, seen(member)),
      h("td", { class: "number" }, canGo && h("button", {
        type: "button", class: "button quiet", "aria-label": `Remove ${plain(member.name)}`, onclick: () => this.remove(member),
      }, "Remove")));
  }

  async remove(member) {
    const agreed = await confirm({
      title: ["Remove ", shown(member.name), " from the group?"],
      text: "It is cut off at once, everywhere, and cannot come back with its old key. To let it in again, it needs a new invite.",
      action: "Remove it",
    });
    if (!agreed) return;
    try {
      await api.post("members/remove", { id: member.id });
      remark([shown(member.name), " has been removed."]);
    } catch (error) {
      complain(error);
    }
    this.read();
  }
}

function seen(member) {
  if (member.removed) return h("span", { class: "tag red" }, "removed");
  if (member.present) return h("span", { class: "tag" }, "there");
  if (member.last_seen) return ago(member.last_seen);
  return "–";
}
