"""What somebody has typed into the spec of a DAG and not saved yet, or saved while no scheduler ran."""

import pytest
from playwright.sync_api import Route, expect

from tests.harness.cluster import Deployment
from tests.ui.conftest import BOTH_DEPLOYMENTS, PLAIN_EDITOR, Look


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
    name = f"late-{meanwhile.split(maxsplit=1)[0]}"
    where = f"/dags/{name}/spec"
    system.client.create(name, "steps: [echo first]\n")
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
