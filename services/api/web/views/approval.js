// Steps that wait for approval: their prompt, inputs and the decision.

import { ApiError, get, path, send } from "../api.js";
import { ask, field } from "../dialog.js";
import { h } from "../dom.js";
import { attempt } from "../notice.js";
import { to } from "../router.js";
import { may, session } from "../session.js";

const ASKED = /^Waiting for approval of step [^\n]*(?:\nQuestion: (.*?))?(?:\nInputs: [^\n]*)?$/s;

const NAMED = 10;

/** What people have typed for steps that still wait: it outlives the page, so that one may look elsewhere before one decides. */
const typed = new Map();

const waiting = (state) => state.run.nodes.filter((node) => node.statusLabel === "waiting");
const config = (node) => node.step.executorConfig?.config ?? {};
const place = (state, node) => `${state.base}/${path`steps/${node.step.name}`}`;
// Done once more, a step asks once more.
const key = (node) => `${node.step.name} ${node.startedAt}`;
const unread = (state) => waiting(state).filter((node) => config(node).prompt && !state.questions.has(key(node)));

export const approvals = (page, state) => waiting(state).map((node) =>
  (node.subRuns.length ? called(state, node) : form(page, state, node)));

/** A step whose runs wait for a person is approved there. */
function called({ name, id, children }, node) {
  const runs = node.subRuns.map((each) => children.get(each.dagRunId)).filter((each) => each?.statusLabel === "waiting");
  return h("p", { class: "reason call", key: `approve ${node.step.name}` },
    h("strong", {}, node.step.name), " waits for a person to approve ", runs.slice(0, NAMED).map((each, index) => [index > 0 && ", ",
      h("a", { href: to(["runs", name, id, "sub", each.dagRunId]), title: each.dagRunId }, each.name)]),
    runs.length > NAMED && ` and ${runs.length - NAMED} more`, ".");
}

/** Read what each step asks, with values in their places: only the worker knew those, and its log has them. */
export async function readQuestions(page, state) {
  await Promise.all(unread(state).map(async (node) => {
    try {
      const { content } = await get(`${place(state, node)}/log`, { stream: "stdout" }, page.wanted);
      const found = ASKED.exec(content.trimEnd());
      if (found) state.questions.set(key(node), found[1] ?? "");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }));
}

/** Whether a log that is to be read is not there yet. */
export const lacksQuestions = (state) => unread(state).length > 0;

function form(page, state, node) {
  const { name } = node.step;
  const { prompt, input = [], required = [] } = config(node);
  const question = state.questions.get(key(node)) ?? prompt;
  const url = place(state, node);
  const mine = JSON.stringify([session.user?.username, url, node.startedAt]);
  const given = typed.get(mine) ?? {};

  async function approve(event) {
    event.preventDefault();
    const button = event.target.querySelector("button[type=submit]");
    const inputs = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value !== ""));
    if (await attempt(() => send("POST", `${url}/approve`, { inputs }), { button, done: `“${name}” is approved.` })) typed.delete(mine);
    await page.refresh();
  }

  const reject = () => ask({
    title: `Reject “${name}”?`, text: "The run ends as rejected.", confirm: "Reject", danger: true,
    fields: [field("Reason", { name: "reason", autofocus: true })],
    act: async (answers) => {
      await send("POST", `${url}/reject`, answers.get("reason") ? { reason: answers.get("reason") } : {});
      typed.delete(mine);
      await page.refresh();
    },
  });

  return h("form", { class: "card approval", key: `approve ${name}`, onsubmit: approve, "aria-label": `Approval of ${name}` },
    h("p", {}, h("strong", {}, name), " waits for a person", question ? ": " : ".",
      question && h("span", { class: "question" }, question)),
    may("operator") && [
      (input.length > 0) && h("div", { class: "fields" }, input.map((each) =>
        field(required.includes(each) ? `${each} (needed)` : each, {
          name: each, required: required.includes(each), value: given[each] ?? "",
          oninput: (event) => typed.set(mine, { ...typed.get(mine), [each]: event.target.value }),
        }))),
      h("div", { class: "actions" },
        h("button", { type: "submit", class: "primary" }, "Approve"),
        h("button", { type: "button", class: "danger", onclick: reject }, "Reject"))]);
}
