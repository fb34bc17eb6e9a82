// Messages beside the page: that the system is away, and the outcome of actions.

import { ApiError, listeners, remote, request } from "./api.js";
import { h, patch, refocus } from "./dom.js";
import { settings } from "./session.js";

/** When to look first: after the page has asked for what it shows. */
const FIRST_MS = 1500;
const CALM_MS = 10_000;
const ANXIOUS_MS = 2_000;
const PATIENCE_MS = 4_000;
const TOAST_MS = 6_000;

export const banner = h("div", { class: "banner", role: "status", "aria-live": "polite", hidden: true });
export const toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" });

/** Watch over gateway and broker, and whether this page is as new as the gateway; `recovered` is called when they are back. */
export function watch(recovered) {
  let away = false;
  let timer;

  function say(text, version = settings.version) {
    const back = away && !text;
    const old = version !== settings.version;
    away = Boolean(text);
    banner.hidden = !away && !old;
    banner.classList.toggle("old", old);
    patch(banner, away ? [h("strong", {}, text), " Trying again by itself."] : old && [
      `The server has version ${version} now, and this page is still of ${settings.version}. `,
      h("button", { type: "button", onclick: () => location.reload() }, "Reload")]);
    if (back) recovered();
  }

  async function look() {
    clearTimeout(timer);
    try {
      const response = await request("GET", "health", { patience: PATIENCE_MS });
      // This page does not come from a remote node.
      say("", remote.node ? undefined : (await response.json().catch(() => ({}))).version);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 503) say(`Not everything works: ${error.message}.`);
      else if (error.passing) say(`${error.message}.`);
      else say("");
    }
    timer = setTimeout(look, away ? ANXIOUS_MS : CALM_MS);
  }

  let asking = false;
  listeners.outcome = (error) => {
    // The health check is one of those requests itself.
    if (!error || asking || away) return;
    asking = true;
    look().finally(() => { asking = false; });
  };
  document.addEventListener("visibilitychange", () => document.hidden || look());
  timer = setTimeout(look, FIRST_MS);
}

/** Show a message for a while; errors stay until they are closed. The same message twice is one. Returns its element. */
export function toast(text, kind = "info") {
  for (const same of [...toasts.children].filter((each) => each.firstChild.textContent === text)) same.remove();
  const box = h("div", { class: `toast is-${kind}` }, h("span", {}, text));
  const close = () => box.remove();
  box.append(h("button", { type: "button", class: "plain", "aria-label": "Close", onclick: close }, "×"));
  toasts.append(box);
  if (kind !== "error") setTimeout(close, TOAST_MS);
  return box;
}

/** Say for how many things an action was done or refused, and why the first refused one was; `count` says how many they are. */
export function tellOutcomes(label, results, { count, name = () => "" }) {
  const refused = results.filter(({ outcome }) => outcome === "refused");
  const done = results.filter(({ outcome }) => outcome === "done").length;
  if (done) toast(`${label}: ${count(done)}.`);
  if (refused.length) toast(`${label}: ${count(refused.length)} refused. ${name(refused[0])}${refused[0].message}`, "error");
}

listeners.accepted = () => toast("Accepted, but not recorded yet: a scheduler will record it as soon as one runs.");

/** Run an action: show its failure, and on `button` that it runs. Returns whether it succeeded. */
export async function attempt(act, { button, done } = {}) {
  const focused = button && document.activeElement === button;
  if (button) button.disabled = button.busy = true;
  try {
    const answer = await act();
    if (done && !answer?.accepted) toast(typeof done === "function" ? done(answer) : done);
    return true;
  } catch (error) {
    // Its page is not shown any more.
    if (error.name === "AbortError") return false;
    if (!(error instanceof ApiError)) throw error;
    toast(error.message, "error");
    return false;
  } finally {
    if (button) button.disabled = button.busy = false;
    // The browser takes the focus from what is disabled.
    if (focused && [button, document.body].includes(document.activeElement)) refocus(button, document.querySelector("main"));
  }
}
