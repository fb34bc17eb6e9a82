// Times and durations for people. Times are in the zone of the browser; titles have them in the server's zone.

import { h } from "./dom.js";
import { now } from "./server_time.js";
import { settings } from "./session.js";

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

const none = (text) => !text || text === "-" || text.startsWith("0001-");

/** `19:05:07` today, `Nov 24 19:05:07` before; the whole of it is in the title. */
export function clock(text) {
  if (none(text)) return h("span", { class: "faint" }, "–");
  const at = new Date(text);
  const today = new Date(now());
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
  const year = today.getFullYear() === at.getFullYear() ? "" : `${at.getFullYear()} `;
  const shown = today.toDateString() === at.toDateString() ? time : `${year}${MONTHS[at.getMonth()]} ${at.getDate()} ${time}`;
  return h("time", { datetime: text, title: onServer(text) }, shown);
}

/** A time in the zone of the server, with that zone. */
const onServer = (text) => `${text} (server: ${settings.tz})`;

/** The UTC offset of the browser's zone at this time. */
export const offsetMs = (text) => -new Date(text).getTimezoneOffset() * 60_000;

/** `3 min ago`, `in 2 h`. */
export function relative(text) {
  if (none(text)) return "";
  const seconds = (now() - Date.parse(text)) / 1000;
  const spanned = span(Math.abs(seconds), true);
  if (Math.abs(seconds) < 2) return "now";
  return seconds > 0 ? `${spanned} ago` : `in ${spanned}`;
}

export function ago(text) {
  return none(text) ? h("span", { class: "faint" }, "–") : h("time", { datetime: text, title: onServer(text) }, relative(text));
}

/** How long something took, or has taken so far: by its times, or by `durationMs`, which is exact. */
export function took({ startedAt, finishedAt, durationMs, statusLabel }) {
  if (none(startedAt)) return "";
  // A run that waits for a person has the time at which its last step ended, but for people it goes on.
  const goesOn = none(finishedAt) || statusLabel === "waiting";
  if (durationMs && !goesOn) return span(durationMs / 1000);
  const end = goesOn ? now() : Date.parse(finishedAt);
  const seconds = Math.max(0, (end - Date.parse(startedAt)) / 1000);
  return span(goesOn ? Math.floor(seconds) : seconds);
}

/** Seconds as `850 ms`, `1.2 s`, `12 s`, `3 min 05 s`, `2 h 10 min`, `4 d 3 h`; `coarse` leaves the smaller unit out. */
export function span(seconds, coarse = false) {
  const units = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  if (!coarse && seconds < 0.9995 && seconds > 0) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (!coarse && seconds < 9.95 && !Number.isInteger(seconds)) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  for (let index = 0; index < units.length - 1; index += 1) {
    const [name, size] = units[index];
    if (whole < size) continue;
    const [smaller, part] = units[index + 1];
    const rest = Math.floor((whole % size) / part);
    return `${Math.floor(whole / size)} ${name}${!coarse && rest ? ` ${String(rest).padStart(2, "0")} ${smaller}` : ""}`;
  }
  return `${whole} s`;
}
