// The client of the REST API.

import { learn } from "./server_time.js";
import { asksWho } from "./session.js";
import { header } from "./workspace.js";

const PATIENCE_MS = 60_000;
/** The gateway sends something every 12 s on a stream, if only to say that it is there. */
const SILENT_MS = 30_000;
/** Where a 401 may be about the password in the body: the login goes on. */
export const PASSWORD = "auth/change-password";
const UNKNOWN = "The connection to the message broker was lost: it is not known whether this was done. Look before you repeat it.";
const ROOT = new URL("api/v2/", document.baseURI);

/** What the API refused, or that it could not be reached (status 0). `message` is the API's own. */
export class ApiError extends Error {
  constructor(status, code, message, body = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.body = body;
  }

  /** Whether the same request may succeed later by itself. */
  get passing() {
    return this.status === 0 || this.status >= 502;
  }

  /** Whether this server knows nobody by the session. A remote node that refuses this server's own login is something else. */
  get loggedOut() {
    return this.status === 401 && this.code !== "bad_gateway";
  }
}

/** Called after each request with its error, if any; after a 401; and when a change is accepted but not recorded yet. */
export const listeners = { outcome: () => {}, unauthorized: () => {}, accepted: () => {} };

/** The remote node that answers instead of this server; empty: none. */
export const remote = { node: "" };

/** A path whose values may hold any character: path`dags/${name}/spec`. */
export const path = (texts, ...values) => String.raw({ raw: texts }, ...values.map(encodeURIComponent));

/** Send a request and return the response; raises ApiError for anything but success. */
export async function request(method, where, { query, body, headers, signal, accept, patience = PATIENCE_MS } = {}) {
  const url = new URL(where, ROOT);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  if (remote.node) url.searchParams.set("remoteNode", remote.node);
  const given = { Accept: accept ?? "application/json", ...header(where), ...headers };
  // This page has a login form: the browser must not ask for a password itself.
  if (asksWho) given["X-Requested-With"] = "XMLHttpRequest";
  if (body !== undefined) given["Content-Type"] = "application/json";
  const sentMs = Date.now();
  let response;
  try {
    response = await fetch(url, {
      method, signal: within(signal, patience), headers: given, cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const lost = new ApiError(0, "unreachable", "The gateway does not answer");
    listeners.outcome(lost);
    throw lost;
  }
  learn(response, sentMs);
  if (response.ok) {
    listeners.outcome(null);
    return response;
  }
  const refused = await refusal(response);
  listeners.outcome(refused.passing ? refused : null);
  if (refused.loggedOut && where !== PASSWORD) listeners.unauthorized(refused);
  throw refused;
}

/** The caller's own signal, and a timeout; a stream has no timeout. */
function within(signal, patience) {
  const signals = [signal, Number.isFinite(patience) && AbortSignal.timeout(patience)].filter(Boolean);
  return AbortSignal.any(signals);
}

async function refusal(response) {
  try {
    const body = JSON.parse(await response.text());
    // The API's own words are about a header.
    const message = body.details?.outcome === "unknown" ? UNKNOWN : body.message ?? body.error ?? response.statusText;
    return new ApiError(response.status, body.code ?? "", message, body);
  } catch {
    return new ApiError(response.status, "", `HTTP ${response.status} ${response.statusText}`);
  }
}

async function content(response, signal) {
  try {
    const text = await response.text();
    return text ? JSON.parse(text) : {};
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "unreachable", "The connection to the gateway was lost during its answer");
  }
}

/** A header for a dialog's request: pressed twice, it is carried out once. */
export const idempotencyKey = () => ({ "Idempotency-Key": `page-${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}` });

export const get = async (where, query, signal) => content(await request("GET", where, { query, signal }), signal);

/** Send a change. If it is accepted but not recorded yet, the answer is `accepted` and has a `commandId`. */
export async function send(method, where, body, headers) {
  const response = await request(method, where, { body: body ?? {}, headers });
  const answer = await content(response);
  // A change of many things has an outcome for each.
  const accepted = response.status === 202 || (answer.results ?? []).some(({ outcome }) => outcome === "accepted");
  if (accepted) listeners.accepted();
  return { ...answer, accepted };
}

/** Sends changes that must not be made twice: as long as the outcome of one is not known, it is the same request again. */
export class Once {
  constructor() {
    this.headers = new Map();
  }

  async send(method, where, body) {
    const asked = JSON.stringify([method, where, body]);
    if (!this.headers.has(asked)) this.headers.set(asked, idempotencyKey());
    try {
      const answer = await send(method, where, body, this.headers.get(asked));
      if (!answer.accepted) this.headers.delete(asked);
      return answer;
    } catch (error) {
      if (!error.passing) this.headers.delete(asked);
      throw error;
    }
  }
}

/**
 * Read server-sent events until the server ends them; `tell` gets lists of `{ id, data }`. Returns false at their end for good.
 * Raises AbortError also after a long silence: nobody tells the browser that a cable was pulled.
 */
export async function events(where, { lastId, signal, tell }) {
  const silence = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENT_MS);
  };
  heard();
  try {
    return await stream(where, { lastId, signal: AbortSignal.any([signal, silence.signal]), heard, tell });
  } finally {
    clearTimeout(timer);
  }
}

async function stream(where, { lastId, signal, heard, tell }) {
  const headers = lastId ? { "Last-Event-ID": lastId } : {};
  const response = await request("GET", where, { headers, signal, accept: "text/event-stream", patience: Infinity });
  if (response.status === 204) return false;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return true;
    heard();
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    const found = [];
    for (const part of parts) {
      const fields = new Map(part.split("\n").map((line) => line.split(/: ?(.*)/s).slice(0, 2)));
      if (fields.has("data")) found.push({ id: fields.get("id"), data: JSON.parse(fields.get("data")) });
    }
    if (found.length) tell(found);
  }
}
