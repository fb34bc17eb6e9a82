// Login by name and password or by a token, as the server requires.

import { send } from "../api.js";
import { field } from "../dialog.js";
import { h } from "../dom.js";
import { settings } from "../session.js";

export function login(page, { refused, begin }) {
  const byToken = settings.auth === "token";
  // The API's words are about requests and tokens.
  let message = refused?.status === 401 ? "Your login has ended. Log in again." : refused?.message ?? "";

  async function enter(event) {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    const button = event.target.querySelector("button");
    button.disabled = true;
    try {
      await send("POST", "auth/session", given);
      await begin();
    } catch (error) {
      message = error.message;
      draw();
    } finally {
      button.disabled = false;
    }
  }

  function draw() {
    page.show(h("form", { class: "card login", onsubmit: enter },
      h("h1", {}, settings.title),
      byToken
        ? field("Token", { name: "token", type: "password", required: true, autofocus: true })
        : [
          field("User name", { name: "username", required: true, autofocus: true, autocomplete: "username" }),
          field("Password", { name: "password", type: "password", required: true, autocomplete: "current-password" }),
        ],
      message && h("p", { class: "error", role: "alert" }, message),
      h("button", { class: "primary", type: "submit" }, "Log in")));
  }

  page.title(`${settings.title}: log in`);
  draw();
  page.root.querySelector("input")?.focus();
}
