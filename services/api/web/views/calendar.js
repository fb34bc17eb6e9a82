// A month of one schedule or of all: on each day what fired, was skipped or missed, and what is to come.

import { h } from "../dom.js";
import { here, stay } from "../router.js";
import { sign } from "../status.js";

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS = "January February March April May June July August September October November December".split(" ");
const COUNTS = ["missed", "skipped", "fired", "planned"];

const mark = (kind) => (kind === "planned" ? "○" : sign(kind));

/** Draw `{ month, days }`; a click on a day lists its fires. */
export function calendar({ month, days, plannedUntil }, chosen) {
  const [year, number] = month.split("-").map(Number);
  const to = (step) => {
    // From the month that was asked for last: it may not be here yet.
    const [from, at] = (here().query.month || month).split("-").map(Number);
    const index = from * 12 + at - 1 + step;
    return `${Math.floor(index / 12)}-${String((index % 12) + 1).padStart(2, "0")}`;
  };
  const name = `${MONTHS[number - 1]} ${year}`;
  const button = (text, label, step) => h("button", { type: "button", "aria-label": label, onclick: () => stay({ month: to(step), day: "" }) }, text);
  return h("section", { class: "card calendar", "aria-label": "Calendar", key: "calendar" },
    h("div", { class: "heading" }, button("‹", "Previous month", -1), h("h2", {}, name), button("›", "Next month", 1)),
    h("table", { "aria-label": name },
      h("thead", {}, h("tr", {}, DAYS.map((day) => h("th", { scope: "col", key: day }, day)))),
      h("tbody", {}, weeks(days).map((week, index) => h("tr", { key: index }, week.map((day, at) => cell(day, at, chosen)))))),
    h("p", { class: "faint", "aria-hidden": "true" }, COUNTS.filter((kind) => days.some((day) => day[kind])).map((kind) => h("span", { key: kind, class: `tally is-${kind}` }, `${mark(kind)} ${kind} `))),
    plannedUntil && h("p", { class: "faint" }, `Planned times are counted until ${plannedUntil.slice(0, 16).replace("T", " ")}.`));
}

/** The days in rows from Monday to Sunday; undefined where a row has a day of another month. */
function weeks(days) {
  const first = (new Date(`${days[0].date}T00:00:00Z`).getUTCDay() + 6) % 7;
  const cells = [...Array(first), ...days];
  while (cells.length % 7) cells.push(undefined);
  return Array.from({ length: cells.length / 7 }, (_, week) => cells.slice(week * 7, week * 7 + 7));
}

function cell(day, at, chosen) {
  if (!day) return h("td", { key: at });
  const counts = COUNTS.filter((kind) => day[kind] > 0);
  const inside = [h("span", { class: "date" }, String(Number(day.date.slice(8)))), counts.map((kind) =>
    h("span", { key: kind, class: `tally is-${kind}` }, h("span", { "aria-hidden": "true" }, `${mark(kind)} `),
      String(day[kind]), h("span", { class: "unseen" }, ` ${kind}`)))];
  const happened = counts.some((kind) => kind !== "planned");
  return h("td", { key: at, class: day.date === chosen ? "chosen" : "" }, happened
    ? h("button", { type: "button", class: "plain", "aria-pressed": String(day.date === chosen),
      onclick: () => stay({ day: day.date === chosen ? "" : day.date }) }, inside)
    : h("div", {}, inside));
}
