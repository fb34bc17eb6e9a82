// Every attempt of a step, of all attempts of the run: a retry adds one and takes none away.

import { get } from "../api.js";
import { h } from "../dom.js";
import { head, numbers, wide } from "../parts.js";
import { attemptLabel, badge } from "../status.js";
import { clock, took } from "../time.js";

const WORDS = {
  dispatched: "waits for a worker", lost: "worker lost", timed_out: "timed out", broken: "could not start", withdrawn: "withdrawn",
};

/** How many attempts are shown at first: a step that repeats may have tens of thousands. */
export const MOST_ATTEMPTS = 200;

const MAX_PAGE = 1000;

/** Read the newest `most` attempts of a step, oldest first. */
export async function newestAttempts(base, stepName, most, signal) {
  const found = [];
  let cursor;
  do {
    const page = await get(`${base}/attempts`, { stepName, limit: Math.min(most - found.length, MAX_PAGE), cursor }, signal);
    found.unshift(...page.attempts);
    cursor = page.nextCursor;
  } while (cursor && found.length < most);
  return found;
}

/**
 * The newest attempts of a step as a table, the newest first; `chosen`: the number of the one whose log is shown, `place(changes)`: an
 * address, `more()` shows older ones.
 */
export function attempts(list, { chosen, place, more }) {
  const tries = list.filter((each) => each.number);
  const older = (tries[0]?.number ?? 1) - 1;
  if (list.length < 2) return null;
  return h("section", { key: "attempts", "aria-label": "Attempts" },
    h("table", { class: "rows attempts" },
      h("caption", { class: "unseen" }, "Attempts of this step, the newest first"),
      head("Attempt", "Result", "Began", numbers("Took"), wide("Worker")),
      h("tbody", {}, [...list].reverse().map((each) => row(each, tries.at(-1)?.number, chosen, place)))),
    older > 0 && h("p", {}, h("button", { type: "button", onclick: more }, `Show ${Math.min(MOST_ATTEMPTS, older)} more`)));
}

function row(each, count, chosen, place) {
  const isChosen = each.number !== undefined && each.number === chosen;
  return h("tr", { key: `${each.runAttempt} ${each.number ?? ""} ${each.dispatchedAt}`, class: isChosen ? "chosen" : "" },
    h("td", {}, each.number
      ? h("a", { href: place({ attempt: isChosen ? "" : each.number }), "aria-current": isChosen && "true",
        title: "Show only what this attempt wrote" }, `${each.number} of ${count}`)
      : h("span", { class: "faint" }, "–"),
    each.runAttempt > 1 && h("div", { class: "faint" }, `attempt ${each.runAttempt} of the run`)),
    h("td", { class: "main" }, badge(attemptLabel(each.status), WORDS[each.status]),
      each.exitCode !== undefined && h("span", { class: "faint" }, ` exit code ${each.exitCode}`),
      each.reason && h("div", { class: each.status === "withdrawn" ? "faint" : "error" }, each.reason)),
    h("td", { class: "when" }, clock(each.startedAt)),
    h("td", { class: "number" }, took(each)),
    h("td", { class: "wide faint" }, each.workerId));
}
