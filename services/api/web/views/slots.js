// The fires of a schedule: which scheduled times started a run, and why others did not.

import { get } from "../api.js";
import { h } from "../dom.js";
import { head, wide } from "../parts.js";
import { stay, to } from "../router.js";
import { badge } from "../status.js";
import { ago, clock } from "../time.js";
import { calendar } from "./calendar.js";

/** When a schedule starts the next run, or why it starts none. */
export const nextRun = ({ suspended, nextRun: at, waitingFor }) =>
  (suspended ? h("span", { class: "faint" }, "suspended") : at || !waitingFor ? ago(at) : h("span", { class: "reason" }, waitingFor));

export function slots(page, state) {
  let found = { slots: [] };
  let month;

  function next() {
    // A paused schedule starts nothing, whatever its next scheduled time.
    if (state.details?.waitingFor && !state.details.nextRun) return nextRun(state.details);
    return found.nextSlot ? [clock(found.nextSlot), " (", ago(found.nextSlot), ")"] : "none";
  }

  return {
    load: async () => {
      const { outcome, month: wanted, day } = page.place.query;
      // During a rollout a gateway may not have it yet.
      month = await get(`${state.where}/calendar`, { month: wanted }, page.wanted).catch((error) => {
        if (error.status !== 404) throw error;
      });
      // The list goes back from the end of the chosen day.
      const before = month?.days.find(({ date }) => date === day)?.end;
      found = await get(`${state.where}/slots`, { outcome, before, limit: 100 }, page.wanted);
    },
    draw: () => h("div", {},
      month && ((state.details?.dag.schedule ?? []).length > 0 || month.days.some((day) => day.fired || day.skipped || day.missed))
        && calendar(month, page.place.query.day),
      h("div", { class: "filters" },
        h("span", {}, "Next: ", next()),
        h("select", { "aria-label": "Outcome", value: page.place.query.outcome ?? "", onchange: (event) => stay({ outcome: event.target.value }) },
          h("option", { value: "" }, "Any outcome"), ["fired", "skipped", "missed"].map((each) => h("option", { value: each }, each)))),
      found.slots.length ? firesTable(found.slots) : h("div", { class: "empty" },
        h("p", {}, (state.details?.dag.schedule ?? []).length ? "No scheduled time has come yet." : "This DAG has no schedule."))),
  };
}

/** The fires as a table; `named`: with the DAG of each. */
export const firesTable = (list, named = false) => h("table", { class: "rows" },
  head("Outcome", "Scheduled time", named ? "DAG and reason" : "Why", wide("Expression")),
  h("tbody", {}, list.map((each) => h("tr", { key: `${each.fileName} ${each.kind} ${each.slot} ${each.expression}` },
    h("td", { class: "state" }, badge(each.outcome)),
    h("td", { class: "when" }, clock(each.slot), each.until && [" – ", clock(each.until)], each.kind !== "start" && h("span", { class: "faint" }, ` ${each.kind}`)),
    h("td", { class: "main" }, named && h("a", { class: "name", href: to(["dags", each.fileName], { tab: "slots" }) }, each.fileName), " ",
      each.reason, each.dagRunId && h("a", { href: to(["runs", each.dagName, each.dagRunId]), class: "mono" }, each.dagRunId)),
    h("td", { class: "wide mono faint" }, each.expression)))));
