// The workspace that the pages are about. The address names it in front of the `#`, so all links of a page keep it.

const named = new URLSearchParams(location.search).get("workspace") ?? "";

/** Its name; empty: the default workspace. */
export const workspace = named === "default" ? "" : named;

/** The same as a query, for links that lead out of the pages. */
export const asQuery = workspace ? `?${new URLSearchParams({ workspace })}` : "";

// Links such as `#/runs` are read against the base: it must have the same query, or they would leave the workspace.
if (workspace) document.querySelector("base").href = new URL(asQuery, document.baseURI).href;

/** What changes the whole server: the API refuses such a request if it names a workspace. */
const SERVER_WIDE = /^(pause|resume|users(\/.*)?|workspaces(\/.*)?|worker-pools(\/.*)?|dead-letters(\/.*)?|workers\/[^/]+\/(drain|resume))$/;

/** The header that names the workspace in a request for `where`. */
export const header = (where) => (workspace && !SERVER_WIDE.test(where) ? { "X-Dagway-Workspace": workspace } : {});

/** Return the address of a page in another workspace; `place` is what follows the `#`. */
export function addressIn(name, place) {
  const address = new URL(location.href);
  address.search = name === "default" ? "" : new URLSearchParams({ workspace: name });
  address.hash = place;
  return address.href;
}
