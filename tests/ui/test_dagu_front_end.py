"""Dagu's own front end on Dagway: every page and dialog, and what each action changes.

``COMPARE_DAGU`` names the program of Dagu, which holds the front end; without it these tests are skipped, and say so.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.comparison.front_end import FrontEnd, copy_bundle, opened
from tests.comparison.sides import Side, dagu
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually

pytestmark = pytest.mark.timeout(600)

ADMIN = {"username": "admin", "password": "correct horse battery"}
TOUR = """\
description: Shows everything
tags: [shown, etl]
schedule: '0 5 1 1 *'
params:
  - NAME: world
  - COUNT: 3
steps:
  - {name: a, command: 'echo "hello $NAME"; echo oops >&2', output: OUT}
  - {name: b, command: 'seq 1 2500', depends: [a]}
  - {name: c, command: 'exit 3', depends: [a], continueOn: {failure: true}}
  - {name: d, command: echo done, depends: [b, c]}
handlerOn:
  exit: {command: echo bye}
"""
KIDS = """\
steps:
  - {name: one, call: kid, params: X=single}
  - {name: many, call: kid, parallel: [p1, p2, p3]}
---
name: kid
params: X=none
steps: [{name: inner, command: 'echo kid $X'}]
"""
ASK = """\
steps:
  - {name: gate, type: hitl, config: {prompt: Sure?, input: [REASON]}}
  - {name: after, command: 'echo because $REASON'}
"""
ENDLESS = "steps: [{name: nap, command: 'echo begun; sleep 600'}]\n"
Look = Callable[..., AbstractContextManager[FrontEnd]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """Dagway with Dagu's front end, users, and a queue for one run."""
    program = os.environ.get("COMPARE_DAGU", "")
    if not program:
        pytest.skip("DAGU'S FRONT END NOT TRIED: set COMPARE_DAGU to the path of a Dagu 1.30.2")
    bundle, theirs = tmp_path_factory.mktemp("bundle"), tmp_path_factory.mktemp("dagu")
    with dagu(Path(program), theirs) as real:
        copy_bundle(real.url, bundle)
    env = {
        "DAGWAY_UI_DIR": str(bundle),
        "DAGWAY_AUTH_MODE": "builtin",
        "DAGWAY_AUTH_TOKEN_SECRET": "a secret of more than thirty-two characters",
        "DAGWAY_AUTH_ADMIN_PASSWORD": ADMIN["password"],
        "DAGWAY_QUEUES": "narrow=1",
    }
    with Embedded(tmp_path_factory.mktemp("site"), env=env) as system:
        status, login = Side(system.client.base).ask("POST", "/auth/login", ADMIN)
        assert status == 200
        yield Side(system.client.base, token=login["token"])


@pytest.fixture(scope="module")
def session(site: Side, chromium: Browser) -> Iterator[BrowserContext]:
    """A browser in which the administrator is logged in; it keeps the bundle from test to test."""
    context = chromium.new_context(viewport={"width": 1600, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    yield context
    context.close()


@pytest.fixture
def look(site: Side, session: BrowserContext) -> Look:
    session.add_init_script(f"localStorage.setItem('dagu_auth_token', '{site.token}')")
    return lambda *expected: opened(session, site.url, *expected)


def create(site: Side, name: str, spec: str = TOUR) -> None:
    assert site.ask("POST", "/dags", {"name": name, "spec": spec})[0] == 201


def start(site: Side, name: str, run_id: str = "first", status: str = "") -> None:
    assert site.ask("POST", f"/dags/{name}/start", {"dagRunId": run_id})[0] == 200
    if status:
        until(site, name, run_id, lambda run: run["statusLabel"] == status)


def get(site: Side, path: str) -> Any:
    status, answer = site.ask("GET", path)
    assert status == 200, (path, status, answer)
    return answer


def until(site: Side, name: str, run_id: str, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the details of a run are as they should be, and return them."""

    def there() -> dict[str, Any]:
        details: dict[str, Any] = get(site, f"/dag-runs/{name}/{run_id}")["dagRunDetails"]
        assert check(details), details
        return details

    return eventually(there, timeout_s=60)


def labels(run: dict[str, Any]) -> dict[str, str]:
    return {node["step"]["name"]: node["statusLabel"] for node in run["nodes"]}


def test_login_password_and_logout(site: Side, chromium: Browser) -> None:
    site.ask("POST", "/users", {"username": "changer", "password": "an old password", "role": "viewer"})
    context = chromium.new_context(viewport={"width": 1600, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    # A new password ends the user's logins here.
    with opened(context, site.url, "401 POST /api/v2/auth/login") as front:
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

        eventually(changed, timeout_s=60)
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


def test_the_dashboard_shows_runs_workers_and_paths(site: Side, look: Look) -> None:
    create(site, "dash")
    start(site, "dash", status="partially_succeeded")
    with look() as front:
        front.open("dashboard")
        front.sees("Workers")
        front.sees("local")
        front.sees("CPU")
        front.button("Paths").click()
        front.sees("System Paths")
        front.page.keyboard.press("Escape")
        front.page.get_by_role("combobox").filter(visible=True).filter(has_text="All DAGs").click()
        front.page.get_by_role("option", name="dash", exact=True).click()
        front.sees("ok")
        front.titled("Refresh").click()


def test_the_list_is_paged_searched_and_filtered(site: Side, look: Look) -> None:
    for number in range(55):
        create(site, f"zz{number:02}", f"tags: [bulk, t{number % 2}]\nsteps: [echo x]\n")
    with look() as front:
        front.open("dags")
        front.sees("DAG Definitions")
        front.page.get_by_role("button", name="Next page").filter(visible=True).click()
        front.sees("zz54")
        front.page.get_by_role("button", name="Previous page").filter(visible=True).click()
        front.lacks("zz54")
        front.page.get_by_placeholder("Search...").fill("zz5")
        front.sees("zz50")
        front.lacks("zz01")
        front.page.get_by_placeholder("Search...").fill("zz")
        front.page.get_by_role("combobox").filter(has_text="Tag").filter(visible=True).click()
        front.page.get_by_role("option", name="t1", exact=True).click()
        front.sees("zz53")
        front.lacks("zz50")


def test_a_dag_is_made_edited_renamed_and_deleted(site: Side, look: Look) -> None:
    with look() as front:
        front.open("dags")
        front.button("Create new DAG").click()
        front.dialog.locator("#dag-name").fill("made-here")
        front.dialog.get_by_role("button", name="Create").click()
        front.page.wait_for_url("**/dags/made-here/spec*")
        front.write("steps: [echo edited]\n")
        front.titled("Save changes").click()
        eventually(lambda: "echo edited" in get(site, "/dags/made-here/spec")["spec"], timeout_s=60)
        front.write("steps: 5\n")
        front.titled("Save changes").click()
        eventually(lambda: bool(front.page.evaluate("1") and front.said), timeout_s=60)
        assert "steps" in front.said[-1]
        assert "echo edited" in get(site, "/dags/made-here/spec")["spec"]
        front.open("dags/made-here/spec")
        front.button("Rename").click()
        front.dialog.locator("#dag-name").fill("renamed-here")
        front.dialog.get_by_role("button", name="Rename").click()
        front.page.wait_for_url("**/dags/renamed-here*")
        assert site.ask("GET", "/dags/made-here")[0] == 404
        front.open("dags/renamed-here/spec")
        front.button("Delete").click()
        front.page.wait_for_url("**/dags")
        eventually(lambda: site.ask("GET", "/dags/renamed-here")[0] == 404, timeout_s=60)
        assert front.said[-1] == "Are you sure to delete the DAG?"


def test_a_dag_is_suspended_and_shown_beside_the_list(site: Side, look: Look) -> None:
    create(site, "beside")
    start(site, "beside", status="partially_succeeded")
    with look() as front:
        front.open("dags?search=beside")
        front.sees("beside")
        front.page.get_by_role("switch").filter(visible=True).click()
        eventually(lambda: get(site, "/dags/beside")["suspended"] is True, timeout_s=60)
        front.text("beside").click()
        front.sees("Node Status")
        front.button("History").click()
        front.sees("first")
        front.button("Spec").click()
        expect(front.page.locator(".view-lines").first).to_contain_text("Shows")
        front.titled("Close (Esc)").click()
        front.sees("Select a DAG to view details", exact=False)


def test_runs_are_started_enqueued_and_retried_in_dialogs(site: Side, look: Look) -> None:
    create(site, "dialogs")
    with look("404 GET /api/v2/dags/dialogs/webhook") as front:
        front.open("dags/dialogs")
        front.button("Enqueue").click()
        front.page.get_by_role("dialog").get_by_role("checkbox").uncheck()
        front.dialog.locator("#dagRun-id").fill("by-hand")
        front.dialog.locator("#param-0").fill("people")
        front.dialog.get_by_role("button", name="Start").click()
        run = until(site, "dialogs", "by-hand", lambda run: run["statusLabel"] == "partially_succeeded")
        assert "people" in run["params"]
        front.sees("by-hand")
        front.button("Enqueue").click()
        front.dialog.locator("#dagRun-id").fill("in-line")
        front.dialog.get_by_role("checkbox").check()
        front.dialog.get_by_role("button", name="Enqueue").last.click()
        until(site, "dialogs", "in-line", lambda run: run["statusLabel"] == "partially_succeeded")
        front.sees("in-line")
        front.button("Retry").click()
        front.dialog.get_by_role("button", name="Rerun").click()
        eventually(lambda: site.ask("GET", "/dag-runs/dialogs/in-line")[0] == 200, timeout_s=60)
        front.open("dags/dialogs/history")
        front.sees("Graph")


def test_the_runs_are_filtered_grouped_and_shown_beside_the_list(site: Side, look: Look) -> None:
    create(site, "listed", "steps: [echo x]\n")
    create(site, "listed-bad", "steps: [exit 1]\n")
    start(site, "listed", "good-one", "succeeded")
    start(site, "listed-bad", "bad-one", "failed")
    with look() as front:
        front.open("dag-runs")
        front.page.get_by_placeholder("Filter by DAG name...").fill("listed")
        front.button("Search").click()
        front.sees("good-one")
        front.page.get_by_role("combobox").filter(visible=True).filter(has_text="All").click()
        front.page.get_by_role("option", name="failed", exact=False).first.click()
        front.lacks("good-one")
        front.sees("bad-one")
        front.open("dag-runs")
        front.page.get_by_placeholder("Filter by Run ID...").fill("good-one")
        front.button("Search").click()
        front.lacks("bad-one")
        front.sees("good-one")
        front.button("Grouped view").click()
        front.sees("1 run", exact=False)
        front.button("List view").click()
        front.text("good-one").click()
        front.sees("Node Status")
        front.page.keyboard.press("Escape")
        front.page.get_by_title("Close (Esc)").filter(visible=True).wait_for(state="detached")


def test_the_page_of_a_run_shows_graph_logs_outputs_and_spec(site: Side, look: Look) -> None:
    create(site, "shown")
    start(site, "shown", status="partially_succeeded")
    with look() as front:
        front.open("dag-runs/shown/first")
        expect(front.page.locator("svg g.node")).to_have_count(4)
        front.titled("Horizontal layout").click()
        front.titled("Expand graph").click()
        front.page.keyboard.press("Escape")
        front.page.locator("button, a").filter(has_text="stdout").filter(visible=True).nth(1).click()
        front.sees("Step Log (stdout): b")
        front.button("Show Beginning").click()
        front.sees("2")
        front.button("Show End").click()
        front.sees("2500")
        front.page.keyboard.press("Escape")
        front.page.locator("button, a").filter(has_text="stderr").filter(visible=True).first.click()
        front.sees("oops")
        front.page.keyboard.press("Escape")
        front.button("Scheduler Log").click()
        front.sees("Log", exact=False)
        front.page.keyboard.press("Escape")
        front.button("Timeline").click()
        front.button("Outputs").click()
        front.sees("hello world")
        front.button("Spec").click()
        expect(front.page.locator(".view-lines").first).to_contain_text("Shows")


def test_steps_are_retried_and_their_status_changed(site: Side, look: Look) -> None:
    create(site, "again", "steps: [{name: x, command: exit 1}, {name: y, command: echo y}]\n")
    start(site, "again", status="failed")
    with look() as front:
        front.open("dag-runs/again/first")
        front.page.locator("svg g.node").first.click(button="right")
        front.dialog.get_by_role("button", name="Success").click()
        until(site, "again", "first", lambda run: labels(run)["x"] == "succeeded")
        front.open("dag-runs/again/first")
        front.page.get_by_title("Retry from this step").filter(visible=True).nth(1).click()
        front.dialog.get_by_role("button", name="Retry").click()
        until(site, "again", "first", lambda run: labels(run)["y"] == "succeeded")
        front.sees("succeeded")
        front.button("Retry").click()
        front.dialog.get_by_role("checkbox").check()
        front.dialog.get_by_role("button", name="Rerun").or_(
            front.dialog.get_by_role("button", name="Reschedule")
        ).last.click()
        eventually(lambda: len(get(site, "/dag-runs?name=again")["dagRuns"]) == 2, timeout_s=60)


def test_a_step_waits_for_an_answer_in_the_page(site: Side, look: Look) -> None:
    create(site, "answer", ASK)
    start(site, "answer", "yes", "waiting")
    start(site, "answer", "no", "waiting")
    with look() as front:
        front.open("dag-runs/answer/yes")
        front.titled("Approve this step").click()
        front.dialog.locator("#approval-input-REASON").fill("tested")
        front.dialog.get_by_role("button", name="Approve").click()
        until(site, "answer", "yes", lambda run: run["statusLabel"] == "succeeded")
        assert get(site, "/dag-runs/answer/yes/steps/after/log")["content"].strip() == "because tested"
        front.open("dag-runs/answer/no")
        front.titled("Reject this step").click()
        front.dialog.locator("#rejection-reason").fill("not today")
        front.dialog.get_by_role("button", name="Reject").click()
        until(site, "answer", "no", lambda run: run["statusLabel"] == "rejected")


def test_sub_runs_are_listed_and_opened(site: Side, look: Look) -> None:
    create(site, "kids", KIDS)
    start(site, "kids", status="succeeded")
    with look() as front:
        front.open("dag-runs/kids/first")
        front.text("Multiple executions: 3 sub DAG runs").click()
        front.sees("p3", exact=False)
        front.text("View Sub DAG Run: kid").click()
        front.page.wait_for_url("**subDAGRunId=*")
        front.sees("X=single")
        front.page.locator("button, a").filter(has_text="stdout").filter(visible=True).first.click()
        front.sees("kid single")


def test_queued_runs_are_removed_and_running_ones_stopped(site: Side, look: Look) -> None:
    create(site, "lane", "queue: narrow\n" + ENDLESS)
    start(site, "lane", "holds", "running")
    assert site.ask("POST", "/dags/lane/enqueue", {"dagRunId": "waits"})[0] == 200
    assert site.ask("POST", "/dags/lane/enqueue", {"dagRunId": "waits-too"})[0] == 200
    with look() as front:
        front.open("queues")
        front.page.get_by_placeholder("Search queues...").fill("narrow")
        front.sees("QUEUED (2)", exact=False)
        front.open("dag-runs/lane/waits")
        front.button("Dequeue").click()
        front.dialog.get_by_role("button", name="Dequeue").click()
        until(site, "lane", "waits", lambda run: run["statusLabel"] == "aborted")
        front.open("queues")
        front.button("Clear").click()
        front.page.get_by_role("dialog").get_by_role("button").filter(has_text="Clear").click()
        until(site, "lane", "waits-too", lambda run: run["statusLabel"] == "aborted")
        front.open("dag-runs/lane/holds")
        front.button("Stop").click()
        front.dialog.get_by_role("button", name="Stop").click()
        until(site, "lane", "holds", lambda run: run["statusLabel"] == "aborted")


def test_dags_are_searched_by_their_text(site: Side, look: Look) -> None:
    create(site, "found", "steps: [echo needle-in-hay]\n")
    with look() as front:
        front.open("search")
        front.page.get_by_placeholder("Search text...").fill("needle-in-hay")
        front.page.keyboard.press("Enter")
        front.sees("1 results found")
        front.text("found").click()
        front.page.wait_for_url("**/dags/found/spec*")


def test_webhooks_are_made_used_switched_and_deleted(site: Side, look: Look) -> None:
    create(site, "hooked", "steps: [echo x]\n")
    with look("404 GET /api/v2/dags/hooked/webhook") as front:
        front.open("dags/hooked/webhook")
        front.button("Create Webhook").click()
        front.sees("dagu_wh_", exact=False)
        first = front.text("dagu_wh_", exact=False).inner_text()
        assert Side(site.url, token=first).ask("POST", "/webhooks/hooked", {})[0] == 200
        front.button("Done").click()
        front.open("webhooks")
        front.page.get_by_role("row").filter(has_text="hooked").get_by_role("switch").click()
        eventually(lambda: get(site, "/dags/hooked/webhook")["enabled"] is False, timeout_s=60)
        front.choose("hooked", "Regenerate Token")
        front.page.get_by_role("dialog").get_by_role("button").filter(has_text="Regenerate").click()
        front.sees("dagu_wh_", exact=False)
        front.open("webhooks")
        front.choose("hooked", "Delete")
        front.page.get_by_role("dialog").get_by_role("button").filter(has_text="Delete").click()
        eventually(lambda: site.ask("GET", "/dags/hooked/webhook")[0] == 404, timeout_s=60)


def test_users_are_made_edited_and_deleted(site: Side, look: Look) -> None:
    def roles() -> dict[str, str]:
        return {user["username"]: user["role"] for user in get(site, "/users")["users"]}

    with look() as front:
        front.open("users")
        front.button("Add User").click()
        front.dialog.locator("#username").fill("worker1")
        front.dialog.locator("#password").fill("a long password")
        front.dialog.get_by_role("button", name="Create").click()
        eventually(lambda: roles().get("worker1") == "viewer", timeout_s=60)
        front.choose("worker1", "Edit")
        front.dialog.get_by_role("combobox").click()
        front.page.get_by_role("option").filter(has_text="Operator").click()
        front.dialog.get_by_role("button").filter(has_text="Update").or_(
            front.dialog.get_by_role("button").filter(has_text="Save")
        ).click()
        eventually(lambda: roles()["worker1"] == "operator", timeout_s=60)
        front.choose("worker1", "Reset Password")
        for field in front.dialog.locator("input[type=password]").all():
            field.fill("a reset password")
        front.dialog.get_by_role("button").filter(has_text="Reset").click()
        reset = {"username": "worker1", "password": "a reset password"}
        eventually(lambda: site.ask("POST", "/auth/login", reset)[0] == 200, timeout_s=60)
        front.open("users")
        front.choose("worker1", "Delete")
        front.page.get_by_role("dialog").get_by_role("button").filter(has_text="Delete").click()
        eventually(lambda: "worker1" not in roles(), timeout_s=60)


def test_keys_are_made_used_edited_and_deleted(site: Side, look: Look) -> None:
    with look() as front:
        front.open("api-keys")
        front.button("Create API Key").click()
        front.dialog.locator("#name").fill("robot")
        front.dialog.get_by_role("button", name="Create Key").click()
        key = front.text("dagu_", exact=False).inner_text()
        assert Side(site.url, token=key).ask("GET", "/dags")[0] == 200
        front.open("api-keys")
        front.choose("robot", "Edit")
        front.dialog.locator("#name").fill("machine")
        front.dialog.get_by_role("button").filter(has_text="Update").or_(
            front.dialog.get_by_role("button").filter(has_text="Save")
        ).click()
        front.sees("machine")
        front.choose("machine", "Delete")
        front.page.get_by_role("dialog").get_by_role("button").filter(has_text="Delete").click()
        eventually(lambda: get(site, "/api-keys")["apiKeys"] == [], timeout_s=60)
        assert Side(site.url, token=key).ask("GET", "/dags")[0] == 401
