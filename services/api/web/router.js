// Where somebody is: the part of the address after `#`, which no server and no proxy has to know.

import { asQuery } from "./workspace.js";

const SECTIONS = { "dag-runs": "runs", dashboard: "home", "system-status": "system" };
const TABS = { spec: "spec", history: "runs" };

/** Take an address of Dagu's pages, which bookmarks and other programs hold, for the page of ours that shows the same. */
export function arrive() {
  const base = new URL(document.baseURI).pathname;
  const [section, ...names] = segments(location.pathname.slice(base.length));
  if (!section) return;
  const child = new URLSearchParams(location.search).get("subDAGRunId");
  const parts = [SECTIONS[section] ?? section, ...(section === "dags" ? names.slice(0, 1) : names), ...(child ? ["sub", child] : [])];
  const place = to(parts, { tab: section === "dags" ? TABS[names[1]] : "" });
  history.replaceState(null, "", `${base}${asQuery}${location.hash || place}`);
}

/** Return the address of a page, such as `to(["runs", name, id])`, with `query` behind it; empty values are left out. */
export function to(parts, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

/** Return the present address's parts, decoded, and its query. */
export function here() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { parts: segments(path), query: Object.fromEntries(new URLSearchParams(search)) };
}

function segments(path) {
  return path.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}

/**
 * Change the query of the present address; in place, so that "back" leaves the page. What was typed `at` a place a moment ago is
 * no filter of another page, to which somebody has gone meanwhile.
 */
export function stay(changes, at = here()) {
  const { parts, query } = here();
  if (parts.join("\n") !== at.parts.join("\n")) return;
  history.replaceState(history.state, "", to(parts, { ...query, ...changes }));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function go(parts, query) {
  location.hash = to(parts, query);
}
