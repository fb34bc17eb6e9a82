"""The pages of the system and of its settings."""

import json
import re

from playwright.sync_api import Browser, Route, expect

from tests.harness.accessibility import barriers
from tests.harness.browser import watched
from tests.harness.cluster import Deployment
from tests.harness.eventually import eventually
from tests.harness.procs import DagwayProcess
from tests.ui.conftest import Look, log_in, origin, send, worker_row


def test_a_worker_is_drained_and_resumed(look: Look, system: Deployment) -> None:
    worker = "local"
    try:
        with look("#/system") as page:
            row = worker_row(page, worker)
            row.get_by_role("button", name=f"Drain {worker}").click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_label("Reason").fill("new disk")
            dialog.get_by_role("button", name="Drain").click()
            expect(row).to_contain_text("Drained by anonymous")
            expect(row).to_contain_text(": new disk")
            expect(row).not_to_contain_text("has not heard of it yet")
            expect(row.locator(".badge").first).to_have_text("‖draining")
            page.get_by_role("link", name=re.compile("^Home")).click()
            expect(page.get_by_role("region", name="Workers")).to_contain_text("draining")
            system.client.create("undrained", "steps: ['true']\n")
            system.client.start("undrained")
            waits = page.get_by_role("listitem").filter(has_text="undrained r1").locator(".reason")
            expect(waits).to_contain_text("a worker that takes new runs: local is draining")
            # No part of it is taken for the name of a worker, such as "that".
            expect(waits.get_by_role("link")).to_have_text(re.compile("^step cmd_1: a worker that .* is draining$"))
            expect(page.get_by_role("link", name="0 workers")).to_have_class(re.compile("is-failed"))
            page.get_by_role("link", name="System", exact=True).click()
            row.get_by_role("button", name=f"Resume {worker}").click()
            expect(row).not_to_contain_text("Drained by")
            expect(row.get_by_role("button", name=f"Drain {worker}")).to_be_visible()
    finally:
        [found] = system.client.ask("GET", "/workers").json["workers"]
        if "drain" in found:
            system.client.ask("POST", f"/workers/{worker}/resume")
        eventually(lambda: system.client.ask("GET", "/workers").json["workers"][0]["state"] == "live")


def test_the_smallest_screen_is_wide_enough(look: Look, system: Deployment) -> None:
    with look("#/system", size=(320, 640)) as page:
        expect(worker_row(page, "local")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_no_width_between_phone_and_desk_scrolls_sideways(chromium: Browser, guarded: DagwayProcess) -> None:
    def of_last_year(route: Route) -> None:
        answer = route.fetch().json()
        for run in answer["dagRuns"]:
            run |= {
                "startedAt": "2020-12-30T22:00:00Z",
                "finishedAt": "2020-12-30T22:12:34Z",
                "firstStartedAt": "",
                "durationMs": 0,
            }
        route.fulfill(json=answer)

    with watched(chromium, f"{origin(guarded)}/flows/#/home", expected=("status of 401",)) as page:
        # The widest bar: an administrator may see every page.
        log_in(page, "admin", "correct horse")
        expect(page.get_by_role("link", name="Access", exact=True)).to_be_visible()
        steps = [{"name": "W" * 40, "command": "echo x"}, {"name": "b", "command": "echo x", "depends": "W" * 40}]
        spec = json.dumps({"type": "graph", "steps": steps})
        send(page, guarded, "dags", {"name": "sideways", "spec": spec})
        send(page, guarded, "dags/sideways/start", {"dagRunId": "r1"}, status=200)
        page.route("**/dag-runs?*", of_last_year)
        page.get_by_role("link", name="Runs", exact=True).click()
        expect(page.get_by_role("row", name="sideways")).to_contain_text("12 min 34 s")
        for width in (320, 768, 820, 900, 1024):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        # All links fit into one line of a small desk screen, also if the documentation is one of them.
        page.set_viewport_size({"width": 1280, "height": 800})
        bar = page.get_by_role("banner")
        # Other tests make workspaces, and the list of them takes more room.
        bar.get_by_role("combobox").evaluate_all("lists => lists.forEach((each) => each.remove())")
        bar.get_by_role("link", name="API").evaluate(
            "each => { const docs = each.cloneNode(); docs.textContent = 'Docs'; each.before(docs); }"
        )
        tops = bar.locator("a, button").evaluate_all("all => all.map((each) => each.getBoundingClientRect().top)")
        assert max(tops) - min(tops) < 12

        page.goto(f"{origin(guarded)}/flows/#/dags/sideways")
        expect(page.get_by_role("cell", name="W" * 40, exact=True).last).to_be_attached()
        for width in (320, 765, 900):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_settings_are_shown_with_their_source_and_secrets_are_not(chromium: Browser, guarded: DagwayProcess) -> None:
    port = guarded.env["DAGWAY_PORT"]
    with watched(chromium, f"{origin(guarded)}/flows/#/settings", expected=("status of 401", "status of 403")) as page:
        log_in(page, "admin", "correct horse")
        row = page.get_by_role("row", name="DAGWAY_PORT")
        expect(row).to_contain_text(port)
        expect(row).to_contain_text("variable")
        expect(page.get_by_role("row", name="DAGWAY_AUTH_ADMIN_PASSWORD")).to_contain_text("set, not shown")
        expect(page.locator("main")).not_to_contain_text("correct horse")
        expect(page.get_by_role("row", name="DAGWAY_METRICS_DAGS")).to_contain_text("default")
        page.get_by_label("Only those that are set").check()
        expect(page.get_by_role("row", name="DAGWAY_METRICS_DAGS")).to_have_count(0)
        page.get_by_label("Part of a name or of the meaning").fill("base_path")
        expect(page.get_by_role("row", name="DAGWAY_BASE_PATH")).to_contain_text("/flows")
        expect(row).to_have_count(0)
        page.get_by_role("link", name="Workers").click()
        row = page.get_by_role("row", name="DAGWAY_PORT")
        expect(row).to_contain_text(port)
        expect(row.get_by_text("differs")).to_have_count(0)
        expect(page.get_by_role("row", name="DAGWAY_AUTH_ADMIN_PASSWORD")).to_contain_text("set, not shown")
        assert barriers(page) == []
        page.get_by_role("link", name="Schedulers").click()
        expect(row).to_contain_text(port)
        expect(page.locator("main")).not_to_contain_text("correct horse")
        send(page, guarded, "users", {"username": "boss", "password": "just managing", "role": "manager"})
        page.get_by_role("button", name="Log out").click()
        log_in(page, "boss", "just managing")
        expect(page.get_by_role("link", name="Secrets")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("requires the role admin")
        expect(page.get_by_role("link", name="Settings", exact=True)).to_have_count(0)
