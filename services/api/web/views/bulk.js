// One action on many runs: what is selected, and stop, retry, dequeue for all of it.

import { idempotencyKey, send } from "../api.js";
import { ask } from "../dialog.js";
import { h } from "../dom.js";
import { tellOutcomes } from "../notice.js";
import { counted } from "../parts.js";
import { to } from "../router.js";
import { may } from "../session.js";
import { active } from "../status.js";

const ACTIONS = [
  { verb: "stop", label: "Stop", fits: (run) => run.statusLabel === "running", danger: true,
    text: "Their running steps are stopped, and their abort and exit handlers run." },
  { verb: "retry", label: "Retry", fits: (run) => !active(run.statusLabel),
    text: "Each goes on under its own id with the steps that did not succeed." },
  { verb: "dequeue", label: "Dequeue", fits: (run) => run.statusLabel === "queued", danger: true,
    text: "Runs that have never started are deleted." },
];

const key = (run) => `${run.name} ${run.dagRunId}`;

/** How many of a noun: `1 run`, `3 runs`. */
export const runsOf = (count) => counted(count, "run");

/** The runs that are selected in a list, by their names: a refresh of the list brings new objects. */
export class Selection {
  constructor(changed) {
    Object.assign(this, { changed, keys: new Set() });
  }

  has(run) {
    return this.keys.has(key(run));
  }

  set(runs, on) {
    for (const run of runs) {
      if (on) this.keys.add(key(run));
      else this.keys.delete(key(run));
    }
    this.changed();
  }

  /** A checkbox for one run. */
  box(run) {
    return h("input", { type: "checkbox", "aria-label": `Select ${run.name} ${run.dagRunId}`, checked: this.has(run),
      onchange: (event) => this.set([run], event.target.checked) });
  }

  /** A checkbox for all runs of a list; where no other head of the table is shown, it has a label. */
  allBox(list) {
    return h("label", { class: "all" }, h("input", { type: "checkbox", checked: list.length > 0 && list.every((run) => this.has(run)),
      onchange: (event) => this.set(list, event.target.checked) }), h("span", { class: "unseen" }, "Select all"));
  }
}

/** The bar with what can be done about those runs of `list` that are selected. */
export function bulkBar(page, list, selection) {
  const chosen = list.filter((run) => selection.has(run));
  if (!chosen.length) return null;
  return h("div", { class: "actions bulk", role: "group", "aria-label": "Selected runs", key: "bulk" },
    h("strong", {}, `${runsOf(chosen.length)} selected`),
    ACTIONS.map((action) => {
      const fitting = chosen.filter(action.fits);
      return may("operator") && fitting.length > 0 && h("button", { type: "button", key: action.verb, class: action.danger ? "danger" : "",
        onclick: () => carryOut(page, action, fitting, selection) }, `${action.label} ${fitting.length}`);
    }),
    chosen.length === 2 && h("a", { class: "button", href: comparison(...chosen) }, "Compare"),
    h("button", { type: "button", class: "plain", onclick: () => selection.set(list, false) }, "Clear"));
}

/** Lists have the newest run first; a comparison, the older one. */
const comparison = (newer, older) => to(["compare", older.name, older.dagRunId, newer.name, newer.dagRunId]);

/** Ask whether to retry these runs, and do it. */
export const retryAll = (page, runs) => carryOut(page, ACTIONS.find(({ verb }) => verb === "retry"), runs);

function carryOut(page, { verb, label, text, danger }, runs, selection) {
  const repeatable = idempotencyKey();
  return ask({
    title: `${label} ${runsOf(runs.length)}?`, text, danger, confirm: `${label} ${runsOf(runs.length)}`,
    fields: [h("p", { class: "faint clip", title: runs.map(key).join("\n") }, runs.map(key).join(", "))],
    act: async () => {
      const body = { runs: runs.map(({ name, dagRunId }) => ({ name, dagRunId })) };
      const { results } = await send("POST", `dag-runs/bulk/${verb}`, body, repeatable);
      selection?.set(runs, false);
      tellOutcomes(label, results, { count: runsOf, name: (run) => `${key(run)}: ` });
      await page.refresh();
    },
  });
}
