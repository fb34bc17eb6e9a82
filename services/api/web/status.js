// The status of a run or step as text and a sign, never by colour alone.

import { h } from "./dom.js";

const SIGNS = {
  not_started: "○", queued: "◔", running: "▶", waiting: "‖", succeeded: "✓", partially_succeeded: "◐",
  failed: "✕", aborted: "■", rejected: "⊘", skipped: "↷",
  healthy: "✓", warning: "!", unhealthy: "✕", active: "✓", fired: "✓", missed: "✕",
};

/** Numbers of run statuses that a list can be filtered by. */
export const RUN_STATUSES = [
  [1, "running"], [5, "queued"], [7, "waiting"], [4, "succeeded"], [6, "partially_succeeded"], [2, "failed"],
  [3, "aborted"], [8, "rejected"],
];

const NODE_LABELS = [
  "not_started", "running", "failed", "aborted", "succeeded", "skipped", "partially_succeeded", "waiting", "rejected",
];

/** The label of a step's status by its number. */
export const nodeLabel = (number) => NODE_LABELS[number] ?? "unknown";

const ATTEMPT_LABELS = { dispatched: "queued", lost: "failed", timed_out: "failed", broken: "failed", withdrawn: "aborted" };

/** The label of a step's status that an attempt with this status is shown as. */
export const attemptLabel = (status) => ATTEMPT_LABELS[status] ?? status;

export const words = (label) => (label === "partially_succeeded" ? "partly succeeded" : label.replaceAll("_", " "));

export const sign = (label) => SIGNS[label] ?? "•";

/** Whether the status will change by itself. */
export const moves = (label) => label === "running" || label === "queued";

export const active = (label) => moves(label) || label === "waiting";

/** The steps of a run, with the handlers that it has before and after them. */
export const nodesOf = (run) => [
  run.onInit, ...run.nodes, run.onWait, run.onSuccess, run.onFailure, run.onCancel, run.onExit,
].filter(Boolean);

export function badge(label, text = words(label)) {
  return h("span", { class: `badge is-${label}` }, h("span", { class: "sign", "aria-hidden": "true" }, sign(label)), text);
}
