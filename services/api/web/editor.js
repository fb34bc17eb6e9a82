// A text with numbered lines and marks at those that are wrong.

import { h } from "./dom.js";

const LINE = /^line (\d+)(?:, column (\d+))?: /;

/** The lines that `errors` name, by number. */
const marked = (errors) => new Set(errors.map((text) => Number(LINE.exec(text)?.[1])).filter(Boolean));

export class Editor {
  constructor({ label, text, readonly, changed }) {
    this.area = h("textarea", { class: "mono", "aria-label": label, spellcheck: "false", autocapitalize: "off", wrap: "off",
      readonly, rows: 10 });
    this.area.value = text;
    this.gutter = h("div", { class: "gutter mono", "aria-hidden": "true" });
    this.root = h("div", { class: "editor" }, this.gutter, this.area);
    this.errors = [];
    this.area.oninput = () => {
      this.number();
      changed?.(this.area.value);
    };
    this.area.onkeydown = (event) => this.indent(event);
    this.number();
  }

  get text() {
    return this.area.value;
  }

  set text(value) {
    this.area.value = value;
    this.number();
  }

  /** Mark the lines that these messages are about. */
  mark(errors) {
    this.errors = errors;
    this.number();
  }

  /** Go to the place that a message names. */
  show(message) {
    const [, line, column] = LINE.exec(message) ?? [];
    if (line) this.showLine(Number(line), Number(column ?? 1));
  }

  showLine(line, column = 1) {
    const lines = this.area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    this.area.focus();
    this.area.setSelectionRange(start + column - 1, start + (lines[line - 1] ?? "").length);
    this.gutter.children[line - 1]?.scrollIntoView({ block: "center" });
  }

  number() {
    const count = this.area.value.split("\n").length;
    const wrong = marked(this.errors);
    this.area.rows = Math.max(10, count + 1);
    this.gutter.replaceChildren(...Array.from({ length: count }, (_, index) =>
      h("div", { class: wrong.has(index + 1) ? "wrong" : "" }, String(index + 1))));
  }

  /** Tab indents a selection of lines; Escape first, and it moves on, as anywhere else. */
  indent(event) {
    if (event.key === "Escape") this.leaving = true;
    else if (event.key !== "Tab" || event.shiftKey || this.leaving || this.area.readOnly) this.leaving = event.key === "Tab" ? false : this.leaving;
    else {
      event.preventDefault();
      this.area.setRangeText("  ", this.area.selectionStart, this.area.selectionEnd, "end");
      this.area.oninput();
    }
  }
}
