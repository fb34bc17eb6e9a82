// Search for a word or pattern in the specs of all DAGs.

import { get } from "../api.js";
import { h } from "../dom.js";
import { stay, to } from "../router.js";

export function search(page) {
  page.title("Search");
  page.every(0, async () => {
    const { q = "" } = page.place.query;
    const { results, errors } = q ? await get("dags/search", { q }, page.wanted) : { results: [], errors: [] };
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Search")),
      h("form", { class: "filters", role: "search", onsubmit: find },
        h("input", { type: "search", name: "q", "aria-label": "Word or regular expression", placeholder: "Word or regular expression", value: q, autofocus: true, maxlength: 200 }),
        h("button", { type: "submit", class: "primary" }, "Search")),
      errors.map((each) => h("p", { class: "error" }, each)),
      results.map(found),
      q && !results.length && h("div", { class: "empty" }, h("p", {}, "No DAG contains it.")));
  });
}

function find(event) {
  event.preventDefault();
  stay({ q: new FormData(event.target).get("q").trim() });
}

const found = ({ name, matches }) => h("section", { class: "card", key: name },
  h("h2", {}, h("a", { href: to(["dags", name]) }, name)),
  matches.map(({ line, lineNumber, startLine }) => h("pre", { class: "code", key: lineNumber },
    line.split("\n").map((text, index) => h("a", { class: startLine + index === lineNumber ? "hit" : "", href: to(["dags", name], { tab: "spec", line: startLine + index }) },
      h("span", { class: "faint" }, String(startLine + index).padStart(4)), `  ${text}\n`)))));
