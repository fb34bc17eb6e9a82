"""Take the screenshots of docs/web.md: ``python -m scripts.screenshots``. Needs Chromium, and npm for the editor."""

import tempfile
from pathlib import Path

from playwright.sync_api import Page

from scripts.build_editor import build_editor
from tests.harness.browser import browser
from tests.harness.cluster import Embedded

DOCS = Path(__file__).parents[1] / "docs"
_SIZE = {"width": 1200, "height": 760}
_LOAD = """\
description: Loads the orders of one day
schedule: '30 4 * * *'
tags: [shop]
params:
  schema:
    properties:
      DAY: {type: string, format: date, description: Which day to load}
      REGION: {enum: [eu, us]}
      BATCH: {type: integer, minimum: 1, maximum: 500}
    required: [DAY]
  values: [{DAY: '2026-02-28'}, {REGION: eu}, {BATCH: 100}]
steps:
  - name: fetch
    command: |
      echo "Fetching orders of $DAY in $REGION"
      echo "::progress 3/4 files"
      echo "::notice 1,284 orders"
    output: ORDERS
  - name: clean
    call: clean
  - name: load
    command: echo "Loading $ORDERS"
    retryPolicy: {limit: 2, intervalSec: 5}
---
name: clean
steps:
  - {name: trim, command: 'true'}
  - {name: check, command: 'true'}
"""
_REPORT = """\
tags: [shop]
steps:
  - {name: count, command: 'true'}
  - {name: send, command: 'echo no mail server; exit 1'}
"""
_SIGN_OFF = "tags: [shop]\nsteps:\n  - {name: sign off, type: hitl, config: {prompt: Publish the report?}}\n"


def main() -> None:
    """Start a system with some workflows and runs, and write the pictures."""
    build_editor()
    with tempfile.TemporaryDirectory() as folder, Embedded(Path(folder)) as system, browser() as chromium:
        client = system.client
        for name, spec in (("orders", _LOAD), ("report", _REPORT), ("sign-off", _SIGN_OFF)):
            client.create(name, spec)
        for name, status in (("orders", "succeeded"), ("report", "failed"), ("sign-off", "waiting")):
            client.start(name, f"{name}-1")
            client.until(status, name, f"{name}-1")
        context = chromium.new_context(viewport=_SIZE, color_scheme="light", reduced_motion="reduce")
        page = context.new_page()
        root = f"http://127.0.0.1:{system.process.env['DAGWAY_PORT']}"

        def take(name: str, place: str, ready: str) -> None:
            page.goto(f"{root}/{place}")
            page.locator(ready).first.wait_for()
            _settle(page)
            page.screenshot(path=DOCS / f"{name}.png")
            print(f"docs/{name}.png")

        take("web-home", "#/home", ".counters")
        take("web-run", "#/runs/orders/orders-1?step=fetch&open=%5B%22clean%22%5D", "[role=log] .line")
        take("web-editor", "#/dags/orders?tab=spec", ".cm-line")


def _settle(page: Page) -> None:
    """Wait until two pictures in a row are equal."""
    before = b""
    while (now := page.screenshot()) != before:
        before = now
        page.wait_for_timeout(300)


if __name__ == "__main__":
    main()
