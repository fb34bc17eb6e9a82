// The frame around all pages: navigation, user and theme.

import { ApiError, get, listeners, remote, send } from "./api.js";
import { attention } from "./attention.js";
import { ask } from "./dialog.js";
import { h, patch } from "./dom.js";
import { dropAll, unsavedAnywhere } from "./drafts.js";
import { attempt, banner, toasts } from "./notice.js";
import { here, to } from "./router.js";
import { hasUsers, may, mayChangeServer, session, settings } from "./session.js";
import { changePassword } from "./views/users.js";
import { addressIn, workspace } from "./workspace.js";

/** Pages with the role that they need: here, or on the whole server. */
const PAGES = [
  ["home", "Home"], ["dags", "DAGs"], ["runs", "Runs"], ["queues", "Queues"], ["calendar", "Calendar"], ["system", "System"], ["search", "Search"],
  ["secrets", "Secrets", "manager"], ["audit", "Audit", "admin", mayChangeServer], ["settings", "Settings", "admin", mayChangeServer],
  ["workspaces", "Workspaces", "admin", mayChangeServer], ...(settings.auth === "builtin" ? [["access", "Access", "admin"]] : []),
];
const THEMES = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

/** When to ask for the workspaces first: after the page has asked for what it shows. */
const FIRST_MS = 1000;
const AGAIN_MS = 10_000;
let later;

const bar = h("header", { class: "bar" });
export const main = h("main", { id: "main", tabindex: "-1" });

/** Put the frame onto the page. */
export function open() {
  applyTheme();
  const skip = h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } },
    "Skip to the content");
  document.body.replaceChildren(skip, bar, banner, main, toasts);
  // It has more lines the more pages there are and the narrower the window is.
  new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar);
  draw();
}

const waitForApproval = () => (attention.count === 1 ? "step waits for approval" : "steps wait for approval");

/** Pairs of name and label of the pages that the person may see. */
export const openPages = () => (session.absent ? [] : PAGES.filter(([, , role, allowed = may]) => !role || allowed(role)));

/** Draw the bar again: the page, the user or the theme has changed. */
export function draw() {
  const [section = "home"] = here().parts;
  patch(bar,
    h("a", { class: "brand", href: "#/home" }, settings.title),
    !session.absent && h("nav", { "aria-label": "Pages" }, openPages().map(([name, label]) =>
      h("a", { href: to([name]), "aria-current": section === name && "page" }, label, name === "home" && attention.count > 0
        && h("span", { class: "count-badge", title: `${attention.count} ${waitForApproval()}` }, String(attention.count),
          h("span", { class: "unseen" }, ` ${waitForApproval()}`))))),
    h("span", { class: "gap" }),
    choices().length > 1 && !remote.node && h("select", {
      "aria-label": "Workspace", value: workspace || "default", onchange: (event) => location.assign(addressIn(event.target.value, to([section]))),
    }, choices().map((name) => h("option", { value: name }, name))),
    // A remote node has workspaces of its own, which no request here can name.
    settings.remoteNodes && !workspace && h("select", {
      "aria-label": "Node", value: remote.node,
      onchange: (event) => { remote.node = event.target.value; dispatchEvent(new Event("begin-anew")); },
    }, h("option", { value: "" }, "local"), settings.remoteNodes.split(",").map((name) => h("option", { value: name }, name))),
    settings.docs && h("a", { class: "quiet", href: "docs/" }, "Docs"),
    h("a", { class: "quiet", href: "api/v2/docs" }, "API"),
    h("button", { type: "button", class: "plain", "aria-label": THEMES[theme()], title: THEMES[theme()], onclick: turn },
      { auto: "◐", light: "☀", dark: "☾" }[theme()]),
    session.user && (settings.auth === "builtin"
      ? h("button", { type: "button", class: "plain who", title: `role ${session.user.role}: change your password`, onclick: changePassword }, session.user.username)
      : h("span", { class: "who", title: `role ${session.user.role}` }, session.user.username)),
    session.user && h("button", { type: "button", class: "plain", onclick: leave }, "Log out"));
}

/** The workspaces to choose from; the present one too, even if the person may not use it: that is the way out of it. */
const choices = () => [...new Set([workspace || "default", ...session.workspaces.map(({ name }) => name)])];

const theme = () => localStorage.getItem("dagway theme") ?? "auto";

function applyTheme() {
  document.documentElement.dataset.theme = theme();
}

function turn() {
  const names = Object.keys(THEMES);
  localStorage.setItem("dagway theme", names[(names.indexOf(theme()) + 1) % names.length]);
  applyTheme();
  draw();
}

async function leave() {
  const texts = unsavedAnywhere();
  // Without an answer the login goes on, and this page must not look as if it had ended.
  const act = async () => {
    if (settings.auth !== "oidc") await send("POST", "auth/logout");
    dropAll();
  };
  const next = () => (settings.auth === "oidc" ? location.assign("oidc-logout") : listeners.unauthorized());
  if (texts.length > 0) {
    const text = `What you have not saved is lost: ${texts.join(", ")}.`;
    await ask({ title: "Log out?", text, confirm: "Log out", danger: true, act, next });
  } else if (await attempt(act)) next();
}

/** Find out who is logged in; raises ApiError if a login is required and there is none. */
export async function identify() {
  Object.assign(session, { user: null, workspaces: [] });
  clearTimeout(later);
  if (hasUsers) {
    const [{ user }] = await Promise.all([get("auth/me"), findWorkspaces()]);
    session.user = user;
    const [first] = session.workspaces;
    // Who may only use other workspaces begins in one of them, at the page that the address names.
    if (first && !workspace && first.name !== "default") location.replace(addressIn(first.name, location.hash || to(["home"])));
  } else {
    // Anybody may do everything, so the page need not wait for the names.
    later = setTimeout(look, FIRST_MS);
  }
  draw();
}

/** Ask for the workspaces of this server; a remote node would answer with its own, or, if it is a Dagu, with an error. */
async function findWorkspaces() {
  if (!remote.node) session.workspaces = (await get("workspaces")).workspaces;
}

/** Find the workspaces; while the server is away, try again. */
async function look() {
  try {
    await findWorkspaces();
    draw();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    later = setTimeout(look, AGAIN_MS);
  }
}
