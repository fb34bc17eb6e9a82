"""Fields are typed into key by key, as people do: no key is swallowed, and nothing that was typed is lost."""

import re

from playwright.sync_api import Locator, expect

from tests.harness.cluster import Embedded
from tests.ui.conftest import PLAIN_EDITOR, Look

TEXT = "aZ0 /?g-é"
"""Has letters that are shortcuts elsewhere."""
PLACES = {"home": 1, "dags": 1, "audit": 3, "search": 1, "runs": 2, "settings": 1, "runs/key-by-key-page/r1?step=s": 1}
"""How many fields for a text each page has."""
FIELDS = "main input[type=search]"


def takes_keys(field: Locator) -> None:
    """Type into a field, correct it, and leave it by the keyboard."""
    field.press_sequentially(TEXT)
    expect(field).to_have_value(TEXT)
    for key in ("ArrowLeft", "Backspace", "Home", "Delete", "End"):
        field.press(key)
    expect(field).to_have_value(TEXT[1:-2] + TEXT[-1])
    field.press("ControlOrMeta+a")
    field.press("Backspace")
    expect(field).to_have_value("")
    field.press("Tab")
    expect(field).not_to_be_focused()


def test_a_field_of_a_page_takes_every_key(look: Look, system: Embedded) -> None:
    system.client.create("key-by-key-page", "steps: [{name: s, command: echo x}]\n")
    system.client.start("key-by-key-page")
    system.client.until("succeeded", "key-by-key-page")
    for place, count in PLACES.items():
        with look(f"#/{place}") as page:
            fields = page.locator(FIELDS)
            expect(fields).to_have_count(count)
            for index in range(count):
                takes_keys(fields.nth(index))


def test_a_field_of_a_dialog_takes_every_key(look: Look, system: Embedded) -> None:
    system.client.create("key-by-key-start", "params: [{NAME: ''}]\nsteps: [echo x]\n")
    with look("#/dags/key-by-key-start") as page:
        page.get_by_role("button", name="Start", exact=True).click()
        fields = page.get_by_role("dialog").get_by_role("textbox")
        expect(fields).to_have_count(3)
        for index in range(3):
            takes_keys(fields.nth(index))


def test_what_is_typed_into_one_filter_counts_although_the_next_one_is_typed_into_at_once(look: Look) -> None:
    with look("#/audit") as page:
        actor, target = page.get_by_label("Actor: name or id"), page.get_by_label("Target: name or id")
        actor.click()
        for key in (*"who", "Tab", *"what"):
            page.keyboard.press(key)
        expect(page).to_have_url(re.compile("target=what"))
        expect(page.get_by_text("No entry matches.")).to_be_visible()
        expect(page).to_have_url(re.compile("actor=who"))
        expect(actor).to_have_value("who")
        expect(target).to_have_value("what")


def test_what_is_typed_into_a_filter_is_none_of_the_page_that_one_goes_to_at_once(look: Look) -> None:
    with look("#/dags") as page:
        page.clock.install()
        for place, label in (
            ("dags", "Name"),
            ("audit", "Actor: name or id"),
            ("settings", "Part of a name or of the meaning"),
        ):
            page.evaluate(f"location.hash = '#/{place}'")
            page.get_by_label(label, exact=True).press("x")
            page.evaluate("location.hash = '#/runs'")
            expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
            page.clock.run_for(1000)
            assert page.evaluate("location.hash") == "#/runs"


def test_tab_in_the_plain_editor_indents_thousands_of_lines(look: Look, system: Embedded) -> None:
    """As one change, which is shown as it is and can be undone."""
    line = "    - {name: '<b>é&lt;', command: \"echo  1\"}\t\n"
    before = line * 3000
    with look("#/dags", stored=PLAIN_EDITOR) as page:
        system.client.create("tab-in-long-text", "steps: [echo x]\n")
        page.evaluate("location.hash = '#/dags/tab-in-long-text?tab=spec'")
        area = page.get_by_label("Spec of tab-in-long-text")
        area.evaluate("(area, text) => { area.value = text; area.oninput(); area.select(); area.focus(); }", before)
        page.keyboard.press("Tab")
        assert area.input_value() == f"  {line}" * 3000
        page.keyboard.press("ControlOrMeta+z")
        assert area.input_value() == before


def test_tab_in_the_plain_editor_indents_and_can_be_undone(look: Look, system: Embedded) -> None:
    before = "steps:\n- echo one\n\n- echo two\n"
    system.client.create("tab-indents", before)
    with look("#/dags/tab-indents?tab=spec", stored=PLAIN_EDITOR) as page:
        area = page.get_by_label("Spec of tab-indents")
        expect(area).to_have_value(before)
        area.focus()
        for key in ("ControlOrMeta+Home", "ArrowDown", "ArrowRight", *["Shift+ArrowDown"] * 3, "Tab"):
            page.keyboard.press(key)
        expect(area).to_have_value("steps:\n  - echo one\n\n  - echo two\n")
        page.keyboard.press("Tab")
        expect(area).to_have_value("steps:\n    - echo one\n\n    - echo two\n")
        expect(page.get_by_text("Not saved")).to_be_visible()
        for _ in range(2):
            page.keyboard.press("ControlOrMeta+z")
        expect(area).to_have_value(before)
        expect(page.get_by_text("Not saved")).to_have_count(0)

        page.keyboard.press("ControlOrMeta+End")
        page.keyboard.press("Tab")
        page.keyboard.type("#")
        expect(area).to_have_value(f"{before}  #")

        # Escape leads out of it, and whoever comes back can indent again.
        page.keyboard.press("Escape")
        expect(area).not_to_be_focused()
        page.keyboard.press("Tab")
        expect(area).not_to_be_focused()
        area.focus()
        page.keyboard.press("Tab")
        expect(area).to_have_value(f"{before}  #  ")
