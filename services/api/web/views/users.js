// Users: create, change the role, set a password, delete.

import { PASSWORD, path, send } from "../api.js";
import { ask, choice, field } from "../dialog.js";
import { h } from "../dom.js";
import { actions, head, wide } from "../parts.js";
import { ROLES, session } from "../session.js";
import { ago } from "../time.js";

const USER_ROLES = [...ROLES, "none"];
const NONE = "The role none is for users who may only use the workspaces of which they are members.";

export function users(page, { users: list }) {
  const create = h("button", { type: "button", class: "primary", onclick: add }, "New user");
  const table = h("table", { class: "rows" },
    head("Name", "Role", wide("Changed"), actions()),
    h("tbody", {}, list.map((user) => h("tr", { key: user.id },
      h("td", { class: "main" }, h("span", { class: "name" }, user.username)),
      h("td", {}, user.role),
      h("td", { class: "wide" }, ago(user.updatedAt)),
      h("td", { class: "act" },
        h("button", { type: "button", "aria-label": `Edit ${user.username}`, onclick: () => edit(user) }, "Edit"),
        h("button", { type: "button", "aria-label": `New password of ${user.username}`, onclick: () => reset(user) }, "New password"),
        user.id !== session.user?.id &&
          h("button", { type: "button", class: "danger", "aria-label": `Delete ${user.username}`, onclick: () => remove(user) }, "Delete"))))));
  return { create, table };

  function add() {
    return ask({
      title: "New user", text: NONE, confirm: "Create",
      fields: [
        field("User name", { name: "username", required: true, maxlength: 64, autofocus: true }),
        field("Password", { name: "password", type: "password", required: true, minlength: 8, autocomplete: "new-password" }),
        choice("Role", { name: "role", value: "viewer" }, USER_ROLES),
      ],
      act: (form) => page.change("POST", "users", Object.fromEntries(form)),
    });
  }

  function edit({ id, username, role }) {
    return ask({
      title: `Edit ${username}`, text: `A new role ends the user's logins. ${NONE}`, confirm: "Save",
      fields: [
        field("User name", { name: "username", required: true, maxlength: 64, value: username }),
        choice("Role", { name: "role", value: role }, USER_ROLES),
      ],
      act: (form) => page.change("PATCH", path`users/${id}`, Object.fromEntries(form)),
    });
  }

  function reset({ id, username }) {
    return ask({
      title: `New password of ${username}`, text: "It ends all logins of the user.", confirm: "Set",
      fields: [field("New password", { name: "newPassword", type: "password", required: true, minlength: 8, autocomplete: "new-password", autofocus: true })],
      act: (form) => page.change("POST", path`users/${id}/reset-password`, Object.fromEntries(form)),
    });
  }

  function remove({ id, username }) {
    return ask({
      title: `Delete ${username}?`, text: "All logins of the user end. What the user did stays in the audit log.", confirm: "Delete", danger: true,
      act: () => page.change("DELETE", path`users/${id}`),
    });
  }
}

/** Let the people who are logged in change their own password; all their logins end, this one too. */
export async function changePassword() {
  const done = await ask({
    title: "Change your password", text: "It ends all your logins, this one too.", confirm: "Change",
    fields: [
      field("Current password", { name: "currentPassword", type: "password", required: true, autocomplete: "current-password", autofocus: true }),
      field("New password", { name: "newPassword", type: "password", required: true, minlength: 8, autocomplete: "new-password" }),
    ],
    act: (form) => send("POST", PASSWORD, Object.fromEntries(form)),
  });
  if (done) dispatchEvent(new Event("begin-anew"));
}
