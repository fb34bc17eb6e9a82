"""Find runs, keep a search, and act on many at once, in a real browser."""

import re

from playwright.sync_api import Page, expect

from tests.harness.accessibility import barriers
from tests.harness.browser import PHONE
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually
from tests.ui.conftest import Look


def confirm(page: Page, text: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=text, exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def line(system: Embedded, queue: str) -> None:
    """Make a queue with one running run and two that wait for it."""
    client = system.client
    client.create(queue, f"queue: {queue}\ntags: [{queue}-tag]\nsteps: [sleep 300]\n")
    assert client.ask("PUT", f"/queues/{queue}", {"maxConcurrency": 1}).status == 200
    for run_id in ("one", "two", "three"):
        assert client.ask("POST", f"/dags/{queue}/enqueue", {"dagRunId": run_id}).status == 200
    client.until("running", queue, "one")


def test_runs_are_found_and_acted_on_together(look: Look, system: Embedded) -> None:
    line(system, "picked")
    system.client.create("picky", "steps: [{name: s, command: exit 3}]\n")
    for run_id in ("picked-1", "picked-2"):
        system.client.start("picky", run_id)
        system.client.until("failed", "picky", run_id)
    with look("#/runs") as page:
        rows = page.locator("table.runs tbody tr")
        page.get_by_label("Part of a name or run id").fill("PICKED")
        expect(rows).to_have_count(5)
        page.get_by_label("Tag", exact=True).select_option("picked-tag")
        expect(rows).to_have_count(3)
        page.get_by_role("button", name="Save view").click()
        page.get_by_role("dialog").get_by_label("Name").fill("My line")
        confirm(page, "Save")
        page.get_by_label("Tag", exact=True).select_option("")
        page.get_by_label("Started by").fill("nobody")
        expect(page.get_by_text("No run matches.")).to_be_visible()
        page.get_by_role("link", name="Show all").click()
        page.get_by_role("link", name="My line").click()
        expect(rows).to_have_count(3)
        expect(page).to_have_url(re.compile("tag=picked-tag"))

        # The question has the count of those that the action fits.
        page.get_by_label("Select all").check()
        bar = page.get_by_role("group", name="Selected runs")
        expect(bar).to_contain_text("3 runs selected")
        expect(bar.get_by_role("button", name="Stop 1")).to_be_visible()
        bar.get_by_role("button", name="Dequeue 2").click()
        expect(page.get_by_role("dialog")).to_contain_text("Dequeue 2 runs?")
        confirm(page, "Dequeue 2 runs")
        expect(rows).to_have_count(1)
        bar.get_by_role("button", name="Stop 1").click()
        confirm(page, "Stop 1 run")
        expect(rows.first).to_contain_text("aborted")
        expect(bar).to_have_count(0)

        page.goto(page.url.split("#")[0] + "#/runs?q=picky")
        expect(rows).to_have_count(2)
        for run_id in ("picked-1", "picked-2"):
            page.get_by_label(f"Select picky {run_id}").check()
        bar.get_by_role("button", name="Retry 2").click()
        confirm(page, "Retry 2 runs")
        expect(page.get_by_text("Retry: 2 runs.")).to_be_visible()
        for run_id in ("picked-1", "picked-2"):
            eventually(lambda one=run_id: system.client.run("picky", one).get("runAttempt") == 2)  # type: ignore[misc]


def test_all_runs_of_a_list_are_selected_on_a_phone(look: Look, system: Embedded) -> None:
    system.client.create("pocket", "steps: ['true']\n")
    for run_id in ("p1", "p2"):
        system.client.start("pocket", run_id)
    with look("#/runs?name=pocket", size=PHONE) as page:
        page.get_by_text("Select all").click()
        expect(page.get_by_role("group", name="Selected runs")).to_contain_text("2 runs selected")
        assert barriers(page) == []


def test_everything_on_a_queue_is_stopped_in_three_clicks(look: Look, system: Embedded) -> None:
    line(system, "burst")
    with look("#/home") as page:
        expect(page.get_by_role("region", name="Queues")).to_contain_text("burst")
        page.get_by_role("link", name="Queues", exact=True).click()
        page.get_by_role("region", name="Queue burst").get_by_role("button", name="Stop all").click()
        expect(page.get_by_role("dialog")).to_contain_text(
            "1 run running: stopped. 2 runs queued: taken out of the queue."
        )
        confirm(page, "Stop 3 runs")
        expect(page.get_by_role("region", name="Queue burst")).to_contain_text("0 of 1 running, 0 waiting")
    system.client.until("aborted", "burst", "one")
    assert [each["dagRunId"] for each in system.client.ask("GET", "/dag-runs/burst").json["dagRuns"]] == ["one"]
