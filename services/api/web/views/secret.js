// A secret that the server says only once.

import { h } from "../dom.js";
import { line } from "./copy.js";

/** Show secrets, each with its label, until the dialog is closed. They are nowhere else in the page. */
export function showSecrets(title, secrets, hint) {
  const box = h("dialog", { class: "wide-dialog", "aria-labelledby": "dialog-title" },
    h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      h("p", {}, "Copy it now: it is not shown again."),
      secrets.map(([label, text]) => h("section", {}, h("h3", {}, label), line(text, label))),
      hint && h("p", { class: "faint" }, hint),
      h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Done"))));
  box.onclose = () => box.remove();
  document.body.append(box);
  box.showModal();
}
