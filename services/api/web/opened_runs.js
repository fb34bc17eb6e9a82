// Sub-runs opened in the graph of their run: the steps of the one that a step called, or a box for each of many.

import { dependencies } from "./depends.js";

const MOST = 60;

/** The name of a step or sub-run inside of the step that called it; no step is named so, as a path of both is unique. */
const inside = (caller, name) => `${caller} › ${name}`;

/**
 * Return `drawn` with what the opened steps called behind them: `opened` maps the name of a step to `{ nodes }` of its one
 * sub-run, or to `{ runs }`. `hrefOf(caller, sub-run id, step name)` is where a box leads. Steps that depend on an opened
 * one depend on the end of what it called.
 */
export function withOpened(drawn, opened, hrefOf) {
  const ends = new Map();
  const added = drawn.flatMap((caller) => {
    const content = opened.get(caller.name);
    const boxes = content ? (content.nodes ? stepsOf(caller, content, hrefOf) : runsOf(caller, content, hrefOf)) : [];
    if (boxes.length) ends.set(caller.name, lastOf(boxes));
    return boxes;
  });
  const behind = drawn.map((step) => ({ ...step, depends: step.depends.flatMap((name) => ends.get(name) ?? [name]) }));
  return [...behind, ...added];
}

function stepsOf(caller, { id, nodes }, hrefOf) {
  const depends = dependencies(nodes.map(({ step }) => step));
  return nodes.map(({ step, statusLabel }) => {
    const before = depends(step).map((name) => inside(caller.name, name));
    return { name: inside(caller.name, step.name), text: step.name, label: statusLabel, inner: true,
      depends: before.length ? before : [caller.name], href: hrefOf(caller.name, id, step.name) };
  });
}

function runsOf(caller, { runs }, hrefOf) {
  const boxes = runs.slice(0, MOST).map((run, index) => ({
    name: inside(caller.name, run.dagRunId), text: run.params || `run ${index + 1}`, label: run.statusLabel, inner: true,
    depends: [caller.name], href: hrefOf(caller.name, run.dagRunId),
  }));
  const more = runs.length - boxes.length;
  return more > 0 ? [...boxes, { name: inside(caller.name, "…"), text: `${more} more`, label: "not_started", inner: true,
    depends: [caller.name], href: hrefOf(caller.name) }] : boxes;
}

/** The names of those boxes on which no other depends. */
function lastOf(boxes) {
  const before = new Set(boxes.flatMap((each) => each.depends));
  return boxes.map((each) => each.name).filter((name) => !before.has(name));
}
