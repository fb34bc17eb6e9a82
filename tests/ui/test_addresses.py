"""Addresses that no link leads to: typed by hand, or kept since an earlier version."""

import pytest
from playwright.sync_api import expect

from tests.harness.cluster import Embedded
from tests.ui.conftest import Look


@pytest.mark.parametrize(
    ("place", "query", "text"),
    [
        ("runs", "cursor=zzz", "cursor: must be the nextCursor of a page"),
        ("runs", "status=abc", "status: "),
        ("calendar", "month=2026-13", "month: must be YYYY-MM"),
        ("audit", "from=x", "from: "),
        ("dags", "page=two", "page: "),
    ],
)
def test_a_filter_that_means_nothing_is_named_and_can_be_left(look: Look, place: str, query: str, text: str) -> None:
    with look(f"#/{place}?{query}", expected=("status of 400",)) as page:
        expect(page.get_by_role("alert")).to_contain_text(text)
        page.get_by_role("link", name="Open this page without its filters").click()
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.locator("main h1")).to_be_visible()
        assert page.url.endswith(f"#/{place}")


@pytest.mark.parametrize("place", ["dags/tabbed", "runs/tabbed/r1"])
def test_a_part_that_a_page_does_not_have_is_the_first_one(look: Look, system: Embedded, place: str) -> None:
    if system.client.ask("GET", "/dag-runs/tabbed/r1").status != 200:
        system.client.create("tabbed", "steps: [{name: only, command: 'true'}]\n")
        system.client.start("tabbed")
    for part in ("nothing", "toString"):
        with look(f"#/{place}?tab={part}") as page:
            expect(page.get_by_role("row").filter(has_text="only")).to_be_visible()
            expect(page.locator(".tabs [aria-current]")).to_have_text("Steps")


def test_a_run_that_does_not_exist_has_no_comparison(look: Look, system: Embedded) -> None:
    with look("#/compare/no-such-dag/x", expected=("status of 404",)) as page:
        expect(page.get_by_role("alert")).to_contain_text("DAG 'no-such-dag' has no run 'x'")
    system.client.create("alone", "steps: ['true']\n")
    system.client.start("alone")
    with look("#/compare/alone/r1") as page:
        expect(page.get_by_text("This DAG has no other run.")).to_be_visible()


def test_a_step_that_a_run_does_not_have_is_said_to_be_none(look: Look, system: Embedded) -> None:
    system.client.create("step-renamed", "steps: [{name: new, command: 'true'}]\n")
    system.client.start("step-renamed")
    with look("#/runs/step-renamed/r1?step=old") as page:
        note = page.get_by_text("This run has no step “old”.")
        expect(note).to_be_visible()
        page.locator("table.steps").get_by_role("link", name="new", exact=True).click()
        expect(page.get_by_role("region", name="Step new")).to_be_visible()
        expect(note).to_have_count(0)
