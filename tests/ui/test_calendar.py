"""The calendar of a schedule."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Locator, expect

from tests.harness.accessibility import barriers
from tests.harness.cluster import Embedded
from tests.ui.conftest import Look


def coming_after(heading: Locator) -> datetime:
    """Return the month after the present one, as the page sees it: the test's own clock may be in another already."""
    expect(heading).to_have_text(re.compile(r"^\w+ \d{4}$"))
    shown = datetime.strptime(heading.inner_text(), "%B %Y").replace(tzinfo=UTC)
    return shown + timedelta(days=monthrange(shown.year, shown.month)[1])


def test_days_show_what_fired_and_what_is_planned(look: Look, system: Embedded) -> None:
    system.client.create("each-hour", "schedule: '0 * * * *'\nsteps: ['true']\n")
    with look("#/dags/each-hour?tab=slots") as page:
        calendar = page.get_by_role("region", name="Calendar")
        heading = calendar.get_by_role("heading")
        coming = coming_after(heading)
        calendar.get_by_role("button", name="Next month").click()
        expect(heading).to_have_text(f"{coming:%B %Y}")
        expect(page).to_have_url(re.compile(f"month={coming:%Y-%m}"))
        days = monthrange(coming.year, coming.month)[1]
        # In the zone of the machine: a day on which the clocks change has another number of hours.
        expect(calendar.get_by_role("cell").filter(has_text=re.compile("2[345] planned"))).to_have_count(days)
        assert barriers(page) == []

        # The same month of all DAGs, of which there may be more.
        page.get_by_role("link", name="Calendar", exact=True).click()
        expect(page.get_by_role("heading", name="Calendar", exact=True)).to_be_visible()
        coming = coming_after(heading)
        calendar.get_by_role("button", name="Next month").click()
        expect(heading).to_have_text(f"{coming:%B %Y}")
        expect(calendar.get_by_role("cell").filter(has_text=re.compile(r"\d+ planned")).first).to_be_visible()
        page.go_back()
        expect(page.get_by_role("heading", name="each-hour", exact=True)).to_be_visible()

        calendar.get_by_role("button", name="Previous month").click()
        calendar.get_by_role("button", name="Previous month").click()
        expect(calendar.get_by_text("planned")).to_have_count(0)
