// All transitions of a run, one per line, newest first.

import { h } from "../dom.js";
import { head } from "../parts.js";
import { badge, words } from "../status.js";
import { clock } from "../time.js";

const MOST = 1000;

/** `unread`: why the changes cannot be read now. */
export function timeline(changes, unread) {
  if (!changes.length) {
    const text = unread ? `The changes cannot be read now: ${unread}. Trying again…` : "Nothing has happened yet.";
    return h("div", { class: "empty" }, h("p", {}, text));
  }
  const shown = changes.slice(-MOST).reverse();
  return h("table", { class: "rows timeline" },
    head("When", "What", "Became", "Why"),
    h("tbody", {}, shown.map((each) => h("tr", { key: each.seq },
      h("td", { class: "when" }, clock(each.at)),
      h("td", {}, each.stepName === null ? h("strong", {}, "run") : each.stepName),
      h("td", {}, each.was && h("span", { class: "faint" }, `${words(each.was)} → `), badge(each.became)),
      h("td", { class: "main faint" }, each.why, each.by && ` (by ${each.by})`)))),
    changes.length > MOST && h("tfoot", {}, h("tr", {}, h("td", { colspan: 4, class: "faint" },
      `${changes.length - MOST} earlier changes are not shown`))));
}
