"""The overview and what waits, in a real browser."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from shared.clock import utc_now
from tests.harness.browser import PHONE, watched
from tests.harness.cluster import Embedded
from tests.ui.conftest import MOST_REQUESTS, Look, origin


def test_home_says_that_no_scheduler_runs(look: Look) -> None:
    def without(route: Route) -> None:
        answer = route.fetch().json()
        answer["counts"]["schedulers"] = 0
        route.fulfill(json=answer)

    with look() as page:
        told = page.get_by_role("alert").filter(has_text="No scheduler is running: no run starts or ends")
        expect(page.get_by_role("heading", name="Home")).to_be_visible()
        expect(told).to_have_count(0)
        page.route("**/overview", without)
        expect(told).to_be_visible()
        page.unroute("**/overview")
        expect(told).to_have_count(0)


def test_home_answers_the_nights_questions_at_once(look: Look, system: Embedded, tmp_path: Path) -> None:
    client = system.client
    hold = f"until test -e {tmp_path / 'open'}; do sleep 0.05; done"
    client.create("night-holds", f"steps: [{{name: s, lock: [night], command: '{hold}'}}]\n")
    client.create("night-gpu", "workerSelector: {gpu: 'yes'}\nsteps: [echo hi]\n")
    later = (utc_now() + timedelta(hours=2)).hour  # no fixed hour: at that hour it would fail once more
    client.create("night-fails", f"schedule: 'CRON_TZ=UTC 0 {later} * * *'\nsteps: [{{name: s, command: exit 3}}]\n")
    client.create("night-asks", "steps: [{name: sign off, type: hitl}]\n")
    for name in ("night-fails", "night-asks", "night-holds"):
        client.start(name)
    client.until("failed", "night-fails")
    client.until("waiting", "night-asks")
    client.until("running", "night-holds")
    client.start("night-holds", "r2")
    client.start("night-gpu")
    client.create("night-no", "steps: [{name: sign off, type: hitl}]\n")
    client.start("night-no")
    client.until("waiting", "night-no")
    client.ask("POST", "/dag-runs/night-no/r1/steps/sign%20off/reject")
    client.until("rejected", "night-no")
    with look() as page:
        expect(page.get_by_role("heading", name="Home")).to_be_visible()
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(request.url) if "/api/" in request.url else None)
        page.reload()
        waiting = page.get_by_role("region", name="Waiting", exact=True)
        gpu = waiting.get_by_role("listitem").filter(has_text="night-gpu")
        expect(gpu).to_contain_text("no live worker with labels gpu=yes")
        expect(page.get_by_role("group", name="Runs by time")).to_be_visible()
        assert len(asked) <= MOST_REQUESTS, asked
        locked = waiting.get_by_role("listitem").filter(has_text="night-holds")
        expect(locked).to_contain_text("‖waiting")
        expect(locked).to_contain_text("waiting: step s: lock night, held by night-holds/r1 (s)")
        # A rejected run is listed, but retrying the failed ones leaves it alone.
        failed = page.get_by_role("region", name=re.compile("^Failed"))
        expect(failed).to_contain_text("night-fails")
        expect(failed).to_contain_text("night-no")
        step = failed.get_by_role("listitem").filter(has_text="night-fails").get_by_role("link", name="s", exact=True)
        expect(step).to_have_attribute("href", "#/runs/night-fails/r1?step=s")
        failed.get_by_role("button", name=re.compile("^Retry")).click()
        expect(page.get_by_role("dialog")).to_contain_text("night-fails r1")
        expect(page.get_by_role("dialog")).not_to_contain_text("night-no")
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("region", name="Next scheduled times")).to_contain_text("night-fails")
        expect(page.get_by_role("region", name="Running")).to_contain_text("night-holds")
        expect(page.get_by_role("link", name="night-fails r1: failed")).to_be_attached()
        expect(page.locator(".count-badge")).to_have_attribute(
            "title", re.compile("^[1-9][0-9]* steps? waits? for approval$")
        )
        page.get_by_label("Only DAGs with").fill("night-h")
        expect(page.get_by_role("link", name="night-fails r1: failed")).to_have_count(0)
        page.get_by_role("button", name="1 h", exact=True).click()
        expect(page.get_by_role("link", name="night-holds r1: running")).to_be_attached()

        # The reason leads to what it names, and the other lists tell the same.
        locked.get_by_role("link", name="lock night").click()
        expect(page.get_by_role("heading", name="Queues", exact=True)).to_be_visible()
        expect(page.get_by_role("region", name="Queue night-gpu")).to_contain_text("no live worker")
        page.get_by_role("link", name="Runs", exact=True).click()
        page.get_by_label("Part of a name or run id").fill("night-gpu")
        row = page.get_by_role("row", name="night-gpu")
        expect(row).to_contain_text("‖waiting")
        expect(row).not_to_contain_text("running")
        page.get_by_role("link", name="DAGs", exact=True).click()
        page.get_by_label("Name", exact=True).fill("night-gpu")
        expect(page.get_by_role("row", name="night-gpu")).to_contain_text("no live worker with labels gpu=yes")

        # It is live: what is approved and what ends goes away by itself.
        page.get_by_role("link", name=re.compile("^Home")).click()
        page.get_by_role("link", name="night-asks › sign off").click()
        page.get_by_role("button", name="Approve").click()
        expect(page.locator(".heading .badge").first).to_have_text("✓succeeded")
        page.get_by_role("link", name=re.compile("^Home")).click()
        expect(waiting).to_contain_text("night-holds")
        (tmp_path / "open").touch()
        expect(waiting).not_to_contain_text("night-holds")
        client.ask("POST", "/dag-runs/night-gpu/r1/stop")
        expect(waiting).not_to_contain_text("night-gpu")
    client.ask("DELETE", "/dags/night-fails")


def test_home_tells_the_approvals_of_a_fan_out_apart(look: Look, system: Embedded) -> None:
    spec = "steps: [{name: fan, call: each-region, parallel: [eu-west, us-east]}]\n---\nname: each-region\n"
    system.client.create("fan-asks", f"{spec}steps: [{{name: sign off, type: hitl}}]\n")
    system.client.start("fan-asks")
    system.client.until("waiting", "fan-asks")
    with look() as page:
        asked = page.get_by_role("region", name="Waiting for approval").get_by_role("listitem")
        asked.filter(has_text="us-east").get_by_role("link").click()
        expect(page.get_by_role("button", name="Approve")).to_be_visible()
        expect(page.locator("main dl").first).to_contain_text("us-east")
        page.get_by_role("button", name="Reject").click()
        page.get_by_role("dialog").get_by_role("button", name="Reject").click()
    system.client.until("failed", "fan-asks")


def test_the_chart_of_the_last_24_hours_shows_what_ran_just_now_on_a_phone(look: Look, system: Embedded) -> None:
    system.client.create("just-now", "steps: ['true']\n")
    system.client.start("just-now")
    system.client.until("succeeded", "just-now")
    with look(size=PHONE) as page:
        chart = page.get_by_role("group", name="Runs by time")
        page.get_by_role("searchbox", name="Only DAGs with").fill("just-now")
        bar = chart.get_by_role("link", name=re.compile("^just-now r1"))
        place, screen = bar.bounding_box(), page.viewport_size
        assert place is not None
        assert screen is not None
        assert place["x"] + place["width"] <= screen["width"]


@pytest.mark.parametrize("size", [PHONE, (720, 450), (1440, 900)])
def test_charts_by_time_are_seen_whole_and_can_be_read_at_any_width(
    look: Look, system: Embedded, size: tuple[int, int]
) -> None:
    if system.client.ask("GET", "/dag-runs/readable/r1").status != 200:
        system.client.create("readable", "steps: [{name: lettered, command: 'true'}]\n")
        system.client.start("readable")
        system.client.until("succeeded", "readable")
    whole = "({clientWidth: w, scrollWidth: W, clientHeight: h, scrollHeight: H}) => W <= w && H <= h"
    for place, group in (("", "Runs by time"), ("#/runs/readable/r1?view=gantt", "Steps by time")):
        with look(place, size=size) as page:
            chart = page.locator(".canvas", has=page.get_by_role("group", name=group))
            expect(chart.locator(".lane").first).to_be_visible()
            assert chart.evaluate(f"each => ({whole})(each)"), group
            heights = chart.locator("text").evaluate_all("all => all.map(each => each.getBoundingClientRect().height)")
            assert min(heights) > 10, group
            assert max(heights) < 18, group


def test_home_names_the_runs_that_have_been_queued_longest(look: Look, system: Embedded, tmp_path: Path) -> None:
    hold = f"until test -e {tmp_path / 'open'}; do sleep 0.05; done"
    system.client.create("patient", f"queue: patient\nsteps: [{{name: s, command: '{hold}'}}]\n")
    for number in range(52):
        system.client.ask("POST", "/dags/patient/enqueue", {"dagRunId": f"n{number:02}"})
    system.client.until("running", "patient", "n00")
    with look() as page:
        waiting = page.get_by_role("region", name="Waiting", exact=True)
        patient = waiting.get_by_role("listitem").filter(has_text="patient n")
        expect(patient.first).to_contain_text("patient n01")
        expect(patient.nth(1)).to_contain_text("patient n02")
        expect(waiting).not_to_contain_text("n51")
    system.client.ask("POST", "/queues/patient/stop-all", {})
    system.client.until("aborted", "patient", "n00")


def test_the_history_shows_durations_and_failures_by_message(look: Look, system: Embedded, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    system.client.create(
        "past", f"steps:\n  - {{name: nap, command: sleep 0.05}}\n  - {{name: check, command: test -e {mended}}}\n"
    )
    for number in range(3):
        system.client.start("past", f"f{number}")
        system.client.until("failed", "past", f"f{number}")
    mended.touch()
    system.client.start("past", "ok")
    system.client.until("succeeded", "past", "ok")
    with look("#/dags/past?tab=runs") as page:
        plot = page.get_by_role("region", name="Durations")
        expect(plot).to_contain_text(re.compile(r"P50 [\d.]+ m?s, P95 [\d.]+ m?s of 1 successes"))
        expect(plot.get_by_role("link", name=re.compile(r"^ok: succeeded, [\d.]+ m?s$"))).to_be_attached()
        row = page.get_by_role("region", name="Failures by message").get_by_role("row").last
        expect(row).to_contain_text("3check: ")
        expect(row).to_contain_text("exit status 1")
        page.get_by_text("Durations of steps").click()
        expect(page.get_by_role("row", name=re.compile(r"^nap 4 [\d.]+ m?s"))).to_be_visible()
        row.get_by_role("link").click()
        expect(page.get_by_role("region", name="Step check")).to_be_visible()


def test_home_counts_the_dags_with_errors_and_leads_to_them(tmp_path: Path, chromium: Browser) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "fine.yaml").write_text("steps: [echo hi]\n")
    # The API stores no spec with errors; a file of the DAG folder may have some.
    (folder / "faulty.yaml").write_text("steps: [{name: s, comand: echo hi}]\n")
    (folder / "unread.yaml").write_text('steps: ["echo hi]\n')
    with (
        Embedded(tmp_path / "system", env={"DAGWAY_DAGS_DIR": str(folder)}) as system,
        watched(chromium, origin(system)) as page,
    ):
        page.get_by_role("link", name="2 DAGs with errors").click()
        expect(page.get_by_role("row", name="faulty")).to_contain_text("mistakes")
        expect(page.get_by_role("row", name="fine")).to_have_count(0)
        expect(page.get_by_label("Errors")).to_have_value("true")
        page.get_by_label("Errors").select_option("")
        expect(page.get_by_role("row", name="fine")).to_be_visible()
        page.get_by_role("link", name="unread", exact=True).click()
        expect(page.get_by_role("main")).to_contain_text("invalid YAML")
        expect(page.get_by_role("main")).to_contain_text("Which steps it has is not known")
        expect(page.get_by_role("main")).not_to_contain_text("has no steps")
