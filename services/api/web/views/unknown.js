// The page for unknown addresses.

import { h } from "../dom.js";

export function unknown(page) {
  page.title("Not found");
  page.show(h("div", { class: "empty" }, h("h1", {}, "Not found"), h("p", {}, "This page does not exist."),
    h("p", {}, h("a", { href: "#/dags" }, "All DAGs"))));
}
