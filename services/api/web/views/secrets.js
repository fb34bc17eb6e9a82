// Stored secrets: their names, and a form whose value goes in and never comes out.

import { get, path } from "../api.js";
import { ask, field } from "../dialog.js";
import { h } from "../dom.js";
import { actions, head, wide } from "../parts.js";
import { ago } from "../time.js";

export function secrets(page) {
  page.title("Secrets");
  page.every(5000, async () => {
    const { secrets: list, keyId } = await get("secrets", {}, page.wanted);
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Secrets"), h("span", { class: "gap" }),
        keyId && h("button", { type: "button", class: "primary", onclick: () => store() }, "New secret")),
      !keyId && h("p", { class: "faint" }, "This server cannot store secrets: it has no key. An administrator can set DAGWAY_SECRET_KEYS."),
      list.length ? table(list, Boolean(keyId)) : h("div", { class: "empty" }, h("p", {}, "No secret is stored.")));
  });

  const table = (list, writable) => h("table", { class: "rows" },
    head("Name", "DAGs", "Version", "Changed", wide("Key"), actions()),
    h("tbody", {}, list.map((each) => h("tr", { key: each.name },
      h("td", { class: "main" }, h("span", { class: "name" }, each.name)),
      h("td", {}, each.dags.join(" ") || h("span", { class: "faint" }, "all")),
      h("td", {}, each.version),
      h("td", {}, ago(each.updatedAt), h("div", { class: "faint actor" }, each.updatedBy)),
      h("td", { class: "wide mono faint" }, each.keyId),
      h("td", { class: "act" },
        writable && h("button", { type: "button", "aria-label": `Replace ${each.name}`, onclick: () => store(each) }, "Replace"),
        h("button", { type: "button", "aria-label": `Delete ${each.name}`, onclick: () => remove(each.name) }, "Delete"))))));

  function store(known) {
    return ask({
      title: known ? `Replace the value of ${known.name}` : "New secret",
      text: "The value cannot be shown again. Steps get it from their next attempt on.", confirm: "Store",
      fields: [
        !known && field("Name", { name: "name", required: true, maxlength: 100 }),
        field("Value", { name: "value", control: "textarea", required: true, rows: 3 }),
        field("DAGs that may use it", { name: "dags", value: known?.dags.join(" "), hint: "Patterns of file names, such as etl-*, with spaces between. Empty: all" }),
      ],
      act: (form) => {
        // A form sends its lines with CRLF.
        const value = form.get("value").replaceAll("\r\n", "\n");
        return page.change("PUT", path`secrets/${known?.name ?? form.get("name").trim()}`, { value, dags: form.get("dags").split(/\s+/).filter(Boolean) });
      },
    });
  }

  function remove(name) {
    return ask({
      title: `Delete the secret ${name}?`, text: "Steps that need it fail from now on.", confirm: "Delete", danger: true,
      act: () => page.change("DELETE", path`secrets/${name}`),
    });
  }
}
