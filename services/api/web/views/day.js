// The runs of the last 24 hours as bars, one line for each DAG. Zoom by buttons, move by dragging, filter by name.

import { h, s } from "../dom.js";
import { drag } from "../drag.js";
import { fitted, pageRoom } from "../fit.js";
import { runPlace } from "./runs.js";
import { words } from "../status.js";
import { offsetMs, span } from "../time.js";

const HOUR_MS = 3_600_000;
const ZOOMS = [24, 6, 1];
const STEPS_MS = { 24: 3 * HOUR_MS, 6: HOUR_MS, 1: HOUR_MS / 6 };
/** Every full hour and ten minutes of any zone is a multiple of it. */
const MARK_MS = HOUR_MS / 12;
const LINES = 14;
const LINE = 22;
const FOOT = 20;
const LETTERS = 12;
/** Half of the width of a time, which is not cut at the end of the chart. */
const EDGE = 18;
/** How far apart the times are at least. */
const APART = 48;

export class Day {
  /** `changed` is called when the chart must be drawn again. */
  constructor(changed) {
    Object.assign(this, { changed, data: null, hours: 24, back: 0, filter: "" });
  }

  take(data) {
    this.data = data;
  }

  draw() {
    if (!this.data) return h("p", { class: "faint" }, "Loading…");
    const lines = this.lines();
    return [
      h("div", { class: "filters", key: "controls" },
        h("span", { class: "choice", role: "group", "aria-label": "Time shown" }, ZOOMS.map((hours) =>
          h("button", { type: "button", "aria-pressed": String(hours === this.hours), onclick: () => this.zoom(hours) }, `${hours} h`))),
        h("button", { type: "button", onclick: () => this.move(this.hours / 2), disabled: this.back + this.hours >= 24 }, "‹ Earlier"),
        h("button", { type: "button", onclick: () => this.move(-this.hours / 2), disabled: this.back <= 0 }, "Later ›"),
        h("input", { type: "search", "aria-label": "Only DAGs with", placeholder: "Part of a DAG's name", value: this.filter,
          oninput: (event) => { this.filter = event.target.value.trim(); this.changed(); } })),
      lines.length ? this.chart(lines.slice(0, LINES)) : h("p", { class: "faint", key: "none" }, "No run in this time."),
      lines.length > LINES && h("p", { class: "faint", key: "more" }, `${lines.length - LINES} more DAGs ran: filter by name to see them.`),
      this.data.more && h("p", { class: "faint", key: "older" }, `Only the newest ${this.data.runs.length.toLocaleString("en")} runs are shown.`),
    ];
  }

  zoom(hours) {
    this.hours = hours;
    this.move(0);
  }

  /** Show a time that many hours earlier, within the 24 hours that are known. */
  move(hours) {
    this.back = Math.min(24 - this.hours, Math.max(0, this.back + hours));
    this.changed();
  }

  get until() {
    return Date.parse(this.data.until) - this.back * HOUR_MS;
  }

  /** Pairs of a DAG's name and its runs that are in sight, the DAG that ran last first. */
  lines() {
    const [from, until] = [this.until - this.hours * HOUR_MS, this.until];
    const found = new Map();
    for (const run of this.data.runs) {
      if (!run.name.toLowerCase().includes(this.filter.toLowerCase())) continue;
      const begin = Date.parse(run.startedAt);
      const end = run.finishedAt ? Date.parse(run.finishedAt) : Date.parse(this.data.until);
      if (end < from || begin > until) continue;
      if (!found.has(run.name)) found.set(run.name, []);
      found.get(run.name).push({ ...run, begin: Math.max(begin, from), end: Math.min(end, until), ms: end - begin });
    }
    return [...found];
  }

  chart(lines) {
    const from = this.until - this.hours * HOUR_MS;
    // All of it fits on a phone too: a finger moves the chart in time, and cannot scroll it.
    const [width, names] = pageRoom();
    const scale = (width - names) / (this.hours * HOUR_MS);
    const x = (ms) => names + (ms - from) * scale;
    const height = lines.length * LINE + FOOT;
    return h("div", { class: "canvas day", tabindex: "0", key: "chart" }, s("svg", {
      viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Runs by time", onpointerdown: (event) => this.drag(event),
    },
    this.ticks(from, scale).map(({ at, text }) => s("g", { key: `tick ${at}`, class: "tick", "aria-hidden": "true" },
      s("line", { x1: x(at), x2: x(at), y1: 0, y2: height - FOOT }), s("text", { x: Math.min(x(at), width - EDGE), y: height - 5, "text-anchor": "middle" }, text))),
    lines.map(([name, runs], index) => s("g", { key: name },
      s("text", { x: 0, y: index * LINE + LINE / 2, class: "lane" }, fitted(name, names - 8, LETTERS)),
      runs.map((run) => s("a", { key: run.dagRunId, href: runPlace(run), class: `bar is-${run.statusLabel}`, draggable: "false", tabindex: "-1",
        "aria-label": `${name} ${run.dagRunId}: ${words(run.statusLabel)}` },
      s("title", {}, `${name} ${run.dagRunId}: ${words(run.statusLabel)}, ${span(run.ms / 1000)}`),
      s("rect", { x: x(run.begin), y: index * LINE + 4, width: Math.max(3, (run.end - run.begin) * scale), height: LINE - 8, rx: 2 })))))));
  }

  /** Full hours, or parts of one, in the zone of the browser, whose UTC offset may change between them. */
  ticks(from, scale) {
    const step = STEPS_MS[this.hours] * (STEPS_MS[this.hours] * scale < APART ? 2 : 1);
    const found = [];
    for (let at = Math.ceil(from / MARK_MS) * MARK_MS; at <= this.until; at += MARK_MS) {
      const shown = at + offsetMs(at);
      if (shown % step === 0) found.push({ at, text: new Date(shown).toISOString().slice(11, 16) });
    }
    return found;
  }

  drag(event) {
    const [all, names] = pageRoom();
    const width = event.currentTarget.clientWidth * (1 - names / all);
    const [start, back] = [event.clientX, this.back];
    drag(event, { moved: (now) => {
      this.back = back;
      this.move(((now.clientX - start) / width) * this.hours);
    } });
  }
}
