// Filters that a person keeps under a name, in this browser.

import { asQuery } from "./workspace.js";

const KEY = `dagway views ${new URL(document.baseURI).pathname}${asQuery}`;

/** Pairs of a view's name and its query, in the order in which they were saved. */
export function savedViews() {
  try {
    return Object.entries(JSON.parse(localStorage.getItem(KEY) ?? "{}"));
  } catch {
    return [];
  }
}

const store = (pairs) => localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(pairs)));

export const saveView = (name, query) => store([...savedViews().filter(([other]) => other !== name), [name, query]]);

export const dropView = (name) => store(savedViews().filter(([other]) => other !== name));
