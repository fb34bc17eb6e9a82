// The editor of workflow files: with colours and completion if this installation has it built, else a plain one.

import { h } from "./dom.js";
import { settings } from "./session.js";

const PLAIN = "dagway plain editor";

/** Whether there is a choice, and what this browser has chosen. */
export const choice = {
  get offered() {
    return settings.codeEditor;
  },
  get plain() {
    return !settings.codeEditor || localStorage.getItem(PLAIN) === "yes";
  },
  set plain(wanted) {
    localStorage.setItem(PLAIN, wanted ? "yes" : "no");
  },
};

const built = () => import("./built/editor.js");

/** An element in which styles of its own may be adopted: the page's policy allows no style elements. */
function frame(props) {
  const host = h("div", props);
  return { host, root: host.attachShadow({ mode: "open" }) };
}

/** Make an editor: `root` is its element, `text` its text. `changed()` follows each edit, `save()` follows Ctrl+S. */
export async function openEditor(options) {
  // During a rollout the file may be asked of a gateway that has not got it.
  const { CodeEditor } = choice.plain ? {} : await built().catch(() => ({}));
  if (!CodeEditor) return new PlainEditor(options);
  const { host, root } = frame({ class: "code-editor" });
  const editor = new CodeEditor({ ...options, root });
  editor.root = host;
  fetch(new URL("assets/dag.schema.json", document.baseURI)).then((answer) => answer.json()).then((schema) => editor.learn(schema))
    // Without the schema it does not complete; everything else works.
    .catch(() => {});
  return editor;
}

/** An element that shows what differs between two texts. */
export async function openChanges({ label, before, after }) {
  const { showChanges } = await built();
  const { host, root } = frame({ class: "code-editor changes" });
  showChanges({ root, label, before, after });
  return host;
}

const LINE = /^line (\d+)(?:, column (\d+))?: /;

/** The lines that `errors` name, by number. */
const marked = (errors) => new Set(errors.map((text) => Number(LINE.exec(text)?.[1])).filter(Boolean));

/** Put a text in the place of what is selected, as if it were typed: no other way of a program can be undone by the browser. */
function insert(text) {
  // Chromium needs seconds for a hundred lines of `insertText`, and hours for thousands; Firefox has no `insertHTML` here. No
  // element can come of it: the text is escaped, and a text area has none.
  const escaped = Object.assign(document.createElement("p"), { textContent: text }).innerHTML;
  if (!document.execCommand("insertHTML", false, escaped)) document.execCommand("insertText", false, text);
}

/** A text area with numbered lines, and marks at those that are wrong. */
class PlainEditor {
  constructor({ label, readonly, changed, save }) {
    this.area = h("textarea", { class: "mono", "aria-label": label, spellcheck: "false", autocapitalize: "off", wrap: "off",
      readonly, rows: 10 });
    this.gutter = h("div", { class: "gutter mono", "aria-hidden": "true" });
    this.root = h("div", { class: "editor" }, this.gutter, this.area);
    this.errors = [];
    this.area.oninput = () => {
      this.number();
      changed();
    };
    this.area.onkeydown = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "s") {
        event.preventDefault();
        save();
      } else this.indent(event);
    };
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
    const numbers = this.gutter.children;
    // Counted here: after each change the browser would count all of them anew.
    let shown = numbers.length;
    for (; shown > count; shown -= 1) this.gutter.lastChild.remove();
    for (; shown < count; shown += 1) this.gutter.append(h("div", {}, String(shown + 1)));
    // Only what differs is touched: a key must not cost more the more lines there are.
    for (const each of this.gutter.querySelectorAll(".wrong")) each.classList.remove("wrong");
    for (const line of wrong) numbers[line - 1]?.classList.add("wrong");
  }

  /** Tab indents, the lines of a selection too; Escape first, and it moves on, as anywhere else. Ctrl+Z takes it back. */
  indent(event) {
    if (event.key !== "Tab" || event.shiftKey || this.area.readOnly) return;
    event.preventDefault();
    const { value, selectionStart, selectionEnd } = this.area;
    if (selectionStart === selectionEnd) return insert("  ");
    const from = value.lastIndexOf("\n", selectionStart - 1) + 1;
    const lines = value.slice(from, selectionEnd).replace(/^(?!$)/gm, "  ");
    this.area.setSelectionRange(from, selectionEnd);
    insert(lines);
    this.area.setSelectionRange(from, from + lines.length);
  }

  end() {}
}
