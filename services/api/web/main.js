// Starts the front end: login, routing, and watching the server.

import { ApiError, get, listeners, remote } from "./api.js";
import { attention, forgetApprovals, watchApprovals } from "./attention.js";
import { bringBack, setAside, withdraw } from "./dialog.js";
import { h, patch } from "./dom.js";
import { listen } from "./keyboard.js";
import { watch } from "./notice.js";
import { Page } from "./page.js";
import { arrive, here } from "./router.js";
import { asksWho, hasUsers, session } from "./session.js";
import { draw, identify, main, open } from "./shell.js";
import { access } from "./views/access.js";
import { audit } from "./views/audit.js";
import { compare } from "./views/compare.js";
import { dag } from "./views/dag.js";
import { dags } from "./views/dags.js";
import { deadLetters } from "./views/dead_letters.js";
import { home } from "./views/home.js";
import { login } from "./views/login.js";
import { month } from "./views/month.js";
import { queues } from "./views/queues.js";
import { run } from "./views/run.js";
import { runs } from "./views/runs.js";
import { search } from "./views/search.js";
import { secrets } from "./views/secrets.js";
import { settings } from "./views/settings.js";
import { system } from "./views/system.js";
import { unknown } from "./views/unknown.js";
import { workspacePage, workspaces } from "./views/workspaces.js";

const VIEWS = { home: [home], dags: [dags, dag], runs: [runs, unknown, run, unknown, run], queues: [queues], calendar: [month], system: [system], search: [search], audit: [audit],
  access: [access], secrets: [secrets], settings: [settings], workspaces: [workspaces, workspacePage], "dead-letters": [deadLetters],
  compare: [unknown, unknown, compare, unknown, compare] };
const AGAIN_MS = 2000;
const REFUSED_MS = 15_000;
const SLOW_MS = 400;
let page;
let slow;
let known = false;
let later;
/** How far each entry of the browser's history was scrolled, by its number; and the number of the present one. */
const scrolled = new Map();
let entry;

/** Show the page that the address names; the same page with another query goes on as it is. */
function route() {
  const place = here();
  if (!known) return;
  const top = arrived();
  if (page && page.place.parts.join("\n") === place.parts.join("\n")) {
    page.place = place;
    follow(page.refresh());
    return;
  }
  const [section = "home", ...rest] = place.parts;
  const before = page;
  show(VIEWS[section]?.[rest.length] ?? unknown, place, top);
  draw();
  scrollTo(0, 0);
  // Keyboard and screen reader users continue in the new page, not at the link they followed.
  if (before) main.focus({ preventScroll: true });
}

/** Return how far the entry of the history was scrolled that the browser is at now: a link makes one without a number. */
function arrived() {
  scrolled.set(entry, scrollY);
  entry = history.state?.entry ?? Math.random();
  history.replaceState({ entry }, "");
  return scrolled.get(entry) ?? 0;
}

/** Show that something happens, unless what a link or a filter asked for is there in a moment. */
async function follow(shown) {
  calm();
  const own = slow = setTimeout(() => main.setAttribute("aria-busy", "true"), SLOW_MS);
  try {
    await shown;
  } finally {
    if (own === slow) calm();
  }
}

function calm() {
  clearTimeout(slow);
  main.removeAttribute("aria-busy");
}

function show(view, place, top = 0) {
  page?.end();
  calm();
  withdraw();
  page = new Page(main, place, top);
  patch(main, h("p", { class: "loading", role: "status", key: "loading" }, "Loading…"));
  view(page);
}

async function begin() {
  known = false;
  clearTimeout(later);
  try {
    await identify();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    // Nobody has tried to log in yet: there is nothing to say about it.
    if (asksWho && error.status === 401) return askWho();
    if (asksWho && error.status === 403) return askWho(error);
    // Without the answer nobody knows which pages and buttons to show. Another node may not have this operation.
    if (error.passing || !remote.node) return tryAgain(error);
  }
  known = true;
  session.absent = false;
  watchApprovals();
  page?.end();
  page = undefined;
  route();
  bringBack();
}

function tryAgain(error) {
  session.absent = true;
  show((entrance) => entrance.failed(error), here());
  draw();
  later = setTimeout(begin, error.passing ? AGAIN_MS : REFUSED_MS);
}

function askWho(refused) {
  forgetWho({ mayBeBack: Boolean(refused) });
  show((entrance) => login(entrance, { refused, begin }), here());
  draw();
}

/** Whoever was logged in is not any more; who did not log out may be back in a moment. */
function forgetWho({ mayBeBack }) {
  known = false;
  forgetApprovals();
  if (mayBeBack && session.user) setAside(session.user.username);
  Object.assign(session, { user: null, workspaces: [], absent: true });
  withdraw({ all: true });
}

/** In another tab somebody may have logged in meanwhile, maybe somebody else; or an administrator has changed the role. */
async function whoIsHere() {
  if (document.hidden || !hasUsers || remote.node) return;
  try {
    const { user } = await get("auth/me");
    if (user.username === session.user?.username && user.role === session.user.role) return;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return;
  }
  if (known) forgetWho({ mayBeBack: true });
  await begin();
}

// Without a login form here the page says itself that it was refused, and goes on once there is a session again.
listeners.unauthorized = (refused) => known && asksWho && askWho(refused);
// A browser would scroll before the page has anything to show.
history.scrollRestoration = "manual";
addEventListener("hashchange", route);
addEventListener("begin-anew", begin);
document.addEventListener("visibilitychange", whoIsHere);
listen(() => known);
attention.changed = draw;
arrive();
open();
watch(() => (known && page ? page.refresh() : begin()));
begin();
