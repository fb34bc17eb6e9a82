// A log while it is written: its end first, new lines as they come, other lines when somebody scrolls, jumps or searches.
//
// However much was written, the page holds a bounded part of it; the whole is for "Download".

import { AnsiLines } from "./ansi.js";
import { ApiError, get } from "./api.js";
import { h, patch } from "./dom.js";
import { LogFind } from "./log_find.js";
import { attempt } from "./notice.js";
import { here, stay } from "./router.js";

const FIRST_LINES = 1000;
const MORE_LINES = 5000;
const KEPT_LINES = 20_000;
const EVERY_MS = 1000;
const DOWNLOAD_LINES = 10_000;
const BEFORE_LINE = 200;
const FIND_MS = 250;
/** How near to an end of the shown lines more of them are asked for. */
const NEAR_PX = 300;
/** How wide the column of numbers is, with the padding before it. */
const GUTTER_PX = 68;

/**
 * An element of `page` that shows the log at `where` of the API, or of one `attempt` only; `live()` tells whether more is to come. Of
 * several streams it shows the `first`, or `instead` if nothing was written to that one.
 */
export function log({ page, where, attempt, name, live, streams, first, instead }) {
  return h("section", { class: "log", key: `log ${where} ${attempt ?? ""}`, "aria-label": `Log of ${name}`,
    mount: (root) => new LogView(root, { page, where, attempt, name, live, streams, first, instead }).begin() });
}

const streamOf = (streams, name) => (streams ?? []).includes(name);

class LogView {
  constructor(root, given) {
    Object.assign(this, given, { root, stream: given.first ?? "", following: true, wrap: true, find: new LogFind(), was: 0 });
    // The address may name a line, and the stream that it is in.
    const { line, stream } = here().query;
    if (streamOf(given.streams, stream)) Object.assign(this, { stream, instead: stream });
    this.line = Number(line) || 0;
    this.text = h("pre", { tabindex: "0", role: "log", "aria-label": `${this.name}: what it wrote`, class: "wrap" });
    this.top = h("div", { class: "log-bar" });
    this.note = h("p", { class: "faint", hidden: true });
    this.text.addEventListener("click", (event) => this.clicked(event));
    this.text.addEventListener("scroll", () => this.scrolled());
    root.append(this.top, this.note, this.text);
  }

  begin() {
    this.load();
    return () => {
      this.ended = true;
      clearTimeout(this.timer);
      clearTimeout(this.soon);
    };
  }

  /** Show the end of the log, instead of whatever is shown. */
  async load() {
    clearTimeout(this.timer);
    // What was asked for before is of no use any more when it comes.
    Object.assign(this, { turn: Symbol("turn"), first: 1, next: 1, total: undefined, done: false });
    this.text.replaceChildren();
    this.draw();
    if (this.line) return this.around(this.line);
    return this.step({ tail: FIRST_LINES }, (answer) => {
      const { instead = this.stream } = this;
      this.instead = undefined;
      // Nobody has chosen the stream, and all that was written may be in the other one.
      if (!answer.totalLines && instead !== this.stream) return this.choose(instead);
      this.first = answer.totalLines - answer.lineCount + 1;
      this.next = answer.totalLines + 1;
      this.add(answer.content, answer.lineCount);
    });
  }

  /** Show the part of the log that has this line. */
  around(line) {
    const from = Math.max(1, line - BEFORE_LINE);
    this.following = false;
    return this.step({ offset: from, limit: FIRST_LINES }, (answer) => {
      if (from > answer.totalLines) {
        // The address may name a line of another attempt, whose log was longer.
        this.line = 0;
        this.following = true;
        return this.load();
      }
      this.first = from;
      this.next = from + answer.lineCount;
      this.add(answer.content, answer.lineCount);
      this.point(line)?.scrollIntoView({ block: "center" });
      this.following = this.next > this.total;
    });
  }

  /** A click on the number of a line makes the address name it. */
  clicked(event) {
    const line = event.target.closest(".line");
    if (!line || event.clientX - this.text.getBoundingClientRect().left > GUTTER_PX) return;
    stay({ stream: this.streams ? this.stream : "", line: line.dataset.n });
    this.point(Number(line.dataset.n));
  }

  /** Mark this line alone, and return it if it is shown. */
  point(line) {
    this.line = line;
    for (const each of this.text.querySelectorAll(".pointed")) each.classList.remove("pointed");
    const found = this.lineOf(line);
    found?.classList.add("pointed");
    return found;
  }

  lines(content, count, first) {
    const node = chunk(content, count, first);
    if (this.find.text) for (const line of node.childNodes) line.classList.toggle("hit", this.find.matches(line));
    return node;
  }

  /** Mark the shown lines that contain a text, look for it in the whole log, and go to the next line that has it. */
  search(text) {
    const find = new LogFind(text);
    this.find = find;
    for (const line of this.text.querySelectorAll(".line")) line.classList.toggle("hit", find.matches(line));
    this.draw();
    clearTimeout(this.soon);
    if (text) this.soon = setTimeout(() => this.searchAll(find), FIND_MS);
  }

  async searchAll(find) {
    const from = this.first;
    const { stream } = this;
    try {
      await find.search((query) => this.ask({ ...query, stream }, `${this.where}/search`), () => {
        if (this.ended || this.find !== find) return false;
        this.draw();
        return true;
      });
    } catch (error) {
      if (this.ended) return;
      find.refused(error);
    }
    if (!this.ended && this.find === find) await this.nextHit(1, from);
  }

  async nextHit(way, from = this.first) {
    const line = this.find.step(way, from);
    if (line) {
      await this.goTo(line);
      for (const each of this.text.querySelectorAll(".current")) each.classList.remove("current");
      this.lineOf(line)?.classList.add("current");
    }
    this.draw();
  }

  lineOf(line) {
    return this.text.querySelector(`.line[data-n="${line}"]`);
  }

  /** Bring a line into sight, wherever in the log it is. */
  async goTo(line) {
    this.following = false;
    const shown = this.lineOf(line);
    if (shown) this.text.scrollTop = shown.offsetTop - this.text.offsetTop - this.text.clientHeight / 2;
    else {
      this.line = line;
      await this.load();
    }
    this.point(line);
    this.settle();
  }

  /** Scrolling by the program must not load more lines: take the present place as known. */
  settle() {
    this.was = this.text.scrollTop;
  }

  /** Somebody scrolled: near an end of what is shown, show more of the log. */
  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.text;
    const [up, down] = [scrollTop < this.was, scrollTop > this.was];
    this.was = scrollTop;
    if (this.busy) return;
    if (up && scrollTop < NEAR_PX && this.first > 1) this.earlier();
    else if (down && scrollHeight - scrollTop - clientHeight < NEAR_PX && this.behind > 0) this.later();
  }

  /** How many lines follow those that are shown and are not followed. */
  get behind() {
    return this.following ? 0 : this.total - this.next + 1;
  }

  /** Ask about this log. When the page loads everything again, ask again: after an outage the answer may never come. */
  async ask(query, where = this.where) {
    try {
      return await get(where, { ...query, attempt: this.attempt }, this.page.wanted);
    } catch (error) {
      if (this.ended || error.name !== "AbortError") throw error;
      return this.ask(query, where);
    }
  }

  /** Ask for lines, show them by `use`, and come again while more are to come. */
  async step(query, use) {
    const { stream, turn } = this;
    const wasLive = this.live();
    try {
      const answer = await this.ask({ ...query, stream });
      if (this.ended || turn !== this.turn) return;
      if (answer.totalLines < this.next - 1) {
        // A new attempt began the log anew.
        await this.load();
        return;
      }
      this.total = answer.totalLines;
      use(answer);
      // It may have asked for other lines instead.
      if (turn !== this.turn) return;
      this.settle();
      this.say("");
      this.done = !wasLive && this.next > this.total;
      this.draw();
    } catch (error) {
      if (this.ended || turn !== this.turn) return;
      if (!(error instanceof ApiError)) throw error;
      this.say(error.message);
      this.draw();
    }
    this.timer = setTimeout(() => this.tick(), EVERY_MS);
  }

  tick() {
    if (this.ended) return;
    if (this.live()) this.done = false;
    if (this.done || document.hidden || !this.following) this.timer = setTimeout(() => this.tick(), EVERY_MS);
    else if (this.total - this.next >= MORE_LINES) this.follow(true); // written faster than it can be shown: skip to the end
    else {
      const { next } = this;
      this.step({ offset: next, limit: MORE_LINES }, (answer) => {
        if (next !== this.next) return;
        this.next += answer.lineCount;
        this.add(answer.content, answer.lineCount);
      });
    }
  }

  add(content, count) {
    if (!count) return;
    const bottom = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 30;
    this.text.append(this.lines(content, count, this.next - count));
    this.first += this.spare("firstChild");
    if (bottom) this.text.scrollTop = this.text.scrollHeight;
  }

  /** Take away what is too much at one end, a chunk at a time, and return how many lines that were. */
  spare(end) {
    const before = [...this.text.childNodes].reduce((sum, node) => sum + node.lines, 0);
    let kept = before;
    while (kept > KEPT_LINES && this.text.childNodes.length > 1) {
      kept -= this.text[end].lines;
      this.text[end].remove();
    }
    return before - kept;
  }

  /** Show lines before those that are shown; where the end had to go for them, it is not followed any more. */
  earlier(event) {
    const { first } = this;
    const from = Math.max(1, first - MORE_LINES);
    return this.more(event, { offset: from, limit: first - from }, (answer) => {
      if (first !== this.first) return;
      const height = this.text.scrollHeight;
      this.text.prepend(this.lines(answer.content, answer.lineCount, from));
      this.first = from;
      this.text.scrollTop += this.text.scrollHeight - height;
      const gone = this.spare("lastChild");
      this.next -= gone;
      if (gone) this.following = false;
    });
  }

  /** Show lines behind those that are shown, after their end had to go; at the end again, it is followed again. */
  later(event) {
    const { next } = this;
    return this.more(event, { offset: next, limit: MORE_LINES }, (answer) => {
      if (next !== this.next) return;
      const last = this.text.lastChild;
      const place = last.offsetTop - this.text.scrollTop;
      this.total = answer.totalLines;
      this.next += answer.lineCount;
      this.add(answer.content, answer.lineCount);
      this.text.scrollTop = last.offsetTop - place;
      this.following = this.next > this.total;
    });
  }

  async more(event, query, use) {
    const { stream, turn } = this;
    this.busy = true;
    await attempt(async () => {
      const answer = await this.ask({ ...query, stream });
      if (turn === this.turn) use(answer);
    }, { button: event?.target });
    this.busy = false;
    this.settle();
    this.draw();
  }

  follow(on) {
    this.following = on;
    if (on) this.line = 0;
    if (on && this.next <= this.total) this.load();
    else this.draw();
  }

  async download(event) {
    await attempt(async () => {
      const parts = [];
      for (let offset = 1; ;) {
        const answer = await this.ask({ offset, limit: DOWNLOAD_LINES, stream: this.stream });
        if (!answer.lineCount) break;
        parts.push(answer.content, "\n");
        offset += answer.lineCount;
        if (offset > answer.totalLines) break;
      }
      const url = URL.createObjectURL(new Blob(parts, { type: "text/plain" }));
      const file = `${this.name}${this.stream ? `.${this.stream}` : ""}.log`.replaceAll("/", "_");
      h("a", { href: url, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    }, { button: event.target });
  }

  say(text) {
    this.note.hidden = !text;
    patch(this.note, text);
  }

  choose(stream) {
    this.stream = stream;
    this.instead = undefined;
    this.line = 0;
    this.following = true;
    this.load();
    this.search(this.find.typed);
  }

  draw() {
    const count = (number) => number.toLocaleString("en");
    const before = this.first - 1;
    const { behind } = this;
    patch(this.top,
      this.streams && h("span", { class: "choice", role: "group", "aria-label": "Stream" }, this.streams.map((stream) =>
        h("button", { type: "button", "aria-pressed": String(stream === this.stream), onclick: () => this.choose(stream) }, stream))),
      h("span", { class: "faint" }, this.total === undefined ? this.note.hidden && "Loading…"
        : this.total === 0 ? (this.live() ? "nothing yet" : "nothing was written") : `${count(this.total)} line${this.total === 1 ? "" : "s"}`),
      before > 0 && h("button", { type: "button", key: "earlier", onclick: (event) => this.earlier(event) }, `Earlier (${count(before)})`),
      behind > 0 && [
        h("button", { type: "button", key: "later", onclick: (event) => this.later(event) }, `Later (${count(behind)})`),
        h("button", { type: "button", key: "end", onclick: () => this.follow(true) }, "To the end")],
      this.total > FIRST_LINES && h("input", { type: "number", class: "short", "aria-label": "Go to line", placeholder: "Line", min: 1, max: this.total, key: "line",
        onchange: ({ target }) => target.value && target.checkValidity() && this.goTo(Number(target.value)) }),
      h("input", { type: "search", "aria-label": "Find in the log", placeholder: "Find", maxlength: 200, value: this.find.typed, key: "find",
        oninput: (event) => this.search(event.target.value.trim()),
        onkeydown: (event) => event.key === "Enter" && !this.find.searching && this.nextHit(event.shiftKey ? -1 : 1) }),
      this.find.text && h("span", { class: "faint", role: "status", key: "hits" }, this.find.said),
      h("span", { class: "gap" }),
      this.live() && h("label", { class: "check" }, h("input", { type: "checkbox", checked: this.following,
        onchange: (event) => this.follow(event.target.checked) }), "Follow"),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: this.wrap,
        onchange: (event) => { this.wrap = event.target.checked; this.text.classList.toggle("wrap", this.wrap); } }), "Wrap"),
      h("button", { type: "button", onclick: () => this.root.requestFullscreen?.() }, "Full screen"),
      h("button", { type: "button", disabled: !this.total, onclick: (event) => this.download(event) }, "Download"));
  }
}

/** Lines as an element, each with its number. Few nodes a line: a page may hold 20,000 of them. */
function chunk(content, lines, first) {
  const ansi = new AnsiLines();
  const node = document.createElement("span");
  content.split("\n").forEach((text, index) => {
    const line = document.createElement("span");
    line.className = "line";
    line.setAttribute("data-n", first + index);
    if (ansi.isPlain(text)) line.textContent = `${text}\n`;
    else line.append(...ansi.nodes(text), "\n");
    node.append(line);
  });
  node.lines = lines;
  return node;
}
