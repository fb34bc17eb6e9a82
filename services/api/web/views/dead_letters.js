// Dead letters: messages that could not be handled. Return or discard those that are selected. For administrators of the server.

import { get, idempotencyKey, send } from "../api.js";
import { ask } from "../dialog.js";
import { h } from "../dom.js";
import { tellOutcomes } from "../notice.js";
import { counted, head, wide } from "../parts.js";
import { ago } from "../time.js";

const EVERY_MS = 3000;
const ACTIONS = [
  { verb: "return", label: "Return", text: "Each goes to the queue that it came from. A message that still cannot be handled becomes a dead letter again." },
  { verb: "discard", label: "Discard", danger: true, text: "They are deleted for good: what they ask for or report is never recorded." },
];
const WAITS = { return: "will be returned", discard: "will be discarded" };

/** How many of them: `1 dead letter`, `3 dead letters`. */
const lettersOf = (count) => counted(count, "dead letter");

export function deadLetters(page) {
  page.title("Dead letters");
  const selected = new Set();

  page.every(EVERY_MS, async () => {
    const { deadLetters: list, more } = await get("dead-letters", {}, page.wanted);
    draw(list, more);
  });

  function draw(list, more) {
    const redraw = () => draw(list, more);
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Dead letters")),
      h("p", { class: "lead" }, "Messages between Dagway's services that could not be handled, as a scheduler listed them last."),
      bar(list.filter(({ id }) => selected.has(id)), redraw),
      more && h("p", { class: "faint" }, `There are more: these are the first ${list.length}.`),
      list.length ? table(list, redraw) : h("div", { class: "empty" }, h("p", {}, "There is no dead letter.")));
  }

  const bar = (chosen, redraw) => chosen.length > 0 && h("div", { class: "actions bulk", role: "group", "aria-label": "Selected dead letters", key: "bulk" },
    h("strong", {}, `${lettersOf(chosen.length)} selected`),
    ACTIONS.map((action) => h("button", { type: "button", key: action.verb, class: action.danger ? "danger" : "",
      onclick: () => carryOut(action, chosen) }, `${action.label} ${chosen.length}`)),
    h("button", { type: "button", class: "plain", onclick: () => { selected.clear(); redraw(); } }, "Clear"));

  function box(label, letters, redraw) {
    return h("input", { type: "checkbox", "aria-label": label, checked: letters.every(({ id }) => selected.has(id)),
      onchange: (event) => {
        for (const { id } of letters) event.target.checked ? selected.add(id) : selected.delete(id);
        redraw();
      } });
  }

  const table = (list, redraw) => h("table", { class: "rows" },
    head(h("th", {}, box("Select all", list, redraw)), "Message", "Queue", wide("Bytes"), "Seen"),
    h("tbody", {}, list.map((letter) => h("tr", { key: letter.id },
      h("td", {}, box(`Select ${letter.messageId || letter.id}`, [letter], redraw)),
      h("td", { class: "main" }, h("span", { class: "name" }, letter.messageType || "unreadable"),
        letter.about && h("span", { class: "faint" }, ` about ${letter.about}`),
        h("div", { class: "reason" }, letter.reason),
        h("div", { class: "faint mono" }, letter.messageId),
        letter.decision && h("div", {}, h("strong", {}, `${WAITS[letter.decision]} within seconds`), ` (decided by ${letter.decidedBy})`),
        letter.failure && h("div", { class: "reason" }, `It could not be returned: ${letter.failure}.`)),
      h("td", { class: "mono" }, letter.queue),
      h("td", { class: "wide number" }, letter.size.toLocaleString()),
      h("td", {}, ago(letter.firstSeenAt))))));

  function carryOut({ verb, label, text, danger }, letters) {
    const repeatable = idempotencyKey();
    return ask({
      title: `${label} ${lettersOf(letters.length)}?`, text, danger, confirm: `${label} ${lettersOf(letters.length)}`,
      act: async () => {
        const { results } = await send("POST", `dead-letters/bulk/${verb}`, { ids: letters.map(({ id }) => id) }, repeatable);
        selected.clear();
        tellOutcomes(label, results, { count: lettersOf });
        await page.refresh();
      },
    });
  }
}
