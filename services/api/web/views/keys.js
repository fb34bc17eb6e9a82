// API keys: create with role, expiry and DAGs, change, delete. The key itself is shown once.

import { path } from "../api.js";
import { ask, choice, field } from "../dialog.js";
import { h } from "../dom.js";
import { actions, head, wide } from "../parts.js";
import { now } from "../server_time.js";
import { ROLES } from "../session.js";
import { ago, relative } from "../time.js";
import { sendForSecrets, showSecrets } from "./secret.js";

export function keys(page, { apiKeys: list }) {
  const create = h("button", { type: "button", class: "primary", onclick: add }, "New API key");
  const table = !list.length ? h("div", { class: "empty" }, h("p", {}, "There are no API keys yet."))
    : h("table", { class: "rows" },
      head("Name", "Role and DAGs", wide("Expires"), wide("Last used"), actions()),
      h("tbody", {}, list.map((key) => h("tr", { key: key.id },
        h("td", { class: "main" }, h("span", { class: "name" }, key.name), h("div", { class: "mono faint" }, `${key.keyPrefix}…`),
          key.description && h("div", { class: "faint" }, key.description)),
        h("td", {}, key.role, h("div", { class: "mono faint" }, key.dags.join(" ") || "all DAGs")),
        h("td", { class: "wide" }, expiry(key)),
        h("td", { class: "wide" }, ago(key.lastUsedAt)),
        h("td", { class: "act" },
          h("button", { type: "button", "aria-label": `Edit ${key.name}`, onclick: () => edit(key) }, "Edit"),
          h("button", { type: "button", class: "danger", "aria-label": `Delete ${key.name}`, onclick: () => remove(key) }, "Delete"))))));
  return { create, table };

  function add() {
    return ask({
      title: "New API key", confirm: "Create", fields: fields({ role: "viewer", dags: [] }),
      act: async (form, once) => {
        const made = await sendForSecrets(once, "api-keys", read(form));
        page.refresh();
        return made;
      },
      tell: ({ apiKey, key }) => showSecrets(`The new API key “${apiKey.name}”`, [["API key", key]],
        "Programs send it as Authorization: Bearer KEY."),
    });
  }

  function edit(key) {
    return ask({
      title: `Edit ${key.name}`, confirm: "Save", fields: fields(key),
      act: (form) => {
        const { expiresAt, ...rest } = read(form);
        // An expiry in the past, which can stay, would be refused as a new one.
        const same = form.get("expiresAt") === local(key.expiresAt);
        return page.change("PATCH", path`api-keys/${key.id}`, same ? rest : { ...rest, expiresAt });
      },
    });
  }

  function remove({ id, name }) {
    return ask({
      title: `Delete ${name}?`, text: "Requests with this key are refused from then on.", confirm: "Delete", danger: true,
      act: () => page.change("DELETE", path`api-keys/${id}`),
    });
  }
}

const expiry = ({ expiresAt }) => {
  if (!expiresAt) return "never";
  return Date.parse(expiresAt) > now() ? ago(expiresAt)
    : h("span", { class: "badge is-failed", title: expiresAt }, `expired ${relative(expiresAt)}`);
};

const fields = ({ name, description, role, expiresAt, dags }) => [
  field("Name", { name: "name", required: true, maxlength: 100, value: name, autofocus: true }),
  field("Description", { name: "description", maxlength: 500, value: description }),
  choice("Role", { name: "role", value: role }, ROLES),
  field("Expires", { name: "expiresAt", type: "datetime-local", value: local(expiresAt), hint: "in the time zone of this browser; empty: never" }),
  field("DAGs", { name: "dags", value: dags.join(" "), class: "mono", hint: "patterns of names, such as etl-*, with spaces between; empty: all DAGs" }),
];

/** The values of the form as the API reads them. */
function read(form) {
  const { expiresAt, dags, ...rest } = Object.fromEntries(form);
  return { ...rest, expiresAt: expiresAt ? new Date(expiresAt).toISOString() : "", dags: dags.split(/\s+/).filter(Boolean) };
}

/** A moment as a field of a form shows it: local time, without seconds. */
function local(text) {
  if (!text) return "";
  const at = new Date(text);
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
