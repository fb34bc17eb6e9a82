"""What somebody has typed into the spec of a DAG and not saved yet, or saved while no scheduler ran."""

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.harness.browser import watched
from tests.harness.cluster import Deployment, Embedded
from tests.harness.procs import DagwayProcess
from tests.ui.conftest import BOTH_DEPLOYMENTS, PLAIN_EDITOR, Look, log_in, origin, send

UNASKED = "addEventListener('beforeunload', (event) => event.stopImmediatePropagation())"
"""As if the person had answered that the page may be left. It must come before the listeners of the page."""
COUNTED = """() => {
  const { get } = Object.getOwnPropertyDescriptor(HTMLCollection.prototype, "length");
  const numbers = document.querySelector(".gutter").children;
  window.counted = 0;
  const counting = { get() { window.counted += this === numbers; return get.call(this); } };
  Object.defineProperty(HTMLCollection.prototype, "length", counting);
}"""
"""Counts how often the page asks how many numbers of lines there are."""
PASTED = "(area, text) => { area.value = text; area.dispatchEvent(new Event('input')); }"
"""Playwright's ``fill`` makes an event of each line."""


def accept(route: Route) -> None:
    """Answer a change as a gateway does while there is no scheduler."""
    if route.request.method == "GET":
        route.continue_()
    else:
        route.fulfill(status=202, json={"commandId": "c1", "status": "pending"})


@BOTH_DEPLOYMENTS
@pytest.mark.parametrize("meanwhile", ["before it is read", "after it is read"])
def test_after_a_late_save_the_next_one_replaces_nothing_of_others_unasked(
    look: Look, system: Deployment, meanwhile: str
) -> None:
    system.client.create(name := f"late-save-{meanwhile.split(maxsplit=1)[0]}", "steps: [echo first]\n")
    where = f"/dags/{name}/spec"
    with look(f"#/dags/{name}?tab=spec", expected=("status of 412",), stored=PLAIN_EDITOR) as page:
        editor, save = page.get_by_label(f"Spec of {name}"), page.get_by_role("button", name="Save", exact=True)
        expect(editor).to_have_value("steps: [echo first]\n")
        page.route(f"**{where}", accept)
        editor.fill("steps: [echo mine]\n")
        save.click()
        expect(page.locator(".toast")).to_contain_text("Accepted, but not saved yet")
        page.unroute(f"**{where}")

        # The scheduler is back.
        editor.fill("steps: [echo more]\n")
        texts = ["steps: [echo mine]\n", "steps: [echo theirs]\n"]
        if meanwhile == "after it is read":
            with page.expect_response(f"**{where}"):
                assert system.client.ask("PUT", where, {"spec": texts.pop(0)}).status == 200
            expect(page.get_by_text("Somebody else has saved another text")).to_have_count(0)
        for text in texts:
            assert system.client.ask("PUT", where, {"spec": text}).status == 200
        expect(page.get_by_text("Somebody else has saved another text")).to_be_visible()
        save.click()
        expect(page.get_by_text("This spec was changed by another user")).to_be_visible()
        page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).click()
        expect(editor).to_have_value("steps: [echo more]\n")
    assert system.client.ask("GET", where).json["spec"] == "steps: [echo theirs]\n"


def test_an_unsaved_text_is_there_when_the_page_is_loaded_again(look: Look, system: Embedded) -> None:
    system.client.create("reloaded", "steps: [echo first]\n")
    with look("#/dags/reloaded?tab=spec", expected=("status of 412",), stored=PLAIN_EDITOR) as page:
        page.add_init_script(UNASKED)
        page.reload()
        editor = page.get_by_label("Spec of reloaded")
        expect(editor).to_have_value("steps: [echo first]\n")
        editor.fill("steps: [echo mine] # 🚀 שלום\n")
        page.reload()
        expect(editor).to_have_value("steps: [echo mine] # 🚀 שלום\n")
        expect(page.get_by_text("Not saved", exact=True)).to_be_visible()

        # It is saved only over the text that it was made from.
        assert system.client.ask("PUT", "/dags/reloaded/spec", {"spec": "steps: [echo theirs]\n"}).status == 200
        page.reload()
        expect(editor).to_have_value("steps: [echo mine] # 🚀 שלום\n")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("button", name="Undo all").click()
        expect(editor).to_have_value("steps: [echo theirs]\n")
        page.reload()
        expect(editor).to_have_value("steps: [echo theirs]\n")
        expect(page.get_by_text("Not saved", exact=True)).to_have_count(0)


def test_an_unsaved_text_is_its_own_persons_when_a_login_ends(chromium: Browser, guarded: DagwayProcess) -> None:
    door = f"{origin(guarded)}/flows/#/dags"
    with watched(chromium, door, expected=("status of 401",), stored=PLAIN_EDITOR) as page:
        page.add_init_script(UNASKED)
        page.reload()
        log_in(page, "admin", "correct horse")
        expect(page.get_by_role("heading", name="DAGs", exact=True)).to_be_visible()
        send(page, guarded, "users", {"username": "editor-too", "password": "just looking", "role": "manager"})
        send(page, guarded, "dags", {"name": "half-edited", "spec": "steps: [echo first]\n"})
        page.evaluate("location.hash = '#/dags/half-edited?tab=spec'")
        editor = page.get_by_label("Spec of half-edited")
        expect(editor).to_have_value("steps: [echo first]\n")
        editor.fill("steps: [echo mine]\n")
        for username, password, text in (
            ("editor-too", "just looking", "steps: [echo first]\n"),
            ("admin", "correct horse", "steps: [echo mine]\n"),
        ):
            page.context.clear_cookies()
            page.reload()
            log_in(page, username, password)
            expect(editor).to_have_value(text)


def test_a_key_in_a_long_text_touches_only_what_it_changes(look: Look, system: Embedded) -> None:
    """Else each key in a text of some thousand lines would take seconds on a slow machine."""
    system.client.create("many-lines", "steps: [echo x]\n" + "# a line\n" * 300)
    with look("#/dags/many-lines?tab=spec", stored=PLAIN_EDITOR) as page:
        numbers = page.locator(".gutter > div")
        expect(numbers).to_have_count(302)
        page.evaluate("document.querySelector('.gutter').firstChild.same = true")
        editor = page.get_by_label("Spec of many-lines")
        editor.press("Control+End")
        page.keyboard.type("#\n#")
        expect(numbers).to_have_count(303)
        expect(numbers.last).to_have_text("303")
        assert page.evaluate("document.querySelector('.gutter').firstChild.same")
        page.keyboard.press("Backspace")
        page.keyboard.press("Backspace")
        expect(numbers).to_have_count(302)
        editor.fill("steps: [{comand: x}]")
        expect(numbers).to_have_count(1)
        expect(page.locator(".gutter .wrong")).to_have_text("1")
        editor.fill("steps: [echo x]")
        expect(page.locator(".gutter .wrong")).to_have_count(0)


def test_the_numbers_of_a_long_text_are_counted_once(look: Look, system: Embedded) -> None:
    """The browser goes through all of them for that after each change: for each line, 30,000 lines would take 6 s."""
    system.client.create("grows", "steps: [echo x]\n")
    with look("#/dags/grows?tab=spec", stored=PLAIN_EDITOR) as page:
        editor, numbers = page.get_by_label("Spec of grows"), page.locator(".gutter > div")
        expect(numbers).to_have_count(2)
        page.evaluate(COUNTED)
        for text, count in (("#\n" * 300, 301), ("", 1)):
            editor.evaluate(PASTED, text)
            expect(numbers).to_have_count(count)
        assert page.evaluate("counted") < 100


def test_whoever_logs_out_leaves_no_unsaved_text(chromium: Browser, guarded: DagwayProcess) -> None:
    with watched(chromium, f"{origin(guarded)}/flows/#/dags", expected=("status of 401",), stored=PLAIN_EDITOR) as page:
        page.add_init_script(UNASKED)
        page.reload()
        log_in(page, "admin", "correct horse")
        expect(page.get_by_role("heading", name="DAGs", exact=True)).to_be_visible()
        send(page, guarded, "dags", {"name": "left-behind", "spec": "steps: [echo first]\n"})
        page.evaluate("location.hash = '#/dags/left-behind?tab=spec'")
        editor, leave = page.get_by_label("Spec of left-behind"), page.get_by_role("button", name="Log out")
        expect(editor).to_have_value("steps: [echo first]\n")
        editor.fill("steps: [echo mine]\n")
        page.reload()  # it is in the storage now
        expect(editor).to_have_value("steps: [echo mine]\n")
        leave.click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("What you have not saved is lost: left-behind.")
        dialog.get_by_role("button", name="Cancel").click()
        expect(editor).to_have_value("steps: [echo mine]\n")
        leave.click()
        dialog.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("User name")).to_be_visible()
        assert "echo mine" not in page.evaluate("JSON.stringify(sessionStorage)")
        log_in(page, "admin", "correct horse")
        expect(editor).to_have_value("steps: [echo first]\n")
        leave.click()
        expect(page.get_by_label("User name")).to_be_visible()
