// The editor of workflow files: CodeMirror with YAML, the schema's completion and hover, and mistakes at their lines.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit } from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { diff, unifiedMergeView } from "@codemirror/merge";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, Transaction } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";

import { completions, explain } from "./assist.js";
import { look } from "./theme.js";

const MISTAKE = /^line (\d+)(?:, column (\d+))?: /;
const NONE = [];

/** The place of a message in the document: from its column, if it names one, to the end of its line. */
function placed(doc, message) {
  const [head = "", line = "1", column = "1"] = MISTAKE.exec(message) ?? NONE;
  const found = doc.line(Math.min(Number(line), doc.lines));
  const from = Math.min(found.from + Number(column) - 1, found.to);
  return { from, to: found.to, severity: "error", message: message.slice(head.length) };
}

/**
 * Make an editor in `root`, a shadow root: there styles come as adopted sheets, which a strict
 * Content-Security-Policy allows. `changed()` follows each edit, `save()` follows Ctrl+S.
 */
export class CodeEditor {
  constructor({ root, label, readonly, changed, save }) {
    this.assistance = new Compartment();
    // A text that the program sets is no edit.
    this.quiet = false;
    this.view = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        extensions: [
          lineNumbers(), highlightActiveLineGutter(), foldGutter(), history(), drawSelection(), indentOnInput(), bracketMatching(),
          closeBrackets(), highlightActiveLine(), highlightSelectionMatches(), lintGutter(), indentUnit.of("  "), yaml(), look,
          this.assistance.of([]),
          keymap.of([
            { key: "Mod-s", preventDefault: true, run: () => { save(); return true; } },
            ...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, indentWithTab,
          ]),
          EditorState.readOnly.of(readonly),
          EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0", ...(readonly ? { "aria-readonly": "true" } : {}) }),
          EditorView.editable.of(!readonly),
          EditorView.updateListener.of((update) => update.docChanged && !this.quiet && changed()),
        ],
      }),
    });
  }

  get text() {
    return this.view.state.doc.toString();
  }

  set text(value) {
    const before = this.text;
    if (value === before) return;
    this.quiet = true;
    // Only what differs is replaced, so that the cursor stays where it is.
    const changes = diff(before, value).map(({ fromA, toA, fromB, toB }) => ({ from: fromA, to: toA, insert: value.slice(fromB, toB) }));
    // What comes into an empty editor was not written here, so nobody can take it back.
    const annotations = Transaction.addToHistory.of(before !== "");
    this.view.dispatch({ changes, annotations });
    this.quiet = false;
  }

  /** Complete and explain by this JSON Schema. */
  learn(schema) {
    const source = autocompletion({ override: [completions(schema)] });
    this.view.dispatch({ effects: this.assistance.reconfigure([source, explain(schema)]) });
  }

  /** Show these messages at the lines that they name. */
  mark(messages) {
    const { state } = this.view;
    this.view.dispatch(setDiagnostics(state, messages.map((each) => placed(state.doc, each))));
  }

  /** Go to the place that a message names. */
  show(message) {
    this.select(placed(this.view.state.doc, message));
  }

  showLine(line) {
    const { from, to } = this.view.state.doc.line(Math.max(1, Math.min(line, this.view.state.doc.lines)));
    this.select({ from, to });
  }

  select({ from, to }) {
    this.view.dispatch({ selection: { anchor: from, head: to }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    this.view.focus();
  }

  end() {
    this.view.destroy();
  }
}

/** Show in `root`, a shadow root, what differs between two texts. */
export function showChanges({ root, label, before, after }) {
  return new EditorView({
    root,
    parent: root,
    doc: after,
    extensions: [
      lineNumbers(), yaml(), look, EditorState.readOnly.of(true), EditorView.editable.of(false),
      EditorView.contentAttributes.of({ "aria-label": label, "aria-readonly": "true", tabindex: "0" }),
      unifiedMergeView({ original: before, mergeControls: false, gutter: true, collapseUnchanged: { margin: 3, minSize: 6 } }),
    ],
  });
}
