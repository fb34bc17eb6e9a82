// All runs, newest first, with filters.

import { get } from "../api.js";
import { h } from "../dom.js";
import { cursorPager } from "../pager.js";
import { reason, toldLabel } from "../reason.js";
import { stay, to } from "../router.js";
import { badge, RUN_STATUSES, words } from "../status.js";
import { ago, clock, took } from "../time.js";

const PER_PAGE = 50;
const MOST_BY_DATE = 200;

export function runs(page) {
  page.title("Runs");
  let typing;

  page.every(3000, async () => {
    const { name, status, from, until, cursor = "" } = page.place.query;
    const dated = from || until;
    const query = dated
      ? { name, status, fromDate: unix(from), toDate: unix(until) }
      : { name, status, limit: PER_PAGE };
    const where = dated ? "dag-runs" : `dag-runs?cursor=${encodeURIComponent(cursor)}`;
    const answer = await get(where, query, page.signal);
    const list = answer.dagRuns.slice(0, dated ? MOST_BY_DATE : PER_PAGE);
    page.show(h("div", { class: "heading" }, h("h1", {}, "Runs")), filters(),
      list.length ? runTable(list) : h("div", { class: "empty" }, h("p", {}, "No run fits."),
        Object.keys(page.place.query).length > 0 && h("p", {}, h("a", { href: "#/runs" }, "Show all"))),
      answer.dagRuns.length > list.length && h("p", { class: "faint" }, `Only the newest ${MOST_BY_DATE} are shown: narrow the dates.`),
      cursorPager(cursor, answer.nextCursor));
  });

  function filters() {
    const { name = "", status = "", from = "", until = "" } = page.place.query;
    const later = (event) => {
      clearTimeout(typing);
      const text = event.target.value.trim();
      typing = setTimeout(() => stay({ name: text, cursor: "" }), 300);
    };
    const set = (field) => (event) => stay({ [field]: event.target.value, cursor: "" });
    return h("div", { class: "filters", role: "search" },
      h("input", { type: "search", "aria-label": "Name of the DAG", placeholder: "Name of the DAG", value: name, oninput: later }),
      h("select", { "aria-label": "Status", value: status, onchange: set("status") }, h("option", { value: "" }, "Any status"),
        RUN_STATUSES.map(([number, label]) => h("option", { value: String(number) }, words(label)))),
      h("label", { class: "inline" }, "from", h("input", { type: "datetime-local", value: from, onchange: set("from") })),
      h("label", { class: "inline" }, "until", h("input", { type: "datetime-local", value: until, onchange: set("until") })));
  }
}

const unix = (text) => (text ? Math.floor(new Date(text).getTime() / 1000) : undefined);

/** The address of a run, be it a root or some run's child. */
export const runPlace = (run) => (run.rootDAGRunId && run.rootDAGRunId !== run.dagRunId
  ? to(["runs", run.rootDAGRunName, run.rootDAGRunId, "sub", run.dagRunId])
  : to(["runs", run.name, run.dagRunId]));

/** A table of runs; `named`: with the name of their DAG. */
export const runTable = (list, named = true) => h("table", { class: "rows runs" },
  h("thead", {}, h("tr", {}, h("th", {}, "Status"), h("th", {}, named ? "Run" : "Run id"), h("th", {}, "Began"),
    h("th", {}, "Took"), h("th", { class: "wide" }, "Worker"), h("th", { class: "wide" }, "Parameters"))),
  h("tbody", {}, list.map((run) => h("tr", { key: `${run.name} ${run.dagRunId}` },
    h("td", { class: "state" }, badge(toldLabel(run))),
    h("td", { class: "main" }, named && h("a", { class: "name", href: runPlace(run) }, run.name),
      h("a", { class: "id mono faint clip", href: runPlace(run), title: run.dagRunId }, run.dagRunId),
      reason(run.waitingFor)),
    h("td", { class: "when" }, run.startedAt ? [clock(run.firstStartedAt || run.startedAt), " ",
      h("span", { class: "faint wide" }, ago(run.firstStartedAt || run.startedAt))]
      : run.queuedAt && h("span", { class: "faint" }, "queued ", ago(run.queuedAt))),
    h("td", { class: "number" }, took(run), run.runAttempt > 1 && h("div", { class: "faint" }, `attempt ${run.runAttempt}`)),
    h("td", { class: "wide faint clip" }, run.workerId),
    h("td", { class: "wide mono faint clip", title: run.params }, run.params)))));
