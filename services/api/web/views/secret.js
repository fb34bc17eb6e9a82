// Secrets that the server says only once.

import { ApiError } from "../api.js";
import { present } from "../dialog.js";
import { h } from "../dom.js";
import { line } from "./copy.js";

/**
 * Send a change, by the `once` of a dialog, and return the response with its secrets. A response without them, since
 * nothing is recorded yet, is an error: the same request gets them later.
 */
export async function sendForSecrets(once, where, body) {
  const made = await once.send("POST", where, body);
  if (made.accepted) throw new ApiError(0, "accepted", "Accepted, but not recorded yet. Press the button again to see the secret");
  return made;
}

/** Show secrets, each with its label, until the dialog is closed. They are nowhere else in the page. */
export function showSecrets(title, secrets, hint) {
  const box = h("dialog", { class: "wide-dialog told-once", "aria-labelledby": "dialog-title" },
    h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      h("p", {}, "Copy it now: it is not shown again."),
      secrets.map(([label, text]) => h("section", {}, h("h3", {}, label), line(text, label))),
      hint && h("p", { class: "faint" }, hint),
      h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Done"))));
  present(box);
}
