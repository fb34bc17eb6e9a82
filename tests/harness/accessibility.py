"""Checks a page by axe-core: what people with a screen reader, a keyboard or weak sight cannot use."""

from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Page

__all__ = ["barriers"]

_SCRIPT = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def barriers(page: Page) -> list[str]:
    """Return what violates WCAG 2.2 AA or axe's best practices on the page, a line for each element."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(_SCRIPT)
    options = {"runOnly": {"type": "tag", "values": _RULES}, "resultTypes": ["violations"]}
    found: dict[str, Any] = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{rule['id']}: {node['target']}: {node['failureSummary'].replace(chr(10), ' ')} {node['html'][:150]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
