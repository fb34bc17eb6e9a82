"""The page of the system: workers that are drained and resumed."""

from playwright.sync_api import expect

from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually
from tests.ui.conftest import Look


def test_a_worker_is_drained_and_resumed(look: Look, system: Embedded) -> None:
    try:
        with look("#/system") as page:
            row = page.get_by_role("row", name="local")
            row.get_by_role("button", name="Drain local").click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_label("Reason").fill("new disk")
            dialog.get_by_role("button", name="Drain").click()
            expect(row).to_contain_text("Drained by anonymous")
            expect(row).to_contain_text(": new disk")
            expect(row).not_to_contain_text("has not heard it yet")
            expect(row.locator(".badge").first).to_have_text("‖draining")
            page.get_by_role("link", name="Home").click()
            expect(page.get_by_role("region", name="Workers")).to_contain_text("draining")
            page.get_by_role("link", name="System", exact=True).click()
            row.get_by_role("button", name="Resume local").click()
            expect(row).not_to_contain_text("Drained by")
            expect(row.get_by_role("button", name="Drain local")).to_be_visible()
    finally:
        [worker] = system.client.ask("GET", "/workers").json["workers"]
        if "drain" in worker:
            system.client.ask("POST", "/workers/local/resume")
        eventually(lambda: system.client.ask("GET", "/workers").json["workers"][0]["state"] == "live", timeout_s=60)
