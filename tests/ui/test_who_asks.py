"""Each kind of login, under a base path too, and the pages while the gateway is unreachable."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.harness.browser import watched
from tests.harness.cluster import Embedded
from tests.harness.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider
from tests.harness.procs import DagwayProcess
from tests.ui.conftest import BOTH_GUARDED, USERS, Look, log_in, origin, send


@BOTH_GUARDED
def test_users_log_in_see_what_they_may_and_log_out(chromium: Browser, guarded: DagwayProcess) -> None:
    with watched(chromium, f"{origin(guarded)}/flows/#/system", expected=("status of 401",)) as page:
        # Nobody has tried anything yet: the page shows no error.
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)
        log_in(page, "admin", "wrong battery")
        expect(page.get_by_role("alert")).to_have_text("Wrong username or password")
        log_in(page, "admin", "correct horse")
        expect(page.get_by_role("heading", name="Workers")).to_be_visible()
        page.reload()
        page.get_by_role("link", name="DAGs", exact=True).click()
        expect(page.get_by_role("button", name="New DAG", exact=True)).to_be_visible()
        assert page.url == f"{origin(guarded)}/flows/#/dags"

        assert page.evaluate("document.cookie") == ""
        assert "eyJ" not in page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        [session] = page.context.cookies()
        assert (session["httpOnly"], session["sameSite"], session["path"]) == (True, "Strict", "/flows")
        send(page, guarded, "users", {"username": "guest", "password": "just looking", "role": "viewer"})
        page.get_by_role("button", name="Log out").click()
        log_in(page, "guest", "just looking")
        expect(page.get_by_text("guest", exact=True)).to_be_visible()
        expect(page.get_by_role("heading", name="DAGs", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="New DAG", exact=True)).to_have_count(0)
        # Only administrators see the audit log and who has access, also in the navigation.
        expect(page.get_by_role("link", name="Audit", exact=True)).to_have_count(0)
        expect(page.get_by_role("link", name="Access", exact=True)).to_have_count(0)
        page.locator("main").focus()
        page.keyboard.press("?")
        keys = page.get_by_role("dialog").get_by_role("definition")
        expect(keys.filter(has_text="Runs")).to_have_count(1)
        expect(keys.filter(has_text=re.compile("Audit|Access|Settings|Workspaces"))).to_have_count(0)
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.keyboard.press("a")
        expect(page.get_by_role("heading", name="DAGs", exact=True)).to_be_visible()
        assert page.url.endswith("#/dags")


def test_a_viewer_sees_no_buttons_that_fail_after_an_outage_and_no_name_after_the_session(
    chromium: Browser, guarded: DagwayProcess
) -> None:
    door = f"{origin(guarded)}/flows/"
    with watched(chromium, door, expected=("status of 401", "status of 503")) as page:
        log_in(page, "admin", "correct horse")
        expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
        send(page, guarded, "users", {"username": "late", "password": "just looking", "role": "viewer"})
        page.context.clear_cookies()
        page.goto(f"{door}#/dags")
        log_in(page, "late", "just looking")
        expect(page.get_by_text("late", exact=True)).to_be_visible()

        # The gateway knows nobody while its database is away; its health may be good again a moment later.
        away = {"code": "unavailable", "message": "the database is away"}
        page.route("**/auth/me", lambda route: route.fulfill(status=503, json=away))
        page.reload()
        expect(page.get_by_role("alert")).to_contain_text("the database is away. Trying again…")
        expect(page.get_by_role("link", name="Audit", exact=True)).to_have_count(0)
        page.unroute("**/auth/me")
        expect(page.get_by_text("late", exact=True)).to_be_visible()
        expect(page.get_by_role("heading", name="DAGs", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="New DAG", exact=True)).to_have_count(0)

        # A page that the bar does not offer has an address, too.
        page.goto(f"{door}#/workspaces")
        expect(page.get_by_role("heading", name="Workspaces", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="New workspace")).to_have_count(0)

        page.context.clear_cookies()
        page.get_by_role("link", name="Runs", exact=True).click()
        expect(page.get_by_role("alert")).to_have_text("Your login has ended. Log in again.")
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        expect(page.get_by_text("late", exact=True)).to_have_count(0)
        expect(page.get_by_role("button", name="Log out")).to_have_count(0)
        expect(page.get_by_role("navigation")).to_have_count(0)
        log_in(page, "late", "just looking")
        expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


def test_a_node_that_refuses_this_server_does_not_end_the_login(
    chromium: Browser, guarded: DagwayProcess, tmp_path: Path
) -> None:
    far = [{"name": "far", "apiBaseURL": f"{origin(guarded)}/flows/api/v2"}]
    with Embedded(tmp_path, env=USERS | {"DAGWAY_REMOTE_NODES": json.dumps(far)}) as near:
        door = f"{origin(near)}/flows/#/dags"
        with watched(chromium, door, expected=("status of 401", "status of 403")) as page:
            log_in(page, "admin", "correct horse")
            node = page.get_by_label("Node")
            node.select_option("far")
            expect(page.get_by_role("alert")).to_contain_text("This request has no valid credentials")
            expect(page.get_by_role("button", name="Log out")).to_be_visible()
            node.select_option("local")
            expect(page.get_by_role("button", name="New DAG", exact=True)).to_be_visible()


def test_a_dialog_is_there_again_when_its_person_has_logged_in_again(chromium: Browser, guarded: DagwayProcess) -> None:
    with watched(chromium, f"{origin(guarded)}/flows/#/dags", expected=("status of 401",)) as page:
        dialog, expired = page.locator("dialog"), "document.dispatchEvent(new Event('visibilitychange'))"
        log_in(page, "admin", "correct horse")
        for username, password in (("admin", "correct horse"), ("another", "just looking")):
            page.get_by_role("button", name="New DAG", exact=True).click()
            dialog.get_by_label("Name").fill("half-filled")
            if username == "another":
                send(page, guarded, "users", {"username": username, "password": password, "role": "manager"})
            page.context.clear_cookies()
            page.evaluate(expired)
            expect(page.get_by_role("button", name="Log in")).to_be_visible()
            expect(dialog).to_have_count(0)
            log_in(page, username, password)
            expect(page.get_by_role("heading", name="DAGs", exact=True)).to_be_attached()
            if username == "admin":
                expect(dialog.get_by_label("Name")).to_have_value("half-filled")
                dialog.get_by_role("button", name="Create").click()
                expect(page.get_by_role("heading", name="half-filled")).to_be_visible()
                page.get_by_role("link", name="DAGs", exact=True).click()
        # Nobody else sees what was typed.
        expect(page.get_by_text("another", exact=True)).to_be_visible()
        expect(dialog).to_have_count(0)


def test_a_tab_that_is_looked_at_again_is_of_who_has_logged_in_meanwhile(
    chromium: Browser, guarded: DagwayProcess
) -> None:
    door, again = f"{origin(guarded)}/flows/#/dags", "document.dispatchEvent(new Event('visibilitychange'))"
    with watched(chromium, door, expected=("status of 401",)) as page:
        # A tab that is not looked at asks nothing.
        page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.away ?? false })")
        page.reload()
        log_in(page, "admin", "correct horse")
        create = page.get_by_role("button", name="New DAG", exact=True)
        expect(create).to_be_visible()
        send(page, guarded, "users", {"username": "onlooker", "password": "just looking", "role": "viewer"})

        def log_in_elsewhere(username: str, password: str) -> None:
            send(page, guarded, "auth/session", {"username": username, "password": password}, status=200)
            page.evaluate(f"window.away = false; {again}")

        page.evaluate(f"window.away = true; {again}")
        create.click()
        page.get_by_role("dialog").get_by_label("Name").fill("unfinished")
        log_in_elsewhere("onlooker", "just looking")
        expect(page.get_by_role("button", name="onlooker")).to_be_visible()
        expect(page.get_by_role("heading", name="DAGs", exact=True)).to_be_visible()
        expect(create).to_have_count(0)
        expect(page.get_by_role("dialog")).to_have_count(0)

        page.context.clear_cookies()
        # An answer that comes later would end the next login.
        with page.expect_response("**/auth/me"):
            page.evaluate(again)
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        log_in_elsewhere("admin", "correct horse")
        expect(create).to_be_visible()


def test_a_run_is_followed_by_the_session(chromium: Browser, guarded: DagwayProcess) -> None:
    with watched(chromium, f"{origin(guarded)}/flows/", expected=("status of 401",)) as page:
        log_in(page, "admin", "correct horse")
        expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
        send(
            page,
            guarded,
            "dags",
            {"name": "followed", "spec": "steps:\n  - {name: ask, type: hitl, config: {prompt: ok}}\n"},
        )
        send(page, guarded, "dags/followed/start", {"dagRunId": "f1"}, status=200)
        with page.expect_response(lambda response: response.url.endswith("/events")) as told:
            page.goto(f"{origin(guarded)}/flows/#/runs/followed/f1")
        assert told.value.status == 200
        page.get_by_role("button", name="Approve").first.click()
        expect(page.locator("main .badge", has_text="succeeded").first).to_be_visible()


@pytest.mark.parametrize(
    ("env", "wrong", "right"),
    [
        ({"DAGWAY_AUTH_TOKEN": "open-sesame"}, {"Token": "open"}, {"Token": "open-sesame"}),
        (
            {"DAGWAY_AUTH_BASIC_USERNAME": "jo", "DAGWAY_AUTH_BASIC_PASSWORD": "pä:ss"},
            {"User name": "jo", "Password": "pass"},
            {"User name": "jo", "Password": "pä:ss"},
        ),
    ],
    ids=["token", "basic"],
)
def test_a_server_with_one_secret(
    chromium: Browser, tmp_path: Path, env: dict[str, str], wrong: dict[str, str], right: dict[str, str]
) -> None:
    with Embedded(tmp_path, env=env) as system, watched(chromium, origin(system), expected=("status of 401",)) as page:
        for given in (wrong, right):
            for label, text in given.items():
                page.get_by_label(label).fill(text)
            page.get_by_role("button", name="Log in").click()
            if given is wrong:
                expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_text("There are no DAGs yet.")).to_be_visible()


def test_an_outage_is_said_and_ends_by_itself(look: Look, system: Embedded) -> None:
    with look("#/dags?name=outage", expected=("ERR_INTERNET_DISCONNECTED",)) as page:
        system.client.create("outage-1", "steps: [echo x]\n")
        expect(page.get_by_role("link", name="outage-1")).to_be_visible()
        context = page.context
        context.set_offline(True)
        expect(page.get_by_text("The gateway does not answer.")).to_be_visible()
        # What was known is still shown.
        expect(page.get_by_role("link", name="outage-1")).to_be_visible()
        system.client.create("outage-2", "steps: [echo x]\n")
        context.set_offline(False)
        expect(page.get_by_text("The gateway does not answer.")).to_be_hidden()
        expect(page.get_by_role("link", name="outage-2")).to_be_visible()


def test_a_session_of_a_provider_can_be_begun_anew_also_by_somebody_else_in_another_tab(
    chromium: Browser, tmp_path: Path
) -> None:
    system = Embedded(tmp_path)
    door = origin(system)
    with OidcProvider() as provider:
        system.process.env |= {
            "DAGWAY_AUTH_MODE": "oidc",
            "DAGWAY_AUTH_OIDC_ISSUER": provider.issuer,
            "DAGWAY_AUTH_OIDC_CLIENT_ID": CLIENT_ID,
            "DAGWAY_AUTH_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "DAGWAY_AUTH_OIDC_CLIENT_URL": door,
            "DAGWAY_AUTH_OIDC_DEFAULT_ROLE": "admin",
        }
        with system, watched(chromium, f"{door}/#/dags", expected=("status of 401",)) as page:
            expect(page.get_by_role("button", name="New DAG", exact=True)).to_be_visible()
            page.context.clear_cookies()
            page.get_by_role("link", name="Runs", exact=True).click()
            expect(page.get_by_role("alert")).to_contain_text("Loading this page failed")
            # The pages are as alive as before.
            page.get_by_role("link", name="Queues", exact=True).click()
            expect(page.get_by_role("link", name="Queues", exact=True)).to_have_attribute("aria-current", "page")
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("heading", name="Queues", exact=True)).to_be_visible()
            expect(page.get_by_text("ann", exact=True)).to_be_visible()

            provider.claims = {"sub": "u2", "preferred_username": "ben", "email": "ben@example.org"}
            page.context.clear_cookies()
            with page.context.new_page() as other:
                other.goto(door)
                expect(other.get_by_text("ben", exact=True)).to_be_visible()
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            expect(page.get_by_text("ben", exact=True)).to_be_visible()
            expect(page.get_by_role("heading", name="Queues", exact=True)).to_be_visible()
