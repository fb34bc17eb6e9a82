// All DAGs, with their newest run and their next scheduled time.

import { get, path, send } from "../api.js";
import { ask, field } from "../dialog.js";
import { h } from "../dom.js";
import { draft, unsaved } from "../drafts.js";
import { attempt } from "../notice.js";
import { pager } from "../pager.js";
import { actions, counted, head, numbers, wide } from "../parts.js";
import { reason, toldBadge } from "../reason.js";
import { go, here, stay, to } from "../router.js";
import { may } from "../session.js";
import { ago, took } from "../time.js";
import { nextRun } from "./slots.js";
import { start } from "./start.js";

const PER_PAGE = 50;
const fileOf = ({ fileName }) => fileName.replace(/\.ya?ml$/, "");

export function dags(page) {
  page.title("DAGs");
  let tags = [];
  let typing;

  const loop = page.every(3000, async () => {
    const { name, tag, faulty, sort = "name", page: number = 1 } = page.place.query;
    const answer = await get("dags", { name, tag, faulty, sort, page: number, perPage: PER_PAGE }, page.wanted);
    page.show(heading(), filters(), unseen(answer.dags), answer.errors.map((each) => h("p", { class: "error", key: each }, each)),
      answer.dags.length ? table(answer.dags) : nothing(), pager(answer.pagination));
  });
  get("dags/tags", {}, page.signal).then((answer) => { tags = answer.tags; loop.run(); }, () => {});

  const heading = () => h("div", { class: "heading" }, h("h1", {}, "DAGs"), h("span", { class: "gap" }),
    may("manager") && h("button", { type: "button", class: "primary", onclick: create }, "New DAG"));

  /** Unsaved texts that no row of the list has: of DAGs on other pages, or that do not exist any more. */
  function unseen(list) {
    const seen = new Set(list.map(fileOf));
    const files = unsaved().filter((file) => !seen.has(file));
    return files.length > 0 && h("p", { class: "reason call", key: "unsaved" }, "Not saved: ", files.map((file, index) =>
      [index > 0 && ", ", h("a", { href: to(["dags", file], { tab: "spec" }) }, file)]));
  }

  function filters() {
    const { name = "", tag = "", faulty = "", sort = "name" } = page.place.query;
    const later = (event) => {
      clearTimeout(typing);
      const [text, at] = [event.target.value, here()];
      typing = setTimeout(() => stay({ name: text, page: "" }, at), 200);
    };
    return h("div", { class: "filters", role: "search" },
      h("input", { type: "search", "aria-label": "Name", placeholder: "Find by name", value: name, oninput: later }),
      h("select", { "aria-label": "Tag", value: tag, onchange: (event) => stay({ tag: event.target.value, page: "" }) },
        h("option", { value: "" }, "Any tag"),
        [...new Set([...tags, tag])].filter(Boolean).map((each) => h("option", { value: each, key: each }, each))),
      h("select", { "aria-label": "Errors", value: faulty, onchange: (event) => stay({ faulty: event.target.value, page: "" }) },
        h("option", { value: "" }, "With or without errors"), h("option", { value: "true" }, "With errors")),
      h("select", { "aria-label": "Order", value: sort, onchange: (event) => stay({ sort: event.target.value, page: "" }) },
        h("option", { value: "name" }, "By name"), h("option", { value: "nextRun" }, "By next run")));
  }

  function nothing() {
    const { name, tag, faulty, page: number = 1 } = here().query;
    // The last page may have become empty.
    const filtered = name || tag || faulty || number > 1;
    return h("div", { class: "empty" },
      h("p", {}, filtered ? "No DAG fits." : "There are no DAGs yet."),
      filtered
        ? h("p", {}, h("a", { href: "#/dags" }, "Show all"))
        : may("manager") && h("p", {}, h("button", { type: "button", class: "primary", onclick: create }, "Create the first one")));
  }

  const table = (list) => h("table", { class: "rows dags" },
    head("Name", "Last run", numbers("Took", "wide"), wide("Schedule"), "Next run", actions()),
    h("tbody", {}, list.map(row)));

  function row(each) {
    const { fileName, dag, latestDAGRun: latest, suspended, errors } = each;
    const file = fileOf(each);
    const scheduled = (dag.schedule ?? []).length > 0;
    return h("tr", { key: fileName },
      h("td", { class: "main" },
        h("a", { class: "name", href: to(["dags", file]) }, file),
        (dag.tags ?? []).map((tag) => h("a", { class: "tag", href: to(["dags"], { tag }) }, tag)),
        errors.length > 0 && [" ", h("a", { class: "badge is-failed", href: to(["dags", file], { tab: "spec" }), title: errors.join("\n") },
          h("span", { class: "sign", "aria-hidden": "true" }, "✕"), counted(errors.length, "mistake"))],
        draft(file) && [" ", h("a", { class: "badge is-waiting", href: to(["dags", file], { tab: "spec" }) }, "not saved")],
        dag.description && h("div", { class: "faint clip" }, dag.description)),
      h("td", { class: "last" }, latest.dagRunId
        ? h("a", { class: "plain-link", href: to(["runs", latest.name, latest.dagRunId]) }, toldBadge(latest), " ",
          h("span", { class: "faint" }, ago(latest.finishedAt || latest.startedAt || latest.queuedAt)))
        : h("span", { class: "faint" }, "never ran"), reason(latest.waitingFor)),
      h("td", { class: "wide faint number" }, took(latest)),
      h("td", { class: "wide mono faint" }, (dag.schedule ?? []).map((each) => h("div", {}, each.expression))),
      h("td", { class: "next" }, scheduled && nextRun(each)),
      h("td", { class: "act" },
        scheduled && may("operator") && h("label", { class: "switch", title: suspended ? "Its schedule is off" : "Its schedule is on" },
          h("input", { type: "checkbox", role: "switch", "aria-label": `Schedule of ${file}`, checked: !suspended,
            onchange: (event) => page.act(path`dags/${file}/suspend`, { suspend: !event.target.checked }) }), h("span", { class: "knob" })),
        may("operator") && h("button", { type: "button", "aria-label": `Start ${file}`, disabled: errors.length > 0,
          onclick: (event) => startTyped(page, file, event.target) }, "Start")));
  }

  const create = () => ask({
    title: "New DAG",
    text: "It starts with one example step, ready to edit.",
    fields: [field("Name", { name: "name", required: true, maxlength: 40, pattern: "[A-Za-z0-9_.\\-]+", autofocus: true,
      hint: "Letters, digits, “_”, “.” and “-”" })],
    confirm: "Create",
    act: async (form) => {
      const answer = await send("POST", "dags", { name: form.get("name") });
      return answer.name ?? form.get("name");
    },
    next: (name) => go(["dags", name], { tab: "spec" }),
  });
}

/** Ask how to start a DAG. The list does not have the schema of its parameters. */
async function startTyped(page, file, button) {
  let details;
  if (await attempt(async () => { details = await get(path`dags/${file}`); }, { button }) && !page.signal.aborted) start(file, details.dag);
}
