// Pools, locks and rate limits: the steps that are in them, and those that wait.

import { path } from "../api.js";
import { ask, field } from "../dialog.js";
import { h } from "../dom.js";
import { actions, head } from "../parts.js";
import { to } from "../router.js";
import { may } from "../session.js";
import { clock, span } from "../time.js";

export function pools(page, list) {
  if (!list.length) return null;
  return [
    h("h2", { key: "pools" }, "Pools, locks and rate limits"),
    h("table", { class: "rows", key: "pool table" },
      head("Name", "Taken", "Inside, and waiting", actions()),
      h("tbody", {}, list.map((each) => h("tr", { key: `${each.kind} ${each.name}` },
        h("td", {}, h("span", { class: "name" }, each.name), h("div", { class: "faint" }, each.kind.replace("_", " "),
          each.intervalSec && `, each ${span(each.intervalSec)}`)),
        h("td", {}, each.capacity ? `${each.taken} of ${each.capacity}` : each.taken),
        h("td", { class: "main" },
          each.users.map((user) => holder(user, "has it")), each.waiters.map((user) => holder(user, "waits")),
          each.waiting > each.waiters.length && h("div", { class: "faint" }, `${each.waiting} wait in all`)),
        h("td", { class: "act" }, each.kind === "pool" && may("manager") &&
          h("button", { type: "button", onclick: () => resize(each) }, "Change size")))))),
  ];

  function resize(pool) {
    return ask({
      title: `Size of pool ${pool.name}`, text: "How many steps it lets run at once. Steps that run already continue.", confirm: "Set",
      fields: [field("Places", { name: "capacity", type: "number", min: 1, max: 1_000_000, required: true, value: pool.capacity ?? 1 })],
      act: (form) => page.change("PUT", path`pools/${pool.name}`, { capacity: Number(form.get("capacity")) }),
    });
  }
}

const holder = (user, does) => h("div", { key: `${user.name} ${user.dagRunId} ${user.step}` },
  h("a", { href: to(["runs", user.name, user.dagRunId], { step: user.step }) }, `${user.name} › ${user.step}`),
  h("span", { class: does === "waits" ? "reason" : "faint" }, ` ${does} since `, clock(user.since)));
