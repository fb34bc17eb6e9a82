// An address that names nothing.

import { h } from "../dom.js";

export function unknown(page) {
  page.title("Not found");
  page.show(h("div", { class: "empty" }, h("h1", {}, "Not found"), h("p", {}, "There is no such page."),
    h("p", {}, h("a", { href: "#/dags" }, "All DAGs"))));
}
