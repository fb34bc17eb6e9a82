// Why something waits, with links to what it waits for.

import { h } from "./dom.js";
import { to } from "./router.js";
import { badge } from "./status.js";
import { clock } from "./time.js";

// The API names runs in reasons as `dag/run`, and queues, pools and workers by a word before the name.
const NAMED = /(?<time>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))|(?<kind>queue|pool|lock|rate limit|worker)\s(?!with |that )(?<name>[\w.\-]+)|(?<![\w.\-(])(?<dag>[\w.\-]+)\/(?<run>[\w.\-]+)/g;
const PLACES = { queue: ["queues"], pool: ["queues"], lock: ["queues"], "rate limit": ["queues"], worker: ["system"] };

/** The reason as text, in which the names of runs, queues, pools and workers are links, and times are the browser's. */
export function reason(text, lead = "waiting: ") {
  if (!text) return null;
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(NAMED)) {
    const { time, kind, dag, run } = found.groups;
    parts.push(text.slice(at, found.index),
      time ? clock(time) : h("a", { href: kind ? to(PLACES[kind]) : to(["runs", dag, run]) }, found[0]));
    at = found.index + found[0].length;
  }
  const rest = text.slice(at);
  // No such worker is live: which ones are is said there.
  return h("div", { class: "reason" }, lead, parts, /\bworker\b/.test(rest) ? h("a", { href: to(["system"]) }, rest) : rest);
}

/** The status of a run to show: its record may say running while no step runs, or while those that run are being stopped. */
export function toldBadge(run) {
  if (run.stopping) return badge("running", "stopping");
  return badge(run.statusLabel === "running" && run.waitingFor ? "waiting" : run.statusLabel);
}
