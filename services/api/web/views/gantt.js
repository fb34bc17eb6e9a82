// When each attempt of each step waited and ran: one line a step, in the order in which they began.

import { h, s } from "../dom.js";
import { fitted, pageRoom } from "../fit.js";
import { now } from "../server_time.js";
import { attemptLabel, words } from "../status.js";
import { span } from "../time.js";

const LINES = 300;
/** How many attempts of one step are drawn: a step that repeats may have tens of thousands. */
export const BARS = 200;
const LINE = 20;
const FOOT = 20;
const LETTERS = 11.5;
/** How far apart the marks of the scale are at least, and half of the width of one. */
const APART = 100;
const EDGE = 36;
const TICKS = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400];

/** `list`: the attempts of a run; `only`: those of this attempt of the run; `place(changes)`: an address. */
export function gantt(list, only, place) {
  const shown = list.filter((each) => each.runAttempt === only);
  if (!shown.length) return h("p", { class: "faint", key: "gantt" }, "No step has been sent to a worker in this attempt of the run.");
  const present = now();
  const all = shown.map((each) => ({ ...each, sent: Date.parse(each.dispatchedAt), began: each.startedAt ? Date.parse(each.startedAt) : null,
    ended: each.finishedAt ? Date.parse(each.finishedAt) : present }));
  const lines = new Map();
  for (const bar of all.sort((a, b) => a.sent - b.sent)) {
    if (lines.has(bar.stepName)) lines.get(bar.stepName).push(bar);
    else lines.set(bar.stepName, [bar]);
  }
  const cut = [...lines.values()].some((bars) => bars.length > BARS);
  for (const [name, bars] of lines) lines.set(name, bars.slice(-BARS));
  const bars = [...lines.values()].flat();
  const from = bars.reduce((least, bar) => Math.min(least, bar.sent), Infinity);
  const length = bars.reduce((most, bar) => Math.max(most, bar.ended - from), 1);
  const rows = [...lines].slice(0, LINES);
  const [width, names] = pageRoom();
  const x = (ms) => names + ((ms - from) / length) * (width - names);
  const height = rows.length * LINE;
  const scale = ticks(length / 1000, (width - names) / APART).map((seconds) => [seconds, x(from + seconds * 1000)]);
  return h("div", { class: "canvas gantt", key: "gantt" },
    s("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Steps by time" },
      scale.map(([seconds, at]) => s("line", { key: `tick ${seconds}`, class: "tick", x1: at, x2: at, y1: 0, y2: height })),
      rows.map(([name, attempts], index) => line(name, attempts, { y: index * LINE, x, width, names }, place))),
    s("svg", { viewBox: `0 0 ${width} ${FOOT}`, class: "scale", "aria-hidden": "true" }, scale.map(([seconds, at]) =>
      s("text", { key: seconds, x: at, y: FOOT - 6, "text-anchor": at > width - EDGE ? "end" : "middle" }, seconds ? `+${span(seconds)}` : "0"))),
    cut && h("p", { class: "faint" }, `Only the last ${BARS} attempts of each step are drawn.`),
    lines.size > LINES && h("p", { class: "faint" }, `Only the first ${LINES} of ${lines.size} steps are drawn.`));
}

function line(name, attempts, { y, x, width, names }, place) {
  const took = attempts.reduce((sum, each) => sum + (each.began ? each.ended - each.began : 0), 0);
  return s("a", { key: name, href: place({ step: name }), "aria-label": `${name}: ${span(took / 1000)}` },
    s("rect", { class: "area", x: 0, y, width, height: LINE }),
    s("text", { x: 0, y: y + LINE / 2, class: "lane" }, fitted(name, names - 8, LETTERS)),
    attempts.map((each) => s("g", { key: each.dispatchedAt, class: `bar is-${attemptLabel(each.status)}` },
      s("title", {}, `${name}${attempts.length > 1 ? `, attempt ${each.number ?? "–"}` : ""}: ${words(attemptLabel(each.status))}, `
        + (each.began ? `waited ${span(Math.max(0, each.began - each.sent) / 1000)}, ran ${span((each.ended - each.began) / 1000)}` : "not begun")),
      s("rect", { class: "waited", x: x(each.sent), y: y + 8, width: Math.max(1, x(each.began ?? each.ended) - x(each.sent)), height: LINE - 16 }),
      each.began && s("rect", { x: x(each.began), y: y + 3, width: Math.max(2, x(each.ended) - x(each.began)), height: LINE - 6, rx: 2 }))));
}

/** Some round numbers of seconds within a length, and not many more than `most`. */
function ticks(seconds, most) {
  const step = TICKS.find((each) => seconds / each <= most) ?? Math.ceil(seconds / most / 86_400) * 86_400;
  return Array.from({ length: Math.floor(seconds / step) + 1 }, (_, index) => Math.round(index * step * 1000) / 1000);
}
