// Two runs side by side: what differs in their facts, steps and outputs.

import { get, path } from "../api.js";
import { h } from "../dom.js";
import { go, stay, to } from "../router.js";
import { active, badge, nodesOf } from "../status.js";
import { clock, span, took } from "../time.js";

const LISTED = 50;
const RUNNING_MS = 3000;

/** The page of `compare/NAME/ID`, which chooses the other run, and of `compare/NAME/ID/OTHER NAME/OTHER ID`. */
export function compare(page) {
  const [, name, id, otherName, otherId] = page.place.parts;
  page.title(`Compare ${name}`);
  if (otherId === undefined) choose(page, name, id);
  else show(page, [name, id], [otherName, otherId]);
}

/** Offer the other runs of the DAG, and go to the newest one before this. */
function choose(page, name, id) {
  page.every(0, async () => {
    const dagRuns = await newest(name, page.wanted);
    const at = dagRuns.findIndex((run) => run.dagRunId === id);
    const other = dagRuns[at + 1] ?? dagRuns.find((run) => run.dagRunId !== id);
    // In the place of this address, so that "back" leads to where one came from.
    if (other) location.replace(to(["compare", name, other.dagRunId, name, id]));
    else {
      // A run that does not exist is refused.
      await get(path`dag-runs/${name}/${id}`, {}, page.wanted);
      page.show(h("h1", {}, `Compare ${name}`), h("div", { class: "empty" }, h("p", {}, "This DAG has no other run.")));
    }
  });
}

const newest = async (name, signal) => (await get(`${path`dag-runs/${name}`}?cursor=`, { limit: LISTED }, signal)).dagRuns;

function show(page, ...places) {
  const read = async ([name, id]) => {
    const where = path`dag-runs/${name}/${id}`;
    const [{ dagRunDetails: run }, { outputs = {} }] = await Promise.all([
      get(where, {}, page.wanted), get(`${where}/outputs`, {}, page.wanted)]);
    return { run, outputs };
  };
  let sides = [];
  page.every(() => (sides.some(({ run }) => active(run.statusLabel)) ? RUNNING_MS : 0), async () => {
    const [name] = places[1];
    const [others, ...found] = await Promise.all([newest(name, page.wanted), ...places.map(read)]);
    sides = found;
    draw(page, sides, places, others);
  });
}

function draw(page, sides, places, others) {
  const all = page.place.query.all === "1";
  const [left, right] = sides;
  const steps = stepPairs(left.run, right.run);
  const shown = steps.filter((pair) => all || pair.differs);
  const outputs = valuePairs(left.outputs, right.outputs);
  page.show(
    h("div", { class: "heading" }, h("h1", {}, "Compare two runs"), h("span", { class: "gap" }),
      h("a", { class: "button", href: to(["compare", ...places[1], ...places[0]]) }, "Swap"),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: all, onchange: (event) => stay({ all: event.target.checked ? "1" : "" }) }),
      "Show what is equal, too")),
    table("Runs", ["", heading(left.run), heading(right.run, picker(places, others))], factPairs(left.run, right.run)
      .filter((pair) => all || pair.differs || pair.always).map((pair) => line(pair.label, pair, pair.values))),
    h("h2", {}, "Steps"),
    shown.length ? table("Steps", ["Step", "First", "Second", "Difference"], shown.map((pair) => line(pair.name, pair, [...pair.nodes.map(cell), pair.longer])))
      : h("p", { class: "faint" }, "All steps ended in the same way and took about as long."),
    h("h2", {}, "Outputs"),
    outputs.some((pair) => all || pair.differs)
      ? table("Outputs", ["Name", "First", "Second"], outputs.filter((pair) => all || pair.differs).map((pair) => line(pair.name, pair, pair.values.map(value))))
      : h("p", { class: "faint" }, "Their outputs are equal."));
}

const table = (label, heads, rows) => h("table", { class: "rows compared", "aria-label": label },
  h("thead", {}, h("tr", {}, heads.map((head, index) => h("th", { key: index, scope: "col" }, head || h("span", { class: "unseen" }, "What"))))),
  h("tbody", {}, rows));

const line = (name, { differs }, cells) => h("tr", { key: name, class: differs ? "differs" : "" },
  h("th", { scope: "row" }, name, differs && h("span", { class: "unseen" }, " (differs)")),
  cells.map((each, index) => h("td", { key: index }, each)));

const heading = (run, more) => [h("a", { href: to(["runs", run.name, run.dagRunId]) }, `${run.name} ${run.dagRunId}`), more];

const picker = ([first, [name, id]], others) => others.length > 1 && h("select", {
  "aria-label": "Second run", value: id, onchange: (event) => go(["compare", ...first, name, event.target.value]),
}, [...new Set([id, ...others.map((run) => run.dagRunId)])].map((each) => h("option", { key: each, value: each, selected: each === id }, each)));

const cell = (node) => (node ? [badge(node.statusLabel), " ", took(node)] : h("span", { class: "faint" }, "–"));

const value = (text) => (text === undefined ? h("span", { class: "faint" }, "–") : h("pre", { class: "wrap" }, text));

/** The facts of both runs. `always`: worth a line also where they are equal. */
function factPairs(one, other) {
  const pair = (label, read, { show: shown = (text) => text, always = false } = {}) => {
    const values = [one, other].map(read);
    return { label, values: values.map(shown), differs: values[0] !== values[1], always };
  };
  return [
    pair("Status", (run) => run.statusLabel, { show: (label) => badge(label), always: true }),
    { ...pair("Began", (run) => run.firstStartedAt || run.startedAt, { show: clock, always: true }), differs: false },
    { label: "Took", values: [took(one), took(other)], differs: Boolean(slower(seconds(one), seconds(other))), always: true },
    pair("Parameters", (run) => run.params ?? "", { show: (text) => h("span", { class: "mono" }, text) }),
    pair("Started by", (run) => run.startedBy ?? ""),
    pair("Worker", (run) => run.workerId ?? ""),
    pair("Attempts", (run) => run.runAttempt ?? 1, { show: String }),
    pair("Error", (run) => run.error ?? ""),
  ];
}

const seconds = ({ startedAt, finishedAt, durationMs }) => (durationMs ? durationMs / 1000
  : Math.max(0, (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000) || 0);

/** How much longer the second took; empty while it is within a tenth or within half a second. */
function slower(first, second) {
  const more = second - first;
  if (Math.abs(more) < 0.5 || Math.abs(more) < 0.1 * Math.max(first, second)) return "";
  return `${more > 0 ? "+" : "−"}${span(Math.abs(more))}`;
}

/** The steps of both, in the order of the first run; those that only the second has come last. */
function stepPairs(one, other) {
  const nodes = [one, other].map((run) => new Map(nodesOf(run).map((node) => [node.step.name, node])));
  return [...new Set(nodes.flatMap((each) => [...each.keys()]))].map((name) => {
    const [first, second] = nodes.map((each) => each.get(name));
    const longer = first && second ? slower(seconds(first), seconds(second)) : "";
    return { name, nodes: [first, second], longer, differs: first?.statusLabel !== second?.statusLabel || Boolean(longer) };
  });
}

/** The values of both by name. */
const valuePairs = (one, other) => [...new Set([...Object.keys(one), ...Object.keys(other)])].map((name) => ({
  name, values: [one[name], other[name]], differs: one[name] !== other[name],
}));
