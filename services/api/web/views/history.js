// A DAG's newest runs, and step by step how each of them went.

import { get } from "../api.js";
import { h } from "../dom.js";
import { to } from "../router.js";
import { nodeLabel, sign, words } from "../status.js";
import { durations } from "./durations.js";
import { runPlace, runTable } from "./runs.js";

export function history(page, state) {
  let found;
  let past;
  return {
    async load() {
      [found, past] = await Promise.all([
        get(`${state.where}/dag-runs`, {}, page.wanted), get(`${state.where}/statistics`, {}, page.wanted)]);
    },
    draw() {
      if (!found) return null;
      if (!found.dagRuns.length) return h("div", { class: "empty" }, h("p", {}, "It never ran."));
      return h("div", {}, durations(found.dagRuns[0].name, past), grid(found), runTable(found.dagRuns, false),
        h("p", {}, h("a", { href: to(["runs"], { name: found.dagRuns[0].name }) }, "All its runs")));
    },
  };
}

const grid = ({ dagRuns, gridData }) => gridData.length > 0 && dagRuns.length > 1 && h("div", { class: "canvas" },
  h("table", { class: "grid" },
    h("caption", { class: "unseen" }, "Status of each step in each run, the newest first"),
    h("thead", {}, h("tr", {}, h("th", {}, h("span", { class: "unseen" }, "Step")), dagRuns.map((run) => h("th", { key: run.dagRunId },
      h("a", { href: runPlace(run), class: `cell is-${run.statusLabel}`, title: `${run.dagRunId}: ${words(run.statusLabel)}`,
        "aria-label": `Run ${run.dagRunId}: ${words(run.statusLabel)}` }, sign(run.statusLabel)))))),
    h("tbody", {}, gridData.map(({ name, history: statuses }) => h("tr", { key: name }, h("th", { scope: "row", class: "clip" }, name),
      statuses.map((number, index) => h("td", { key: index },
        h("span", { class: `cell is-${nodeLabel(number)}`, title: `${name}: ${words(nodeLabel(number))}` }, sign(nodeLabel(number)),
          h("span", { class: "unseen" }, words(nodeLabel(number)))))))))));
