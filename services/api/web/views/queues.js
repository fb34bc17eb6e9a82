// Active and queued runs by queue, and what they wait for.

import { get, idempotencyKey, path, send } from "../api.js";
import { ask, field } from "../dialog.js";
import { h } from "../dom.js";
import { toast } from "../notice.js";
import { may, mayChangeServer } from "../session.js";
import { ago } from "../time.js";
import { runsOf } from "./bulk.js";
import { pools } from "./pools.js";
import { runTable } from "./runs.js";

export function queues(page) {
  page.title("Queues");

  page.every(2000, async () => {
    const [{ queues: list, summary }, { pauses }, { pools: shared }] = await Promise.all([
      get("queues", {}, page.wanted), get("pauses", {}, page.wanted), get("pools", {}, page.wanted)]);
    const world = pauses.find((each) => each.scope === "global");
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Queues"),
        h("span", { class: "faint" }, `${summary.totalRunning} running, ${summary.totalQueued} waiting`), h("span", { class: "gap" }),
        may("manager") && h("button", { type: "button", onclick: define }, "Set a limit"),
        mayChangeServer("manager") && (world
          ? h("button", { type: "button", class: "primary", onclick: () => page.act("resume") }, "Resume everything")
          : h("button", { type: "button", class: "danger", onclick: () => pause("pause", "everything") }, "Pause everything"))),
      pauses.map(paused),
      list.length ? list.map((each) => card(each, pauses)) : h("div", { class: "empty" }, h("p", {}, "Nothing is queued, and no queue has a limit of its own.")),
      pools(page, shared));
  });

  const paused = (each) => h("p", { class: "reason call", key: `${each.scope} ${each.name}` },
    h("strong", {}, each.scope === "global" ? "Everything" : `${each.scope === "dag" ? "DAG" : "Queue"} ${each.name}`),
    ` is paused by ${each.pausedBy || "somebody"}, `, ago(each.pausedAt), each.reason && `: ${each.reason}`,
    each.state === "pausing"
      ? `. ${each.inFlight} still under way${each.estimateSec ? `, about ${each.estimateSec} s more` : ""}.` : ". Nothing is under way any more.");

  function card(queue, pauses) {
    const { running, queued } = queue.summary;
    const limit = queue.maxConcurrency;
    const halted = pauses.some((each) => each.scope === "queue" && each.name === queue.name);
    return h("section", { class: "card queue", key: queue.name, "aria-label": `Queue ${queue.name}` },
      h("div", { class: "heading" }, h("h2", {}, queue.name), h("span", { class: "faint" }, queue.type === "global" ? "shared" : "a DAG's own"),
        halted && h("span", { class: "badge is-waiting" }, "paused"), h("span", { class: "gap" }),
        may("operator") && running + queued > 0 && h("button", { type: "button", class: "danger", onclick: () => stopAll(queue) }, "Stop all"),
        may("manager") && h("div", { class: "actions", key: "actions" },
          h("button", { type: "button", onclick: () => change(queue) }, "Change limit"),
          queue.type === "global" && h("button", { type: "button", onclick: () => drop(queue.name) }, "Drop limit"),
          halted
            ? h("button", { type: "button", class: "primary", onclick: () => page.act(path`queues/${queue.name}/resume`) }, "Resume")
            : h("button", { type: "button", onclick: () => pause(path`queues/${queue.name}/pause`, `queue ${queue.name}`) }, "Pause"))),
      h("div", { class: "load" },
        limit && h("meter", { min: 0, max: limit, value: Math.min(running, limit), "aria-label": `${running} of ${limit} running` }),
        h("span", {}, limit ? `${running} of ${limit} running` : `${running} running`, `, ${queued} waiting`)),
      [...queue.running, ...queue.queued].length > 0 && runTable([...queue.running, ...queue.queued]),
      running + queued > queue.running.length + queue.queued.length && h("p", { class: "faint" }, "Not all are shown."));
  }

  function stopAll({ name, summary: { running, queued } }) {
    const repeatable = idempotencyKey();
    return ask({
      title: `Stop everything on queue ${name}?`, danger: true, confirm: `Stop ${runsOf(running + queued)}`,
      text: `${runsOf(running)} running: stopped. ${runsOf(queued)} queued: taken out of the queue.`,
      act: async () => {
        const errors = [];
        let cursor = "";
        do {
          const answer = await send("POST", `${path`queues/${name}/stop-all`}?${new URLSearchParams({ cursor })}`, {}, repeatable);
          errors.push(...answer.errors);
          cursor = answer.nextCursor;
        } while (cursor);
        if (errors.length) toast(errors.join("; "), "error");
        await page.refresh();
      },
    });
  }

  const change = (queue) => ask({
    title: `Limit of queue ${queue.name}`, text: "How many of its runs are active at once. Active runs continue.", confirm: "Set",
    fields: [field("Runs at once", { name: "limit", type: "number", min: 1, max: 1_000_000, required: true, value: queue.maxConcurrency ?? 1 })],
    act: (form) => setLimit(queue.name, form),
  });

  const define = () => ask({
    title: "Limit of a queue", text: "Give the name that DAGs have in their field queue.", confirm: "Set",
    fields: [
      field("Queue", { name: "name", required: true, autofocus: true }),
      field("Runs at once", { name: "limit", type: "number", min: 1, max: 1_000_000, required: true, value: 1 })],
    act: (form) => setLimit(form.get("name"), form),
  });

  const setLimit = (name, form) => page.change("PUT", path`queues/${name}`, { maxConcurrency: Number(form.get("limit")) });

  const drop = (name) => ask({
    title: `Remove the limit of ${name}?`, text: "Then each DAG's own maxActiveRuns applies.", confirm: "Drop it", danger: true,
    act: () => page.change("DELETE", path`queues/${name}`),
  });

  const pause = (where, name) => ask({
    title: `Pause ${name}?`, text: "No queued run starts. Active runs continue, and users can still start runs.",
    fields: [field("Reason", { name: "reason", autofocus: true })], confirm: "Pause", danger: where === "pause",
    act: (form) => page.change("POST", where, { reason: form.get("reason") }),
  });
}
