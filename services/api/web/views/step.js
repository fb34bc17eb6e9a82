// One step of a run, looked at closely: its facts, its children, its log, what may be done about it.

import { path, send } from "../api.js";
import { h } from "../dom.js";
import { log } from "../log.js";
import { attempt } from "../notice.js";
import { fact, head, numbers } from "../parts.js";
import { stay, to } from "../router.js";
import { may } from "../session.js";
import { active, badge, moves, nodesOf, words } from "../status.js";
import { clock, took } from "../time.js";
import { attempts, MOST_ATTEMPTS } from "./attempts.js";
import { progressBar, what } from "./steps.js";

/** How many sub-runs are shown at first. */
export const MOST_CHILDREN = 200;
/** From how many sub-runs on they can be looked for by their status. */
const MANY_CHILDREN = 10;

/** `changed` is called when the panel must be drawn again. */
export function stepPanel(page, state, node, place, changed) {
  const { step } = node;
  const where = `${state.base}/${path`steps/${step.name}`}/log`;
  const attempt = Number(page.place.query.attempt) || undefined;
  // The element outlives many refreshes: it must ask about the newest state, not about today's.
  const live = () => {
    const now = nodesOf(state.run).find((each) => each.step.name === step.name);
    if (attempt && state.attempts.find((each) => each.number === attempt)?.finishedAt) return false;
    return active(state.run.statusLabel) && ["running", "not_started", "waiting"].includes(now?.statusLabel);
  };
  return h("section", { class: "panel", key: `step ${step.name}`, "aria-label": `Step ${step.name}` },
    h("div", { class: "heading" }, h("h2", {}, step.name), badge(node.statusLabel), h("span", { class: "gap" }),
      h("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => stay({ step: "", attempt: "", line: "", stream: "" }) }, "×")),
    step.description && h("p", { class: "faint" }, step.description),
    facts(node),
    node.error && h("p", { class: "error" }, node.error),
    node.progress && progressBar(node.progress),
    remarks(node),
    stepActions(page, state, node),
    children(state, node, changed),
    attempts(state.attempts, { chosen: attempt, place, more: () => {
      state.find.mostAttempts += MOST_ATTEMPTS;
      page.refresh();
    } }),
    log({ page, where, attempt, name: step.name, live, streams: ["stdout", "stderr"], first: node.statusLabel === "failed" ? "stderr" : "stdout",
      instead: "stdout" }));
}

function facts(node) {
  const { step } = node;
  const inputs = Object.entries(node.approvalInputs ?? {}).map(([key, value]) => `${key}=${value}`).join(" ");
  return h("dl", { class: "facts" },
    what(step) && fact("Does", h("span", { class: "mono" }, what(step))),
    node.startedAt && node.startedAt !== "-" && fact("Began", clock(node.startedAt)),
    node.startedAt && node.startedAt !== "-" && fact("Took", took(node)),
    node.exitCode !== undefined && fact("Exit code", String(node.exitCode)),
    node.workerId && fact("Worker", node.workerId),
    node.attemptCount > 1 && fact("Attempts", String(node.attemptCount)),
    node.doneCount > node.retryCount + 1 && fact("Times done", String(node.doneCount)),
    step.output && fact("Output", h("span", { class: "mono" }, step.output)),
    (step.depends ?? []).length > 0 && fact("Depends on", step.depends.join(", ")),
    (step.preconditions ?? []).length > 0 && fact("Only if", h("span", { class: "mono" }, step.preconditions.map((each) =>
      [each.negate && "not", each.condition, each.expected && `= ${each.expected}`].filter(Boolean).join(" ")).join("; "))),
    node.approvedAt && fact("Approved", [clock(node.approvedAt), node.approvedBy && ` by ${node.approvedBy}`]),
    node.rejectedAt && fact("Rejected", [clock(node.rejectedAt), node.rejectedBy && ` by ${node.rejectedBy}`]),
    node.rejectionReason && fact("Because", node.rejectionReason),
    inputs && fact("Given", h("span", { class: "mono" }, inputs)));
}

/** The remarks of the step. */
const remarks = (node) => (node.remarks ?? []).length > 0 && h("ul", { class: "remarks", "aria-label": "Remarks" }, node.remarks.map((each, index) =>
  h("li", { key: index, class: `is-${each.level}` }, h("span", { class: "label" }, each.level), " ", each.text)));

function stepActions(page, state, node) {
  const { run, base, sub } = state;
  // A handler runs when its run ends: the API neither runs it alone nor sets its status.
  if (!may("operator") || moves(run.statusLabel) || !run.nodes.includes(node)) return null;
  const url = `${base}/${path`steps/${node.step.name}`}/status`;
  async function act(event, does, done) {
    await attempt(does, { button: event.target, done });
    await page.refresh();
  }
  const set = (status) => (event) => act(event, () => send("PATCH", url, { status }), "Its status was set by hand; nothing else was changed.");
  const retry = (event) => act(event,
    () => send("POST", `${base}/retry`, { dagRunId: run.dagRunId, stepName: node.step.name }), "The step runs again.");
  return h("div", { class: "actions" },
    !sub && h("button", { type: "button", key: "retry", onclick: retry }, "Retry this step"),
    node.statusLabel !== "succeeded" && h("button", { type: "button", key: 4, onclick: set(4) }, "Mark as succeeded"),
    node.statusLabel !== "failed" && h("button", { type: "button", key: 2, onclick: set(2) }, "Mark as failed"));
}

function children(state, node, changed) {
  if (!node.subRuns.length) return null;
  const list = node.subRuns.map((each) => ({ statusLabel: "not_started", ...each, ...state.children.get(each.dagRunId) }));
  if (list.length < MANY_CHILDREN) return childTable(state, node, list);
  const { childLabel, mostChildren } = state.find;
  const labels = [...new Set([...list.map((each) => each.statusLabel), childLabel])].filter(Boolean);
  const found = list.filter((each) => !childLabel || each.statusLabel === childLabel);
  const set = (changes) => {
    Object.assign(state.find, { mostChildren: MOST_CHILDREN }, changes);
    changed();
  };
  return h("div", {},
    h("div", { class: "filters" },
      h("select", { "aria-label": "Status of sub-runs", value: childLabel, onchange: (event) => set({ childLabel: event.target.value }) },
        h("option", { value: "" }, "Any status"), labels.map((label) => h("option", { key: label, value: label }, words(label)))),
      h("span", { class: "faint" }, `${found.length} of ${list.length} sub-runs`)),
    childTable(state, node, found.slice(0, mostChildren)),
    found.length > mostChildren && h("p", {}, h("button", { type: "button", onclick: () => set({ mostChildren: mostChildren + MOST_CHILDREN }) },
      `Show ${Math.min(MOST_CHILDREN, found.length - mostChildren)} more`)));
}

function childTable(state, node, list) {
  return h("table", { class: "rows" },
    head("Status", "Sub-run", numbers("Took")),
    h("tbody", {}, list.map((each) => h("tr", { key: each.dagRunId },
      h("td", { class: "state" }, badge(each.statusLabel)),
      h("td", { class: "main" },
        h("a", { class: "name", href: to(["runs", state.name, state.id, "sub", each.dagRunId]) }, each.name ?? node.step.call ?? "run"),
        h("span", { class: "id mono faint clip", title: each.dagRunId }, each.params ?? each.dagRunId)),
      h("td", { class: "number" }, took(each))))));
}
