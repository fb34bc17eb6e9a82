// The look of the editor: the page's own colours, which know light and dark.

import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const mix = (colour, percent) => `color-mix(in srgb, var(${colour}) ${percent}%, var(--sheet))`;

const frame = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--sheet)", fontSize: "12.5px" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55" },
  ".cm-content": { padding: "10px 0", caretColor: "var(--ink)", minHeight: "220px" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { color: "var(--faint)", backgroundColor: "var(--raised)", border: "0" },
  ".cm-activeLine": { backgroundColor: mix("--accent", 5) },
  ".cm-activeLineGutter": { color: "var(--ink)", backgroundColor: mix("--accent", 14) },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: mix("--accent", 24) },
  ".cm-tooltip": { color: "var(--ink)", backgroundColor: "var(--sheet)", border: "1px solid var(--line)", borderRadius: "7px",
    boxShadow: "0 6px 24px rgb(0 0 0 / 0.18)" },
  ".cm-tooltip.cm-tooltip-hover, .cm-completionInfo": { padding: "6px 10px", maxWidth: "46ch" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { color: "var(--on-accent)", backgroundColor: "var(--accent)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected] .cm-completionDetail": { color: "var(--on-accent)" },
  ".cm-completionDetail": { color: "var(--faint)" },
  ".cm-panels": { color: "var(--ink)", backgroundColor: "var(--raised)" },
  ".cm-panel input, .cm-panel button": { color: "var(--ink)", background: "var(--sheet)", border: "1px solid var(--line)", borderRadius: "5px" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)" },
  ".cm-changedLine, .cm-insertedLine": { backgroundColor: mix("--good", 12) },
  ".cm-deletedChunk": { backgroundColor: mix("--bad", 12) },
  "&.cm-merge-b .cm-changedText, .cm-changedText": { background: mix("--good", 28) },
  ".cm-deletedChunk .cm-deletedText": { background: mix("--bad", 28) },
  ".cm-collapsedLines": { color: "var(--faint)", background: "var(--raised)" },
});

const words = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--busy)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: "var(--wait)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--faint)", fontStyle: "italic" },
  { tag: [tags.meta, tags.labelName, tags.typeName], color: "var(--bad)" },
]);

export const look = [frame, syntaxHighlighting(words)];
