// The frame around all pages: navigation, user and theme.

import { get, listeners, remote, send } from "./api.js";
import { attention } from "./attention.js";
import { h, patch } from "./dom.js";
import { attempt, banner, toasts } from "./notice.js";
import { here, to } from "./router.js";
import { asksWho, may, session, settings } from "./session.js";
import { changePassword } from "./views/users.js";

const PAGES = [
  ["home", "Home"], ["dags", "DAGs"], ["runs", "Runs"], ["queues", "Queues"], ["calendar", "Calendar"], ["system", "System"], ["search", "Search"],
  ["secrets", "Secrets", "manager"], ["audit", "Audit", "admin"], ["settings", "Settings", "admin"],
  ...(settings.auth === "builtin" ? [["access", "Access", "admin"]] : []),
];
const THEMES = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

const bar = h("header", { class: "bar" });
export const main = h("main", { id: "main", tabindex: "-1" });

/** Put the frame onto the page. */
export function open() {
  applyTheme();
  const skip = h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } },
    "Skip to the content");
  document.body.replaceChildren(skip, bar, banner, main, toasts);
  draw();
}

/** Draw the bar again: the page, the user or the theme has changed. */
export function draw() {
  const [section = "home"] = here().parts;
  patch(bar,
    h("a", { class: "brand", href: "#/home" }, settings.title),
    h("nav", { "aria-label": "Pages" }, PAGES.filter(([, , role]) => !role || may(role)).map(([name, label]) =>
      h("a", { href: to([name]), "aria-current": section === name && "page" }, label, name === "home" && attention.count > 0
        && h("span", { class: "count-badge", title: `${attention.count} wait for approval` }, String(attention.count),
          h("span", { class: "unseen" }, " wait for approval"))))),
    h("span", { class: "gap" }),
    settings.remoteNodes && h("select", {
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
  if (settings.auth === "oidc") {
    location.assign("oidc-logout");
    return;
  }
  // Without an answer the login goes on, and this page must not look as if it had ended.
  if (!await attempt(() => send("POST", "auth/logout"))) return;
  session.user = null;
  listeners.unauthorized();
}

/** Find out who is logged in; raises ApiError if a login is required and there is none. */
export async function identify() {
  session.user = null;
  if (asksWho || settings.auth === "oidc") session.user = (await get("auth/me")).user;
  draw();
}
