// Where in a YAML text a position is, by indentation: also a line that is half written has a place, which no parser tells.

/** Stands in a path for an item of a list. */
export const ITEM = Symbol("item of a list");

const LINE = /^(\s*)((?:-\s+|-$)*)(?:([\w.$-]+|"[^"]*"|'[^']*')\s*:(?:\s+(.*)|$))?/;
const BLOCK = /^[|>][-+\d]*\s*(?:#.*)?$/;

/** Take a line apart: the columns of its dashes, its key with its column, and the value behind it. */
function parse(text) {
  const [, indent, dashes, key, value = ""] = LINE.exec(text);
  const columns = [...dashes].flatMap((sign, index) => (sign === "-" ? [indent.length + index] : []));
  return { columns, key: key?.replace(/^["']|["']$/g, ""), column: indent.length + dashes.length, value: value.trim() };
}

const blank = (text) => /^\s*(?:#|$)/.test(text) || /^---/.test(text);

/**
 * The path to what begins at `column` of line `number` (from 0): keys, and ITEM for items of lists, outermost first.
 * Null inside of a text of several lines, and where the indentation fits nothing.
 */
export function pathTo(lines, number, column) {
  const path = [];
  let limit = column;
  let item = false;
  for (let at = number; at >= 0 && (limit > 0 || item); at -= 1) {
    if (at !== number && blank(lines[at])) continue;
    const line = parse(lines[at]);
    if (at !== number && line.key !== undefined && (line.column < limit || (item && line.column === limit))) {
      if (line.value && !line.value.startsWith("#") && !/^[&!]/.test(line.value)) return null;
      path.unshift(line.key);
      limit = line.column;
      item = false;
    }
    for (const dash of line.columns.reverse()) {
      if (dash >= limit) continue;
      path.unshift(ITEM);
      limit = dash;
      item = true;
    }
  }
  return path;
}

/** Whether the line lies in a text of several lines (`|` or `>`), where every word is the text's own. */
export function inBlock(lines, number) {
  let limit = /^\s*/.exec(lines[number])[0].length || (lines[number].trim() ? 0 : Infinity);
  for (let at = number - 1; at >= 0 && limit > 0; at -= 1) {
    if (!lines[at].trim()) continue;
    const { column, columns, key, value } = parse(lines[at]);
    const outer = columns[0] ?? /^\s*/.exec(lines[at])[0].length;
    if (outer >= limit) continue;
    const text = key === undefined ? lines[at].slice(column) : value;
    if (BLOCK.test(text.trim())) return true;
    limit = outer;
  }
  return false;
}

/** The keys that the map at `column` has beside line `number`. */
export function keysBeside(lines, number, column) {
  const keys = new Set();
  // A dash left of the column begins an item of a list, and with it the map.
  const begins = (line) => line.columns.some((dash) => dash < column);
  const collect = (at, by) => {
    for (; at >= 0 && at < lines.length; at += by) {
      if (blank(lines[at])) continue;
      const line = parse(lines[at]);
      if (line.column < column || (by > 0 && begins(line))) return;
      if (line.column === column && line.key !== undefined) keys.add(line.key);
      if (begins(line)) return;
    }
  };
  if (!begins(parse(lines[number]))) collect(number - 1, -1);
  collect(number + 1, 1);
  return keys;
}

/**
 * What is written at the end of `before`, the text of line `number` up to the cursor: `{ kind, word, path, column }`.
 * `kind` is "key" for a key or an item of a list, "value" for what follows a key. Null where neither fits.
 */
export function writtenAt(lines, number, before) {
  if (inBlock(lines, number)) return null;
  const key = /^(\s*(?:-\s+)*)([\w.$-]*)$/.exec(before);
  if (key) {
    const column = key[1].length;
    const path = pathTo([...lines.slice(0, number), before], number, column);
    return path && { kind: "key", word: key[2], path, column };
  }
  const value = /^(\s*(?:-\s+)*)([\w.$-]+):\s+([^\s#[{"']*)$/.exec(before);
  if (!value) return null;
  const column = value[1].length;
  const path = pathTo([...lines.slice(0, number), before], number, column);
  return path && { kind: "value", word: value[3], path: [...path, value[2]], column };
}

/** The path of the key that stands at `column` of line `number`; null if none does. */
export function keyAt(lines, number, column) {
  const line = parse(lines[number]);
  if (line.key === undefined || inBlock(lines, number)) return null;
  if (column < line.column || column > line.column + line.key.length) return null;
  const path = pathTo(lines, number, line.column);
  return path && { path: [...path, line.key], from: line.column, to: line.column + line.key.length };
}
