// Who may use this server: users, API keys and webhooks. For administrators.

import { get } from "../api.js";
import { h } from "../dom.js";
import { to } from "../router.js";
import { mayChangeServer } from "../session.js";
import { keys } from "./keys.js";
import { users } from "./users.js";
import { webhooks } from "./webhooks.js";

const TABS = { users: "Users", keys: "API keys", webhooks: "Webhooks" };
const SOURCES = { users: "users", keys: "api-keys", webhooks: "webhooks" };
const PARTS = { users, keys, webhooks };

export function access(page) {
  page.title("Access");

  page.every(10_000, async () => {
    const { tab: wanted } = page.place.query;
    // Users belong to the server, keys and webhooks to a workspace.
    const tabs = Object.keys(TABS).filter((each) => each !== "users" || mayChangeServer("admin"));
    const tab = tabs.includes(wanted) ? wanted : tabs[0];
    const found = await get(SOURCES[tab], {}, page.wanted);
    const { create, table } = PARTS[tab](page, found);
    page.show(
      h("div", { class: "heading" }, h("h1", {}, "Access"), h("span", { class: "gap" }), create),
      h("nav", { class: "tabs", "aria-label": "Parts of the page" }, tabs.map((key) =>
        h("a", { href: to(["access"], { tab: key === tabs[0] ? "" : key }), "aria-current": key === tab && "page" }, TABS[key]))),
      h("div", { key: tab, class: "tab" }, table));
  });
}
