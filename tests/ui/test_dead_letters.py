"""Administrators see dead letters, and return or discard those that they select."""

from typing import Any

from playwright.sync_api import expect

from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually
from tests.ui.conftest import DEAD_LETTERS, Look


def listed(system: Embedded) -> list[dict[str, Any]]:
    return list(system.client.ask("GET", "/dead-letters").json["deadLetters"])


def came_back(system: Embedded, before: list[dict[str, Any]]) -> None:
    """Assert that the letters of ``before`` were returned, and are letters again."""
    now = {each["id"]: each["firstSeenAt"] for each in listed(system)}
    assert all(now.get(each["id"], "") > each["firstSeenAt"] for each in before), now


def test_dead_letters_are_returned_and_discarded(look: Look, system: Embedded) -> None:
    eventually(lambda: len(listed(system)) == len(DEAD_LETTERS))
    before = listed(system)
    with look("#/system") as page:
        page.get_by_role("link", name="Dead letters").click()
        rows = page.locator("table.rows tbody tr")
        expect(rows).to_have_count(len(DEAD_LETTERS))
        expect(rows.first).to_contain_text("not an envelope")
        expect(rows.first).to_contain_text("dagway.commands")

        page.get_by_label("Select all").check()
        bar = page.get_by_role("group", name="Selected dead letters")
        expect(bar).to_contain_text("2 dead letters selected")
        bar.get_by_role("button", name="Return 2").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("becomes a dead letter again")
        dialog.get_by_role("button", name="Return 2 dead letters").click()
        expect(page.get_by_text("Return: 2 dead letters.")).to_be_visible()
        expect(bar).to_have_count(0)
        # They cannot be read this time either.
        eventually(lambda: came_back(system, before))
        expect(rows).to_have_count(2)

        page.get_by_label(f"Select {DEAD_LETTERS[1]}", exact=True).check()
        bar.get_by_role("button", name="Discard 1").click()
        expect(dialog).to_contain_text("Discard 1 dead letter?")
        dialog.get_by_role("button", name="Discard 1 dead letter").click()
        expect(rows).to_have_count(1)
        expect(page.get_by_label(f"Select {DEAD_LETTERS[0]}", exact=True)).to_be_visible()
