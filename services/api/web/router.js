// Where somebody is: the part of the address after `#`, which no server and no proxy has to know.

/** Return the address of a page: to`runs/${name}/${id}` with `query` behind it; empty values are left out. */
export function to(parts, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

/** Return the present address's parts, decoded, and its query. */
export function here() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const parts = path.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { parts, query: Object.fromEntries(new URLSearchParams(search)) };
}

/** Change the query of the present address; in place, so that "back" leaves the page. */
export function stay(changes) {
  const { parts, query } = here();
  history.replaceState(null, "", to(parts, { ...query, ...changes }));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function go(parts, query) {
  location.hash = to(parts, query);
}
