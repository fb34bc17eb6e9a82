// Completion and hover texts from the schema of workflow files.

import { hoverTooltip } from "@codemirror/view";

import { keyAt, keysBeside, writtenAt } from "./place.js";
import { at, describe, keys, kinds, values } from "./schema.js";

const linesOf = (state) => state.doc.toString().split("\n");

/** What is said beside a proposal or a key. Text stays text. */
function note(lines) {
  const box = document.createElement("div");
  for (const text of lines) box.appendChild(document.createElement("div")).textContent = text;
  return box;
}

/** A key with the colon behind it; where only a map or a list fits, its first line is begun as well. */
function insertion(name, found, column) {
  const all = kinds(found);
  const nested = all.length > 0 && all.every((kind) => kind === "object" || kind === "array");
  if (!nested) return `${name}: `;
  return `${name}:\n${" ".repeat(column + 2)}${all.includes("object") ? "" : "- "}`;
}

const stepNames = (lines) => lines.flatMap((text) => /^\s*(?:-\s+)?name:\s+(.+?)\s*$/.exec(text)?.slice(1) ?? []);

/** Return a completion source for documents of this schema. */
export function completions(schema) {
  return (context) => {
    const line = context.state.doc.lineAt(context.pos);
    const lines = linesOf(context.state);
    const place = writtenAt(lines, line.number - 1, line.text.slice(0, context.pos - line.from));
    if (!place || (!place.word && !context.explicit && place.kind === "key")) return null;
    const options = [];
    if (place.kind === "key") {
      const taken = keysBeside(lines, line.number - 1, place.column);
      for (const { name, forms } of keys(schema, place.path)) {
        if (taken.has(name)) continue;
        options.push({ label: name, type: "property", detail: kinds(forms).join(" | "), info: () => note(describe(forms)),
          apply: insertion(name, forms, place.column) });
      }
    }
    for (const value of values(schema, place.path)) options.push({ label: value, type: "enum" });
    if (place.path.includes("depends")) for (const name of stepNames(lines)) options.push({ label: name, type: "variable", detail: "step" });
    return options.length ? { from: context.pos - place.word.length, options, validFor: /^[\w.$-]*$/ } : null;
  };
}

/** Return the extension that says what the key under the pointer means. */
export function explain(schema) {
  return hoverTooltip((view, pos) => {
    const line = view.state.doc.lineAt(pos);
    const key = keyAt(linesOf(view.state), line.number - 1, pos - line.from);
    const said = key ? describe(at(schema, key.path)) : [];
    if (!said.length) return null;
    return { pos: line.from + key.from, end: line.from + key.to, above: true, create: () => ({ dom: note(said) }) };
  });
}
