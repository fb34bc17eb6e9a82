// A line of a terminal's output as nodes: its colours as classes, its addresses as links, nothing else of the terminal.

import { h } from "./dom.js";

/** Colours and the like; titles, links and other texts for the terminal itself; what is left of either. */
// eslint-disable-next-line no-control-regex
const FOR_TERMINALS = /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/]*[0-~])/g;
// eslint-disable-next-line no-control-regex
const STYLE = /(\u001b\[[0-9;:]*m)/g;
const ADDRESS = /(https?:\/\/[^\s"'<>\\^`{|}]*[^\s"'<>\\^`{|}.,;:!?)\]])/;
const LINE_CHARS = 4000;
/** How many pieces of text a page draws without a halt; lines after so many have no colours. */
const MOST_PIECES = 20_000;
// eslint-disable-next-line no-control-regex
const SPECIAL = /[\u001b\r]|:\/\//;
const PLAIN = { fg: "", bg: "", more: new Set() };
const ON = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse" };
const OFF = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"] };

/** Makes lines that follow each other: a colour holds until it is changed. */
export class AnsiLines {
  constructor() {
    this.style = PLAIN;
    this.pieces = 0;
  }

  /** Whether a line is nothing but its text. */
  isPlain(line) {
    return this.style === PLAIN && line.length <= LINE_CHARS && !SPECIAL.test(line);
  }

  /** The nodes of a line: as it stood there last, and not longer than an eye can follow. */
  nodes(line) {
    const states = line.split("\r");
    const last = states.findLastIndex((state) => state.replace(FOR_TERMINALS, ""));
    // The colours of the others hold all the same.
    const shown = states.map((state, index) => (index === last ? state : state.match(STYLE)?.join("") ?? "")).join("");
    const nodes = [];
    let left = LINE_CHARS;
    let hidden = 0;
    if (this.pieces > MOST_PIECES) this.style = PLAIN;
    const parts = this.pieces > MOST_PIECES ? [shown.replace(FOR_TERMINALS, "")] : shown.split(STYLE);
    // Every second part is a style.
    for (const [index, part] of parts.entries()) {
      if (index % 2) {
        this.style = styled(this.style, part.slice(2, -1));
        continue;
      }
      const text = part.replace(FOR_TERMINALS, "");
      hidden += Math.max(0, text.length - left);
      if (text && left > 0) nodes.push(...this.piece(text.slice(0, left)));
      left = Math.max(0, left - text.length);
    }
    if (hidden) nodes.push(` … ${hidden.toLocaleString("en")} more characters: see Download`);
    return nodes;
  }

  piece(text) {
    const { more } = this.style;
    let { fg, bg } = this.style;
    if (more.has("inverse")) [fg, bg] = [bg.replace("bg", "fg"), (fg || "fg-7").replace("fg", "bg")];
    const name = [fg, bg, ...more].filter(Boolean).join(" ");
    // Every second part is an address.
    const parts = text.split(ADDRESS).map((part, index) => (index % 2
      ? h("a", { href: part, target: "_blank", rel: "noopener noreferrer", tabindex: "-1" }, part) : part)).filter(Boolean);
    this.pieces += parts.length;
    return name ? [h("span", { class: name }, parts)] : parts;
  }
}

/** The style after a control sequence with these numbers. */
function styled(before, text) {
  const codes = text.split(";").map((each) => each.split(":").map(Number));
  let { fg, bg } = before;
  let more = new Set(before.more);
  for (let index = 0; index < codes.length; index += 1) {
    const [code, ...own] = codes[index];
    if (code === 0) [fg, bg, more] = ["", "", new Set()];
    else if (ON[code]) more.add(ON[code]);
    else if (OFF[code]) for (const name of OFF[code]) more.delete(name);
    else if (code >= 30 && code <= 37) fg = `fg-${code - 30}`;
    else if (code >= 90 && code <= 97) fg = `fg-${code - 90}`;
    else if (code >= 40 && code <= 47) bg = `bg-${code - 40}`;
    else if (code >= 100 && code <= 107) bg = `bg-${code - 100}`;
    else if (code === 39) fg = "";
    else if (code === 49) bg = "";
    else if (code === 38 || code === 48) {
      // Between colons it is one number of the sequence, with a colour space before the three values.
      const [kind, ...values] = own.length ? own : codes.slice(index + 1, index + 5).flat();
      const found = kind === 5 ? ofPalette(values[0]) : nearest(own.length ? values.slice(-3) : values);
      if (code === 38) fg = found === null ? "" : `fg-${found}`;
      else bg = found === null ? "" : `bg-${found}`;
      if (!own.length) index += kind === 2 ? 4 : 2;
    }
  }
  return fg || bg || more.size ? { fg, bg, more } : PLAIN;
}

/** One of the eight colours, which the theme has made readable, for one of a palette of 256; for a grey none. */
const ofPalette = (number) => (number < 16 ? number % 8
  : number < 232 ? nearest([36, 6, 1].map((size) => Math.floor((number - 16) / size) % 6)) : null);

/** The one that has most of the same of red, green and blue. */
function nearest(values) {
  const most = Math.max(...values);
  if (!(most > Math.min(...values))) return null;
  return values.reduce((sum, value, bit) => sum + (value > most / 2 ? 2 ** bit : 0), 0);
}
