"""Dagu's own front end on Dagway: logins, users, keys and webhooks, and what each action changes.

``COMPARE_DAGU`` names the program of Dagu, which holds the front end; without it these tests are skipped, and say so.
"""

import pytest
from playwright.sync_api import Browser, expect

from tests.comparison.front_end import Site, opened
from tests.comparison.sides import Side
from tests.harness.eventually import eventually
from tests.ui.conftest import Open

pytestmark = pytest.mark.timeout(600)


def test_login_password_and_logout(site: Site, chromium: Browser) -> None:
    site.ask("POST", "/users", {"username": "changer", "password": "an old password", "role": "viewer"})
    context = chromium.new_context(viewport={"width": 1600, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    # Refused are the wrong password, and what the page asks for when the new password has ended the login.
    with opened(context, site.url, "401 ") as front:
        front.open("")
        front.page.locator("#username").fill("changer")
        front.page.locator("#password").fill("wrong password")
        front.button("Sign In").click()
        expect(front.page.get_by_text("invalid", exact=False).or_(front.page.get_by_text("Wrong"))).to_be_visible()
        front.page.locator("#password").fill("an old password")
        front.button("Sign In").click()
        front.sees("Dashboard")
        front.page.locator("button[aria-haspopup=menu]").first.click()
        front.page.get_by_role("menuitem", name="Change Password").click()
        front.dialog.locator("#current-password").fill("an old password")
        front.dialog.locator("#new-password").fill("a newer password")
        front.dialog.locator("#confirm-password").fill("a newer password")
        front.dialog.get_by_role("button", name="Change Password").click()

        def changed() -> bool:
            return site.ask("POST", "/auth/login", {"username": "changer", "password": "a newer password"})[0] == 200

        eventually(changed)
    with opened(context, site.url, "401 GET /api/v2/auth/me") as front:
        front.open("")
        front.page.locator("#username").fill("changer")
        front.page.locator("#password").fill("a newer password")
        front.button("Sign In").click()
        front.sees("Dashboard")
        front.page.locator("button[aria-haspopup=menu]").first.click()
        front.page.get_by_role("menuitem", name="Sign Out").click()
        front.sees("Sign in to your account")
    context.close()


def test_webhooks_are_made_used_switched_and_deleted(site: Site, front_end: Open) -> None:
    site.create("posted-to", "steps: [echo x]\n")
    with front_end("404 GET /api/v2/dags/posted-to/webhook") as front:
        front.open("dags/posted-to/webhook")
        front.button("Create Webhook").click()
        front.sees("dagu_wh_", exact=False)
        first = front.text("dagu_wh_", exact=False).inner_text()
        assert Side(site.url, token=first).ask("POST", "/webhooks/posted-to", {})[0] == 200
        front.button("Done").click()
        front.open("webhooks")
        front.page.get_by_role("row").filter(has_text="posted-to").get_by_role("switch").click()
        eventually(lambda: site.get("/dags/posted-to/webhook")["enabled"] is False)
        front.choose("posted-to", "Regenerate Token")
        front.page.get_by_role("dialog").get_by_role("button").filter(has_text="Regenerate").click()
        front.sees("dagu_wh_", exact=False)
        front.open("webhooks")
        front.choose("posted-to", "Delete")
        front.page.get_by_role("dialog").get_by_role("button").filter(has_text="Delete").click()
        eventually(lambda: site.ask("GET", "/dags/posted-to/webhook")[0] == 404)


def test_users_are_made_edited_and_deleted(site: Site, front_end: Open) -> None:
    def roles() -> dict[str, str]:
        return {user["username"]: user["role"] for user in site.get("/users")["users"]}

    with front_end() as front:
        front.open("users")
        front.button("Add User").click()
        front.dialog.locator("#username").fill("worker1")
        front.dialog.locator("#password").fill("a long password")
        front.dialog.get_by_role("button", name="Create").click()
        eventually(lambda: roles().get("worker1") == "viewer")
        front.choose("worker1", "Edit")
        front.dialog.get_by_role("combobox").click()
        front.page.get_by_role("option").filter(has_text="Operator").click()
        front.dialog.get_by_role("button").filter(has_text="Update").or_(
            front.dialog.get_by_role("button").filter(has_text="Save")
        ).click()
        eventually(lambda: roles()["worker1"] == "operator")
        front.choose("worker1", "Reset Password")
        for field in front.dialog.locator("input[type=password]").all():
            field.fill("a reset password")
        front.dialog.get_by_role("button").filter(has_text="Reset").click()
        reset = {"username": "worker1", "password": "a reset password"}
        eventually(lambda: site.ask("POST", "/auth/login", reset)[0] == 200)
        front.open("users")
        front.choose("worker1", "Delete")
        front.page.get_by_role("dialog").get_by_role("button").filter(has_text="Delete").click()
        eventually(lambda: "worker1" not in roles())


def test_keys_are_made_used_edited_and_deleted(site: Site, front_end: Open) -> None:
    with front_end() as front:
        front.open("api-keys")
        front.button("Create API Key").click()
        front.dialog.locator("#name").fill("robot")
        front.dialog.get_by_role("button", name="Create Key").click()
        key = front.text("dagu_", exact=False).inner_text()
        assert Side(site.url, token=key).ask("GET", "/dags")[0] == 200
        front.open("api-keys")
        front.choose("robot", "Edit")
        expect(front.dialog.locator("#name")).to_have_value("robot")
        front.dialog.locator("#name").fill("machine")
        front.dialog.get_by_role("button").filter(has_text="Update").or_(
            front.dialog.get_by_role("button").filter(has_text="Save")
        ).click()
        eventually(lambda: [key["name"] for key in site.get("/api-keys")["apiKeys"]] == ["machine"])
        front.open("api-keys")
        front.choose("machine", "Revoke")
        front.page.get_by_role("dialog").get_by_role("button").filter(has_text="Revoke").click()
        eventually(lambda: site.get("/api-keys")["apiKeys"] == [])
        assert Side(site.url, token=key).ask("GET", "/dags")[0] == 401
