// One run: its graph, steps, logs and actions.

import { ApiError, events, get, path } from "../api.js";
import { dependencies } from "../depends.js";
import { h } from "../dom.js";
import { GraphView } from "../graph_view.js";
import { withOpened } from "../opened_runs.js";
import { fact, head } from "../parts.js";
import { reason, toldBadge } from "../reason.js";
import { stay, to } from "../router.js";
import { active, moves, nodesOf } from "../status.js";
import { ago, clock, took } from "../time.js";
import { approvals, lacksQuestions, readQuestions } from "./approval.js";
import { MOST_ATTEMPTS, newestAttempts } from "./attempts.js";
import { BARS, gantt } from "./gantt.js";
import { runActions } from "./run_actions.js";
import { MOST_CHILDREN, stepPanel } from "./step.js";
import { failedSteps, note, stepList } from "./steps.js";
import { timeline } from "./timeline.js";

const STACKED = matchMedia("(max-width: 1000px)");
const SOON_MS = 120;
const AGAIN_MS = 1000;
/** A longer output scrolls in its place, mostly. */
const LONG = 400;
const ENDED_MS = 10_000;
/** A run that has ended is read again in case somebody retries it. A large one takes a tenth of a second, so it is read less often. */
const ENDED_MS_A_STEP = 6;
/** Parts of the address that belong to one step's log. */
const NO_LOG = { attempt: "", line: "", stream: "" };
const TABS = [["steps", "Steps"], ["outputs", "Outputs"], ["events", "Events"], ["spec", "Spec"]];

export function run(page) {
  const [, name, id, , sub] = page.place.parts;
  const root = path`dag-runs/${name}/${id}`;
  const base = sub ? `${root}/sub-dag-runs/${encodeURIComponent(sub)}` : root;
  const state = { name, id, sub, root, base, run: null, children: new Map(), questions: new Map(), changes: [], unread: "", outputs: {}, spec: null, log: "", attempts: [], every: [], opened: new Map(), shown: undefined,
    find: { text: "", label: "", most: 200, childLabel: "", mostChildren: MOST_CHILDREN, mostAttempts: MOST_ATTEMPTS } };
  const picture = new GraphView(() => draw());
  let live = false;
  let soon;
  page.title(`${name} ${sub ?? id}`);

  function pace() {
    if (!state.run || moves(state.run.statusLabel)) return live ? 3000 : 1000;
    return lacksQuestions(state) ? 1000 : Math.max(ENDED_MS, ENDED_MS_A_STEP * state.run.nodes.length);
  }

  const loop = page.every(pace, async () => {
    const { dagRunDetails } = await get(base, {}, page.wanted);
    state.run = dagRunDetails;
    if (dagRunDetails.nodes.some((node) => node.subRuns.length)) {
      const query = sub ? { parentSubDAGRunId: sub } : {};
      const { subRuns } = await get(`${root}/sub-dag-runs`, query, page.wanted);
      state.children = new Map(subRuns.map((each) => [each.dagRunId, each]));
    }
    await Promise.all([tabContent(), stepAttempts(), openedRuns(), readQuestions(page, state)]);
    draw();
  });
  // The picture is as wide as the page was when it was drawn, and an ended run is not loaded again.
  addEventListener("resize", () => state.run && page.place.query.view === "gantt" && draw(), { signal: page.signal });

  // Changes of a sub-run are not streamed; it is polled.
  if (!sub) follow();

  async function follow() {
    let lastId = "";
    let stream;
    document.addEventListener("visibilitychange", () => document.hidden && stream.abort(), { signal: page.signal });
    while (!page.signal.aborted) {
      stream = new AbortController();
      try {
        live = true;
        const more = await events(`${base}/events`, { lastId, signal: AbortSignal.any([page.signal, stream.signal]), tell });
        live = false;
        // A gateway that is about to end ends each stream at once.
        if (more) await pause(AGAIN_MS);
        else await until(() => state.run && active(state.run.statusLabel));
      } catch (error) {
        // Away, ended by us, or no place free: the page's own refreshes show that, and go on meanwhile.
        live = false;
        state.unread = error instanceof ApiError ? error.message : "";
        if (state.run) draw();
        await pause(error.status === 404 ? 15_000 : 3000);
      }
      await until(() => !document.hidden);
    }

    function tell(found) {
      lastId = found.at(-1).id;
      state.unread = "";
      state.changes.push(...found.map((each) => each.data));
      clearTimeout(soon);
      soon = setTimeout(() => loop.run(), SOON_MS);
    }
  }

  const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
  async function until(condition) {
    while (!condition() && !page.signal.aborted) await pause(500);
  }

  async function tabContent() {
    const { tab } = page.place.query;
    if (tab === "outputs" && !sub) state.outputs = (await get(`${root}/outputs`, {}, page.wanted)).outputs ?? {};
    if (tab === "spec" && !sub) state.spec ??= (await get(`${root}/spec`, {}, page.wanted)).spec;
    if (tab === "events" && sub) state.log = (await get(`${base}/log`, { tail: 1000 }, page.wanted)).content;
  }

  /** Read the sub-runs that are opened in the graph. */
  async function openedRuns() {
    const wanted = sub ? [] : opened().map((name) => state.run.nodes.find((node) => node.step.name === name)).filter((node) => node?.subRuns.length);
    state.opened = new Map(await Promise.all(wanted.map(async ({ step, subRuns }) => {
      const runs = subRuns.map((each) => state.children.get(each.dagRunId) ?? { ...each, statusLabel: "not_started" });
      if (runs.length > 1) return [step.name, { runs }];
      const { dagRunDetails } = await get(`${root}/sub-dag-runs/${encodeURIComponent(runs[0].dagRunId)}`, {}, page.wanted);
      return [step.name, { id: runs[0].dagRunId, nodes: dagRunDetails.nodes }];
    })));
  }

  async function stepAttempts() {
    const { step, tab, view } = page.place.query;
    // One more of each step than are drawn: the picture says if it leaves some out.
    if (view === "gantt") state.every = (await get(`${base}/attempts`, { limit: BARS + 1 }, page.wanted)).attempts;
    const known = step && !tab && allNodes().some((node) => node.step.name === step && node.startedAt);
    state.attempts = known ? await newestAttempts(base, step, state.find.mostAttempts, page.wanted) : [];
  }

  function draw() {
    const tabs = TABS.filter(([key]) => !sub || key === "steps" || key === "events");
    const [tab] = tabs.find(([key]) => key === page.place.query.tab) ?? tabs[0];
    page.title(`${state.run.statusLabel}: ${state.run.name}`);
    const inPanel = page.root.querySelector(".panel")?.contains(document.activeElement);
    page.show(
      heading(), facts(),
      state.run.error && h("p", { class: "error", role: "alert" }, state.run.error),
      state.run.waitingFor && h("div", { class: "call reason", key: "waits" }, reason(state.run.waitingFor, "Waiting: ")),
      approvals(page, state),
      h("nav", { class: "tabs", "aria-label": "Parts of the run" }, tabs.map(([key, label]) =>
        h("a", { href: place({ tab: key === "steps" ? "" : key }), "aria-current": key === tab && "page" }, label))),
      h("div", { key: tab, class: "tab" }, { steps, outputs, events: story, spec }[tab]()));
    const { step } = page.place.query;
    // Keyboard and screen reader users who close a step go on where they opened it.
    if (!step && inPanel) [...page.root.querySelectorAll(".steps a.name")].find((each) => each.textContent === state.shown)?.focus();
    if (step !== state.shown && STACKED.matches) page.root.querySelector(".panel")?.scrollIntoView();
    state.shown = step;
  }

  const place = (changes) => to(page.place.parts, { ...page.place.query, ...changes });

  function heading() {
    return h("div", { class: "heading" },
      h("h1", {}, state.run.name), h("span", { role: "status" }, toldBadge(state.run)), h("span", { class: "gap" }), runActions(page, state, () => draw()));
  }

  function facts() {
    const { run: it } = state;
    const file = it.name;
    return h("dl", { class: "facts" },
      fact("Run", h("span", { class: "mono" }, it.dagRunId)),
      sub ? fact("Part of", h("a", { href: to(["runs", name, id]) }, `${name} ${id}`)) : fact("DAG", h("a", { href: to(["dags", file]) }, file)),
      it.scheduleTime && fact("Scheduled for", clock(it.scheduleTime)),
      it.queuedAt && fact("Queued", clock(it.queuedAt)),
      it.startedAt && fact("Began", clock(it.firstStartedAt || it.startedAt), " ",
        h("span", { class: "faint" }, ago(it.firstStartedAt || it.startedAt))),
      it.runAttempt > 1 && fact(`Attempt ${it.runAttempt} began`, clock(it.startedAt)),
      it.startedAt && fact(it.runAttempt > 1 ? `Attempt ${it.runAttempt} took` : "Took", took(it)),
      it.workerId && fact("Worker", it.workerId),
      it.traceId && fact("Trace", h("span", { class: "mono" }, it.traceId)),
      it.params && fact("Parameters", h("span", { class: "mono" }, it.params)));
  }

  /** The names of the steps whose runs are opened in the graph: a part of the address. */
  function opened() {
    try {
      return [JSON.parse(page.place.query.open ?? "[]")].flat().map(String);
    } catch {
      return [];
    }
  }

  const toggle = (step) => {
    const names = opened();
    const open = names.includes(step);
    const rest = open ? names.filter((name) => name !== step) : [...names, step];
    return { open, href: place({ open: rest.length ? JSON.stringify(rest) : "" }) };
  };

  const childPlace = (step, id, inner) => (id ? to(["runs", name, state.id, "sub", id], { step: inner }) : place({ ...NO_LOG, step }));

  const allNodes = () => nodesOf(state.run);

  function steps() {
    const { nodes } = state.run;
    const { step: chosen, view: shape = "graph" } = page.place.query;
    const node = allNodes().find((each) => each.step.name === chosen);
    const depends = dependencies(nodes.map((each) => each.step));
    const drawn = nodes.map((each) => ({
      name: each.step.name, label: each.statusLabel, depends: depends(each.step),
      href: place({ ...NO_LOG, step: each.step.name }), note: note(each), toggle: !sub && each.subRuns.length > 0 && toggle(each.step.name),
    }));
    const whole = withOpened(drawn, state.opened, childPlace);
    return [
      // A link may name a step that the DAG had in another run.
      chosen && !node && allNodes().length > 0 && h("p", { class: "call reason", role: "status", key: "unknown" }, `This run has no step “${chosen}”.`),
      failedSteps(state, allNodes(), (step) => place({ ...NO_LOG, step }), () => draw()),
      h("div", { class: "choice", role: "group", "aria-label": "Picture", key: "pictures" }, ["graph", "gantt"].map((kind) =>
        h("button", { type: "button", "aria-pressed": String(kind === shape), onclick: () => stay({ view: kind === "graph" ? "" : kind }) },
          { graph: "Graph", gantt: "Gantt" }[kind]))),
      shape === "gantt" ? gantt(state.every, state.run.runAttempt ?? 1, (changes) => place({ ...NO_LOG, ...changes }))
        : whole.length > 0 && picture.draw(whole, chosen),
      h("div", { key: "steps", class: node ? "split" : "" },
        stepList(state, allNodes(), chosen, (changes) => place({ ...NO_LOG, ...changes }), () => draw()),
        node && stepPanel(page, state, node, (changes) => place({ ...NO_LOG, ...changes }), () => draw()))];
  }

  function outputs() {
    const pairs = Object.entries(state.outputs);
    return pairs.length
      ? h("table", { class: "rows pairs" }, head("Name", "Value"),
        h("tbody", {}, pairs.map(([key, value]) => h("tr", { key }, h("td", { class: "mono" }, key), h("td", {},
          // What scrolls must be reached by keys.
          h("pre", value.length > LONG && { tabindex: "0", role: "region", "aria-label": key }, value))))))
      : h("div", { class: "empty" }, h("p", {}, active(state.run.statusLabel) ? "No step has written output yet." : "No step wrote output."));
  }

  const story = () => (sub ? h("pre", { class: "wrap story", tabindex: "0" }, state.log || "Nothing has happened yet.") : timeline(state.changes, state.unread));

  const spec = () => h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": "Spec of this run" }, state.spec ?? "");
}
