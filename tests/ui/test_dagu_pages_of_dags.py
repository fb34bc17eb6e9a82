"""Dagu's own front end on Dagway: its pages of DAGs, and what each action changes.

``COMPARE_DAGU`` names the program of Dagu, which holds the front end; without it these tests are skipped, and say so.
"""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.comparison.front_end import Site
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually
from tests.ui.conftest import Open

pytestmark = pytest.mark.timeout(600)


def test_the_dashboard_shows_runs_workers_and_paths(site: Site, front_end: Open) -> None:
    site.create("dash")
    site.start("dash", status="partially_succeeded")
    with front_end() as front:
        front.open("dashboard")
        front.sees("Workers")
        front.sees("local")
        front.sees("CPU")
        front.page.get_by_role("combobox").filter(visible=True).filter(has_text="All DAGs").click()
        front.page.get_by_role("option", name="dash", exact=True).click()
        front.sees("ok")
        front.titled("Refresh").click()
        front.button("Paths").click()
        front.sees("System Paths")


def test_the_list_is_paged_searched_and_filtered(site: Site, front_end: Open) -> None:
    for number in range(55):
        site.create(f"zz{number:02}", f"tags: [bulk, t{number % 2}]\nsteps: [echo x]\n")
    with front_end() as front:
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


def test_a_dag_is_made_edited_renamed_and_deleted(site: Site, front_end: Open) -> None:
    with front_end() as front:
        front.open("dags")
        front.button("Create new DAG").click()
        front.dialog.locator("#dag-name").fill("made-there")
        front.dialog.get_by_role("button", name="Create").click()
        front.page.wait_for_url("**/dags/made-there/spec*")
        front.write("steps: [echo edited]\n")
        front.titled("Save changes").click()
        eventually(lambda: "echo edited" in site.get("/dags/made-there/spec")["spec"])
        front.write("steps: 5\n")
        front.titled("Save changes").click()
        front.told("steps")
        assert "echo edited" in site.get("/dags/made-there/spec")["spec"]
        front.open("dags/made-there/spec")
        front.button("Rename").click()
        front.dialog.locator("#dag-name").fill("renamed-there")
        front.dialog.get_by_role("button", name="Rename").click()
        front.page.wait_for_url("**/dags/renamed-there*")
        assert site.ask("GET", "/dags/made-there")[0] == 404
        front.open("dags/renamed-there/spec")
        front.button("Delete").click()
        front.page.wait_for_url("**/dags/")
        eventually(lambda: site.ask("GET", "/dags/renamed-there")[0] == 404)
        front.told("Are you sure to delete the DAG?")


def test_a_dag_is_suspended_and_shown_beside_the_list(site: Site, front_end: Open) -> None:
    site.create("next-to-list")
    site.start("next-to-list", status="partially_succeeded")
    with front_end() as front:
        front.open("dags?search=next-to-list")
        front.sees("next-to-list")
        front.page.get_by_role("switch").filter(visible=True).click()
        eventually(lambda: site.get("/dags/next-to-list")["suspended"] is True)
        front.text("next-to-list").click()
        front.sees("Node Status")
        front.button("History").click()
        # One run: a dot for each of its steps, and for its handler.
        expect(front.page.locator("td.cursor-pointer > div.rounded-full").filter(visible=True)).to_have_count(5)
        front.button("Spec").click()
        expect(front.page.locator(".view-lines").first).to_contain_text("Shows")
        front.titled("Close (Esc)").click()
        front.sees("Select a DAG to view details", exact=False)


def test_arrow_keys_go_from_dag_to_dag_beside_the_list(site: Site, front_end: Open) -> None:
    site.create("arrow-one")
    site.create("arrow-two")
    with front_end() as front:
        front.open("dags?search=arrow")
        front.text("arrow-one").click()
        title = front.page.get_by_role("heading", level=1).filter(visible=True)
        expect(title.filter(has_text="arrow-one")).to_have_count(1)
        front.page.keyboard.press("ArrowDown")
        expect(title.filter(has_text="arrow-two")).to_have_count(1)
        front.page.keyboard.press("ArrowUp")
        expect(title.filter(has_text="arrow-one")).to_have_count(1)


def test_an_older_run_is_chosen_in_the_history(site: Site, front_end: Open) -> None:
    site.create("older-runs", "params: '0'\nsteps: [exit $1]\n")
    site.start("older-runs", "older", "failed", params="1")
    site.start("older-runs", "newer", "succeeded")
    with front_end() as front:
        front.open("dags/older-runs/history")
        dots = front.page.locator("tbody td.cursor-pointer")
        expect(dots).to_have_count(2)
        front.sees("newer")
        dots.first.click()
        front.page.wait_for_url("**dagRunId=older*")
        front.sees("older")
        front.sees("failed")
        expect(front.page.locator("svg g.node.error")).to_have_count(1)
        dots.last.click()
        front.page.wait_for_url("**dagRunId=newer*")
        expect(front.page.locator("svg g.node.done")).to_have_count(1)


def test_another_node_is_chosen_and_shown(site: Site, front_end: Open, system: Embedded) -> None:
    site.create("near-here")
    system.client.create("far-there", "steps: [echo far]\n")
    with front_end() as front:
        front.open("dags?search=here")
        front.sees("near-here")
        front.titled("Node: local").click()
        front.page.get_by_role("option", name="far", exact=True).click()
        front.sees("far-there")
        front.lacks("near-here")
        front.titled("Node: far").click()
        front.page.get_by_role("option", name="local", exact=True).click()
        front.sees("near-here")
        front.lacks("far-there")


def test_runs_are_started_enqueued_and_retried_in_dialogs(site: Site, front_end: Open, tmp_path: Path) -> None:
    site.create("dialogs")
    was = tmp_path / "was-here"
    site.create("second-time", f"steps: ['test -e {was} || {{ touch {was}; exit 1; }}']\n")
    site.start("second-time", status="failed")
    with front_end("404 GET /api/v2/dags/dialogs/webhook") as front:
        front.open("dags/dialogs")
        front.button("Enqueue").click()
        front.page.get_by_role("dialog").get_by_role("checkbox").uncheck()
        front.dialog.locator("#dagRun-id").fill("by-hand")
        front.dialog.locator("#param-0").fill("people")
        front.dialog.get_by_role("button", name="Start").click()
        run = site.until("dialogs", "by-hand", lambda run: run["statusLabel"] == "partially_succeeded")
        assert "people" in run["params"]
        front.sees("by-hand")
        front.button("Enqueue").click()
        front.dialog.locator("#dagRun-id").fill("in-line")
        front.dialog.get_by_role("checkbox").check()
        front.dialog.get_by_role("button", name="Enqueue").last.click()
        site.until("dialogs", "in-line", lambda run: run["statusLabel"] == "partially_succeeded")
        front.sees("in-line")
        front.open("dags/dialogs/history")
        front.sees("in-line")
        expect(front.page.locator("svg g.node")).to_have_count(4)
        front.button("Timeline").click()
        expect(front.page.locator("svg g.node")).to_have_count(0)
        front.open("dags/second-time")
        front.button("Retry").click()
        front.dialog.get_by_role("button", name="Rerun").click()
        site.until("second-time", "first", lambda run: run["statusLabel"] == "succeeded")


def test_dags_are_searched_by_their_text(site: Site, front_end: Open) -> None:
    site.create("found", "steps: [echo needle-in-hay]\n")
    with front_end() as front:
        front.open("search")
        front.page.get_by_placeholder("Search text...").fill("needle-in-hay")
        front.page.keyboard.press("Enter")
        front.sees("1 results found")
        front.text("found").click()
        front.page.wait_for_url("**/dags/found/spec*")
