// The system: workers and their slots, schedulers, the gateway and its servers.

import { get } from "../api.js";
import { h } from "../dom.js";
import { to } from "../router.js";
import { badge } from "../status.js";
import { ago, span } from "../time.js";

export function system(page) {
  page.title("System");
  page.every(2000, async () => {
    const [{ workers }, { schedulers }, health] = await Promise.all([
      get("workers", {}, page.signal), get("services/scheduler", {}, page.signal), get("health", {}, page.signal)]);
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "System")),
      h("dl", { class: "facts" },
        fact("Gateway", badge(health.status)), fact("Version", health.version), fact("Up for", span(health.uptime)),
        fact("Metrics", h("a", { href: "api/v2/metrics" }, "Prometheus")), fact("API", h("a", { href: "api/v2/docs" }, "reference"))),
      h("h2", {}, "Workers"),
      workers.length ? table(workers) : h("div", { class: "empty" }, h("p", {}, "No worker is connected: runs wait until one is.")),
      h("h2", {}, "Schedulers"),
      schedulers.length ? services(schedulers) : h("div", { class: "empty" }, h("p", {}, "No scheduler is running: commands are kept and carried out later.")));
  });
}

const fact = (label, ...value) => h("div", { key: label }, h("dt", {}, label), h("dd", {}, value));

const table = (workers) => h("table", { class: "rows" },
  h("thead", {}, h("tr", {}, h("th", {}, "Health"), h("th", {}, "Worker"), h("th", {}, "Slots"), h("th", { class: "wide" }, "Version"),
    h("th", {}, "Heard"), h("th", { class: "wide" }, "Lease until"))),
  h("tbody", {}, workers.map((worker) => h("tr", { key: worker.id },
    h("td", { class: "state" }, badge(worker.healthStatus, worker.state && worker.state !== "live" ? worker.state : worker.healthStatus)),
    h("td", { class: "main" }, h("span", { class: "name" }, worker.id), worker.host && worker.host !== worker.id && h("span", { class: "faint" }, ` on ${worker.host}`),
      Object.entries(worker.labels).map(([key, value]) => h("span", { class: "tag", key }, `${key}=${value}`)),
      worker.runningTasks.length > 0 && h("div", { class: "tasks" }, worker.runningTasks.map((task) =>
        h("a", { key: `${task.dagRunId} ${task.startedAt}`, href: place(task) }, task.dagName, h("span", { class: "faint" }, " ", ago(task.startedAt)))))),
    h("td", {}, h("div", { class: "load" },
      h("meter", { min: 0, max: worker.totalPollers, value: worker.busyPollers, "aria-label": `${worker.busyPollers} of ${worker.totalPollers} slots busy` }),
      h("span", { class: "number" }, `${worker.busyPollers}/${worker.totalPollers}`))),
    h("td", { class: "wide faint" }, worker.version),
    h("td", {}, ago(worker.lastHeartbeatAt)),
    h("td", { class: "wide faint" }, ago(worker.leaseUntil))))));

const place = (task) => (task.rootDagRunId === task.dagRunId
  ? to(["runs", task.dagName, task.dagRunId])
  : to(["runs", task.rootDagRunName, task.rootDagRunId, "sub", task.dagRunId]));

const services = (list) => h("table", { class: "rows" },
  h("thead", {}, h("tr", {}, h("th", {}, "Status"), h("th", {}, "Scheduler"), h("th", {}, "Host"), h("th", { class: "wide" }, "Version"), h("th", {}, "Up since"))),
  h("tbody", {}, list.map((each) => h("tr", { key: each.instanceId },
    h("td", { class: "state" }, badge(each.status)), h("td", { class: "main mono" }, each.instanceId), h("td", {}, each.host),
    h("td", { class: "wide faint" }, each.version), h("td", {}, ago(each.startedAt))))));
