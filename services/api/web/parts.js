// Small parts that several pages have.

import { h } from "./dom.js";
import { here, stay } from "./router.js";

/** A number of things in words: `counted(2, "run")` is “2 runs”. */
export const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

/** One line in a list of facts. */
export const fact = (label, ...value) => h("div", { key: label }, h("dt", {}, label), h("dd", {}, value));

/** The head of a table. A cell is a text, or an element. */
export const head = (...cells) => h("thead", {}, h("tr", {}, cells.map((cell) => (typeof cell === "string" ? h("th", {}, cell) : cell))));

/** The head of a column that a narrow page does not show. */
export const wide = (text) => h("th", { class: "wide" }, text);

/** The head of a column of numbers. */
export const numbers = (text, more = "") => h("th", { class: `number ${more}` }, text);

/** The head of the column with the buttons. */
export const actions = () => h("th", {}, h("span", { class: "unseen" }, "Actions"));

/** The fields by which one finds rows of a list with a cursor. Their values are in the page's address. */
export class Finder {
  /** What was typed and does not count yet, by key. */
  typed = {};

  set(key) {
    return (event) => stay({ [key]: event.target.value, cursor: "" });
  }

  /** A field for text: what is typed counts after a moment, also if somebody goes on in the next field before. */
  text(key, label, value) {
    const later = (event) => {
      clearTimeout(this.typing);
      this.typed[key] = event.target.value.trim();
      const at = here();
      this.typing = setTimeout(() => {
        const { typed } = this;
        this.typed = {};
        stay({ ...typed, cursor: "" }, at);
      }, 300);
    };
    return h("input", { type: "search", "aria-label": label, placeholder: label, value: this.typed[key] ?? value, oninput: later });
  }

  /** The fields for the first and last moment. */
  between(from, until) {
    return Object.entries({ from, until }).map(([key, value]) =>
      h("label", { class: "inline" }, key, h("input", { type: "datetime-local", value, onchange: this.set(key) })));
  }
}
