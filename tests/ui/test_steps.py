"""One step of a run, opened in its page: what can be done with it, its sub-runs, and the way back."""

import json
import re

import pytest
from playwright.sync_api import Locator, expect

from tests.harness.accessibility import barriers
from tests.harness.browser import PHONE
from tests.harness.cluster import Embedded
from tests.ui.conftest import Look

UNCOVERED = """(each) => {
  const { left, top, width, height } = each.getBoundingClientRect();
  return each.contains(document.elementFromPoint(left + width / 2, top + height / 2));
}"""
"""Whether an element is in sight, with nothing in front of it."""
SIZES = pytest.mark.parametrize("size", [PHONE, (900, 600), (1050, 600)], ids=["phone", "tablet", "laptop"])


def test_the_one_step_of_a_run_is_drawn(look: Look, system: Embedded) -> None:
    system.client.create("one-box", "steps: [{name: only, command: echo x}]\n")
    system.client.start("one-box")
    system.client.until("succeeded", "one-box")
    with look("#/runs/one-box/r1") as page:
        expect(page.get_by_role("button", name="Graph", pressed=True, exact=True)).to_be_visible()
        expect(page.locator(".graph").get_by_role("link", name="only: succeeded")).to_be_visible()


def test_a_script_of_more_lines_says_so_and_an_error_keeps_its_lines(look: Look, system: Embedded) -> None:
    script = "echo once\n\necho row 17 is odd >&2\nexit 3\n".replace("\n", "\n      ")
    system.client.create("of-lines", f"steps:\n  - name: lines\n    command: |\n      {script}\n")
    system.client.start("of-lines")
    system.client.until("failed", "of-lines")
    with look("#/runs/of-lines/r1?step=lines") as page:
        step = page.get_by_role("region", name="Step lines")
        expect(step.get_by_text("echo once …", exact=True)).to_be_visible()
        assert "exit status 3\nrecent stderr" in step.locator(".error").inner_text()


def test_a_handler_has_no_buttons_that_fail(look: Look, system: Embedded) -> None:
    system.client.create("handled", "handlerOn: {exit: {command: echo bye}}\nsteps: [{name: a, command: exit 3}]\n")
    system.client.start("handled")
    system.client.until("failed", "handled")
    with look("#/runs/handled/r1?step=a") as page:
        panel = page.locator(".panel")
        expect(panel.get_by_role("button", name="Retry this step")).to_be_visible()
        page.get_by_role("link", name="onExit", exact=True).click()
        expect(panel.get_by_role("heading", name="onExit")).to_be_visible()
        expect(panel.get_by_role("log")).to_have_text("bye")
        for name in ("Retry this step", "Mark as failed", "Mark as succeeded"):
            expect(panel.get_by_role("button", name=name)).to_have_count(0)


def test_a_page_shows_that_the_init_handler_failed(look: Look, system: Embedded) -> None:
    system.client.create("unready", "handlerOn: {init: {command: echo no room >&2; exit 4}}\nsteps: [echo a]\n")
    system.client.start("unready")
    system.client.until("aborted", "unready")
    with look("#/runs/unready/r1") as page:
        page.get_by_role("link", name="onInit", exact=True).click()
        panel = page.locator(".panel")
        expect(panel).to_contain_text("exit status 4")
        panel.get_by_role("button", name="stderr").click()
        expect(panel.get_by_role("log")).to_have_text("no room")


def test_who_closes_a_step_by_the_keyboard_is_where_it_was_opened(look: Look, system: Embedded) -> None:
    system.client.create("step-closed", "steps: [{name: a, command: echo a}, {name: b, command: echo b}]\n")
    system.client.start("step-closed")
    system.client.until("succeeded", "step-closed")
    with look("#/runs/step-closed/r1") as page:
        link = page.get_by_role("link", name="b", exact=True)
        for button, key in (("Close", "Enter"), ("stderr", "Escape")):
            link.focus()
            page.keyboard.press("Enter")
            page.locator(".panel").get_by_role("button", name=button).focus()
            page.keyboard.press(key)
            expect(page.locator(".panel")).to_have_count(0)
            expect(link).to_be_focused()


def test_the_one_child_run_of_many_that_failed_is_found(look: Look, system: Embedded) -> None:
    child = 'params: [{ITEM: ""}]\nsteps: [{name: work, command: test "$ITEM" != 204}]\n'
    items = [f"ITEM={number}" for number in range(205)]
    system.client.create("one-of-205", child)
    call = f"{{name: fan, call: one-of-205, parallel: {{items: {items}, maxConcurrent: 20}}}}"
    system.client.create("calls-205", f"steps: [{call}]\n")
    system.client.start("calls-205")
    system.client.until("failed", "calls-205")
    with look("#/runs/calls-205/r1?step=fan") as page:
        rows = page.locator(".panel tbody").first.get_by_role("row")
        expect(rows).to_have_count(200)
        page.get_by_label("Status of sub-runs").select_option("failed")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("ITEM=204")
        assert barriers(page) == []
        page.get_by_label("Status of sub-runs").select_option("Any status")
        page.get_by_role("button", name="Show 5 more").click()
        expect(rows).to_have_count(205)


def test_a_few_child_runs_are_found_by_status_and_say_how_long_they_took(look: Look, system: Embedded) -> None:
    items = list(range(10))
    system.client.create(
        "calls-ten",
        f"steps: [{{name: fan, call: one-of-ten, parallel: {items}}}]\n---\nname: one-of-ten\n"
        "steps: [{name: work, command: test $1 != 7}]\n",
    )
    system.client.start("calls-ten")
    system.client.until("failed", "calls-ten")
    with look("#/runs/calls-ten/r1?step=fan") as page:
        rows = page.locator(".panel tbody").first.get_by_role("row")
        expect(rows).to_have_count(10)
        page.get_by_label("Status of sub-runs").select_option("failed")
        expect(rows).to_have_count(1)
        # Not in whole seconds, in which their times are, unless a busy machine took ten or more.
        expect(rows).to_have_text(re.compile(r"^✕failedone-of-ten7(\d+ ms|\d\.\d s|\d\d s|\d+ min \d\d s)$"))


def test_what_turns_the_direction_of_a_text_is_shown_to_who_decides_by_it(look: Look, system: Embedded) -> None:
    steps = [
        {"name": "first", "command": "echo \u202egnp.exe"},
        {"name": "ask \u2066", "type": "hitl", "depends": "first", "config": {"prompt": "Ship \u202eit?"}},
    ]
    system.client.create("turned", json.dumps({"steps": steps}, ensure_ascii=False))
    system.client.start("turned")
    system.client.until("waiting", "turned")
    with look("#/runs/turned/r1") as page:
        words = page.get_by_role("form").locator("p")
        expect(words).to_have_text("ask [U+2066] waits for a person: Ship [U+202E]it?")
        expect(page.locator("table.steps")).to_contain_text("echo [U+202E]gnp.exe")
        page.get_by_role("link", name="Spec", exact=True).click()
        expect(page.get_by_role("region", name="Spec of this run")).to_contain_text("echo [U+202E]gnp.exe")


def test_a_name_from_right_to_left_leaves_what_is_beside_it(look: Look, system: Embedded) -> None:
    system.client.create("hebrew", json.dumps({"steps": [{"name": "\u05d0\u05d1\u05d2", "type": "hitl"}]}))
    system.client.start("hebrew", "77")
    system.client.until("waiting", "hebrew", "77")
    with look("#/home") as page:
        entry = (
            page.get_by_role("region", name="Waiting for approval").get_by_role("listitem").filter(has_text="hebrew")
        )
        places = [entry.locator(each).bounding_box() for each in ("a", ".mono")]
        [name, run_id] = [place for place in places if place]
        assert run_id["x"] >= name["x"] + name["width"]


def uncovered(element: Locator) -> bool:
    expect(element).to_be_visible()
    found: bool = element.evaluate(UNCOVERED)
    return found


@SIZES
def test_the_bar_hides_neither_an_opened_step_nor_what_is_selected(
    look: Look, system: Embedded, size: tuple[int, int]
) -> None:
    if system.client.ask("GET", "/dag-runs/long-way/r1").status != 200:
        steps = [{"name": f"s{number}", "command": "true"} for number in range(40)]
        system.client.create("long-way", json.dumps({"steps": steps, "maxActiveRuns": 20}))
        for number in range(1, 21):
            system.client.start("long-way", f"r{number}")
        system.client.until("succeeded", "long-way")
    with look("#/runs/long-way/r1", size=size) as page:
        page.get_by_role("link", name="s39", exact=True).click()
        panel = page.locator(".panel")
        expect(panel.get_by_role("heading", name="s39")).to_be_visible()
        assert uncovered(panel.get_by_role("button", name="Close"))

        # Other tests may have made more runs since than a page lists.
        page.evaluate("location.hash = '#/runs?q=long-way'")
        page.get_by_label("Select long-way r20", exact=True).check()
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        assert uncovered(page.get_by_role("group", name="Selected runs").get_by_role("button", name="Clear"))


def test_a_long_output_leaves_the_others_in_sight(look: Look, system: Embedded) -> None:
    steps = [{"command": "seq 5000", "output": "FIRST"}, {"command": "echo x", "output": "LAST"}]
    system.client.create("outspoken", json.dumps({"steps": steps}))
    system.client.start("outspoken")
    system.client.until("succeeded", "outspoken")
    with look("#/runs/outspoken/r1?tab=outputs") as page:
        expect(page.get_by_role("cell", name="last", exact=True)).to_be_in_viewport()
        page.get_by_role("region", name="first").press("End")
        expect(page.get_by_text("4999", exact=False)).to_be_in_viewport()


def test_back_leads_to_where_a_list_was_left(look: Look, system: Embedded) -> None:
    system.client.create("walked", json.dumps({"steps": ["echo x"], "maxActiveRuns": 30}))
    for number in range(1, 31):
        system.client.start("walked", f"r{number}")
    for number in range(1, 31):
        system.client.until("succeeded", "walked", f"r{number}")
    with look("#/runs?q=walked", size=(1000, 500)) as page:
        link = page.get_by_role("link", name="walked r1", exact=True)
        link.scroll_into_view_if_needed()
        before = page.evaluate("scrollY")
        assert before > 200
        link.click()
        expect(page.locator("main h1")).to_have_text("walked")
        expect(page.locator("main dl")).to_be_visible()
        assert page.evaluate("scrollY") == 0
        page.get_by_role("link", name="Outputs", exact=True).click()
        page.go_back()
        page.go_back()
        expect(link).to_be_in_viewport()
        assert page.evaluate("scrollY") == before
        page.go_forward()
        expect(page.locator("main dl")).to_be_visible()
        assert page.evaluate("scrollY") == 0


def test_a_run_whose_question_was_closed_by_hand_can_be_retried(look: Look, system: Embedded) -> None:
    system.client.create("marked-by-hand", "steps: [{name: ok, type: hitl}, {name: after, command: echo after}]\n")
    system.client.start("marked-by-hand")
    system.client.until("waiting", "marked-by-hand")
    with look("#/runs/marked-by-hand/r1?step=ok") as page:
        again = page.get_by_role("button", name="Retry", exact=True)
        mark = page.get_by_role("button", name="Mark as succeeded")
        expect(mark).to_be_visible()
        expect(again).to_have_count(0)
        mark.click()
        expect(page.locator(".call.reason")).to_contain_text("Waiting: a retry")
        again.click()
        expect(page.locator("main .heading").get_by_role("status")).to_contain_text("succeeded")
