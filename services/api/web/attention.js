// How many steps wait for a person, for the number in the navigation.

import { ApiError, get } from "./api.js";

/** When to ask first: after the page has asked for what it shows. */
const FIRST_MS = 1000;
const EVERY_MS = 10_000;

/** `count` is the newest known number; `changed` is called after each change. */
export const attention = {
  count: 0,
  changed: () => {},
  tell(count) {
    if (count === attention.count) return;
    attention.count = count;
    attention.changed();
  },
};

let timer;

/** Ask soon, then every ten seconds while the page is visible. */
export function watchApprovals() {
  clearTimeout(timer);
  timer = setTimeout(look, FIRST_MS);
}

async function look() {
  timer = setTimeout(look, EVERY_MS);
  if (document.hidden) return;
  try {
    attention.tell((await get("approvals")).approvals.length);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

/** Stop asking: nobody is logged in. */
export function forgetApprovals() {
  clearTimeout(timer);
  attention.tell(0);
}
