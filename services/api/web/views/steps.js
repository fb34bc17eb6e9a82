// The steps of a run as a table: the graph's content for those who read rather than look.

import { h } from "../dom.js";
import { counted, head, numbers, wide } from "../parts.js";
import { reason } from "../reason.js";
import { badge, sign, words } from "../status.js";
import { clock, took } from "../time.js";

/** In a few words, what more there is to say of a node than its status. */
export function note(node) {
  const { progress } = node;
  if (progress && node.statusLabel === "running") return `${progress.percent} %`;
  return node.attemptCount > 1 ? `${node.attemptCount} attempts` : "";
}

/** How far a step says it is. */
export function progressBar({ current, total, text }) {
  return h("div", { class: "progress" },
    h("progress", { max: total, value: Math.min(current, total), "aria-label": `${current} of ${total}` }),
    h("span", { class: "faint" }, `${current}/${total}${text ? ` ${text}` : ""}`));
}

const MOST = 200;
/** A table of so many steps is in sight as a whole, or nearly so. */
const FEW = 12;
const MOST_FAILED = 5;

/** The first steps of a long table that failed, with their messages. */
export function failedSteps(state, nodes, place, changed) {
  const failed = nodes.filter((node) => node.statusLabel === "failed");
  if (nodes.length <= FEW || !failed.length) return null;
  const more = failed.length - MOST_FAILED;
  const all = () => {
    Object.assign(state.find, { text: "", label: "failed", most: MOST });
    changed();
  };
  return h("section", { class: "error call", key: "failed", "aria-label": "Failed steps" },
    h("ul", { class: "entries" }, failed.slice(0, MOST_FAILED).map(({ step, error }) => h("li", { key: step.name },
      h("a", { href: place(step.name) }, step.name), " failed", error && h("div", { class: "clip", title: error }, error)))),
    more > 0 && h("p", {}, `${more} more failed. `,
      nodes.length > MOST && h("button", { type: "button", onclick: all }, "Show only failed steps")));
}

/** The table, and for a long one what narrows it: `state.find` has `text`, `label` and how many rows are shown. */
export function stepList(state, nodes, chosen, place, changed) {
  const { find } = state;
  if (nodes.length <= MOST) return stepTable(state, nodes, chosen, place);
  const labels = [...new Set(nodes.map((node) => node.statusLabel))];
  const found = nodes.filter((node) => node.step.name.toLowerCase().includes(find.text.toLowerCase())
    && (!find.label || node.statusLabel === find.label));
  const set = (changes) => {
    Object.assign(find, { most: MOST }, changes);
    changed();
  };
  return h("div", {},
    h("div", { class: "filters", role: "search" },
      h("input", { type: "search", "aria-label": "Part of a step's name", placeholder: "Part of a step's name", value: find.text,
        oninput: (event) => set({ text: event.target.value.trim() }) }),
      h("select", { "aria-label": "Status of steps", value: find.label, onchange: (event) => set({ label: event.target.value }) },
        h("option", { value: "" }, "Any status"), labels.map((label) => h("option", { key: label, value: label }, words(label)))),
      h("span", { class: "faint" }, `${found.length} of ${nodes.length} steps`)),
    stepTable(state, found.slice(0, find.most), chosen, place),
    found.length > find.most && h("p", {}, h("button", { type: "button", onclick: () => set({ most: find.most + MOST }) },
      `Show ${Math.min(MOST, found.length - find.most)} more`)));
}

const stepTable = (state, nodes, chosen, place) => h("table", { class: "rows steps" },
  head("Status", "Step", "Began", numbers("Took"), numbers("Attempts", "wide")),
  h("tbody", {}, nodes.map((node) => row(state, node, node.step.name === chosen, place))));

function row(state, node, isChosen, place) {
  const { step } = node;
  const children = node.subRuns.map((each) => state.children.get(each.dagRunId)?.statusLabel).filter(Boolean);
  return h("tr", { key: step.name, class: isChosen ? "chosen" : "" },
    h("td", { class: "state" }, badge(node.statusLabel)),
    h("td", { class: "main" },
      h("a", { class: "name", href: place({ step: isChosen ? "" : step.name }), "aria-expanded": String(isChosen) }, step.name),
      what(step) && h("div", { class: "mono faint clip" }, what(step)),
      node.progress && node.statusLabel === "running" && progressBar(node.progress),
      reason(node.waitingFor),
      (node.remarks ?? []).length > 0 && remark(node.remarks.at(-1), node.remarks.length - 1),
    node.error && h("div", { class: "error clip", title: node.error }, node.error),
      node.subRuns.length > 0 && h("div", { class: "faint" }, counted(node.subRuns.length, "run"),
        tally(children))),
    h("td", { class: "when" }, clock(node.startedAt)),
    h("td", { class: "number" }, took(node)),
    h("td", { class: "wide number" }, node.attemptCount > 1 ? node.attemptCount : ""));
}

/** The newest thing a step said to people, and how many there are before it. */
const remark = ({ level, text }, before) => h("div", { class: `remark clip is-${level}`, title: text },
  h("strong", {}, level), ` ${text}`, before > 0 && h("span", { class: "faint" }, ` (+${before})`));

/** How many of `labels` there are of each. */
function tally(labels) {
  const counts = new Map();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, count]) =>
    h("span", { key: label, class: `tally is-${label}`, title: words(label) }, ` ${sign(label)} ${count}`,
      h("span", { class: "unseen" }, words(label))));
}

/** What a step does, on one line. */
export function what(step) {
  if (step.call) return `call ${step.call}`;
  const commands = (step.commands ?? []).map(({ command, args = [] }) => [command, ...args].join(" "));
  const [first = "", ...more] = (step.script ?? "").split("\n").filter((line) => line.trim() && !line.startsWith("#!"));
  const text = commands.join("; ") || (more.length ? `${first} …` : first);
  const type = step.executorConfig?.type;
  return [type, text].filter(Boolean).join(" ");
}
