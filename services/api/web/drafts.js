// Unsaved texts, kept while the browser's tab is open, so that editing can go on later.

import { remote } from "./api.js";
import { session } from "./session.js";
import { workspace } from "./workspace.js";

/** Where they are while the page is loaded again: another server may have its page at another path of this host. */
const STORED = `dagway unsaved texts ${new URL(".", document.baseURI).pathname}`;
const drafts = new Map(JSON.parse(sessionStorage.getItem(STORED) ?? "[]"));

addEventListener("beforeunload", (event) => drafts.size > 0 && event.preventDefault());
// The page is loaded anew for a newer version of it, another workspace, or a login at a provider.
addEventListener("pagehide", () => {
  try {
    sessionStorage.setItem(STORED, JSON.stringify([...drafts]));
  } catch {
    // More than the browser keeps. The person was asked before.
    sessionStorage.removeItem(STORED);
  }
});

/** Each person's, each workspace's and each server's own. */
const key = (file) => JSON.stringify([session.user?.username, workspace, remote.node, file]);

/** What there is of a DAG's text: `text`, and the `tag` of the saved one that it was made from. */
export const draft = (file) => drafts.get(key(file));

/** The files with an unsaved text, sorted. */
export const unsaved = () => [...drafts.keys()].map((each) => JSON.parse(each)).filter((each) => key(each.at(-1)) === JSON.stringify(each))
  .map((each) => each.at(-1)).sort();

export const keep = (file, text, tag) => drafts.set(key(file), { text, tag });

export const drop = (file) => drafts.delete(key(file));

/** The keys of the person's texts, in all workspaces and at all servers. */
const own = () => [...drafts.keys()].filter((each) => JSON.parse(each)[0] === session.user?.username);

/** The files of these texts. */
export const unsavedAnywhere = () => own().map((each) => JSON.parse(each).at(-1));

/** Leave none of the person's texts to whoever sits here next. */
export function dropAll() {
  for (const each of own()) drafts.delete(each);
  sessionStorage.removeItem(STORED);
}

/** The file has another name now. */
export function rename(file, name) {
  if (!draft(file)) return;
  drafts.set(key(name), draft(file));
  drop(file);
}
