// Keys: `/` to the search field, `?` for help, `g` and a letter to a page, Esc out of a panel.

import { present } from "./dialog.js";
import { h } from "./dom.js";
import { go, here, stay } from "./router.js";
import { openPages } from "./shell.js";

const LETTERS = { home: "h", dags: "d", runs: "r", queues: "q", calendar: "c", system: "s", search: "f", audit: "a", access: "u", settings: "e", workspaces: "w", secrets: "k" };
const PAUSE_MS = 1500;
let afterG = 0;

const writes = (target) => target.matches?.("textarea, select, input:not([type=checkbox])") || target.isContentEditable;

/** Listen for keys; `known` tells whether pages can be opened now. */
export function listen(known) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || !known()) return;
    if (document.querySelector("dialog[open]")) return;
    // Inside of an element with a shadow root, as the editor is, the event's own target is only that element.
    const [target] = event.composedPath();
    if (event.key === "Escape") escape(target);
    else if (!writes(target)) pressed(event);
  });
}

function escape(target) {
  if (writes(target)) target.blur();
  else if (here().query.step) stay({ step: "", attempt: "", line: "", stream: "" });
}

function pressed(event) {
  const [second] = Date.now() - afterG < PAUSE_MS ? openPages().find(([name]) => LETTERS[name] === event.key) ?? [] : [];
  afterG = event.key === "g" ? Date.now() : 0;
  if (second) go([second]);
  else if (event.key === "?") help();
  else if (event.key === "/") toSearch();
  else return;
  event.preventDefault();
}

function toSearch() {
  const field = document.querySelector("main input[type=search]");
  if (field) field.focus();
  else go(["search"]);
}

function help() {
  const keys = [["/", "go to the search field"], ["?", "show this help"],
    ...openPages().filter(([name]) => LETTERS[name]).map(([name, label]) => [`g ${LETTERS[name]}`, label]), ["Esc", "close the step, or leave a field"]];
  const box = h("dialog", { "aria-labelledby": "dialog-title" }, h("form", { method: "dialog" },
    h("h2", { id: "dialog-title" }, "Keys"),
    h("dl", { class: "keys" }, keys.map(([key, does]) => h("div", { key }, h("dt", {}, key.split(" ").map((each) => h("kbd", {}, each))), h("dd", {}, does)))),
    h("div", { class: "actions" }, h("button", { type: "submit", autofocus: true }, "Close"))));
  present(box);
}
