// The system: workers and their slots, schedulers, the gateway and its servers.

import { get, path } from "../api.js";
import { ask, field } from "../dialog.js";
import { h } from "../dom.js";
import { actions, fact, head, wide } from "../parts.js";
import { to } from "../router.js";
import { mayChangeServer } from "../session.js";
import { badge } from "../status.js";
import { ago, span } from "../time.js";
import { asQuery } from "../workspace.js";

export function system(page) {
  page.title("System");
  page.every(2000, async () => {
    const [{ workers }, { schedulers }, health] = await Promise.all([
      get("workers", {}, page.wanted), get("services/scheduler", {}, page.wanted), healthOf(page)]);
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "System"), h("span", { class: "gap" }),
        mayChangeServer("admin") && h("a", { class: "button", href: to(["dead-letters"]) }, "Dead letters")),
      h("dl", { class: "facts" },
        fact("Gateway", badge(health.status)), fact("Version", health.version), fact("Up for", span(health.uptime)),
        fact("Metrics", h("a", { href: `api/v2/metrics${asQuery}` }, "Prometheus")), fact("API", h("a", { href: "api/v2/docs" }, "reference"))),
      health.error && h("p", { class: "error call", key: "why" }, `The gateway is not healthy: ${health.error}.`),
      h("h2", {}, "Workers"),
      (health.error || !schedulers.length) && workers.some(({ state }) => state === "lost") && h("p", { class: "reason", key: "unheard" },
        "A worker that no scheduler hears looks lost, too."),
      workers.length ? table(page, workers) : h("div", { class: "empty" }, h("p", {}, "No worker is connected: runs wait until one is.")),
      h("h2", {}, "Schedulers"),
      schedulers.length ? services(schedulers) : h("div", { class: "empty" }, h("p", {}, "No scheduler is running: commands are kept and carried out later.")));
  });
}

/** What the gateway says of itself, also if it is not healthy: then it answers with an error. */
const healthOf = (page) => get("health", {}, page.wanted).catch((error) => {
  if (!error.body?.version) throw error;
  return error.body;
});

const table = (page, workers) => h("table", { class: "rows workers" },
  head("Health", "Worker", "Slots", wide("Version"), wide("Heard"), wide("Lease until"), mayChangeServer("manager") && actions()),
  h("tbody", {}, workers.map((worker) => h("tr", { key: worker.id },
    h("td", { class: "state" }, badge(worker.state === "draining" ? "waiting" : worker.healthStatus, worker.state && worker.state !== "live" ? worker.state : worker.healthStatus)),
    h("td", { class: "main" }, h("span", { class: "name" }, worker.id), worker.host && worker.host !== worker.id && h("span", { class: "faint" }, ` on ${worker.host}`),
      Object.entries(worker.labels).map(([key, value]) => h("span", { class: "tag", key }, `${key}=${value}`)),
      worker.runningTasks.length > 0 && h("div", { class: "tasks" }, worker.runningTasks.map((task) =>
        h("a", { key: `${task.dagRunId} ${task.startedAt}`, href: place(task) }, task.dagName, h("span", { class: "faint" }, " ", ago(task.startedAt))))),
      worker.drain && h("div", { class: "reason" }, `Drained by ${worker.drain.by} `, ago(worker.drain.at), worker.drain.reason && `: ${worker.drain.reason}`,
        worker.drain.heard ? worker.runningTasks.length > 0 && ". Its runs go on here." : ". The worker has not heard of it yet.")),
    h("td", {}, h("div", { class: "load" },
      h("meter", { min: 0, max: worker.totalPollers, value: worker.busyPollers, "aria-label": `${worker.busyPollers} of ${worker.totalPollers} slots busy` }),
      h("span", { class: "number" }, `${worker.busyPollers}/${worker.totalPollers}`))),
    h("td", { class: "wide faint" }, worker.version),
    h("td", { class: "wide" }, ago(worker.lastHeartbeatAt)),
    h("td", { class: "wide faint" }, ago(worker.leaseUntil)),
    mayChangeServer("manager") && h("td", { class: "act" }, worker.drain
      ? h("button", { type: "button", "aria-label": `Resume ${worker.id}`,
        onclick: (event) => page.act(path`workers/${worker.id}/resume`, {}, { button: event.target }) }, "Resume")
      : h("button", { type: "button", "aria-label": `Drain ${worker.id}`, onclick: () => drain(page, worker) }, "Drain"))))));

const drain = (page, { id }) => ask({
  title: `Drain worker ${id}?`, text: "It takes no new runs until it is resumed. The runs that it works on go on there, because their steps share its files.",
  fields: [field("Reason", { name: "reason", maxlength: 500, autofocus: true })], confirm: "Drain",
  act: (form) => page.change("POST", path`workers/${id}/drain`, { reason: form.get("reason") }),
});

const place = (task) => (task.rootDagRunId === task.dagRunId
  ? to(["runs", task.dagName, task.dagRunId])
  : to(["runs", task.rootDagRunName, task.rootDagRunId, "sub", task.dagRunId]));

const services = (list) => h("table", { class: "rows" },
  head("Status", "Scheduler", wide("Host"), wide("Version"), "Up since"),
  h("tbody", {}, list.map((each) => h("tr", { key: each.instanceId },
    h("td", { class: "state" }, badge(each.status)), h("td", { class: "main mono" }, each.instanceId), h("td", { class: "wide" }, each.host),
    h("td", { class: "wide faint" }, each.version), h("td", {}, ago(each.startedAt))))));
