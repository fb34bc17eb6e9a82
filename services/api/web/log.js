// A log as it is written: its end first, what is added as it comes, earlier lines when asked for.
//
// However much was written, the page holds a bounded part of it; the whole is for "Download".

import { ApiError, get } from "./api.js";
import { h, patch } from "./dom.js";
import { attempt } from "./notice.js";

const FIRST_LINES = 1000;
const MORE_LINES = 5000;
const KEPT_LINES = 20_000;
const LINE_CHARS = 4000;
const EVERY_MS = 1000;
const DOWNLOAD_LINES = 10_000;
/** Colours and the like; titles, links and other texts for the terminal itself; what is left of either. */
// eslint-disable-next-line no-control-regex
const FOR_TERMINALS = /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/]*[0-~])/g;

/** An element that shows the log at `where` of the API; `live()` tells whether more is to come. */
export function log({ where, name, live, streams, first }) {
  return h("section", { class: "log", key: `log ${where}`, "aria-label": `Log of ${name}`,
    mount: (root) => new LogView(root, { where, name, live, streams, first }).begin() });
}

class LogView {
  constructor(root, given) {
    Object.assign(this, given, { root, stream: given.first ?? "", following: true, wrap: true });
    this.text = h("pre", { tabindex: "0", role: "log", "aria-label": `${this.name}: what it wrote`, class: "wrap" });
    this.top = h("div", { class: "log-bar" });
    this.note = h("p", { class: "faint", hidden: true });
    root.append(this.top, this.note, this.text);
  }

  begin() {
    this.load();
    return () => {
      this.ended = true;
      clearTimeout(this.timer);
    };
  }

  /** Show the end of the log, instead of whatever is shown. */
  async load() {
    clearTimeout(this.timer);
    Object.assign(this, { first: 1, next: 1, done: false });
    this.text.replaceChildren();
    this.draw();
    await this.step({ tail: FIRST_LINES }, (answer) => {
      this.first = answer.totalLines - answer.lineCount + 1;
      this.next = answer.totalLines + 1;
      this.add(answer.content, answer.lineCount);
    });
  }

  /** Ask for lines, show them by `use`, and come again while more are to come. */
  async step(query, use) {
    const stream = this.stream;
    const wasLive = this.live();
    try {
      const answer = await get(this.where, { ...query, stream });
      if (this.ended || stream !== this.stream) return;
      if (answer.totalLines < this.next - 1) {
        // A new attempt began the log anew.
        await this.load();
        return;
      }
      use(answer);
      this.say("");
      this.done = !wasLive;
      this.draw();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.ended) return;
      this.say(error.message);
    }
    this.timer = setTimeout(() => this.tick(), EVERY_MS);
  }

  tick() {
    if (this.ended) return;
    if (this.live()) this.done = false;
    if (this.done || document.hidden || !this.following) this.timer = setTimeout(() => this.tick(), EVERY_MS);
    else {
      this.step({ offset: this.next, limit: MORE_LINES }, (answer) => {
        this.next += answer.lineCount;
        this.add(answer.content, answer.lineCount);
      });
    }
  }

  add(content, count) {
    if (!count) return;
    const bottom = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 30;
    this.text.append(chunk(content, count));
    let kept = [...this.text.childNodes].reduce((sum, node) => sum + node.lines, 0);
    while (kept > KEPT_LINES && this.text.childNodes.length > 1) {
      kept -= this.text.firstChild.lines;
      this.first += this.text.firstChild.lines;
      this.text.firstChild.remove();
    }
    if (bottom) this.text.scrollTop = this.text.scrollHeight;
  }

  async earlier(event) {
    const from = Math.max(1, this.first - MORE_LINES);
    await attempt(async () => {
      const answer = await get(this.where, { offset: from, limit: this.first - from, stream: this.stream });
      const height = this.text.scrollHeight;
      this.text.prepend(chunk(answer.content, answer.lineCount));
      this.first = from;
      this.text.scrollTop += this.text.scrollHeight - height;
    }, { button: event.target });
    this.draw();
  }

  async download(event) {
    await attempt(async () => {
      const parts = [];
      for (let offset = 1; ;) {
        const answer = await get(this.where, { offset, limit: DOWNLOAD_LINES, stream: this.stream });
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
    this.load();
  }

  draw() {
    const hidden = this.first - 1;
    patch(this.top,
      this.streams && h("span", { class: "choice", role: "group", "aria-label": "Stream" }, this.streams.map((stream) =>
        h("button", { type: "button", "aria-pressed": String(stream === this.stream), onclick: () => this.choose(stream) }, stream))),
      h("span", { class: "faint" }, this.next === 1 ? (this.live() ? "nothing yet" : "nothing was written")
        : `${(this.next - 1).toLocaleString("en")} line${this.next === 2 ? "" : "s"}`),
      hidden > 0 && h("button", { type: "button", key: "earlier", onclick: (event) => this.earlier(event) },
        `Earlier (${hidden.toLocaleString("en")})`),
      h("span", { class: "gap" }),
      this.live() && h("label", { class: "check" }, h("input", { type: "checkbox", checked: this.following,
        onchange: (event) => { this.following = event.target.checked; } }), "Follow"),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: this.wrap,
        onchange: (event) => { this.wrap = event.target.checked; this.text.classList.toggle("wrap", this.wrap); } }), "Wrap"),
      h("button", { type: "button", disabled: this.next === 1, onclick: (event) => this.download(event) }, "Download"));
  }
}

function chunk(content, lines) {
  const node = h("span", {}, `${content.split("\n").map(readable).join("\n")}\n`);
  node.lines = lines;
  return node;
}

/** A line without what only a terminal understands, as it stood there last, and not longer than an eye can follow. */
function readable(line) {
  const plain = line.replace(FOR_TERMINALS, "").split("\r").findLast((text) => text) ?? "";
  if (plain.length <= LINE_CHARS) return plain;
  return `${plain.slice(0, LINE_CHARS)} … ${(plain.length - LINE_CHARS).toLocaleString("en")} more characters: see Download`;
}
