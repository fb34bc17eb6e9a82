// A DAG's earlier specs: their differences, and restoring them.

import { get, send } from "../api.js";
import { ask } from "../dialog.js";
import { h } from "../dom.js";
import { actions, head } from "../parts.js";
import { stay } from "../router.js";
import { may } from "../session.js";
import { clock } from "../time.js";

export function versions(page, state) {
  let list = [];
  let diff = null;

  const restore = (version) => ask({
    title: `Restore version ${version}?`, text: "Its spec becomes the current one, as a new version.", confirm: "Restore",
    act: async () => {
      await send("POST", `${state.where}/versions/${version}/restore`);
      stay({ version: "" });
    },
  });

  return {
    async load() {
      const { version } = page.place.query;
      [{ versions: list }, diff] = await Promise.all([
        get(`${state.where}/versions`, {}, page.wanted),
        version ? get(`${state.where}/versions/${encodeURIComponent(version)}/diff`, {}, page.wanted) : null,
      ]);
    },
    draw: () => h("div", { class: diff ? "split" : "" },
      h("table", { class: "rows", key: "list" },
        head("Version", "When", "By", actions()),
        h("tbody", {}, list.map((each, index) => h("tr", { key: each.version, class: diff?.from === each.version ? "chosen" : "" },
          h("td", { class: "number left" }, String(each.version), index === 0 && h("span", { class: "faint" }, " present")),
          h("td", {}, clock(each.createdAt)),
          h("td", { class: "actor" }, each.createdBy),
          h("td", { class: "act" }, index > 0 && h("button", { type: "button", onclick: () => stay({ version: each.version }) }, "Compare"),
            index > 0 && may("manager") && h("button", { type: "button", onclick: () => restore(each.version) }, "Restore")))))),
      diff && h("section", { class: "panel", key: "diff", "aria-label": "What changed" },
        h("div", { class: "heading" }, h("h2", {}, `Version ${diff.from} → ${diff.to}`), h("span", { class: "gap" }),
          h("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => stay({ version: "" }) }, "×")),
        h("pre", { class: "code diff", tabindex: "0", role: "region", "aria-label": "Differences" }, diff.diff
          ? diff.diff.split("\n").map((line) => h("span", { class: kind(line) }, `${line}\n`)) : "The versions are identical."))),
  };
}

function kind(line) {
  if (line.startsWith("@@") || line.startsWith("---") || line.startsWith("+++")) return "place";
  return { "+": "added", "-": "removed" }[line[0]] ?? "";
}
