"""The dialog that starts a run: fields of the kind that the schema of the parameters says."""

import json
import re
from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from tests.harness.accessibility import barriers
from tests.harness.browser import PHONE
from tests.harness.cluster import Embedded
from tests.ui.conftest import Look

SPEC = """\
params:
  schema:
    type: object
    required: [region, batch, day]
    additionalProperties: false
    properties:
      region: {enum: [eu, us], description: Where to load from}
      batch: {type: integer, minimum: 1, maximum: 100}
      ratio: {type: number, exclusiveMinimum: 0, exclusiveMaximum: 1, default: 0.5}
      dry: {type: boolean, default: false}
      day: {type: string, format: date, title: Day}
      code: {type: string, pattern: '^[A-Z]{2}$'}
      since: {type: string}
  values: [{since: "`date +%F`"}]
steps: [printenv DAGU_PARAMS_JSON]
"""


def dialog_of(page: Page) -> Locator:
    page.get_by_role("button", name="Start", exact=True).click()
    return page.get_by_role("dialog")


def runs(system: Embedded, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = system.client.ask("GET", f"/dag-runs/{name}").json["dagRuns"]
    return found


def test_what_does_not_fit_the_schema_is_refused_before_a_run_exists(look: Look, system: Embedded) -> None:
    system.client.create("typed-form", SPEC)
    with look("#/dags/typed-form") as page:
        dialog = dialog_of(page)
        start = dialog.get_by_role("button", name="Start", exact=True)
        batch, ratio, code = (dialog.get_by_label(name) for name in ("batch", "ratio", "code"))
        assert barriers(page) == []
        expect(dialog.get_by_label("since")).to_have_value("`date +%F`")
        expect(dialog.get_by_label("Further parameters")).to_have_count(0)
        wrong = dialog.locator("input:invalid, select:invalid")

        expect(wrong).to_have_count(3)  # what is required and has no default
        dialog.get_by_label("region").select_option("us")
        dialog.get_by_label("Day (day)").fill("2026-02-28")
        for field, bad, good in ((batch, "999", "100"), (batch, "1.5", "7"), (code, "eu", "EU")):
            field.fill(bad)
            start.click()
            expect(wrong).to_have_count(1)
            expect(field).to_be_focused()
            field.fill(good)
            expect(wrong).to_have_count(0)
        ratio.fill("1")
        start.click()
        expect(dialog.get_by_role("alert")).to_have_text("Outside its limits: ratio")
        assert runs(system, "typed-form") == []

        ratio.fill("0.25")
        dialog.get_by_label("dry").select_option("true")
        start.click()
        expect(page.locator("main h1")).to_contain_text("typed-form")
        expect(page.get_by_text("succeeded").first).to_be_visible()
    [run] = runs(system, "typed-form")
    log = system.client.ask("GET", f"/dag-runs/typed-form/{run['dagRunId']}/steps/cmd_1/log").json["content"]
    # Only what was changed was sent, so that the default of `since` was evaluated.
    assert json.loads(log) == [
        {"region": "us"}, {"batch": "7"}, {"ratio": "0.25"}, {"dry": "true"}, {"day": "2026-02-28"}, {"code": "EU"},
    ]  # fmt: skip


def test_without_a_schema_parameters_are_texts(look: Look, system: Embedded) -> None:
    system.client.create("free-form", "params: [{NAME: world}]\nsteps: ['echo $NAME']\n")
    with look("#/dags/free-form") as page:
        dialog = dialog_of(page)
        expect(dialog.get_by_label("NAME")).to_have_attribute("type", "text")
        expect(dialog.get_by_label("NAME")).to_have_value("world")
        expect(dialog.get_by_label("Further parameters")).to_be_visible()


def test_what_nobody_changed_stays_as_it_is(look: Look, system: Embedded) -> None:
    # Fields of one line drop the ends of lines.
    spec = """\
params:
  schema:
    properties:
      text: {type: string, default: "one\\ntwo"}
      name: {type: string, default: world}
steps: [printenv text name]
"""
    system.client.create("kept-form", spec)
    for run_id, typed, text in (("untouched", "", "one\ntwo"), ("changed", "three\nfour", "three\nfour")):
        with look("#/dags/kept-form") as page:
            dialog = dialog_of(page)
            field = dialog.get_by_label("text", exact=True)
            expect(field).to_have_value("one\ntwo")
            assert barriers(page) == []
            if typed:
                field.fill(typed)
            dialog.get_by_label("name", exact=True).fill("Ada")
            dialog.get_by_label("Run id").fill(run_id)
            dialog.get_by_role("button", name="Start", exact=True).click()
            expect(page.locator("main dl")).to_contain_text(run_id)
        system.client.until("succeeded", "kept-form", run_id)
        log = system.client.ask("GET", f"/dag-runs/kept-form/{run_id}/steps/cmd_1/log").json["content"]
        assert log == f"{text}\nAda"


def test_a_start_whose_answer_was_lost_is_repeated_without_a_second_run(look: Look, system: Embedded) -> None:
    system.client.create("lost-start", "steps: ['true']\n")

    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    with look("#/dags/lost-start", expected=("ERR_FAILED",)) as page:
        dialog = dialog_of(page)
        page.route("**/lost-start/start", lose_the_answer)
        dialog.get_by_role("button", name="Start", exact=True).click()
        expect(dialog.get_by_role("alert")).to_have_text("The gateway does not answer")
        page.unroute("**/lost-start/start")
        # What is typed and taken back asks for the same start.
        dialog.get_by_label("Run id").fill("other")
        dialog.get_by_label("Run id").fill("")
        dialog.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator(".heading .badge").first).to_have_text("✓succeeded")
        assert len(runs(system, "lost-start")) == 1

        # The same for the same run again.
        page.route("**/reschedule", lose_the_answer)
        page.get_by_role("button", name="Run again").click()
        expect(page.locator(".toast.is-error")).to_have_text(re.compile("The gateway does not answer"))
        page.unroute("**/reschedule")
        page.get_by_role("button", name="Run again").click()
        expect(page.locator(".toast")).to_contain_text(["The gateway does not answer", "Started again"])
        assert len(runs(system, "lost-start")) == 2

        # Another start is another run.
        page.evaluate("location.hash = '#/dags/lost-start'")
        dialog = dialog_of(page)
        dialog.get_by_label("Run id").fill("mine")
        dialog.get_by_role("button", name="Start", exact=True).click()
        expect(page).to_have_url(re.compile("mine$"))
        assert len(runs(system, "lost-start")) == 3


def test_long_names_of_parameters_fit_on_a_phone(look: Look, system: Embedded) -> None:
    name = "A" * 100
    ask = f"{{name: ok, type: hitl, config: {{input: [{name}]}}}}"
    system.client.create("long-names", f"params: [{name}: x]\nsteps: [{ask}]\n")
    system.client.start("long-names")
    system.client.until("waiting", "long-names")
    with look("#/dags/long-names", size=PHONE) as page:
        dialog = dialog_of(page)
        expect(dialog.get_by_label(name)).to_be_visible()
        assert dialog.evaluate("each => each.scrollWidth <= each.clientWidth")
        page.keyboard.press("Escape")
        page.evaluate("location.hash = '#/runs/long-names/r1'")
        expect(page.get_by_label(name)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    system.client.ask("POST", "/dag-runs/long-names/r1/steps/ok/approve", {})
    system.client.until("succeeded", "long-names")
