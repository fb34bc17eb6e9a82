"""The editor of workflow files with colours, completion, explanations and mistakes at their lines."""

import re

import pytest
from playwright.sync_api import Page, expect

from scripts.build_editor import BUNDLE, WEB
from services.api.ui.page_script import page_script
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually
from tests.harness.needs import missing
from tests.ui.conftest import Look

pytestmark = pytest.mark.usefixtures("built")

SPEC = """\
steps:
  - name: load
    command: echo load
"""


@pytest.fixture(scope="module")
def built() -> None:
    if not BUNDLE.exists():
        missing("the editor is not built: install npm and run python -m scripts.build_editor")
    assert page_script(WEB) != "main.js", "the bundle of the pages is not of their present modules"


def saved(system: Embedded, name: str) -> str:
    text: str = system.client.ask("GET", f"/dags/{name}/spec").json["spec"]
    return text


def write(page: Page, text: str, *, after: str) -> None:
    """Type at the end of the line that contains ``after``, once the editor has its schema: it is loaded on its own."""
    expect(page.locator(".cm-content")).to_have_attribute("aria-autocomplete", "list")
    page.locator(".cm-line", has_text=after).click()
    page.keyboard.press("End")
    page.keyboard.type(text)


def test_what_is_typed_is_completed_checked_compared_and_saved(look: Look, system: Embedded) -> None:
    system.client.create("typed-in", SPEC)
    with look("#/dags/typed-in?tab=spec") as page:
        editor = page.get_by_role("textbox", name="Spec of typed-in")
        expect(editor).to_contain_text("echo load")

        # Keys of a step are offered with their meaning; one that it has already is not.
        write(page, "\nret", after="echo load")
        proposals = page.locator(".cm-tooltip-autocomplete")
        policy = proposals.get_by_role("option", name=re.compile("^retryPolicy"))
        expect(page.locator(".cm-completionInfo")).to_contain_text("Tries a failed step again.")
        policy.click()
        page.keyboard.type("lim")
        expect(proposals.get_by_role("option")).to_have_text([re.compile("^limit")])
        proposals.get_by_role("option").click()
        page.keyboard.type("many")

        # A mistake is shown at its line while one types, in the words of the server.
        mistakes = page.locator(".cm-lintRange-error")
        expect(mistakes).not_to_have_count(0)
        expect(page.locator(".problems")).to_contain_text("limit")
        page.keyboard.press("Control+s")
        expect(page.get_by_text("Not saved: the spec has errors.")).to_be_visible()
        assert saved(system, "typed-in") == SPEC
        for _ in "many":
            page.keyboard.press("Backspace")
        page.keyboard.type("3\nintervalSec: 1")
        expect(mistakes).to_have_count(0)

        page.get_by_role("button", name="Show changes").click()
        dialog = page.get_by_role("dialog", name="Changes to typed-in")
        expect(dialog.locator(".cm-line.cm-changedLine")).to_have_count(3)
        expect(dialog).to_contain_text("retryPolicy:")
        dialog.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        assert saved(system, "typed-in") == f"{SPEC[:-1]}\n    retryPolicy:\n      limit: 3\n      intervalSec: 1\n"


def test_undo_does_not_take_back_the_text_that_was_read(look: Look, system: Embedded) -> None:
    system.client.create("not-undone", SPEC)
    with look("#/dags/not-undone?tab=spec") as page:
        editor = page.get_by_role("textbox", name="Spec of not-undone")
        write(page, "s", after="echo load")
        for _ in range(2):
            editor.press("Control+z")
        expect(editor).to_contain_text("echo load")
        expect(page.get_by_text("Not saved", exact=True)).to_have_count(0)


def test_the_cursor_stays_in_its_line_when_another_line_is_saved_elsewhere(look: Look, system: Embedded) -> None:
    system.client.create("beside", "steps:\n  - echo first\n  - echo second\n")
    with look("#/dags/beside?tab=spec") as page:
        editor = page.get_by_role("textbox", name="Spec of beside")
        editor.get_by_text("second").click()
        spec = "steps:\n  - echo longer than first\n  - echo second\n"
        assert system.client.ask("PUT", "/dags/beside/spec", {"spec": spec}).status == 200
        expect(editor).to_contain_text("longer than first")
        expect(page.locator(".cm-activeLine")).to_contain_text("second")


def test_values_and_steps_are_completed_and_keys_explained(look: Look, system: Embedded) -> None:
    text = f"{SPEC}  - name: check\n    depends: \n    logOutput: \n    script: |\n      words\n"
    system.client.create("explained", text)
    with look("#/dags/explained?tab=spec") as page:
        proposals = page.locator(".cm-tooltip-autocomplete")
        write(page, "l", after="depends:")
        proposals.get_by_role("option", name=re.compile("^load")).click()
        write(page, "me", after="logOutput:")
        expect(proposals.get_by_role("option")).to_have_text([re.compile("^merged")])
        proposals.get_by_role("option").click()

        # In a script every word is its own.
        write(page, " dep", after="words")
        page.keyboard.press("Control+Space")
        expect(proposals).to_have_count(0)
        expect(page.locator(".cm-content")).to_contain_text("depends: load")
        expect(page.locator(".cm-content")).to_contain_text("logOutput: merged")

        def explained() -> None:
            page.mouse.move(0, 0)
            page.get_by_text("logOutput", exact=True).hover()
            expect(page.locator(".cm-tooltip-hover")).to_contain_text(
                "Whether stdout and stderr have a log each", timeout=5_000
            )

        eventually(explained)
        # Letters typed here are no shortcuts of the page, and Escape leads out of the editor.
        page.keyboard.type("/")
        expect(page).to_have_url(re.compile(r"#/dags/explained\?tab=spec$"))
        page.keyboard.press("Escape")  # closes what the editor proposes
        page.keyboard.press("Escape")
        expect(page.get_by_role("textbox", name="Spec of explained")).not_to_be_focused()


def test_a_preview_shows_the_steps_and_the_next_scheduled_times_of_the_text(look: Look, system: Embedded) -> None:
    system.client.create("foreseen", SPEC)
    with look("#/dags/foreseen?tab=spec") as page:
        page.get_by_role("button", name="Preview").click()
        preview = page.get_by_role("region", name="Preview")
        expect(preview.get_by_role("link")).to_have_count(0)
        expect(preview).to_contain_text("No schedule starts it.")
        write(page, "", after="echo load")
        page.keyboard.insert_text("\n  - name: check\n    command: echo check")
        expect(preview.locator(".node")).to_have_count(2)
        page.locator(".cm-line").first.click()
        page.keyboard.press("Home")
        page.keyboard.insert_text("schedule: '30 4 * * *'\n")
        expect(preview).to_contain_text(re.compile(r"Next scheduled times: .*04:30.*04:30.*04:30.*04:30.*04:30"))
    assert saved(system, "foreseen") == SPEC


def test_the_plain_editor_can_be_chosen_with_the_text_kept(look: Look, system: Embedded) -> None:
    system.client.create("chosen", SPEC)
    with look("#/dags/chosen?tab=spec") as page:
        write(page, "ed", after="echo load")
        page.get_by_label("Plain text field").check()
        area = page.locator("textarea[aria-label='Spec of chosen']")
        expect(area).to_have_value(SPEC.replace("echo load", "echo loaded"))
        area.press("Control+s")
        expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        assert "loaded" in saved(system, "chosen")
        page.reload()
        expect(area).to_have_value(SPEC.replace("echo load", "echo loaded"))
        page.get_by_label("Plain text field").uncheck()
        expect(page.locator(".cm-content")).to_contain_text("echo loaded")
