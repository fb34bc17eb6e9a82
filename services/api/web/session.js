// The session: the server's login methods, and who is logged in.
//
// The credential is a cookie that no script can read, this one included. So no script that got into the page could
// take it along.

import { workspace } from "./workspace.js";

export const settings = getConfig();

/** Whether this page has a login form. */
export const asksWho = ["builtin", "basic", "token"].includes(settings.auth);

/** Whether the server knows who is logged in: by this page's form, or by a provider. */
export const hasUsers = asksWho || settings.auth === "oidc";

/**
 * Who is logged in, where a login is required; and the workspaces that they may use, each with their role there. `absent`:
 * nobody is logged in, or it is not known who, so no page can be shown.
 */
export const session = { user: null, workspaces: [], absent: false };

/** The roles, each may do more than the one before. */
export const ROLES = ["viewer", "operator", "manager", "admin"];

/** Whether the person may do what needs `role` here; the server decides, this only hides what would fail. */
export function may(role) {
  if (role === "operator" && !settings.permissions.runDags) return false;
  if (role === "manager" && !settings.permissions.writeDags) return false;
  const held = workspace ? session.workspaces.find(({ name }) => name === workspace)?.role : session.user?.role;
  return !session.user || ROLES.indexOf(held) >= ROLES.indexOf(role);
}

/** Whether the person may do what needs `role` on the whole server: managers stop and continue work, administrators the rest. */
export function mayChangeServer(role) {
  if (role === "manager" && !settings.permissions.runDags) return false;
  return !session.user || ROLES.indexOf(session.user.role) >= ROLES.indexOf(role);
}
