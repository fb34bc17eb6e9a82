// How long the past runs of a DAG took, run by run and step by step, and why runs failed.

import { h, s } from "../dom.js";
import { head } from "../parts.js";
import { to } from "../router.js";
import { words } from "../status.js";
import { ago, span } from "../time.js";

const WIDTH = 1000;
const HEIGHT = 150;
const LEFT = 70;
const TOP = 10;

/** The plot, the failures and the steps; `name`: that of the DAG. */
export const durations = (name, { runs, duration, steps, failures }) => [
  runs.length > 1 && h("section", { class: "card", key: "plot", "aria-label": "Durations" },
    h("div", { class: "heading" }, h("h2", {}, "Durations"),
      duration && h("span", { class: "faint" }, `P50 ${span(duration.p50Ms / 1000)}, P95 ${span(duration.p95Ms / 1000)} of ${duration.count} successes`)),
    plot(name, runs, duration)),
  failures.length > 0 && h("section", { key: "failures", "aria-label": "Failures by message" }, h("table", { class: "rows" },
    head("Failures", "Message", "Newest"),
    h("tbody", {}, failures.map((each) => h("tr", { key: `${each.stepName} ${each.message}` },
      h("td", { class: "number left" }, String(each.count)),
      h("td", { class: "main" }, each.stepName && h("span", { class: "name" }, `${each.stepName}: `), h("span", { class: "error" }, each.message || "no message")),
      h("td", { class: "when" }, h("a", { href: to(["runs", name, each.dagRunId], { step: each.stepName }) }, ago(each.at)))))))),
  steps.length > 0 && h("details", { key: "steps" }, h("summary", {}, "Durations of steps"), h("table", { class: "rows" },
    head("Step", "Successes", "P50", "P95"),
    h("tbody", {}, [...steps].sort((a, b) => b.p95Ms - a.p95Ms).slice(0, 100).map((each) => h("tr", { key: each.name },
      h("td", { class: "main" }, each.name), h("td", { class: "number left" }, String(each.count)),
      h("td", { class: "number left" }, span(each.p50Ms / 1000)), h("td", { class: "number left" }, span(each.p95Ms / 1000))))))),
];

function plot(name, runs, duration) {
  const ordered = [...runs].reverse();
  const most = Math.max(1, ...ordered.map((run) => run.durationMs));
  const y = (ms) => TOP + (1 - ms / most) * (HEIGHT - TOP);
  const wide = (WIDTH - LEFT) / ordered.length;
  const level = (ms, text) => s("g", { key: text, class: "level", "aria-hidden": "true" },
    s("line", { x1: LEFT, x2: WIDTH, y1: y(ms), y2: y(ms) }), s("text", { x: LEFT - 6, y: y(ms), "text-anchor": "end" }, text));
  return h("div", { class: "canvas plot" }, s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + 4}`, role: "group", "aria-label": "Duration of each run, the newest on the right" },
    s("text", { x: LEFT - 6, y: TOP, "text-anchor": "end", key: "most", class: "axis" }, span(most / 1000)),
    duration && [level(duration.p50Ms, "P50"), duration.p95Ms !== duration.p50Ms && level(duration.p95Ms, "P95")],
    ordered.map((run, index) => s("a", { key: run.dagRunId, href: to(["runs", name, run.dagRunId]), class: `bar is-${run.statusLabel}`,
      "aria-label": `${run.dagRunId}: ${words(run.statusLabel)}, ${span(run.durationMs / 1000)}` },
    s("title", {}, `${run.dagRunId}: ${words(run.statusLabel)}, ${span(run.durationMs / 1000)}`),
    s("rect", { x: LEFT + index * wide + 1, y: Math.min(y(run.durationMs), HEIGHT - 2), width: Math.max(1, Math.min(24, wide - 2)),
      height: Math.max(2, HEIGHT - y(run.durationMs)) })))));
}
