// What can be done with a run, as commands for a shell.

import { path } from "../api.js";
import { present } from "../dialog.js";
import { h } from "../dom.js";
import { moves } from "../status.js";
import { header, workspace } from "../workspace.js";

const TOKEN = '-H "Authorization: Bearer $DAGWAY_TOKEN"';
const quoted = (text) => (/^[\w.\-/:=]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Pairs of what a command does and its text, by `curl` and by the command line. */
function commands({ name, dagRunId, statusLabel }, secured) {
  const root = new URL("./", document.baseURI).href.replace(/\/$/, "");
  const place = `${root}/api/v2/${path`dag-runs/${name}/${dagRunId}`}`;
  const headers = Object.entries(header("dag-runs")).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  const curl = (method, verb, body) => ["curl", method !== "GET" && `-X ${method}`, secured && TOKEN, ...headers,
    body && `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`, quoted(`${place}${verb}`)].filter(Boolean).join(" ");
  const inside = workspace ? ` --workspace=${quoted(workspace)}` : "";
  const cli = (verb) => `DAGWAY_URL=${quoted(root)} dagway ${verb}${inside} --run-id=${quoted(dagRunId)} ${quoted(name)}`;
  return [
    ["Read", curl("GET", ""), cli("status")],
    statusLabel === "running" && ["Stop", curl("POST", "/stop"), cli("stop")],
    !moves(statusLabel) && ["Retry", curl("POST", "/retry", { dagRunId }), cli("retry")],
    ["Run again, with the same parameters", curl("POST", "/reschedule")],
  ].filter(Boolean);
}

/** Show the commands in a dialog; `secured`: whether requests need a token. */
export function copyDialog(run, secured) {
  const box = h("dialog", { class: "wide-dialog", "aria-labelledby": "dialog-title" },
    h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, "Copy as a command"),
      commands(run, secured).map(([title, ...texts]) => h("section", {}, h("h3", {}, title), texts.map((each) => line(each)))),
      h("div", { class: "actions" }, h("button", { type: "submit" }, "Close"))));
  present(box);
}

/** A text with a button that copies it; `label` says what it is. */
export function line(text, label = text.split(" ").slice(0, 3).join(" ")) {
  const code = h("code", { class: "mono command", tabindex: "0" }, text);
  const copy = async (event) => {
    // Browsers give the clipboard to pages on https and on this machine only; elsewhere the text is selected.
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      event.target.textContent = "Copied";
    } else getSelection().selectAllChildren(code);
  };
  return h("div", { class: "copy" }, code,
    h("button", { type: "button", "aria-label": `Copy: ${label}`, onclick: copy }, "Copy"));
}
