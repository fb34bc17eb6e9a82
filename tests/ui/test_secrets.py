"""The page of stored secrets: a value goes in, and is shown nowhere."""

from playwright.sync_api import expect

from tests.harness.cluster import Embedded
from tests.ui.conftest import Look

VALUE = "hunter2\nof two lines"


def test_a_secret_is_stored_replaced_and_deleted(look: Look, system: Embedded) -> None:
    with look("#/secrets") as page:
        page.get_by_role("button", name="New secret").click()
        page.get_by_label("Name", exact=True).fill("ui-secret")
        page.get_by_label("Value", exact=True).fill(VALUE)
        page.get_by_label("DAGs that may use it").fill("ui-* a b")
        page.get_by_role("button", name="Store").click()
        row = page.locator("tbody tr", has_text="ui-secret")
        expect(row).to_contain_text("ui-* a b")

        page.get_by_role("button", name="Replace ui-secret").click()
        expect(page.get_by_label("DAGs that may use it")).to_have_value("ui-* a b")
        expect(page.get_by_label("Value", exact=True)).to_have_value("")
        page.get_by_label("Value", exact=True).fill(VALUE)
        page.get_by_role("button", name="Store").click()
        expect(row.locator("td").nth(2)).to_have_text("2")
        assert "hunter2" not in page.content()

        (listed,) = [
            each for each in system.client.ask("GET", "/secrets").json["secrets"] if each["name"] == "ui-secret"
        ]
        assert (listed["dags"], listed["version"]) == (["ui-*", "a", "b"], 2)
        page.get_by_role("button", name="Delete ui-secret").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(row).to_have_count(0)
