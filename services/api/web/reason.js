// Why something waits, with links to what it waits for.

import { h } from "./dom.js";
import { to } from "./router.js";

// The API names runs in reasons as `dag/run`, and queues, pools and workers by a word before the name.
const NAMED = /(?<kind>queue|pool|lock|rate limit|worker)\s(?!with )(?<name>[\w.\-]+)|(?<![\w.\-(])(?<dag>[\w.\-]+)\/(?<run>[\w.\-]+)/g;
const PLACES = { queue: ["queues"], pool: ["queues"], lock: ["queues"], "rate limit": ["queues"], worker: ["system"] };

/** The reason as text, in which the names of runs, queues, pools and workers are links. */
export function reason(text, lead = "waiting: ") {
  if (!text) return null;
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(NAMED)) {
    const { kind, dag, run } = found.groups;
    parts.push(text.slice(at, found.index), h("a", { href: kind ? to(PLACES[kind]) : to(["runs", dag, run]) }, found[0]));
    at = found.index + found[0].length;
  }
  const rest = text.slice(at);
  // No such worker is live: which ones are is said there.
  return h("div", { class: "reason" }, lead, parts, /\bworker\b/.test(rest) ? h("a", { href: to(["system"]) }, rest) : rest);
}

/** The status to show: a run in which no step runs is waiting, even if its record says running. */
export const toldLabel = (item) => (item.statusLabel === "running" && item.waitingFor ? "waiting" : item.statusLabel);
