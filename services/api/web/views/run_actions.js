// The actions that the status of a run allows.

import { Once, path, send } from "../api.js";
import { ask } from "../dialog.js";
import { h } from "../dom.js";
import { attempt } from "../notice.js";
import { go, to } from "../router.js";
import { may, settings } from "../session.js";
import { active, moves } from "../status.js";
import { copyDialog } from "./copy.js";

/** For how long after the end of a run *Retry* takes no click: it comes where *Stop* was, and a click may be meant for that. */
const TAKES_NO_CLICK_MS = 1000;

/** The buttons for `state.run`; a sub run is its root's to stop or retry. `changed` draws the page again. */
export function runActions(page, state, changed) {
  const { run, name, root, sub } = state;
  if (sub) return null;
  const compare = h("a", { class: "button", key: "compare", href: to(["compare", name, run.dagRunId]), title: "With the run before" }, "Compare");
  if (!may("operator")) return h("div", { class: "actions" }, compare);
  const label = run.statusLabel;
  if (state.wasActive && !active(label)) {
    state.justEnded = true;
    setTimeout(() => {
      state.justEnded = false;
      changed();
    }, TAKES_NO_CLICK_MS);
  }
  state.wasActive = active(label);

  const stop = () => ask({
    ...run.stopping ? { title: "Stop this run again?", confirm: "Stop it again",
      text: "It is stopping. A repeated step that still runs is ended now. Handlers go on." }
      : { title: "Stop this run?", confirm: "Stop it",
        text: "Its running steps are stopped, and its abort and exit handlers run. A repeated step may finish its execution." },
    danger: true,
    act: () => page.change("POST", `${root}/stop`),
  });

  const withdraw = () => ask({
    title: "Take this run out of the queue?", text: "The run is deleted without having run.", confirm: "Take it out", danger: true,
    act: () => send("POST", `${root}/dequeue`),
    next: () => go(["runs"]),
  });

  const retry = (event) => page.act(`${root}/retry`, { dagRunId: run.dagRunId },
    { button: event.target, done: "Retry of the steps that did not succeed." });

  const again = (event) => attempt(async () => {
    state.again ??= new Once();
    const answer = await state.again.send("POST", path`dag-runs/${name}/${run.dagRunId}/reschedule`);
    if (answer.dagRunId && !page.signal.aborted) go(["runs", name, answer.dagRunId]);
    return answer;
  }, { button: event.target, done: "Started again, with the same parameters." });

  // One whose question was answered by setting the status of its step goes on by a retry only.
  const asks = label === "waiting" && run.nodes.some((node) => node.statusLabel === "waiting");
  // With keys, so that no button becomes another one under the finger of who is about to press it.
  return h("div", { class: "actions" },
    label === "running" && h("button", { type: "button", class: "danger", key: "stop", onclick: stop }, "Stop"),
    label === "queued" && h("button", { type: "button", class: "danger", key: "dequeue", onclick: withdraw }, "Dequeue"),
    !moves(label) && !asks && h("button", { type: "button", key: "retry", onclick: retry, disabled: state.justEnded, title: "Runs again, in this run, the steps that did not succeed" }, "Retry"),
    h("button", { type: "button", key: "copy", onclick: () => copyDialog({ ...run, name }, settings.auth !== "none") }, "Copy as…"),
    compare,
    h("button", { type: "button", key: "again", onclick: again, title: "A new run with the same parameters" }, "Run again"));
}
