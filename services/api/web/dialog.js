// Dialogs that confirm an action or ask for its input.

import { ApiError, Once } from "./api.js";
import { h, patch, refocus } from "./dom.js";
import { toast } from "./notice.js";
import { session } from "./session.js";

/**
 * Ask by a form. `fields` are elements; `act(FormData, once)` does what was asked for: while it fails, the dialog stays
 * open with the reason. If it was closed meanwhile, a message has the reason, or says that it was done, or that nobody
 * knows. `once` sends a change that must not be made twice. `next`, called with what `act` returned, leads to another page:
 * nobody who has closed the dialog is taken there. `tell`, called likewise, says what the server says only once: to those who
 * have closed the dialog as well, but to nobody else than who asked. `wide` makes room for a text. Returns whether it was done.
 */
export function ask({ title, text, fields = [], confirm = "OK", danger = false, wide = false, act, next, tell }) {
  return new Promise((resolve) => {
    let done = false;
    const once = new Once();
    const asker = session.user?.username;
    const error = h("p", { class: "error", role: "alert", hidden: true });
    const button = h("button", { class: danger ? "danger" : "primary", type: "submit" }, confirm);
    const cancel = h("button", { type: "button", onclick: () => box.close() }, "Cancel");
    const form = h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, title), text && h("p", {}, text), fields, error,
      h("div", { class: "actions" }, cancel, button));
    const box = h("dialog", { "aria-labelledby": "dialog-title", class: wide ? "wide-dialog" : "" }, form);
    form.onsubmit = async (event) => {
      event.preventDefault();
      button.disabled = true;
      error.hidden = true;
      try {
        const result = await act(new FormData(form), once);
        const told = tell && session.user?.username === asker;
        if (box.open) {
          done = true;
          box.close();
          next?.(result);
        } else if (!told) {
          toast(`“${title}” was done all the same.`);
        }
        if (told) tell(result);
      } catch (reason) {
        if (!(reason instanceof ApiError)) throw reason;
        if (!box.open) return toast(reason.passing ? unknown(title, reason, tell) : `“${title}” failed: ${reason.message}`, "error");
        patch(error, reason.message);
        error.hidden = false;
      } finally {
        button.disabled = false;
        // The browser takes the focus from what is disabled.
        if (box.open && !form.contains(document.activeElement)) button.focus();
      }
    };
    box.oninput = () => box.classList.add("typed");
    box.onclose = () => {
      box.remove();
      // What opened the dialog may be gone by what was done.
      if (document.activeElement === document.body) refocus(box, document.querySelector("main"));
      resolve(done);
    };
    document.body.append(box);
    box.showModal();
  });
}

/** Show a dialog that only tells something, until it is closed. */
export function present(box) {
  box.onclose = () => box.remove();
  document.body.append(box);
  box.showModal();
}

/** What to tell of a change whose outcome is not known. A secret that came of it cannot be had any more. */
function unknown(title, { code, message }, tell) {
  const lost = tell && "its secret is lost: replace it.";
  if (code === "accepted") return `“${title}” will be done, but ${lost}`;
  return `It is not known whether “${title}” was done: ${message}. Look before you repeat it.${lost ? ` If it was done, ${lost}` : ""}`;
}

/** Close the dialogs that are about another page: not what is said only once, unless `all` are about another person. */
export function withdraw({ all = false } = {}) {
  for (const box of document.querySelectorAll(`dialog[open]${all ? "" : ":not(.told-once)"}`)) box.close();
}

/** Leaving the page asks first if a dialog has what somebody typed, or a secret that is not shown again. */
addEventListener("beforeunload", (event) => document.querySelector("dialog[open]:is(.told-once, .typed)") && event.preventDefault());

/** The dialogs of a person whose login has ended, to be opened again where it went on. */
let aside = { boxes: [] };

/** Take the dialogs off the page until `username` has logged in again: what was typed in them is not lost. */
export function setAside(username) {
  aside = { username, place: location.hash, boxes: [...document.querySelectorAll("dialog[open]")] };
  for (const box of aside.boxes) box.remove();
}

/** Open the dialogs that were set aside, if it is the same person at the same place. */
export function bringBack() {
  const { username, place, boxes } = aside;
  aside = { boxes: [] };
  if (username !== session.user?.username || place !== location.hash) return;
  for (const box of boxes.filter((each) => each.open)) {
    box.open = false;
    document.body.append(box);
    box.showModal();
  }
}

/** A labelled input; `control` is `input` by default. */
export function field(label, { control = "input", hint, ...props }) {
  return h("label", { class: "field", key: props.name }, h("span", { class: "label" }, label),
    h(control, { autocomplete: "off", spellcheck: "false", ...props }), hint && h("small", {}, hint));
}

/** A labelled list to choose one text from. */
export const choice = (label, { value, hint, ...props }, options) => h("label", { class: "field", key: props.name },
  h("span", { class: "label" }, label),
  h("select", props, options.map((each) => h("option", { value: each, selected: each === value }, each))),
  hint && h("small", {}, hint));

/** A labelled checkbox. */
export const check = (label, props) =>
  h("label", { class: "check", key: props.name }, h("input", { type: "checkbox", ...props }), label);
