// One page while it is open: its element, its refreshes, its end.

import { ApiError, send } from "./api.js";
import { h, patch } from "./dom.js";
import { attempt, toast } from "./notice.js";
import { to } from "./router.js";
import { settings } from "./session.js";

const SLOWEST_MS = 15_000;
const REFUSED = 10;

export class Page {
  /** `top`: how far to scroll when there is something to see. */
  constructor(root, place, top = 0) {
    this.root = root;
    this.place = place;
    this.top = top;
    this.ending = new AbortController();
    this.asking = new AbortController();
    this.refreshes = [];
  }

  get signal() {
    return this.ending.signal;
  }

  /** For the requests of a load: aborted as soon as their answers are not wanted any more, because everything is loaded again. */
  get wanted() {
    return this.asking.signal;
  }

  end() {
    this.ending.abort();
    this.asking.abort();
  }

  /** Show this tree instead of what is shown. */
  show(...tree) {
    if (this.signal.aborted) return;
    const first = !this.shown;
    this.shown = true;
    patch(this.root, ...tree);
    if (first && this.top) scrollTo(0, this.top);
  }

  title(text) {
    if (!this.signal.aborted) document.title = text;
  }

  /** Call `load` now and `ms()` after each time it is done, less often while it fails or the page is hidden. */
  every(ms, load) {
    const loop = new Loop(this, ms, load);
    this.refreshes.push(loop);
    loop.run();
    return loop;
  }

  /** Load everything again at once. What is under way may not show yet what was changed or chosen, or may never be answered. */
  async refresh() {
    this.asking.abort();
    if (!this.signal.aborted) this.asking = new AbortController();
    await Promise.all(this.refreshes.map((loop) => loop.run()));
  }

  /** Change something by the API, then load everything again. Raises ApiError. */
  async change(method, where, body, headers) {
    const answer = await send(method, where, body, headers);
    await this.refresh();
    return answer;
  }

  /** Do something by the API without a dialog: `attempt` shows on `button` how it goes, and its failure. */
  async act(where, body, { button, done } = {}) {
    await attempt(() => send("POST", where, body), { button, done });
    await this.refresh();
  }

  /**
   * Show that the page could not be loaded. After an error that may pass, a page that is shown stays, with what somebody
   * types in it: the banner tells of the outage, and a message of anything else until `loop` has loaded the page again.
   */
  failed(error, loop) {
    if (this.signal.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    if (this.shown && (error.passing || error.status === 429 || error.status >= 500)) {
      if (!error.passing) loop.outdated ??= toast(`This page is not up to date: ${error.message}`, "error");
      return;
    }
    const text = error.passing ? `${error.message.replace(/\.$/, "")}. Trying again…` : error.message;
    patch(this.root, h("div", { class: "empty", role: "alert", key: "failed" },
      h("h1", {}, error.status === 404 ? "Not found" : error.passing ? "Waiting" : "Loading this page failed"),
      h("p", {}, text),
      error.status === 404 && h("p", {}, h("a", { href: "#/dags" }, "All DAGs")),
      // An old bookmark, or an address typed by hand.
      error.status === 400 && Object.keys(this.place.query).length > 0
        && h("p", {}, h("a", { href: to(this.place.parts) }, "Open this page without its filters")),
      // The provider knows the user, and leads back here.
      error.loggedOut && settings.auth === "oidc"
        && h("p", {}, h("button", { type: "button", class: "primary", onclick: () => location.reload() }, "Log in"))));
  }
}

class Loop {
  constructor(page, ms, load) {
    Object.assign(this, { page, ms, load, failures: 0 });
    const wake = () => document.hidden || this.run();
    document.addEventListener("visibilitychange", wake, { signal: page.signal });
    page.signal.addEventListener("abort", () => this.outdated?.remove());
  }

  /** Run once, and return when that is done; while one is under way, another one follows it. */
  run() {
    const next = () => {
      this.next = undefined;
      return this.begin();
    };
    return this.running ? this.next ??= this.running.then(next, next) : this.begin();
  }

  begin() {
    clearTimeout(this.timer);
    return this.running = this.once().finally(() => {
      this.running = undefined;
      const ms = typeof this.ms === "function" ? this.ms() : this.ms;
      if (!ms || this.next || document.hidden || this.page.signal.aborted) return;
      this.timer = setTimeout(() => this.run(), Math.max(ms, Math.min(SLOWEST_MS, ms * 2 ** this.failures)));
    });
  }

  async once() {
    if (this.page.signal.aborted) return;
    try {
      await this.load();
      this.failures = 0;
      this.outdated?.remove();
      this.outdated = undefined;
    } catch (error) {
      if (this.page.signal.aborted || error.name === "AbortError") return;
      // After a final refusal ask again rarely; while the server is away, less and less often.
      this.failures = error.passing ? this.failures + 1 : REFUSED;
      this.page.failed(error, this);
    }
  }
}
