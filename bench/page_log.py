"""``python -m bench.page_log [--lines 1000000]``: how soon a page shows any part of a very long log, and what it holds.

One step of a run on one ``dagway up`` writes the log. For each action it prints the time until the page shows what was
asked for, the lines in the page and the memory of its scripts then:

open      a new Chromium opens the address of the step, until its last lines are shown
jump      to a line in the middle
scroll    to the top of what is shown, until more lines are there
search    for a text in the last line but one, until the whole log was searched and the line is shown
end       to the end
"""

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import CDPSession, Page, expect

from tests.harness.browser import browser
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually

_PATIENCE_S = 600
_LINE = "seq -f 'line %.0f of a very long log of a step'"


def _write(system: Embedded, lines: int) -> float:
    """Run the step, and return how long it took in seconds, with its log stored."""
    client = system.client
    client.create("pours", f"steps:\n  - name: pour\n    command: {_LINE} {lines}\n")
    began = time.perf_counter()
    client.start("pours")
    where = "/dag-runs/pours/r1/steps/pour/log?tail=1"
    eventually(
        lambda: client.ask("GET", where).json["totalLines"] == lines,
        timeout_s=_PATIENCE_S,
        every_s=0.2,
    )
    return time.perf_counter() - began


def _held(page: Page, devtools: CDPSession) -> str:
    devtools.send("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
    shown = page.locator(".log .line").count()
    return f"{shown:8,} lines{metrics['JSHeapUsedSize'] / 1e6:8.1f} MB{metrics['Nodes']:10,.0f} nodes"


def _measure(page: Page, devtools: CDPSession, root: str, lines: int) -> None:
    log = page.get_by_role("log")
    middle = lines // 2

    def has(number: int) -> None:
        expect(log.locator(f'.line[data-n="{number}"]')).to_be_attached()

    def jump() -> None:
        page.get_by_label("Go to line").fill(str(middle))
        page.keyboard.press("Enter")
        has(middle)

    def scroll() -> None:
        first = int(log.locator(".line").first.get_attribute("data-n") or 0)
        log.evaluate("each => { each.scrollTop = 0 }")
        has(first - 1)

    def search() -> None:
        page.get_by_label("Find in the log").fill(f"line {lines - 1} of")
        expect(page.get_by_text(re.compile("^1 of 1 lines$"))).to_be_visible()
        has(lines - 1)

    def to_end() -> None:
        page.get_by_label("Go to line").fill("1")
        page.keyboard.press("Enter")
        has(1)
        page.get_by_role("button", name="To the end").click()
        has(lines)

    def opened() -> None:
        page.goto(f"{root}/#/runs/pours/r1?step=pour")
        has(lines)

    actions: dict[str, Callable[[], None]] = {
        "open": opened,
        "jump": jump,
        "scroll": scroll,
        "search": search,
        "end": to_end,
    }
    for name, act in actions.items():
        began = time.perf_counter()
        act()
        print(f"{name:10}{(time.perf_counter() - began) * 1000:8.0f} ms{_held(page, devtools)}")


def main() -> None:
    """Write the log, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    lines = parser.parse_args().lines
    with (
        tempfile.TemporaryDirectory(prefix="dagway-bench-") as folder,
        Embedded(Path(folder) / "system") as system,
        browser() as started,
    ):
        print(f"{lines:,} lines written and stored in {_write(system, lines):.1f} s")
        context = started.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_S * 1000)
        devtools = context.new_cdp_session(page)
        devtools.send("Performance.enable")
        _measure(page, devtools, f"http://127.0.0.1:{system.process.env['DAGWAY_PORT']}", lines)


if __name__ == "__main__":
    main()
