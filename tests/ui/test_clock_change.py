"""The chart of the last 24 hours on a day on which the clocks of the browser's zone change."""

from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.harness.browser import watched
from tests.harness.cluster import Embedded
from tests.harness.wrong_clock import wrong_clock
from tests.ui.conftest import origin

LATER = datetime(2027, 10, 31, 11, 30, tzinfo=UTC)
"""In London the clock goes back at 01:00 UTC on this day: 24 hours before, it showed 12:30."""


def test_each_mark_of_the_chart_is_an_hour_of_the_clock(chromium: Browser, tmp_path: Path) -> None:
    env = wrong_clock(tmp_path, LATER - datetime.now(UTC))
    with Embedded(tmp_path / "system", env=env) as system:
        system.client.create("in-london", "steps: [echo hi]\n")
        system.client.start("in-london")
        system.client.until("succeeded", "in-london")
        with watched(chromium, f"{origin(system)}/#/", zone="Europe/London") as page:
            marks = page.get_by_role("group", name="Runs by time").locator(".tick text")
            expect(marks).to_have_text(["15:00", "18:00", "21:00", "00:00", "03:00", "06:00", "09:00"])
            page.get_by_role("button", name="6 h", exact=True).click()
            expect(marks).to_have_text([f"{hour:02}:00" for hour in range(6, 12)])
