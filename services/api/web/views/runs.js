// All runs, newest first: find them, keep a search as a view, act on many at once.

import { get } from "../api.js";
import { ask, field } from "../dialog.js";
import { h } from "../dom.js";
import { cursorPager } from "../pager.js";
import { Finder, head, numbers, wide } from "../parts.js";
import { reason, toldBadge } from "../reason.js";
import { stay, to } from "../router.js";
import { dropView, savedViews, saveView } from "../saved_views.js";
import { RUN_STATUSES, words } from "../status.js";
import { ago, clock, took } from "../time.js";
import { bulkBar, Selection } from "./bulk.js";

const PER_PAGE = 50;
const MOST_BY_DATE = 200;

export function runs(page) {
  page.title("Runs");
  const find = new Finder();
  let tags = [];
  let found = null;
  const selection = new Selection(() => draw());
  get("dags/tags", {}, page.signal).then((answer) => { tags = answer.tags; draw(); }, () => {});

  page.every(3000, async () => {
    const { name, q: search, tag, by: startedBy, status, from, until, cursor = "" } = page.place.query;
    const dated = from || until;
    const filter = { name, search, tag, startedBy, status };
    const query = dated ? { ...filter, fromDate: unix(from), toDate: unix(until) } : { ...filter, limit: PER_PAGE };
    const where = dated ? "dag-runs" : `dag-runs?cursor=${encodeURIComponent(cursor)}`;
    const answer = await get(where, query, page.wanted);
    found = { cursor, next: answer.nextCursor, backTo: answer.searchedBackTo, more: dated && answer.dagRuns.length > MOST_BY_DATE,
      list: answer.dagRuns.slice(0, dated ? MOST_BY_DATE : PER_PAGE) };
    draw();
  });

  function draw() {
    if (!found) return;
    const { list } = found;
    page.show(h("div", { class: "heading" }, h("h1", {}, "Runs"), views()), filters(), bulkBar(page, list, selection),
      list.length ? runTable(list, true, selection) : h("div", { class: "empty" }, h("p", {}, found.backTo ? ["No run since ", clock(found.backTo), " matches. "] : "No run matches."),
        Object.keys(page.place.query).length > 0 && h("p", {}, h("a", { href: "#/runs" }, "Show all"))),
      found.backTo && h("p", { class: "faint count" }, "Searched back to ", clock(found.backTo), "; “Older” goes on from there."),
      found.more && h("p", { class: "faint" }, `Only the newest ${MOST_BY_DATE} are shown: narrow the dates.`),
      cursorPager(found.cursor, found.next));
  }

  function views() {
    const { cursor, ...query } = page.place.query;
    return h("nav", { class: "views", "aria-label": "Saved views" },
      savedViews().map(([name, kept]) => h("span", { key: name, class: "tag" }, h("a", { href: to(["runs"], kept) }, name),
        h("button", { type: "button", class: "plain", "aria-label": `Remove the view ${name}`, onclick: () => { dropView(name); draw(); } }, "×"))),
      Object.values(query).some(Boolean) && h("button", { type: "button", onclick: () => keep(query) }, "Save view"));
  }

  const keep = (query) => ask({
    title: "Save this view", text: "The filters are kept under this name, in this browser.", confirm: "Save",
    fields: [field("Name", { name: "name", required: true, maxlength: 40, autofocus: true })],
    act: async (form) => {
      saveView(form.get("name").trim(), query);
      draw();
    },
  });

  function filters() {
    const { name = "", q = "", tag = "", by = "", status = "", from = "", until = "" } = page.place.query;
    return h("div", { class: "filters", role: "search" },
      find.text("q", "Part of a name or run id", q),
      name && h("span", { class: "tag" }, `DAG ${name}`,
        h("button", { type: "button", class: "plain", "aria-label": "Runs of all DAGs", onclick: () => stay({ name: "", cursor: "" }) }, "×")),
      h("select", { "aria-label": "Status", value: status, onchange: find.set("status") }, h("option", { value: "" }, "Any status"),
        RUN_STATUSES.map(([number, label]) => h("option", { value: String(number) }, words(label)))),
      h("select", { "aria-label": "Tag", value: tag, onchange: find.set("tag") }, h("option", { value: "" }, "Any tag"),
        [...new Set([...tags, tag])].filter(Boolean).map((each) => h("option", { value: each, key: each }, each))),
      find.text("by", "Started by", by),
      find.between(from, until));
  }
}

const unix = (text) => (text ? Math.floor(new Date(text).getTime() / 1000) : undefined);

/** The address of a run, be it a root or some run's child. */
export const runPlace = (run, query = {}) => (run.rootDAGRunId && run.rootDAGRunId !== run.dagRunId
  ? to(["runs", run.rootDAGRunName, run.rootDAGRunId, "sub", run.dagRunId], query)
  : to(["runs", run.name, run.dagRunId], query));

/** A table of runs; `named`: with the name of their DAG, `selection`: with boxes to select them. */
export const runTable = (list, named = true, selection = null) => h("table", { class: "rows runs" },
  head(selection && h("th", {}, selection.allBox(list)), "Status", named ? "Run" : "Run id", "Began", numbers("Took"),
    wide("Started by"), wide("Worker"), wide("Parameters")),
  h("tbody", {}, list.map((run) => h("tr", { key: `${run.name} ${run.dagRunId}` },
    selection && h("td", { class: "pick" }, selection.box(run)),
    h("td", { class: "state" }, toldBadge(run)),
    // One link for both: a second one to the same place would be one more stop for keyboards and screen readers.
    h("td", { class: "main" }, h("a", { class: "both", href: runPlace(run) }, named && [h("span", { class: "name" }, run.name), " "],
      h("span", { class: "id mono faint clip", title: run.dagRunId }, run.dagRunId)),
      reason(run.waitingFor)),
    h("td", { class: "when" }, run.startedAt ? [clock(run.firstStartedAt || run.startedAt), " ",
      h("span", { class: "faint wide" }, ago(run.firstStartedAt || run.startedAt))]
      : run.queuedAt && h("span", { class: "faint" }, "queued ", ago(run.queuedAt))),
    h("td", { class: "number" }, took(run), run.runAttempt > 1 && h("div", { class: "faint" }, `attempt ${run.runAttempt}`)),
    h("td", { class: "wide faint clip" }, run.startedBy),
    h("td", { class: "wide faint clip" }, run.workerId),
    h("td", { class: "wide mono faint clip", title: run.params }, run.params)))));
