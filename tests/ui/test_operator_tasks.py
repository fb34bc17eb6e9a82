"""The tasks of docs/operator-tasks.md: each can be done from Home, in the clicks that the page says."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.harness.cluster import Deployment
from tests.ui.conftest import BOTH_DEPLOYMENTS, PLAIN_EDITOR, Look

PAGE = Path(__file__).parents[2] / "docs/operator-tasks.md"
FEW = 3
FLAKY = """\
steps:
  - name: check
    retryPolicy: {limit: 1, intervalSec: 0}
    command: echo a needle; echo a needle >&2; exit 3
"""
TYPED = """\
params: {schema: {type: object, properties: {COUNT: {type: integer, default: 1, maximum: 5}}}}
steps: [{name: s, command: echo $COUNT}]
"""


class Operator:
    """Somebody in front of the page, whose clicks are counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    def click(self, place: Locator) -> None:
        self.clicks += 1
        place.click()

    def fill(self, place: Locator, text: str) -> None:
        self.click(place)
        place.fill(text)

    def choose(self, place: Locator, option: str) -> None:
        self.clicks += 1
        place.select_option(option)

    def link(self, name: str, region: str = "") -> None:
        where = self.page.get_by_role("region", name=re.compile(f"^{region}")) if region else self.page
        self.click(where.get_by_role("link", name=name, exact=True).first)

    def button(self, name: str | re.Pattern[str]) -> None:
        self.click(self.page.get_by_role("button", name=name, exact=isinstance(name, str)).first)

    def confirm(self, name: str) -> None:
        self.click(self.page.get_by_role("dialog").get_by_role("button", name=name, exact=True))

    def to_page(self, name: str) -> None:
        self.link(name)
        expect(self.page.get_by_role("heading", level=1, name=name, exact=True)).to_be_visible()

    def look_for(self, text: str) -> None:
        """Go to the search field by its key and type."""
        self.page.keyboard.press("/")
        self.page.keyboard.type(text)

    def to_dag(self, name: str) -> None:
        self.to_page("DAGs")
        self.look_for(name)
        self.link(name)


def why(me: Operator) -> None:
    me.link("ops-why", "Failed")
    expect(me.page.locator("main .error").first).to_contain_text("exit status 3")
    me.button("Retry")
    expect(me.page.get_by_text("Retry of the steps that did not succeed.")).to_be_visible()


def to_failed_step(me: Operator) -> None:
    me.link("ops-step", "Failed")
    me.click(me.page.locator("table.steps").get_by_role("link", name="check", exact=True))


def retry_step(me: Operator) -> None:
    to_failed_step(me)
    me.button("Retry this step")
    expect(me.page.get_by_text("The step runs again.")).to_be_visible()


def retry_all(me: Operator) -> None:
    me.click(
        me.page.get_by_role("region", name=re.compile("^Failed")).get_by_role("button", name=re.compile(r"^Retry \d+$"))
    )
    expect(me.page.get_by_role("dialog")).to_contain_text(re.compile(r"Retry \d+ runs?\?"))
    me.confirm("Cancel")  # where other tests' runs are among them; test_bulk.py confirms


def approve(me: Operator) -> None:
    me.link("ops-asks › sign off", "Waiting for approval")
    me.button("Approve")
    expect(me.page.locator(".heading .badge").first).to_have_text("✓succeeded")


def what_waits(me: Operator) -> None:
    waiting = me.page.get_by_role("region", name="Waiting", exact=True)
    expect(waiting.get_by_role("listitem").filter(has_text="ops-gpu")).to_contain_text(
        "no live worker with labels gpu=ops"
    )


def stop_queue(me: Operator) -> None:
    me.to_page("Queues")
    queue = me.page.get_by_role("region", name="Queue ops-line")
    me.click(queue.get_by_role("button", name="Stop all"))
    me.confirm("Stop 2 runs")
    expect(queue.get_by_role("row")).to_have_count(0)


def start_typed(me: Operator) -> None:
    me.to_page("DAGs")
    me.look_for("ops-typed")
    me.button("Start ops-typed")
    me.fill(me.page.get_by_role("dialog").get_by_label("COUNT"), "3")
    me.confirm("Start")
    expect(me.page.locator("dd", has_text="COUNT=3").first).to_be_visible()


def edit(me: Operator) -> None:
    me.to_dag("ops-typed")
    me.link("Spec")
    me.click(me.page.get_by_label("Spec of ops-typed"))
    me.page.keyboard.press("Control+End")
    me.page.keyboard.type("stepz: []")
    expect(me.page.locator(".gutter .wrong")).to_have_text("3")
    me.page.get_by_label("Spec of ops-typed").fill(TYPED)


def durations(me: Operator) -> None:
    me.to_dag("ops-typed")
    me.click(me.page.get_by_role("navigation", name="Parts of the DAG").get_by_role("link", name="Runs"))
    expect(me.page.get_by_role("region", name="Durations")).to_contain_text("P50")


def slowest(me: Operator) -> None:
    me.link("ops-talks", "Running")
    me.button("Gantt")
    expect(me.page.get_by_role("group", name="Steps by time")).to_be_visible()


def next_scheduled_times(me: Operator) -> None:
    expect(me.page.get_by_role("region", name="Next scheduled times")).to_contain_text(
        re.compile(r"ops-timed in \d+ (s|min)")
    )


def live_log(me: Operator) -> None:
    me.link("ops-talks", "Running")
    me.click(me.page.locator("table.steps").get_by_role("link", name="talk", exact=True))
    expect(me.page.get_by_role("log")).to_contain_text("said 3")


def download(me: Operator) -> None:
    to_failed_step(me)
    with me.page.expect_download() as file:
        me.button("Download")
    assert file.value.suggested_filename == "check.stderr.log"


def search_log(me: Operator) -> None:
    to_failed_step(me)
    me.fill(me.page.get_by_label("Find in the log"), "NEEDLE")
    expect(me.page.get_by_text(re.compile(r"^1 of \d+ lines?$"))).to_be_visible()


def earlier_attempt(me: Operator) -> None:
    to_failed_step(me)
    me.click(me.page.get_by_role("link", name=re.compile(r"^1 of \d+$")))
    expect(me.page).to_have_url(re.compile("attempt=1"))
    expect(me.page.get_by_role("log")).to_have_text("a needle\n")


def find_run(me: Operator) -> None:
    me.to_page("Runs")
    me.look_for("ops-tal")
    expect(me.page.get_by_role("row", name=re.compile("ops-talks"))).to_be_visible()


def worker(me: Operator) -> None:
    me.to_page("System")
    expect(me.page.locator(".tasks").get_by_text("ops-talks")).to_be_visible()


def who_changed(me: Operator) -> None:
    me.to_dag("ops-typed")
    me.link("Versions")
    expect(me.page.get_by_text("1 present")).to_be_visible()


def who_started(me: Operator) -> None:
    me.to_page("Runs")
    expect(me.page.get_by_role("columnheader", name="Started by")).to_be_visible()


def missed(me: Operator) -> None:
    me.to_page("Calendar")
    me.choose(me.page.get_by_label("Outcome"), "missed")
    expect(me.page).to_have_url(re.compile("outcome=missed"))
    expect(me.page.locator("main table.rows .badge").filter(has_not_text="missed")).to_have_count(0)


TASKS: dict[str, Callable[[Operator], None]] = {
    "What waits, and why?": what_waits,
    "What is due next?": next_scheduled_times,
    "Follow a live log": live_log,
    "Which step is the slowest?": slowest,
    "What does a worker do?": worker,
    "Find a run by part of its name or id": find_run,
    "Who or what started a run?": who_started,
    "Read the log of an earlier attempt": earlier_attempt,
    "Search a log": search_log,
    "Download a log": download,
    "Retry one step": retry_step,
    "Why did it fail? Go on from there": why,
    "Retry all that failed": retry_all,
    "Approve a step": approve,
    "Stop everything on a queue": stop_queue,
    "Start with parameters": start_typed,
    "How long does it take, compared with before?": durations,
    "Edit, and see a mistake at its line": edit,
    "Who changed this DAG?": who_changed,
    "What was missed or skipped, and why?": missed,
}


@pytest.fixture
def night(system: Deployment, tmp_path: Path) -> Iterator[Deployment]:
    """A system after an eventful night."""
    client = system.client
    end = tmp_path / "end"
    talk = f"for n in 1 2 3; do echo said $n; done; until test -e {end}; do sleep 0.1; done"
    client.create("ops-why", "steps: [{name: s, command: exit 3}]\n")
    client.create("ops-step", FLAKY)
    client.create("ops-asks", "steps: [{name: sign off, type: hitl}]\n")
    client.create("ops-gpu", "workerSelector: {gpu: ops}\nsteps: [echo hi]\n")
    client.create("ops-talks", f"steps: [{{name: talk, command: '{talk}'}}, {{name: then, command: 'true'}}]\n")
    client.create("ops-line", "queue: ops-line\nmaxActiveRuns: 1\nsteps: [sleep 300]\n")
    client.create("ops-typed", TYPED)
    client.create("ops-timed", "schedule: '*/10 * * * *'\nsteps: ['true']\n")
    for name in ("ops-why", "ops-step", "ops-asks", "ops-gpu", "ops-talks"):
        client.start(name)
    for run_id in ("t1", "t2"):
        client.start("ops-typed", run_id)
        client.until("succeeded", "ops-typed", run_id)
    for run_id in ("r1", "r2"):
        assert client.ask("POST", "/dags/ops-line/enqueue", {"dagRunId": run_id}).status == 200
    for status, name in (
        ("failed", "ops-why"),
        ("failed", "ops-step"),
        ("waiting", "ops-asks"),
        ("running", "ops-line"),
    ):
        client.until(status, name)
    yield system
    end.touch()
    client.ask("DELETE", "/dags/ops-timed")
    client.ask("POST", "/dag-runs/ops-gpu/r1/stop")


@BOTH_DEPLOYMENTS
def test_each_task_takes_the_clicks_that_the_page_says(look: Look, night: Deployment) -> None:
    rows = re.findall(r"^\| (.+?) \| (\d+) \| ", PAGE.read_text(), re.MULTILINE)
    promised = {task: int(clicks) for task, clicks in rows}
    assert promised.keys() == TASKS.keys()
    assert len(promised) == 20
    assert sum(clicks <= FEW for clicks in promised.values()) >= 17
    counted = {}
    with look("#/home", stored=PLAIN_EDITOR) as page:
        for task, carry_out in TASKS.items():
            page.goto(f"{page.url.split('#')[0]}#/home")
            expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
            expect(page.get_by_role("region", name="Next scheduled times")).to_be_visible()
            me = Operator(page)
            carry_out(me)
            counted[task] = me.clicks
    assert counted == promised
