"""Dagu's own front end on Dagway: its pages of runs and queues, and what each action changes.

``COMPARE_DAGU`` names the program of Dagu, which holds the front end; without it these tests are skipped, and say so.
"""

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from shared.clock import utc_now
from tests.comparison.front_end import Site
from tests.harness.eventually import eventually
from tests.ui.conftest import Open

pytestmark = pytest.mark.timeout(600)

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


def is_upright(graph: Locator) -> bool:
    """Return whether the steps of a drawn graph are below each other, not beside each other."""
    box = graph.bounding_box()
    return box is not None and box["height"] > box["width"]


def labels(run: dict[str, Any]) -> dict[str, str]:
    return {node["step"]["name"]: node["statusLabel"] for node in run["nodes"]}


def test_the_runs_are_filtered_grouped_and_shown_beside_the_list(site: Site, front_end: Open) -> None:
    site.create("listed", "params: '0'\nsteps: [exit $1]\n")
    site.start("listed", "good-one", "succeeded")
    site.start("listed", "bad-one", "failed", params="1")
    with front_end() as front:
        front.open("dag-runs")
        front.page.get_by_placeholder("Filter by DAG name...").fill("listed")
        front.button("Search").click()
        front.sees("good-one")
        front.pick("All", "failed")
        front.lacks("good-one")
        front.sees("bad-one")
        front.pick("failed", "All Statuses")
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


def test_the_runs_are_filtered_by_date(site: Site, front_end: Open) -> None:
    # At midnight its run becomes one of yesterday: the test does not begin shortly before.
    eventually(lambda: utc_now().date() == (utc_now() + timedelta(minutes=2)).date(), timeout_s=130)
    site.create("dated", "steps: [echo x]\n")
    site.start("dated", "of-today", "succeeded")
    with front_end() as front:
        front.open("dag-runs?name=dated")
        front.sees("of-today")
        front.pick("Today", "Yesterday")
        front.lacks("of-today")
        front.pick("Yesterday", "Last 7 days")
        front.sees("of-today")
        front.button("Specific date/month/year").click()
        front.page.locator("input[type=date]").fill("2001-02-03")
        front.lacks("of-today")
        front.pick("Date", "Month")
        front.page.locator("input[type=month]").fill(f"{utc_now():%Y-%m}")
        front.sees("of-today")
        front.pick("Month", "Year")
        front.page.locator("input[type=number]").fill("2001")
        front.lacks("of-today")
        front.button("Custom range").click()
        front.page.locator("#fromDate").fill(f"{utc_now():%Y}-01-01 00:00:00")
        front.page.locator("#toDate").fill(f"{utc_now():%Y}-12-31 23:59:59")
        front.button("Search").click()
        front.sees("of-today")
        front.page.locator("#toDate").fill(f"{utc_now():%Y}-01-01 00:00:01")
        front.page.locator("#toDate").press("Enter")
        front.lacks("of-today")


def test_arrow_keys_go_from_run_to_run_beside_the_list(site: Site, front_end: Open) -> None:
    site.create("stepped", "params: '0'\nsteps: [exit $1]\n")
    site.start("stepped", "lower", "failed", params="1")
    site.start("stepped", "upper", "succeeded")
    with front_end() as front:
        front.open("dag-runs?name=stepped")
        front.text("upper").click()
        front.sees("1=0")
        front.page.keyboard.press("ArrowDown")
        front.sees("1=1")
        front.lacks("1=0")
        front.page.keyboard.press("ArrowUp")
        front.sees("1=0")
        front.lacks("1=1")


def test_the_page_of_a_run_shows_graph_logs_outputs_and_spec(site: Site, front_end: Open) -> None:
    site.create("tour-of-run")
    site.start("tour-of-run", status="partially_succeeded")
    with front_end() as front:
        front.open("dag-runs/tour-of-run/first")
        expect(front.page.locator("svg g.node")).to_have_count(4)
        graph = front.page.locator("svg").filter(has=front.page.locator("g.node"))
        expect(graph).to_have_count(1)
        assert is_upright(graph)
        front.button("Horizontal layout").click()
        eventually(lambda: not is_upright(graph))
        front.button("Vertical layout").click()
        eventually(lambda: is_upright(graph))
        front.button("Expand graph").click()
        expect(front.dialog).to_contain_text("Visual Graph")
        expect(front.dialog.locator("svg g.node")).to_have_count(4)
        front.dialog.get_by_role("button", name="Horizontal layout").click()
        eventually(lambda: not is_upright(front.dialog.locator("svg").filter(has=front.page.locator("g.node"))))
        front.page.keyboard.press("Escape")
        expect(front.dialog).to_have_count(0)
        front.page.locator("button, a").filter(has_text="stdout").filter(visible=True).nth(1).click()
        front.sees("Step Log (stdout): b")
        front.button("Show Beginning").click()
        front.sees("17")
        front.button("Show End").click()
        front.sees("2477")
        line = front.page.locator("[data-line-number='1234']")
        expect(line).to_have_count(0)
        front.page.locator("input[type=number]").fill("1234")

        def jumped() -> None:
            # The page scrolls half a second later, whether it has the lines by then or not.
            front.button("Go").click()
            expect(line).to_be_in_viewport(timeout=5_000)

        eventually(jumped)
        expect(line).to_contain_text("1234")
        front.sees("Page 2 of 3")
        front.page.keyboard.press("Escape")
        front.page.locator("button, a").filter(has_text="stderr").filter(visible=True).first.click()
        front.sees("oops")
        front.open("dag-runs/tour-of-run/first")
        front.text("Scheduler Log").click()
        lines = site.get("/dag-runs/tour-of-run/first/log")["totalLines"]
        front.sees(f"of {lines} lines", exact=False)
        front.open("dag-runs/tour-of-run/first")
        front.button("Timeline").click()
        front.lacks("Node Status")
        front.sees("d")
        front.button("Outputs").click()
        front.sees("hello world")
        front.button("Spec").click()
        expect(front.page.locator(".view-lines").first).to_contain_text("Shows")


def test_steps_are_retried_and_their_status_changed(site: Site, front_end: Open) -> None:
    site.create("status-changed", "steps: [{name: x, command: exit 1}, {name: y, command: echo y}]\n")
    site.start("status-changed", status="failed")
    with front_end() as front:
        front.open("dag-runs/status-changed/first")
        front.page.locator("svg g.node").first.click(button="right")
        front.dialog.get_by_role("button", name="Success").click()
        site.until("status-changed", "first", lambda run: labels(run)["x"] == "succeeded")
        front.open("dag-runs/status-changed/first")
        front.page.get_by_title("Retry from this step").filter(visible=True).nth(1).click()
        front.dialog.get_by_role("button", name="Retry").click()
        site.until("status-changed", "first", lambda run: labels(run)["y"] == "succeeded")
        front.sees("succeeded")
        front.button("Retry").click()
        front.dialog.get_by_role("checkbox").check()
        front.dialog.get_by_role("button", name="Rerun").or_(
            front.dialog.get_by_role("button", name="Reschedule")
        ).last.click()
        eventually(lambda: len(site.get("/dag-runs?name=status-changed")["dagRuns"]) == 2)


def test_a_step_waits_for_an_answer_in_the_page(site: Site, front_end: Open) -> None:
    site.create("answer", ASK)
    site.start("answer", "yes", "waiting")
    site.start("answer", "no", "waiting")
    with front_end() as front:
        front.open("dag-runs/answer/yes")
        front.titled("Approve this step").click()
        front.dialog.locator("#approval-input-REASON").fill("tested")
        front.dialog.get_by_role("button", name="Approve").click()
        site.until("answer", "yes", lambda run: run["statusLabel"] == "succeeded")
        assert site.get("/dag-runs/answer/yes/steps/after/log")["content"].strip() == "because tested"
        front.open("dag-runs/answer/no")
        front.titled("Reject this step").click()
        front.dialog.locator("#rejection-reason").fill("not today")
        front.dialog.get_by_role("button", name="Reject").click()
        site.until("answer", "no", lambda run: run["statusLabel"] == "rejected")


def test_sub_runs_are_listed_and_opened(site: Site, front_end: Open) -> None:
    site.create("two-calls", KIDS)
    site.start("two-calls", status="succeeded")
    with front_end() as front:
        front.open("dag-runs/two-calls/first")
        front.text("Multiple executions: 3 sub DAG runs").click()
        front.sees("p3", exact=False)
        front.text("View Sub DAG Run: kid").click()
        front.page.wait_for_url("**subDAGRunId=*")
        front.sees("X=single")
        front.page.locator("button, a").filter(has_text="stdout").filter(visible=True).first.click()
        front.sees("kid single")


def test_queued_runs_are_removed_and_running_ones_stopped(site: Site, front_end: Open) -> None:
    site.create("lane", "queue: narrow\n" + ENDLESS)
    site.start("lane", "holds", "running")
    assert site.ask("POST", "/dags/lane/enqueue", {"dagRunId": "waits"})[0] == 200
    assert site.ask("POST", "/dags/lane/enqueue", {"dagRunId": "waits-too"})[0] == 200
    with front_end() as front:
        front.open("queues")
        front.page.get_by_placeholder("Search queues...").fill("narrow")
        front.sees("QUEUED (2)", exact=False)
        front.open("dag-runs/lane/waits")
        front.button("Dequeue").click()
        front.dialog.get_by_role("button", name="Dequeue").click()
        # As in Dagu a run that has not begun is gone then.
        eventually(lambda: site.ask("GET", "/dag-runs/lane/waits")[0] == 404)
        front.open("queues")
        front.button("Clear").click()
        front.page.get_by_role("dialog").get_by_role("button").filter(has_text="Clear").click()
        eventually(lambda: site.ask("GET", "/dag-runs/lane/waits-too")[0] == 404)
        front.open("dag-runs/lane/holds")
        front.button("Stop").click()
        front.dialog.get_by_role("button", name="Stop").click()
        site.until("lane", "holds", lambda run: run["statusLabel"] == "aborted")
