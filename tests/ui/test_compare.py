"""Two runs side by side."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.harness.accessibility import barriers
from tests.harness.cluster import Embedded
from tests.ui.conftest import Look

SPEC = """\
params: [{WORD: one}, {PAUSE: '0'}, {CODE: '0'}]
steps:
  - {name: same, command: echo same, output: SAME}
  - {name: says, command: 'sleep $PAUSE; echo $WORD', output: SAID}
  - {name: ends, command: exit $CODE}
"""


def row(page: Page, table: str, name: str) -> Locator:
    header = page.get_by_role("rowheader", name=re.compile(f"^{name}"))
    return page.get_by_role("table", name=table).get_by_role("row").filter(has=header)


def test_two_runs_are_compared_step_by_step(look: Look, system: Embedded) -> None:
    system.client.create("pair", SPEC)
    system.client.start("pair", "first")
    first = system.client.until("succeeded", "pair", "first")
    # Its second step takes longer than the whole first run, however long that was.
    params = f'WORD="two" PAUSE={first["durationMs"] // 1000 + 2} CODE=3'
    assert system.client.ask("POST", "/dags/pair/start", {"dagRunId": "second", "params": params}).status == 200
    system.client.until("failed", "pair", "second")
    with look("#/runs?name=pair") as page:
        for run_id in ("first", "second"):
            page.get_by_label(f"Select pair {run_id}").check()
        page.get_by_role("link", name="Compare", exact=True).click()
        expect(page).to_have_url(re.compile("#/compare/pair/first/pair/second$"))
        expect(row(page, "Runs", "Status")).to_contain_text(re.compile("succeeded.*failed"))
        expect(row(page, "Runs", "Parameters")).to_contain_text("WORD=two")
        expect(row(page, "Steps", "says")).to_contain_text(re.compile(r"\+\d.* m?s$"))
        expect(row(page, "Steps", "ends")).to_contain_text(re.compile("succeeded.*failed"))
        expect(row(page, "Steps", "same")).to_have_count(0)
        expect(row(page, "Outputs", "SAID|said")).to_contain_text(re.compile("one.*two"))
        page.get_by_label("Show what is equal, too").check()
        expect(row(page, "Steps", "same")).to_be_visible()
        assert barriers(page) == []

        page.get_by_role("link", name="Swap").click()
        expect(row(page, "Runs", "Status")).to_contain_text(re.compile("failed.*succeeded"))
        page.get_by_role("link", name="pair second").click()
        page.get_by_role("link", name="Compare", exact=True).click()
        expect(page).to_have_url(re.compile("#/compare/pair/first/pair/second$"))
