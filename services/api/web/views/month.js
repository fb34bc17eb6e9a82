// The calendar of all schedules: a month of fires, and those of a day or of an outcome as a list.

import { get } from "../api.js";
import { h } from "../dom.js";
import { stay } from "../router.js";
import { calendar } from "./calendar.js";
import { firesTable } from "./slots.js";

const SHOWN = 200;
const OUTCOMES = ["missed", "skipped", "fired"];

export function month(page) {
  page.title("Calendar");
  page.every(15_000, async () => {
    const { month: wanted, day, outcome } = page.place.query;
    const found = await get("calendar", { month: wanted }, page.wanted);
    const index = found.days.findIndex(({ date }) => date === day);
    const [since, before] = index < 0 ? [] : [found.days[index - 1]?.end ?? found.begin, found.days[index].end];
    const { slots } = await get("slots", { since, before, outcome, limit: SHOWN }, page.wanted);
    draw(found, slots, index < 0 ? "" : day);
  });

  function draw(found, slots, day) {
    const { outcome = "" } = page.place.query;
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Calendar"), h("span", { class: "faint" }, "Scheduled starts of all DAGs, by day in the server's time zone")),
      calendar(found, day),
      h("div", { class: "filters" },
        h("h2", {}, day ? `Fires on ${day}` : "The newest fires"),
        h("select", { "aria-label": "Outcome", value: outcome, onchange: (event) => stay({ outcome: event.target.value }) },
          h("option", { value: "" }, "Any outcome"), OUTCOMES.map((each) => h("option", { value: each, key: each }, each))),
        day && h("button", { type: "button", onclick: () => stay({ day: "" }) }, "All days")),
      slots.length ? firesTable(slots, true) : h("div", { class: "empty" }, h("p", {}, "No scheduled time matches.")),
      slots.length === SHOWN && h("p", { class: "faint" }, `Only the newest ${SHOWN} are shown.`));
  }
}
