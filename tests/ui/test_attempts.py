"""Every attempt of a step is kept and can be read, in a real browser."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually
from tests.ui.conftest import Look


def test_after_three_retries_all_four_logs_can_be_read(look: Look, system: Embedded, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    system.client.create(
        "tried",
        f"steps:\n  - name: flaky\n    command: echo x >> {tries}; echo try $(wc -l < {tries}); "
        f"test $(wc -l < {tries}) -ge 4\n",
    )
    system.client.start("tried")
    first = system.client.until("failed", "tried")
    for attempt in (2, 3, 4):
        assert system.client.ask("POST", "/dag-runs/tried/r1/retry", {"dagRunId": "r1"}).status == 200
        eventually(lambda n=attempt: system.client.run("tried")["nodes"][0].get("attemptCount") == n)  # type: ignore[misc]
        system.client.until("succeeded" if attempt == 4 else "failed", "tried")
    with look("#/runs/tried/r1?step=flaky") as page:
        facts = page.locator(".facts").first
        expect(facts.locator("div", has=page.get_by_text("Began", exact=True)).locator("time").first).to_have_attribute(
            "datetime", first["startedAt"]
        )
        expect(facts).to_contain_text("Attempt 4 took")
        table = page.get_by_role("region", name="Attempts", exact=True)
        expect(table.locator("tbody tr")).to_have_count(4)
        expect(table.locator("tbody tr").last).to_contain_text("exit code 1")
        log = page.get_by_role("log")
        for number in (1, 2, 3, 4):
            table.get_by_role("link", name=f"{number} of 4").click()
            page.get_by_role("button", name="stdout").click()
            expect(log).to_have_text(f"try {number}\n")
        expect(page).to_have_url(re.compile("attempt=4$"))
        expect(page.get_by_role("row", name="flaky").first).to_contain_text("4")


def test_of_the_attempts_of_a_step_that_repeats_the_newest_are_shown_first(look: Look, system: Embedded) -> None:
    policy = "{repeat: while, condition: 'true', intervalSec: 0, limit: 230}"
    system.client.create("often", f"steps:\n  - {{name: again, command: 'true', repeatPolicy: {policy}}}\n")
    system.client.start("often")
    system.client.until("succeeded", "often")
    with look("#/runs/often/r1?step=again") as page:
        table = page.get_by_role("region", name="Attempts", exact=True)
        expect(table.locator("tbody tr")).to_have_count(200)
        expect(table.locator("tbody tr").first).to_contain_text("230 of 230")
        table.get_by_role("button", name="Show 30 more").click()
        expect(table.locator("tbody tr")).to_have_count(230)
        expect(table.get_by_role("button")).to_have_count(0)
        page.get_by_role("button", name="Gantt", exact=True).click()
        expect(page.locator(".gantt .bar")).to_have_count(200)
        expect(page.get_by_text("Only the last 200 attempts of each step are drawn.")).to_be_visible()
