// The audit log, newest first, with filters.

import { get } from "../api.js";
import { h } from "../dom.js";
import { cursorPager } from "../pager.js";
import { Finder, head, wide } from "../parts.js";
import { to } from "../router.js";
import { clock } from "../time.js";

const PER_PAGE = 50;
const CODES = ["forbidden", "unauthorized", "bad_request", "not_found", "already_exists", "too_many_requests"];

export function audit(page) {
  page.title("Audit log");
  const find = new Finder();

  page.every(5000, async () => {
    const { actor, target, operation, outcome, from, until, cursor = "" } = page.place.query;
    const query = { actor, target, operation, outcome, from: moment(from), to: moment(until), cursor, limit: PER_PAGE };
    const { entries, nextCursor } = await get("audit", query, page.wanted);
    page.show(h("div", { class: "heading" }, h("h1", {}, "Audit log")), filters(),
      entries.length ? table(entries) : h("div", { class: "empty" }, h("p", {}, "No entry matches."),
        Object.keys(page.place.query).length > 0 && h("p", {}, h("a", { href: "#/audit" }, "Show all"))),
      cursorPager(cursor, nextCursor));
  });

  function filters() {
    const { actor = "", target = "", operation = "", outcome = "", from = "", until = "" } = page.place.query;
    return h("div", { class: "filters", role: "search" },
      find.text("actor", "Actor: name or id", actor), find.text("target", "Target: name or id", target),
      find.text("operation", "Operation", operation),
      h("select", { "aria-label": "Outcome", value: outcome, onchange: find.set("outcome") }, h("option", { value: "" }, "Any outcome"),
        ["done", "refused", ...CODES].map((each) => h("option", { value: each }, each.replaceAll("_", " ")))),
      find.between(from, until));
  }
}

/** The browser's local time as the API reads it; the API refuses what is no time. */
function moment(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? text : at.toISOString();
}

const table = (list) => h("table", { class: "rows audit" },
  head("Time", "Actor", "Operation", "Outcome", wide("Change")),
  h("tbody", {}, list.map((each) => h("tr", { key: each.id },
    h("td", { class: "when" }, clock(each.at)),
    h("td", { class: "actor" }, h("a", { href: to(["audit"], { actor: each.actor.name }) }, each.actor.name),
      h("div", { class: "faint" }, [each.actor.role, each.actor.address].filter(Boolean).join(" · "))),
    h("td", { class: "main" }, h("span", { class: "name" }, each.operation), h("div", { class: "faint" }, each.target.kind, " ", about(each.target))),
    h("td", {}, each.outcome, h("div", { class: "faint" }, (each.code ?? "").replaceAll("_", " "), each.count > 1 && ` × ${each.count}`)),
    h("td", { class: "wide mono faint clip", title: changes(each).join("\n") }, changes(each).join(", "))))));

const about = ({ name, id }) => [name, id].filter(Boolean).map((text) =>
  h("a", { key: text, href: to(["audit"], { target: text }) }, `${text} `));

/** One line for each fact that differs: `role: viewer → admin`. */
function changes({ before = {}, after = {} }) {
  const shown = (value) => (value === undefined ? "–" : String(value));
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => before[name] !== after[name])
    .map((name) => `${name}: ${shown(before[name])} → ${shown(after[name])}`);
}
