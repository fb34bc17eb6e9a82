// Searches a whole log for a text. The gateway does it, in as many requests as are needed.

import { ApiError } from "./api.js";

/** How many matching lines are kept. */
const MOST_HITS = 10_000;
const A_REQUEST = 1000;

/** Compare as the gateway does, which ignores the case of ASCII letters only. */
const folded = (text) => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());

export class LogFind {
  constructor(typed = "") {
    Object.assign(this, { typed, text: folded(typed), hits: [], place: -1, searching: Boolean(typed), more: false });
  }

  matches(line) {
    return Boolean(this.text) && folded(line.textContent).includes(this.text);
  }

  /** Search everything by `ask(query)`; `found()` follows each answer, and may return false to end the search. */
  async search(ask, found) {
    let offset = 1;
    do {
      const answer = await ask({ q: this.text, offset, limit: A_REQUEST });
      this.hits.push(...answer.lines);
      offset = answer.nextLine;
      this.more = Boolean(offset) && this.hits.length >= MOST_HITS;
      this.searching = Boolean(offset) && !this.more;
    } while (found() !== false && this.searching);
  }

  /** Go to the first line at or after `line`, or `way` lines on, and return its number. */
  step(way, line) {
    const { hits, place } = this;
    if (!hits.length) return 0;
    if (place < 0) this.place = Math.max(0, hits.findIndex((each) => each >= line));
    else this.place = (place + way + hits.length) % hits.length;
    return hits[this.place];
  }

  /** What is known so far, in words. */
  get said() {
    const count = `${this.hits.length.toLocaleString("en")}${this.more ? "+" : ""} line${this.hits.length === 1 ? "" : "s"}`;
    if (this.failed) return this.failed;
    if (this.searching) return this.hits.length ? `${count} so far…` : "searching…";
    return this.hits.length ? `${(this.place + 1).toLocaleString("en")} of ${count}` : "not in this log";
  }

  /** Remember why the search failed. During a rollout a gateway may not have this operation yet. */
  refused(error) {
    if (!(error instanceof ApiError)) throw error;
    Object.assign(this, { searching: false, failed: error.status === 404 ? "cannot be searched now" : error.message });
  }
}
