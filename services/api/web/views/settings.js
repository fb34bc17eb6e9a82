// The settings of the gateway: what each is, and where it comes from.

import { get } from "../api.js";
import { h } from "../dom.js";
import { stay } from "../router.js";
import { settings as server } from "../session.js";

const EVERY_MS = 30_000;

export function settings(page) {
  page.title("Settings");
  let typing;
  let list;

  page.every(EVERY_MS, async () => {
    list ??= (await get("settings", {}, page.signal)).settings;
    const { q = "", all } = page.place.query;
    const words = q.toLowerCase();
    const shown = list.filter((each) => (all !== "no" || each.source !== "default")
      && `${each.variable} ${each.description}`.toLowerCase().includes(words));
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Settings"), h("span", { class: "faint" }, "of this gateway, since it started"), h("span", { class: "gap" }),
        server.docs && h("a", { href: "docs/configuration/" }, "What they mean")),
      h("div", { class: "filters", role: "search" },
        h("input", { type: "search", "aria-label": "Part of a name or of the meaning", placeholder: "Find a setting", value: q, oninput: (event) => {
          clearTimeout(typing);
          const text = event.target.value.trim();
          typing = setTimeout(() => stay({ q: text }), 200);
        } }),
        h("label", { class: "check" }, h("input", { type: "checkbox", checked: all === "no",
          onchange: (event) => stay({ all: event.target.checked ? "no" : "" }) }), "Only those that are set")),
      shown.length ? table(shown) : h("div", { class: "empty" }, h("p", {}, "No setting matches.")));
  });
}

const table = (list) => h("table", { class: "rows" },
  h("thead", {}, h("tr", {}, h("th", {}, "Setting"), h("th", {}, "Value"), h("th", { class: "wide" }, "Default"), h("th", {}, "From"))),
  h("tbody", {}, list.map((each) => h("tr", { key: each.variable },
    h("td", { class: "main" }, h("span", { class: "mono name" }, each.variable), h("div", { class: "faint" }, each.description)),
    h("td", { class: "mono setting" }, value(each)),
    h("td", { class: "wide faint setting" }, each.default),
    h("td", { class: "setting" }, each.source === "default" ? h("span", { class: "faint" }, "default") : [SOURCES[each.source], h("div", { class: "mono faint" }, each.setBy)])))));

const SOURCES = { option: "option", variable: "variable", file: "file", dagu: "Dagu's setting" };

function value({ secret, source, value: text }) {
  if (!secret) return text;
  return h("span", { class: "faint" }, source === "default" ? "not set" : "set, not shown");
}
