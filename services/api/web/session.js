// The session: the server's login methods, and the user's credentials.
//
// Credentials are kept for the browser's session where there is a name and a password behind them, and
// beyond it only for a login's token, which ends by itself.

export const settings = getConfig();

const KEY = `dagway ${new URL(document.baseURI).pathname}`;
const places = { builtin: localStorage, basic: sessionStorage, token: sessionStorage };
const place = places[settings.auth];

/** The value of the Authorization header; empty: none. */
export const authorization = () => place?.getItem(KEY) ?? "";

export function remember(header) {
  place?.setItem(KEY, header);
}

export function forget() {
  place?.removeItem(KEY);
}

/** Whether this page has a login form. */
export const asksWho = place !== undefined;

/** Basic credentials as a header; names and passwords may hold any character. */
export function basic(username, password) {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/** The user who is logged in, where there are users. */
export const session = { user: null };

const RANKS = ["viewer", "operator", "manager", "admin"];

/** Whether the person may do what needs `role`; the server decides, this only hides what would fail. */
export function may(role) {
  if (role === "operator" && !settings.permissions.runDags) return false;
  if (role === "manager" && !settings.permissions.writeDags) return false;
  return !session.user || RANKS.indexOf(session.user.role) >= RANKS.indexOf(role);
}
