// Workspaces: create, change, delete; their quotas and members. For administrators of the server.

import { get, path, send } from "../api.js";
import { ask, choice, field } from "../dialog.js";
import { h } from "../dom.js";
import { attempt } from "../notice.js";
import { actions, head } from "../parts.js";
import { go, to } from "../router.js";
import { mayChangeServer, ROLES, settings } from "../session.js";
import { ago } from "../time.js";
import { addressIn } from "../workspace.js";

const EVERY_MS = 10_000;
/** What has a quota: its field, its name, what of the usage counts towards it, and the highest limit. */
const QUOTAS = [
  ["maxRunning", "Running runs", "running", 1_000_000], ["maxQueued", "Queued runs", "queued", 1_000_000], ["maxDags", "DAGs", "dags", 1_000_000],
  ["maxLogBytesPerDay", "Bytes of logs in a day", "logBytesToday", 1e15],
];

export function workspaces(page) {
  page.title("Workspaces");
  page.every(EVERY_MS, async () => {
    const { workspaces: list } = await get("workspaces", {}, page.wanted);
    const others = list.filter(({ name }) => name !== "default");
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Workspaces"), h("span", { class: "gap" }),
        mayChangeServer("admin") && h("button", { type: "button", class: "primary", onclick: create }, "New workspace")),
      others.length ? table(others)
        : h("div", { class: "empty" }, h("p", {}, "There is only the default workspace, to which everything belongs.")));
  });
}

const table = (list) => h("table", { class: "rows" },
  head("Name", "Description", actions()),
  h("tbody", {}, list.map(({ name, description }) => h("tr", { key: name },
    h("td", { class: "main" }, h("a", { class: "name", href: to(["workspaces", name]) }, name)),
    h("td", {}, description),
    h("td", { class: "act" }, enter(name))))));

const enter = (name) => h("a", { class: "button", href: addressIn(name, to(["home"])), "aria-label": `Open ${name}` }, "Open");

const fields = (known = {}) => [
  !known.name && field("Name", { name: "name", required: true, maxlength: 30, autofocus: true, hint: "lower-case letters, digits and dashes" }),
  field("Description", { name: "description", maxlength: 500, value: known.description }),
  QUOTAS.map(([name, label, , max]) => field(`At most: ${label}`, { name, type: "number", min: 0, max, value: known[name] ?? "", hint: "empty: no limit" })),
];

/** The values of the form as the API reads them. */
function read(form) {
  const quotas = QUOTAS.map(([name]) => [name, Number(form.get(name))]);
  return { description: form.get("description"), ...Object.fromEntries(quotas) };
}

/** Go to a page; the bar offers other workspaces now. */
function leaveFor(parts) {
  go(parts);
  dispatchEvent(new Event("begin-anew"));
}

function create() {
  let name;
  return ask({
    title: "New workspace", confirm: "Create", fields: fields(),
    act: async (form) => {
      name = form.get("name").trim();
      await send("POST", "workspaces", { name, ...read(form) });
    },
  }).then((done) => done && leaveFor(["workspaces", name]));
}

export function workspacePage(page) {
  const [, name] = page.place.parts;
  const where = path`workspaces/${name}`;
  const hasUsers = settings.auth === "builtin";
  page.title(name);

  page.every(EVERY_MS, async () => {
    const { workspace, members, used } = await get(where, {}, page.wanted);
    page.show(
      h("div", { class: "heading" }, h("h1", {}, name), h("span", { class: "gap" }), enter(name),
        h("button", { type: "button", onclick: () => edit(workspace) }, "Edit"),
        h("button", { type: "button", class: "danger", onclick: remove }, "Delete")),
      workspace.description && h("p", { class: "lead" }, workspace.description),
      h("dl", { class: "facts" }, QUOTAS.map((quota) => usage(workspace, used, quota)),
        h("div", {}, h("dt", {}, "Changed"), h("dd", {}, ago(workspace.updatedAt)))),
      h("div", { class: "heading" }, h("h2", {}, "Members"), h("span", { class: "gap" }),
        hasUsers && h("button", { type: "button", onclick: () => add(members) }, "Add a member")),
      members.length ? memberTable(members)
        : h("div", { class: "empty" }, h("p", {}, "It has no members. Administrators of the server may use every workspace.")),
      settings.auth === "oidc" && h("p", { class: "faint" }, "Members by their groups at the OpenID Connect provider (DAGWAY_AUTH_OIDC_ROLES) are not listed."));
  });

  const memberTable = (members) => h("table", { class: "rows" },
    head("User", "Role", actions()),
    h("tbody", {}, members.map(({ userId, username, role }) => h("tr", { key: userId },
      h("td", { class: "main" }, h("span", { class: "name" }, username)),
      h("td", {}, role),
      h("td", { class: "act" },
        h("button", { type: "button", "aria-label": `Role of ${username}`, onclick: () => setRole(userId, username, role) }, "Role"),
        h("button", { type: "button", class: "danger", "aria-label": `Remove ${username}`, onclick: () => expel(userId, username) }, "Remove"))))));

  const edit = (known) => ask({
    title: `Edit ${name}`, text: "Nothing that exceeds a new limit is removed.", confirm: "Save", fields: fields(known), act: (form) => page.change("PATCH", where, read(form)),
  });

  async function remove() {
    const done = await ask({
      title: `Delete the workspace ${name}?`, text: "It must be empty: nothing may belong to it, not even a run.", confirm: "Delete", danger: true,
      act: () => send("DELETE", where),
    });
    if (done) leaveFor(["workspaces"]);
  }

  async function add(members) {
    const taken = new Set(members.map(({ userId }) => userId));
    let users = [];
    if (!await attempt(async () => { ({ users } = await get("users")); })) return;
    const free = users.filter(({ id }) => !taken.has(id));
    ask({
      title: `Add a member to ${name}`, confirm: "Add",
      text: free.length ? "" : "All users are members already.",
      fields: free.length ? [choice("User", { name: "username" }, free.map(({ username }) => username)), choice("Role", { name: "role", value: "viewer" }, ROLES)] : [],
      act: async (form) => {
        const user = free.find(({ username }) => username === form.get("username"));
        if (user) await page.change("PUT", `${where}/members/${encodeURIComponent(user.id)}`, { role: form.get("role") });
      },
    });
  }

  const setRole = (id, username, role) => ask({
    title: `Role of ${username} in ${name}`, confirm: "Save", fields: [choice("Role", { name: "role", value: role }, ROLES)],
    act: (form) => page.change("PUT", `${where}/members/${encodeURIComponent(id)}`, { role: form.get("role") }),
  });

  const expel = (id, username) => ask({
    title: `Remove ${username} from ${name}?`, text: "The user loses access to this workspace.", confirm: "Remove", danger: true,
    act: () => page.change("DELETE", `${where}/members/${encodeURIComponent(id)}`),
  });
}

/** How much of a quota is used. Bytes of logs are counted only while they have a limit. */
function usage(workspace, used, [name, label, counted]) {
  const limit = workspace[name];
  const count = used[counted] ?? workspace[counted] ?? "";
  return h("div", { key: name }, h("dt", {}, label), h("dd", {},
    limit > 0 && h("meter", { min: 0, max: limit, value: Math.min(count, limit), "aria-label": `${label}: ${count} of ${limit}` }),
    ` ${count}`, limit > 0 ? ` of ${limit}` : h("span", { class: "faint" }, " without a limit")));
}
