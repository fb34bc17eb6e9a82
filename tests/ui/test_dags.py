"""The pages of DAGs: find, create, edit, compare, suspend, pause."""

import re
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.harness.accessibility import barriers
from tests.harness.browser import PHONE, watched
from tests.harness.cluster import Embedded
from tests.ui.conftest import PLAIN_EDITOR, Look, origin


def version(page: Page, number: int) -> Locator:
    """Return the table row of one version of a DAG."""
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=str(number), exact=True))


def test_a_dag_is_created_and_edited_and_mistakes_are_shown_at_their_lines(look: Look, system: Embedded) -> None:
    with look("#/dags", stored=PLAIN_EDITOR) as page:
        page.get_by_role("button", name="New DAG", exact=True).click()
        page.get_by_label("Name", exact=True).last.fill("made-here")
        page.get_by_role("button", name="Create", exact=True).click()
        editor = page.get_by_label("Spec of made-here")
        expect(editor).to_have_value('steps:\n  - name: hello\n    command: echo "Hello from Dagway"\n')

        editor.fill("steps:\n  - name: b\n    comand: echo hi\n")
        mistake = page.get_by_role("button", name='has invalid keys: comand (did you mean "command"?)')
        expect(mistake).to_be_visible()
        expect(page.locator(".gutter .wrong")).to_have_text(["2", "3"])
        mistake.click()
        assert editor.evaluate("each => each.value.slice(each.selectionStart, each.selectionEnd)") == "comand: echo hi"
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Not saved: the spec has errors.")).to_be_visible()
        assert "Hello" in system.client.ask("GET", "/dags/made-here/spec").json["spec"]

        editor.fill("steps:\n  - name: b\n    command: echo hi\n")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        expect(page.locator(".gutter .wrong")).to_have_count(0)
    assert "echo hi" in system.client.ask("GET", "/dags/made-here/spec").json["spec"]


def test_two_editors_do_not_overwrite_each_other_unasked(look: Look, system: Embedded) -> None:
    system.client.create("shared", "steps: [echo first]\n")
    with look("#/dags/shared?tab=spec", expected=("status of 412",), stored=PLAIN_EDITOR) as page:
        editor = page.get_by_label("Spec of shared")
        expect(editor).to_have_value("steps: [echo first]\n")
        editor.fill("steps: [echo mine]\n")
        assert system.client.ask("PUT", "/dags/shared/spec", {"spec": "steps: [echo theirs]\n"}).status == 200
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("This spec was changed by another user")).to_be_visible()
        assert "theirs" in system.client.ask("GET", "/dags/shared/spec").json["spec"]
        page.get_by_role("button", name="Replace theirs", exact=True).click()
        expect(page.get_by_text("Saved.", exact=True)).to_be_visible()

        page.get_by_role("link", name="Versions", exact=True).click()
        version(page, 2).get_by_role("button", name="Compare", exact=True).click()
        changed = page.get_by_role("region", name="What changed")
        expect(changed.locator(".removed")).to_have_text("-steps: [echo theirs]\n")
        expect(changed.locator(".added")).to_have_text("+steps: [echo mine]\n")
        version(page, 1).get_by_role("button", name="Restore", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Restore", exact=True).click()
        expect(page.get_by_text("4 present")).to_be_visible()
    assert system.client.ask("GET", "/dags/shared/spec").json["spec"] == "steps: [echo first]\n"


def test_what_others_save_is_shown_or_told_while_the_spec_is_open(look: Look, system: Embedded) -> None:
    system.client.create("watched-spec", "steps: [echo first]\n")
    with look("#/dags/watched-spec?tab=spec", stored=PLAIN_EDITOR) as page:
        editor = page.get_by_label("Spec of watched-spec")
        expect(editor).to_have_value("steps: [echo first]\n")
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url))
        for _ in range(2):
            page.wait_for_event("requestfinished", lambda request: request.url.endswith("/dags/watched-spec"))
        # It may be large, so it is read again only if there is another text.
        assert not [url for url in sent if url.endswith("/watched-spec/spec")]
        assert system.client.ask("PUT", "/dags/watched-spec/spec", {"spec": "steps: [echo second]\n"}).status == 200
        expect(editor).to_have_value("steps: [echo second]\n")
        editor.fill("steps: [echo mine]\n")
        assert system.client.ask("PUT", "/dags/watched-spec/spec", {"spec": "steps: [echo third]\n"}).status == 200
        told = page.get_by_text("Somebody else has saved another text")
        expect(told).to_be_visible()
        expect(editor).to_have_value("steps: [echo mine]\n")
        page.get_by_role("button", name="Undo all").click()
        expect(editor).to_have_value("steps: [echo third]\n")
        expect(told).to_have_count(0)
        # The same text is not another one, whoever saved it; nor is one with other ends of its lines.
        for ends in ("\n", "\r\n"):
            editor.fill(f"steps: [echo both {len(ends)}]\n")
            expect(page.get_by_text("Not saved", exact=True)).to_be_visible()
            spec = f"steps: [echo both {len(ends)}]{ends}"
            assert system.client.ask("PUT", "/dags/watched-spec/spec", {"spec": spec}).status == 200
            expect(page.get_by_text("Not saved", exact=True)).to_have_count(0)


def test_the_switch_of_a_schedule_is_seen_in_forced_colours(look: Look, system: Embedded) -> None:
    system.client.create("forced-switch", "schedule: '0 5 1 1 *'\nsteps: [echo x]\n")
    with look("#/dags?name=forced-switch") as page:
        page.emulate_media(forced_colors="active")
        expect(page.get_by_role("switch", name="Schedule of forced-switch")).to_have_css("opacity", "1")


def test_a_long_tag_does_not_widen_its_filter_nor_touch_the_name_above_it(look: Look, system: Embedded) -> None:
    tag = "widening" + "x" * 90
    system.client.create("wide-tag", f"tags: [{tag}]\nsteps: [echo x]\n")
    with look("#/dags") as page:
        choice = page.get_by_label("Tag", exact=True)
        expect(choice.get_by_role("option", name=tag)).to_have_count(1)
        assert choice.evaluate("each => each.offsetWidth") < 300
        assert barriers(page) == []


def test_files_that_cannot_be_loaded_are_told_above_the_list(chromium: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    for name in ("fine.yaml", "no <b>\tname.yml"):
        (folder / name).write_text("steps: [echo x]\n")
    following = Embedded(tmp_path / "system", env={"DAGWAY_DAGS_DIR": str(folder)})
    with following as system, watched(chromium, f"{origin(system)}/#/dags") as page:
        expect(page.get_by_role("link", name="fine")).to_be_visible()
        expect(page.get_by_text(r"no <b>\tname.yml: not a valid file name")).to_be_visible()


def test_a_schedule_is_switched_off_and_on(look: Look, system: Embedded) -> None:
    system.client.create("planned", "schedule: '0 5 1 1 *'\nsteps: [echo x]\n")
    with look("#/dags?name=planned") as page:
        row = page.get_by_role("row", name="planned")
        expect(row).to_contain_text("in ")
        switch = page.get_by_role("switch", name="Schedule of planned")
        expect(switch).to_be_checked()
        switch.focus()
        page.keyboard.press("Space")
        expect(row).to_contain_text("suspended")
        # Keyboard and screen reader users are where they were.
        expect(switch).to_be_focused()
        assert system.client.ask("GET", "/dags/planned").json["suspended"] is True
        page.get_by_role("link", name="planned").click()
        page.get_by_role("button", name="Resume schedule").click()
        expect(page.get_by_role("button", name="Suspend schedule")).to_be_visible()


def test_pause_with_a_reason_and_resume(look: Look, system: Embedded) -> None:
    system.client.create("pausable", "steps: [echo x]\n")
    with look("#/dags/pausable") as page:
        page.get_by_role("button", name="Pause", exact=True).click()
        page.get_by_label("Reason").fill("moving house")
        page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
        expect(page.get_by_text("moving house")).to_be_visible()
        page.get_by_role("button", name="Resume", exact=True).click()
        expect(page.get_by_text("moving house")).to_have_count(0)


def test_a_refusal_is_shown_in_the_apis_words(look: Look, system: Embedded) -> None:
    system.client.create("taken", "steps: [echo x]\n")
    with look(
        "#/dags",
        expected=(
            "status of 409",
            "status of 404",
        ),
    ) as page:
        page.get_by_role("button", name="New DAG", exact=True).click()
        page.get_by_label("Name", exact=True).last.fill("taken")
        page.get_by_role("button", name="Create", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("taken")
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.goto(page.url.split("#")[0] + "#/dags/nobody")
        expect(page.get_by_role("alert")).to_contain_text("There is no DAG 'nobody'")


def test_search_leads_to_the_line(look: Look, system: Embedded) -> None:
    system.client.create("haystack", "steps:\n  - echo one\n  - echo needle-42\n")
    with look("#/search", stored=PLAIN_EDITOR) as page:
        page.get_by_label("Word or regular expression").fill("NEEDLE-4.")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="echo needle-42").click()
        editor = page.get_by_label("Spec of haystack")
        expect(editor).to_be_focused()
        assert (
            editor.evaluate("each => each.value.slice(each.selectionStart, each.selectionEnd)") == "  - echo needle-42"
        )


def test_an_unsaved_text_is_restored_when_the_user_returns(look: Look, system: Embedded) -> None:
    system.client.create("kept-unsaved", "steps: [echo first]\n")
    asks = """() => { const leaving = new Event("beforeunload", { cancelable: true });
      dispatchEvent(leaving); return leaving.defaultPrevented; }"""
    with look("#/dags/kept-unsaved?tab=spec", expected=("status of 412",), stored=PLAIN_EDITOR) as page:
        editor = page.get_by_label("Spec of kept-unsaved")
        expect(editor).to_have_value("steps: [echo first]\n")
        assert not page.evaluate(asks)
        editor.fill("steps: [{comand: mine}]\n")
        page.get_by_role("link", name="Steps", exact=True).click()
        expect(page.get_by_role("link", name="Spec (not saved)")).to_be_visible()
        page.get_by_role("link", name="Queues", exact=True).click()
        expect(page.get_by_role("heading", name="Queues", exact=True)).to_be_visible()
        assert page.evaluate(asks)
        page.get_by_role("link", name="DAGs", exact=True).click()
        page.get_by_label("Name", exact=True).fill("kept-unsaved")
        page.get_by_role("row", name="kept-unsaved").get_by_role("link", name="not saved").click()
        expect(editor).to_have_value("steps: [{comand: mine}]\n")
        expect(page.get_by_text("Not saved", exact=True)).to_be_visible()
        expect(page.locator(".gutter .wrong")).not_to_have_count(0)

        # It is still saved only over the text that it was made from.
        editor.fill("steps: [echo mine]\n")
        page.get_by_role("link", name="Steps", exact=True).click()
        assert system.client.ask("PUT", "/dags/kept-unsaved/spec", {"spec": "steps: [echo theirs]\n"}).status == 200
        page.go_back()
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("This spec was changed by another user")).to_be_visible()
        page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("button", name="Undo all", exact=True).click()
        expect(editor).to_have_value("steps: [echo theirs]\n")
        assert not page.evaluate(asks)

        editor.fill("steps: [echo renamed]\n")
        page.get_by_role("button", name="Rename", exact=True).click()
        page.get_by_label("New name").fill("renamed-unsaved")
        page.get_by_role("dialog").get_by_role("button", name="Rename", exact=True).click()
        page.get_by_role("link", name="Spec (not saved)").click()
        expect(page.get_by_label("Spec of renamed-unsaved")).to_have_value("steps: [echo renamed]\n")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        expect(page.get_by_role("link", name="Spec", exact=True)).to_be_visible()
        assert not page.evaluate(asks)
    assert "renamed" in system.client.ask("GET", "/dags/renamed-unsaved/spec").json["spec"]


def test_an_unsaved_text_survives_that_its_dag_is_deleted(look: Look, system: Embedded) -> None:
    system.client.create("doomed", "steps: [echo first]\n")
    with look("#/dags/doomed?tab=spec", expected=("status of 404",), stored=PLAIN_EDITOR) as page:
        editor = page.get_by_label("Spec of doomed")
        expect(editor).to_have_value("steps: [echo first]\n")
        editor.fill("steps: [echo mine]\n")
        assert system.client.ask("DELETE", "/dags/doomed").status == 204

        expect(page.get_by_text("This DAG was deleted or renamed by somebody else.")).to_be_visible()
        expect(editor).to_have_value("steps: [echo mine]\n")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        expect(page.get_by_text("This DAG was deleted or renamed by somebody else.")).to_have_count(0)
        editor.fill("steps: [echo more]\n")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Not saved", exact=True)).to_have_count(0)
    assert system.client.ask("GET", "/dags/doomed/spec").json["spec"] == "steps: [echo more]\n"


def test_an_unsaved_text_is_found_after_its_dag_was_deleted_meanwhile(look: Look, system: Embedded) -> None:
    system.client.create("gone-saved", "steps: [echo first]\n")
    system.client.create("gone-dropped", "steps: [echo first]\n")
    with look("#/dags", expected=("status of 404",), stored=PLAIN_EDITOR) as page:
        for name in ("gone-saved", "gone-dropped"):
            page.evaluate(f"location.hash = '#/dags/{name}?tab=spec'")
            editor = page.get_by_label(f"Spec of {name}")
            expect(editor).to_have_value("steps: [echo first]\n")
            editor.fill("steps: [echo mine]\n")
            page.get_by_role("link", name=re.compile("^Home")).click()  # its name counts the approvals of other tests
            assert system.client.ask("DELETE", f"/dags/{name}").status == 204
        for name, button in (("gone-saved", "Save"), ("gone-dropped", "Undo all")):
            page.get_by_role("link", name="DAGs", exact=True).click()
            page.get_by_text("Not saved: ").get_by_role("link", name=name).click()
            expect(page.get_by_text("This DAG was deleted or renamed by somebody else.")).to_be_visible()
            expect(page.get_by_label(f"Spec of {name}")).to_have_value("steps: [echo mine]\n")
            page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        page.get_by_role("link", name="All DAGs").click()
        page.get_by_label("Name", exact=True).fill("gone-saved")
        expect(page.get_by_role("link", name="gone-saved", exact=True)).to_be_visible()
        expect(page.get_by_text("Not saved: ")).to_have_count(0)
    assert system.client.ask("GET", "/dags/gone-saved/spec").json["spec"] == "steps: [echo mine]\n"


def test_an_unsaved_text_does_not_replace_a_dag_that_somebody_has_created_meanwhile(
    look: Look, system: Embedded
) -> None:
    system.client.create("reborn", "steps: [echo first]\n")
    with look("#/dags/reborn?tab=spec", expected=("status of 404", "status of 412"), stored=PLAIN_EDITOR) as page:
        editor = page.get_by_label("Spec of reborn")
        expect(editor).to_have_value("steps: [echo first]\n")
        editor.fill("steps: [echo mine]\n")
        page.get_by_role("link", name="Queues", exact=True).click()
        assert system.client.ask("DELETE", "/dags/reborn").status == 204
        page.go_back()
        gone = page.get_by_text("This DAG was deleted or renamed by somebody else.")
        expect(gone).to_be_visible()
        expect(editor).to_have_value("steps: [echo mine]\n")
        theirs = {"name": "reborn", "spec": "steps: [echo theirs]\n"}
        assert system.client.ask("POST", "/dags", theirs).status == 201
        expect(gone).to_have_count(0)
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("This spec was changed by another user")).to_be_visible()
    assert system.client.ask("GET", "/dags/reborn/spec").json["spec"] == "steps: [echo theirs]\n"


def test_an_action_that_outlives_its_dialog_leads_nowhere(look: Look, system: Embedded) -> None:
    system.client.create("slowly", "steps: [echo x]\n")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    with look("#/dags/slowly") as page:
        page.route("**/dags/slowly/start", hold)
        page.get_by_role("button", name="Start", exact=True).click()
        dialog = page.get_by_role("dialog")
        with page.expect_request("**/dags/slowly/start"):
            dialog.get_by_role("button", name="Start", exact=True).click()
        dialog.get_by_role("button", name="Cancel", exact=True).click()
        expect(dialog).to_have_count(0)
        held[0].continue_()

        expect(page.get_by_text("“Start slowly” was done all the same.")).to_be_visible()
        expect(page.get_by_role("heading", name="slowly", exact=True)).to_be_visible()
        assert page.url.endswith("#/dags/slowly")


def test_a_page_of_the_list_that_became_empty_leads_back(look: Look, system: Embedded) -> None:
    system.client.create("still-here", "steps: [echo x]\n")
    with look("#/dags?page=999") as page:
        expect(page.get_by_text("No DAG fits.")).to_be_visible()
        page.get_by_role("link", name="Show all").click()
        expect(page.get_by_role("table")).to_be_visible()


def test_the_part_of_a_dag_that_is_shown_is_named_in_sight_on_a_phone(look: Look, system: Embedded) -> None:
    system.client.create("parts", "schedule: '0 5 1 1 *'\nsteps: [echo x]\n")
    with look("#/dags/parts?tab=slots", size=(360, 740)) as page:
        parts = page.get_by_role("navigation", name="Parts of the DAG")
        shown = parts.get_by_role("link", name="Schedule", exact=True)
        expect(shown).to_have_attribute("aria-current", "page")
        expect(shown).to_be_in_viewport(ratio=1)
        assert parts.evaluate("(all) => all.scrollWidth <= all.clientWidth")


def test_links_one_below_the_other_are_high_enough_to_hit_on_a_phone(look: Look, system: Embedded) -> None:
    system.client.create("near-links", "steps: ['true']\n")
    system.client.start("near-links")
    system.client.until("succeeded", "near-links")
    with look("#/dags?name=near-links", size=PHONE) as page:
        row = page.get_by_role("row").filter(has_text="near-links")
        for link in (row.get_by_role("link", name="near-links"), row.get_by_role("link", name="succeeded")):
            place = link.bounding_box()
            assert place is not None
            assert place["height"] >= 24
