"""Make the picture in the README: ``python -m tests.ui.picture``. It needs Chromium, and takes half a minute."""

import tempfile
from pathlib import Path

from tests.harness.browser import browser, watched
from tests.harness.cluster import Embedded

__all__ = ["main"]

PICTURE = Path(__file__).parents[2] / "docs" / "readme.png"
_ORDERS = """
description: Load the orders of a day
type: graph
params:
  - DAY: "2026-02-28"
steps:
  - name: fetch
    command: echo "::notice 1,284 orders of ${DAY}"
    output: ORDERS
  - name: check
    command: echo "all orders have a customer"
    depends: fetch
  - name: clean
    command: echo "3 duplicates removed"
    depends: fetch
  - name: load
    depends: [check, clean]
    script: |
      for part in 1 2 3 4; do
        echo "part ${part} of 4 loaded"
        echo "::progress ${part}/4 parts"
      done
  - name: report
    command: echo "1,281 orders loaded"
    depends: load
"""


def main() -> None:
    """Run a workflow on a system of its own, and take a picture of the page of its run."""
    with tempfile.TemporaryDirectory(prefix="dagway-picture-") as folder, Embedded(Path(folder)) as system:
        system.client.create("orders", _ORDERS)
        system.client.start("orders", "orders-1")
        system.client.until("succeeded", "orders", "orders-1")
        address = f"{system.client.base}/#/runs/orders/orders-1?step=load"
        with browser() as started, watched(started, address, size=(1200, 760)) as page:
            page.get_by_text("part 4 of 4 loaded").first.wait_for()
            page.screenshot(path=PICTURE)


if __name__ == "__main__":
    main()
