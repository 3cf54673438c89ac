// Dialogs: what is in front until it is answered or closed. The browser's own `dialog` keeps the
// focus inside, gives it back afterwards, and closes with Escape.

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** Opens a dialog. `content` and `buttons` are elements; returns the dialog. */
export function open({ title, content, buttons = [], narrow = false, onclose }) {
  const heading = h("h2", { id: "dialog-title", tabindex: -1 }, title);
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", class: narrow ? "narrow" : null });
  const close = h("button", { class: "button quiet", type: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"));
  dialog.append(
    h("div", { class: "dialog" },
      h("header", {}, heading, close),
      h("div", { class: "content" }, content),
      buttons.length > 0 && h("footer", {}, buttons)),
  );
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    onclose?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  if (!dialog.querySelector("[autofocus]")) heading.focus();
  return dialog;
}

/** Asks before something that cannot be undone. Resolves to whether the user agreed. */
export function confirm({ title, text, action }) {
  return new Promise((resolve) => {
    let agreed = false;
    const agree = h("button", {
      class: "button danger",
      type: "button",
      onclick: () => {
        agreed = true;
        dialog.close();
      },
    }, action);
    const keep = h("button", { class: "button", type: "button", autofocus: true, onclick: () => dialog.close() }, "Leave it");
    const dialog = open({
      title,
      content: h("p", {}, text),
      buttons: [keep, agree],
      narrow: true,
      onclose: () => resolve(agreed),
    });
  });
}
