// One DAG: its steps, spec, runs and schedule.

import { get, path, send } from "../api.js";
import { ask, field } from "../dialog.js";
import { dependencies } from "../depends.js";
import { h } from "../dom.js";
import * as drafts from "../drafts.js";
import { GraphView } from "../graph_view.js";
import { fact, head, wide } from "../parts.js";
import { toldBadge } from "../reason.js";
import { go, stay, to } from "../router.js";
import { may } from "../session.js";
import { badge } from "../status.js";
import { ago, took } from "../time.js";
import { history } from "./history.js";
import { runPlace } from "./runs.js";
import { nextRun, slots } from "./slots.js";
import { spec } from "./spec.js";
import { start } from "./start.js";
import { what } from "./steps.js";
import { versions } from "./versions.js";

const MOST_ROWS = 200;
/** What is known of a DAG of which there is only an unsaved text. */
const NOTHING = { dag: { steps: [] }, errors: [], suspended: false, latestDAGRun: {} };
const TABS = { steps: "Steps", runs: "Runs", spec: "Spec", versions: "Versions", slots: "Schedule" };

export function dag(page) {
  const [, file] = page.place.parts;
  const where = path`dags/${file}`;
  const state = { file, where, details: null, gone: false, pause: null, most: MOST_ROWS };
  const parts = { __proto__: null, runs: history(page, state), spec: spec(page, state), versions: versions(page, state), slots: slots(page, state) };
  const picture = new GraphView(() => draw());
  page.title(file);

  page.every(3000, async () => {
    const { tab } = page.place.query;
    let details;
    try {
      [details] = await Promise.all([get(where, {}, page.wanted), parts[tab]?.load()]);
      await parts[tab]?.follow?.(details);
      state.gone = false;
    } catch (error) {
      // Nobody else has the text that is not saved.
      state.gone = error.status === 404 && Boolean(drafts.draft(file));
      if (!state.gone) throw error;
      state.details ??= NOTHING;
      if (state.details === NOTHING && tab !== "spec") stay({ tab: "spec" });
      else draw();
      return;
    }
    state.pause = details.paused
      ? (await get("pauses", {}, page.wanted)).pauses.find((each) => each.scope === "dag" && each.name === file) : null;
    state.details = details;
    draw();
  });

  function draw() {
    const { tab } = page.place.query;
    const { dag: it, errors, suspended } = state.details;
    const scheduled = (it.schedule ?? []).length > 0;
    page.show(
      h("div", { class: "heading" }, h("h1", {}, file),
        suspended && h("span", { class: "badge" }, "suspended"), state.pause && h("span", { class: "badge is-waiting" }, "paused"),
        h("span", { class: "gap" }), !state.gone && actions(it, errors, suspended, scheduled)),
      state.gone && h("p", { class: "error call", role: "alert" },
        "This DAG was deleted or renamed by somebody else. Save creates it again, with your text."),
      it.description && h("p", { class: "lead" }, it.description),
      facts(it, scheduled),
      state.pause && h("p", { class: "reason call" }, `Paused by ${state.pause.pausedBy || "somebody"} `, ago(state.pause.pausedAt),
        state.pause.reason && `: ${state.pause.reason}`, state.pause.inFlight > 0 && `. ${state.pause.inFlight} still under way`),
      errors.length > 0 && tab !== "spec" && h("div", { class: "error call", role: "alert" },
        h("p", {}, "Its spec has errors, so it cannot run: ", h("a", { href: place("spec") }, "fix it")),
        h("ul", {}, errors.map((each) => h("li", { class: "mono" }, each)))),
      state.details !== NOTHING && h("nav", { class: "tabs", "aria-label": "Parts of the DAG" }, Object.entries(TABS).map(([key, label]) =>
        h("a", { href: place(key), "aria-current": key === (parts[tab] ? tab : "steps") && "page" }, label,
          key === "spec" && drafts.draft(file) && h("span", { class: "reason" }, " (not saved)")))),
      h("div", { key: tab, class: "tab" }, parts[tab] ? parts[tab].draw() : steps(it)));
  }

  const place = (tab) => to(page.place.parts, { tab: tab === "steps" ? "" : tab });

  function actions(it, errors, suspended, scheduled) {
    return h("div", { class: "actions", key: "actions" },
      scheduled && may("operator") && h("button", { type: "button", onclick: (event) => act(event, "suspend", { suspend: !suspended }) },
        suspended ? "Resume schedule" : "Suspend schedule"),
      may("manager") && h("button", { type: "button", onclick: (event) => (state.pause ? act(event, "resume") : pause()) },
        state.pause ? "Resume" : "Pause"),
      may("manager") && h("button", { type: "button", onclick: rename }, "Rename"),
      may("manager") && h("button", { type: "button", class: "danger", onclick: remove }, "Delete"),
      may("operator") && h("button", { type: "button", class: "primary", disabled: errors.length > 0, onclick: () => start(file, it) }, "Start"));
  }

  const act = (event, verb, body) => page.act(`${where}/${verb}`, body, { button: event.target });

  const pause = () => ask({
    title: `Pause ${file}?`, text: "Its schedule starts no runs, and none of its queued runs starts. Active runs continue.",
    fields: [field("Reason", { name: "reason", autofocus: true })], confirm: "Pause",
    act: (form) => page.change("POST", `${where}/pause`, { reason: form.get("reason") }),
  });

  const rename = () => ask({
    title: `Rename ${file}`, confirm: "Rename",
    fields: [field("New name", { name: "name", value: file, required: true, maxlength: 40, pattern: "[A-Za-z0-9_.\\-]+" })],
    act: async (form) => {
      await send("POST", `${where}/rename`, { newFileName: form.get("name") });
      drafts.rename(file, form.get("name"));
      return form.get("name");
    },
    next: (name) => go(["dags", name]),
  });

  const remove = () => ask({
    title: `Delete ${file}?`, text: "Deletes its spec and its schedule. Its runs are kept.", confirm: "Delete", danger: true,
    act: async () => {
      await send("DELETE", where);
      drafts.drop(file);
    },
    next: () => go(["dags"]),
  });

  function facts(it, scheduled) {
    const { latestDAGRun: latest } = state.details;
    return h("dl", { class: "facts" },
      latest.dagRunId && fact("Last run", h("a", { class: "plain-link", href: runPlace(latest) }, toldBadge(latest), " ",
        h("span", { class: "faint" }, ago(latest.startedAt || latest.queuedAt), " ", took(latest)))),
      scheduled && fact("Schedule", h("span", { class: "mono" }, it.schedule.map((each) => each.expression).join(", "))),
      scheduled && fact("Next run", nextRun(state.details)),
      it.queue && fact("Queue", h("a", { href: "#/queues" }, it.queue)),
      (it.tags ?? []).length > 0 && fact("Tags", it.tags.map((tag) => h("a", { class: "tag", key: tag, href: to(["dags"], { tag }) }, tag))),
      (it.params ?? []).length > 0 && fact("Parameters", h("span", { class: "mono" }, it.params.join(" "))));
  }

  function steps(it) {
    const depends = dependencies(it.steps);
    const latest = new Map(state.details.latestDAGRun.nodes.map((node) => [node.step.name, node.statusLabel]));
    const { latestDAGRun } = state.details;
    const drawn = it.steps.map((step) => ({
      name: step.name, label: latest.get(step.name) ?? "not_started", depends: depends(step),
      href: latestDAGRun.dagRunId ? to(["runs", latestDAGRun.name, latestDAGRun.dagRunId], { step: step.name }) : place("spec"),
    }));
    if (!it.steps.length) {
      const why = state.details.errors.length ? "Which steps it has is not known: its spec cannot be read." : "This DAG has no steps.";
      return h("div", { class: "empty" }, h("p", {}, why));
    }
    return h("div", {},
      it.steps.length > 1 && picture.draw(drawn),
      h("table", { class: "rows" },
        head("Step", "Last", wide("Depends on")),
        h("tbody", {}, it.steps.slice(0, state.most).map((step) => h("tr", { key: step.name },
          h("td", { class: "main" }, h("span", { class: "name" }, step.name), h("div", { class: "mono faint clip" }, what(step)),
            step.description && h("div", { class: "faint clip" }, step.description)),
          h("td", { class: "state" }, badge(latest.get(step.name) ?? "not_started")),
          h("td", { class: "wide faint depends" }, (step.depends ?? []).join(", ")))))),
      it.steps.length > state.most && h("p", {}, h("button", { type: "button", onclick: () => { state.most += MOST_ROWS; draw(); } },
        `Show more of ${it.steps.length} steps`)));
  }
}
