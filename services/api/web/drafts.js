// Unsaved texts, kept while the browser's tab is open, so that editing can go on later.

import { remote } from "./api.js";
import { session } from "./session.js";

const drafts = new Map();

addEventListener("beforeunload", (event) => drafts.size > 0 && event.preventDefault());

/** Each person's and each server's own. */
const key = (file) => JSON.stringify([session.user?.username, remote.node, file]);

/** What there is of a DAG's text: `text`, and the `tag` of the saved one that it was made from. */
export const draft = (file) => drafts.get(key(file));

/** The files with an unsaved text, sorted. */
export const unsaved = () => [...drafts.keys()].map((each) => JSON.parse(each)).filter((each) => key(each.at(-1)) === JSON.stringify(each))
  .map((each) => each.at(-1)).sort();

export const keep = (file, text, tag) => drafts.set(key(file), { text, tag });

export const drop = (file) => drafts.delete(key(file));

/** The file has another name now. */
export function rename(file, name) {
  if (!draft(file)) return;
  drafts.set(key(name), draft(file));
  drop(file);
}
