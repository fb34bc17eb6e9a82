"""Where the focus is after an action and after a refresh: keyboard and screen reader users go on from there."""

from pathlib import Path

from playwright.sync_api import expect

from tests.harness.cluster import Embedded
from tests.ui.conftest import PLAIN_EDITOR, Look


def test_a_button_keeps_the_focus_when_its_action_is_done(look: Look, system: Embedded) -> None:
    system.client.create("switched", "schedule: '0 5 1 1 *'\nsteps: [echo x]\n")
    with look("#/dags/switched") as page:
        page.get_by_role("button", name="Suspend schedule").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Resume schedule")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Suspend schedule")).to_be_focused()


def test_save_keeps_the_focus_when_nothing_is_left_to_save(look: Look, system: Embedded) -> None:
    system.client.create("save-focused", "steps: [echo x]\n")
    with look("#/dags/save-focused?tab=spec", stored=PLAIN_EDITOR) as page:
        save = page.get_by_role("button", name="Save", exact=True)
        expect(save).to_be_disabled()
        page.get_by_label("Spec of save-focused").fill("steps: [echo y]\n")
        expect(save).to_be_enabled()
        save.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        expect(save).to_be_disabled()
        expect(save).to_be_focused()


def test_a_row_keeps_the_focus_when_the_one_before_it_goes(look: Look, system: Embedded, tmp_path: Path) -> None:
    def until(file: str) -> str:
        return f"queue: focus\nsteps: [{{name: s, command: 'until test -e {tmp_path / file}; do sleep 0.05; done'}}]\n"

    system.client.create("leaves", until("leaves"))
    system.client.create("stays", until("stays"))
    system.client.ask("PUT", "/queues/focus", {"maxConcurrency": 2})
    system.client.start("stays")
    system.client.until("running", "stays")
    system.client.start("leaves")
    system.client.until("running", "leaves")
    with look("#/runs?name=&status=1") as page:
        rows = page.get_by_role("row")
        first = rows.filter(has_text="leaves")
        expect(first).to_be_visible()
        link = rows.filter(has_text="stays").get_by_role("link", name="stays r1")
        link.focus()
        (tmp_path / "leaves").touch()
        expect(first).to_have_count(0)
        expect(link).to_be_focused()

        page.evaluate("location.hash = '#/queues'")
        queue = page.get_by_role("region", name="Queue focus")
        queue.get_by_role("button", name="Stop all").focus()
        page.keyboard.press("Enter")
        page.get_by_role("dialog").get_by_role("button", name="Stop 1 run").focus()
        page.keyboard.press("Enter")
        expect(queue.get_by_role("button", name="Stop all")).to_have_count(0)
        expect(page.get_by_role("main")).to_be_focused()
    system.client.until("aborted", "stays")
    system.client.ask("DELETE", "/queues/focus")
