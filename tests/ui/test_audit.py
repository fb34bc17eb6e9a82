"""The audit log: what it shows, and its filters."""

from playwright.sync_api import expect

from tests.harness.cluster import Embedded
from tests.ui.conftest import Look


def test_entries_are_shown_and_filtered(look: Look, system: Embedded) -> None:
    system.client.create("audited", "steps: [echo x]\n")
    assert system.client.ask("PUT", "/pools/audited-pool", {"capacity": 2}).status == 200
    assert system.client.ask("PUT", "/pools/audited-pool", {"capacity": 3}).status == 200
    assert system.client.ask("DELETE", "/pools/audited-pool").status == 200
    assert system.client.ask("DELETE", "/dags/audited-none").status == 404

    with look("#/audit?target=audited-pool") as page:
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(3)
        expect(rows.nth(1)).to_contain_text("capacity: 2 → 3")
        expect(rows.first).to_contain_text("anonymous")
        page.get_by_label("Target: name or id").fill("audited-none")
        expect(rows).to_have_count(1)
        expect(rows.first).to_contain_text("dag.delete")
        expect(rows.first).to_contain_text("not found")
        page.get_by_label("Outcome").select_option("done")
        expect(page.get_by_text("No entry matches.")).to_be_visible()
        page.get_by_role("link", name="Show all", exact=True).click()
        expect(page.get_by_role("link", name="audited", exact=True)).to_be_visible()
