// Webhooks: create for a DAG, switch off and on, replace the credentials, delete. Credentials are shown once.

import { path } from "../api.js";
import { ask, field } from "../dialog.js";
import { h } from "../dom.js";
import { actions, head, wide } from "../parts.js";
import { to } from "../router.js";
import { ago } from "../time.js";
import { sendForSecrets, showSecrets } from "./secret.js";

export function webhooks(page, { webhooks: list }) {
  const create = h("button", { type: "button", class: "primary", onclick: add }, "New webhook");
  const table = !list.length ? h("div", { class: "empty" }, h("p", {}, "No DAG has a webhook yet."))
    : h("table", { class: "rows" },
      head("DAG", "State", wide("Last used"), actions()),
      h("tbody", {}, list.map((hook) => h("tr", { key: hook.id },
        h("td", { class: "main" }, h("a", { class: "name", href: to(["dags", hook.dagName]) }, hook.dagName),
          h("div", { class: "mono faint" }, `${hook.tokenPrefix}…`)),
        h("td", {}, hook.enabled ? "on" : h("span", { class: "reason" }, "off")),
        h("td", { class: "wide" }, ago(hook.lastUsedAt)),
        h("td", { class: "act" },
          h("button", { type: "button", "aria-label": `${hook.enabled ? "Switch off" : "Switch on"} ${hook.dagName}`, onclick: (event) => toggle(event.target, hook) },
            hook.enabled ? "Switch off" : "Switch on"),
          h("button", { type: "button", "aria-label": `New token of ${hook.dagName}`, onclick: () => regenerate(hook) }, "New token"),
          h("button", { type: "button", class: "danger", "aria-label": `Delete ${hook.dagName}`, onclick: () => remove(hook) }, "Delete"))))));
  return { create, table };

  function add() {
    return ask({
      title: "New webhook", confirm: "Create",
      fields: [field("DAG", { name: "dag", required: true, autofocus: true, hint: "its file name, without .yaml" })],
      act: (form, once) => replace(once, path`dags/${form.get("dag").trim()}/webhook`),
      tell: credentials,
    });
  }

  function regenerate({ dagName }) {
    return ask({
      title: `New token for ${dagName}?`, text: "The present token and signing secret are refused from then on.", confirm: "Replace", danger: true,
      act: (_, once) => replace(once, path`dags/${dagName}/webhook/regenerate`),
      tell: credentials,
    });
  }

  function toggle(button, { dagName, enabled }) {
    return page.act(path`dags/${dagName}/webhook/toggle`, { enabled: !enabled }, { button });
  }

  async function replace(once, where) {
    const made = await sendForSecrets(once, where);
    page.refresh();
    return made;
  }

  function remove({ dagName }) {
    return ask({
      title: `Delete the webhook of ${dagName}?`, text: "Requests with its token or signature are refused from then on.", confirm: "Delete", danger: true,
      act: () => page.change("DELETE", path`dags/${dagName}/webhook`),
    });
  }
}

const credentials = ({ webhook, token, signingSecret }) => showSecrets(`Credentials of the webhook of ${webhook.dagName}`,
  [["Token", token], ["Signing secret", signingSecret]],
  "Each of them is enough: send the token as Authorization: Bearer TOKEN, or sign requests as Standard Webhooks says.");
