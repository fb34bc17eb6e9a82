// The settings of the gateway: what each is, and where it comes from. And those of schedulers and workers: where they differ.

import { get } from "../api.js";
import { h } from "../dom.js";
import { head, wide } from "../parts.js";
import { here, stay, to } from "../router.js";
import { settings as server } from "../session.js";

const EVERY_MS = 30_000;
const KINDS = { __proto__: null, gateway: "This gateway", schedulers: "Schedulers", workers: "Workers" };

export function settings(page) {
  page.title("Settings");
  let typing;
  let list;

  const tabs = (kind) => h("nav", { class: "tabs", "aria-label": "Settings of" }, Object.entries(KINDS).map(([key, label]) =>
    h("a", { href: to(["settings"], { of: key === "gateway" ? "" : key }), "aria-current": key === kind && "page" }, label)));

  page.every(EVERY_MS, async () => {
    const { of: wanted } = page.place.query;
    if (wanted in KINDS && wanted !== "gateway") return showReported(wanted, await get(`settings/${wanted}`, {}, page.wanted));
    list ??= (await get("settings", {}, page.wanted)).settings;
    const { q = "", all } = page.place.query;
    const words = q.toLowerCase();
    const shown = list.filter((each) => (all !== "no" || each.source !== "default")
      && `${each.variable} ${each.description}`.toLowerCase().includes(words));
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Settings"), h("span", { class: "faint" }, "of this gateway, since it started"), h("span", { class: "gap" }),
        meaning()),
      tabs("gateway"),
      h("div", { class: "filters", role: "search" },
        h("input", { type: "search", "aria-label": "Part of a name or of the meaning", placeholder: "Find a setting", value: q, oninput: (event) => {
          clearTimeout(typing);
          const [text, at] = [event.target.value.trim(), here()];
          typing = setTimeout(() => stay({ q: text }, at), 200);
        } }),
        h("label", { class: "check" }, h("input", { type: "checkbox", checked: all === "no",
          onchange: (event) => stay({ all: event.target.checked ? "no" : "" }) }), "Only those that are set")),
      shown.length ? table(shown) : h("div", { class: "empty" }, h("p", {}, "No setting matches.")));
  });

  function showReported(kind, { processes, silent, settings: found }) {
    const count = found.filter((each) => each.differs).length;
    const all = processes === 1 ? `1 ${kind.slice(0, -1)}` : `${processes} ${kind}`;
    const sum = count ? `${count} differ between ${all}` : `of ${all}`;
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Settings"), h("span", { class: "faint" }, sum), h("span", { class: "gap" }), meaning()),
      tabs(kind),
      silent.length > 0 && h("p", { class: "reason" }, `Of an earlier version, which does not report its settings: ${silent.join(", ")}`),
      found.length ? reportedTable(found, processes) : h("div", { class: "empty" }, h("p", {}, processes > silent.length ? "All settings have their defaults." : `No ${kind.slice(0, -1)} reports its settings.`)));
  }
}

const meaning = () => server.docs && h("a", { href: "docs/configuration/" }, "What they mean");

const reportedTable = (list, processes) => h("table", { class: "rows" },
  head("Setting", "Value and who has it", wide("Default")),
  h("tbody", {}, list.map((each) => h("tr", { key: each.variable },
    h("td", { class: "main" }, h("span", { class: "mono name" }, each.variable), each.differs && [" ", h("span", { class: "badge is-waiting" }, "differs")],
      h("div", { class: "faint" }, each.description)),
    h("td", { class: "setting" }, each.values.map((one) => h("div", { key: `${one.value} ${one.setBy}` },
      h("span", { class: "mono" }, value({ ...each, source: one.setBy ? "variable" : "default", value: one.value })), " ", whose(one, processes),
      h("div", { class: "mono faint" }, one.setBy || "default")))),
    h("td", { class: "wide faint setting" }, each.default)))));

/** Who has a value: by name if not all have it. */
function whose({ count, processes: names }, processes) {
  if (count === processes) return processes > 1 && h("span", { class: "faint" }, "all");
  return h("span", { class: "faint" }, names.join(", "), count > names.length && ` and ${count - names.length} more`);
}

const table = (list) => h("table", { class: "rows settings" },
  head("Setting", "Value", wide("Default"), "From"),
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
