// The overview: what runs, what waits and why, what failed, who is asked, what is due next.

import { get } from "../api.js";
import { h } from "../dom.js";
import { attention } from "../attention.js";
import { reason, toldBadge } from "../reason.js";
import { to } from "../router.js";
import { may } from "../session.js";
import { badge } from "../status.js";
import { ago, took } from "../time.js";
import { retryAll } from "./bulk.js";
import { Day } from "./day.js";
import { runPlace } from "./runs.js";

const SHOWN = 8;

export function home(page) {
  page.title("Home");
  const day = new Day(() => draw());
  let seen = null;

  page.every(3000, async () => {
    seen = await get("overview", {}, page.wanted);
    attention.tell(seen.approvals.length);
    draw();
  });
  page.every(15_000, async () => {
    day.take(await get("overview/timeline", {}, page.wanted));
    draw();
  });

  function draw() {
    if (!seen) return;
    const waiting = [...seen.queued, ...seen.running.filter((run) => run.waitingFor)];
    const running = seen.running.filter((run) => !run.waitingFor);
    // What a person rejected was a decision, not a mishap.
    const retriable = seen.failed.filter((run) => run.statusLabel === "failed");
    const halted = seen.pauses.some((each) => each.scope === "global");
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Home"), seen.pauses.map((each) => h("a", { class: "badge is-waiting", href: "#/queues",
        key: `${each.scope} ${each.name}`, title: each.reason }, `${each.scope === "global" ? "everything" : `${each.scope} ${each.name}`} is paused`))),
      seen.counts.schedulers === 0 && h("p", { class: "error call", role: "alert", key: "schedulers" },
        "No scheduler is running: no run starts or ends, commands are kept and carried out later, and workers look lost."),
      seen.counts.dags === 0 && h("div", { class: "empty", key: "none" }, h("p", {}, "There are no DAGs yet."),
        h("p", {}, h("a", { href: "#/dags" }, "Create the first one"))),
      counters(seen),
      seen.approvals.length > 0 && section("Waiting for approval", list(seen.approvals.map(asked), seen.approvals.length)),
      h("div", { class: "columns", key: "runs" },
        section("Waiting", waiting.length ? list(waiting.map(entry), waiting.length, to(["runs"], { status: 5 })) : nothing("Nothing waits.")),
        actingSection("Failed in the last 24 hours", retriable.length > 0 && may("operator") && h("button", { type: "button",
          onclick: () => retryAll(page, retriable) }, `Retry ${retriable.length}`), seen.failed.length
          ? list(seen.failed.map(entry), seen.counts.failed, to(["runs"], { status: 2 })) : nothing("Nothing has failed."))),
      section("The last 24 hours", day.draw()),
      h("div", { class: "columns", key: "state" },
        section("Running", running.length ? list(running.map(entry), running.length, to(["runs"], { status: 1 })) : nothing("Nothing runs.")),
        section("Next scheduled times", seen.nextFires.length
          ? list(seen.nextFires.map((each) => h("li", { key: each.fileName }, h("a", { class: "name", href: to(["dags", each.fileName]) }, each.fileName), " ", ago(each.at))), 0)
          : nothing(halted ? "Everything is paused: no schedule starts a run." : "No schedule is due.")),
        section("Workers", seen.workers.length ? list(seen.workers.map(worker), seen.workers.length, to(["system"])) : nothing("No worker is connected: runs wait until one is.")),
        section("Queues", seen.queues.length ? list(seen.queues.map(queue), seen.queues.length, to(["queues"])) : nothing("Nothing is queued."))));
  }
}

function counters({ counts, running, workers }) {
  const idle = running.filter((run) => run.waitingFor).length;
  const live = workers.filter((each) => each.live);
  const sum = (field) => live.reduce((total, each) => total + each[field], 0);
  const counter = (label, value, href, tone, none = "") => h("a", { class: `counter ${value ? tone : none}`, href, key: label },
    h("strong", {}, String(value)), " ", label);
  return h("nav", { class: "counters", "aria-label": "Counts" },
    counter("running", counts.running - idle, to(["runs"], { status: 1 }), "is-running"),
    counter("waiting", counts.queued + idle, to(["runs"], { status: 5 }), "is-waiting"),
    counter("for approval", counts.approvals, to(["runs"], { status: 7 }), "is-waiting"),
    counter("failed", counts.failed, to(["runs"], { status: 2 }), "is-failed"),
    counter("succeeded", counts.succeeded, to(["runs"], { status: 4 }), "is-succeeded"),
    counts.faultyDags > 0 && counter(counts.faultyDags === 1 ? "DAG with errors" : "DAGs with errors", counts.faultyDags, to(["dags"], { faulty: true }), "is-failed"),
    counter(live.length === 1 ? "worker" : "workers", live.length, to(["system"]), "", "is-failed"),
    h("a", { class: "counter", href: to(["system"]), key: "slots" }, h("strong", {}, `${sum("busy")}/${sum("slots")}`), " slots busy"));
}

const section = (title, ...content) => h("section", { class: "card", key: title, "aria-label": title }, h("h2", {}, title), content);

/** A section with a button beside its title. */
const actingSection = (title, action, ...content) => h("section", { class: "card", key: title, "aria-label": title },
  h("div", { class: "heading" }, h("h2", {}, title), h("span", { class: "gap" }), action), content);

const nothing = (text) => h("p", { class: "faint" }, text);

/** The first few entries, and a link to the others. */
const list = (entries, count, all) => [
  h("ul", { class: "entries" }, entries.slice(0, all ? SHOWN : entries.length)),
  all && count > SHOWN && h("p", {}, h("a", { href: all }, `All ${count}`))];

const entry = (run) => h("li", { key: `${run.name} ${run.dagRunId}` },
  toldBadge(run), " ", h("a", { class: "name", href: runPlace(run) }, run.name), " ", h("span", { class: "mono faint" }, run.dagRunId),
  h("span", { class: "faint" }, " ", ago(run.finishedAt || run.startedAt || run.queuedAt), run.startedAt && [", ", took(run)]),
  reason(run.waitingFor), run.failedStep && h("div", { class: "faint" }, "step ", h("a", { href: runPlace(run, { step: run.failedStep }) }, run.failedStep), " failed"),
  run.error && h("div", { class: "error clip", title: run.error }, run.error));

const asked = (each) => h("li", { key: `${each.name} ${each.dagRunId} ${each.subDAGRunId} ${each.stepName}` },
  badge("waiting", "asks"), " ", h("a", { class: "name",
    href: to(["runs", each.name, each.dagRunId, ...(each.subDAGRunId ? ["sub", each.subDAGRunId] : [])], { step: each.stepName }) },
  `${each.dagName} › ${each.stepName}`), " ", h("span", { class: "mono faint" }, each.subDAGRunId && `${each.name} `, each.dagRunId), h("span", { class: "faint" }, " ", ago(each.since)),
  each.params && h("div", { class: "mono clip", title: each.params }, each.params));

const worker = (each) => h("li", { key: each.id }, badge(each.live ? "healthy" : each.state === "draining" ? "waiting" : "unhealthy", each.state ?? (each.live ? "live" : "not live")), " ",
  h("a", { class: "name", href: to(["system"]) }, each.id), " ",
  h("meter", { min: 0, max: each.slots, value: each.busy, "aria-label": `${each.busy} of ${each.slots} slots busy` }), ` ${each.busy}/${each.slots}`);

const queue = (each) => h("li", { key: each.name }, h("a", { class: "name", href: to(["queues"]) }, each.name),
  ` ${each.running}${each.maxConcurrency ? ` of ${each.maxConcurrency}` : ""} running, `,
  h("span", { class: each.queued ? "reason" : "faint" }, `${each.queued} queued`));
