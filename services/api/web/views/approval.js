// Steps that wait for a person: what is asked, what they may give, yes or no.

import { path, send } from "../api.js";
import { ask, field } from "../dialog.js";
import { h } from "../dom.js";
import { attempt } from "../notice.js";
import { may } from "../session.js";

export const approvals = (page, state) => state.run.nodes.filter((node) => node.statusLabel === "waiting")
  .map((node) => form(page, state, node));

function form(page, state, node) {
  const { name, executorConfig } = node.step;
  const { prompt, input = [], required = [] } = executorConfig?.config ?? {};
  const url = `${state.base}/${path`steps/${name}`}`;

  async function approve(event) {
    event.preventDefault();
    const button = event.target.querySelector("button[type=submit]");
    const inputs = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value !== ""));
    await attempt(() => send("POST", `${url}/approve`, { inputs }), { button, done: `“${name}” is approved.` });
    await page.refresh();
  }

  const reject = () => ask({
    title: `Reject “${name}”?`, text: "The run ends as rejected.", confirm: "Reject", danger: true,
    fields: [field("Reason", { name: "reason", autofocus: true })],
    act: async (given) => {
      await send("POST", `${url}/reject`, given.get("reason") ? { reason: given.get("reason") } : {});
      await page.refresh();
    },
  });

  return h("form", { class: "card approval", key: `approve ${name}`, onsubmit: approve, "aria-label": `Approval of ${name}` },
    h("p", {}, h("strong", {}, name), " waits for a person", prompt ? ": " : ".", prompt && h("span", {}, prompt)),
    may("operator") && [
      (input.length > 0) && h("div", { class: "fields" }, input.map((each) =>
        field(required.includes(each) ? `${each} (needed)` : each, { name: each, required: required.includes(each) }))),
      h("div", { class: "actions" },
        h("button", { type: "submit", class: "primary" }, "Approve"),
        h("button", { type: "button", class: "danger", onclick: reject }, "Reject"))]);
}
