"""Dagu's own front end on Dagway: its bundle, and a browser that uses it and records what fails."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from playwright.sync_api import BrowserContext, Dialog, Error, Locator, Page, Response, expect

from tests.comparison.sides import Side
from tests.harness.eventually import eventually

__all__ = ["ADMIN", "TOUR", "FrontEnd", "Site", "copy_bundle", "opened"]

ADMIN = {"username": "admin", "password": "correct horse battery"}
TOUR = """\
description: Shows everything
tags: [shown, etl]
schedule: '0 5 1 1 *'
params:
  - NAME: world
  - COUNT: 3
steps:
  - {name: a, command: 'echo "hello $NAME"; echo oops >&2', output: OUT}
  - {name: b, command: 'seq 1 2500', depends: [a]}
  - {name: c, command: 'exit 3', depends: [a], continueOn: {failure: true}}
  - {name: d, command: echo done, depends: [b, c]}
handlerOn:
  exit: {command: echo bye}
"""
"""A DAG that uses much: it ends as partially succeeded."""
_CHUNK = re.compile(r"\.e\((\d+)\)")
_FILE = re.compile(r'"([\w.-]+\.(?:ttf|worker\.js))"')
_OWN_MISTAKE = "/api/v2undefined"
"""The search page asks for it before there is a text to search for. Dagu sends its HTML page, Dagway answers 404."""
_OWN_ERROR = "Invalid arguments"
"""The page formats a spec when its editor opens. If the editor is closed meanwhile, the editor throws this.

So does Dagu 1.30.2 with its own server and API: in two tries of two, when a spec was left soon after it was opened.
"""


def copy_bundle(url: str, folder: Path) -> None:
    """Copy the files of the front end of the Dagu at ``url`` to ``folder``, as for ``DAGWAY_UI_DIR``.

    A file that this misses is one that a page asks for in vain, which fails the test of the page.
    """
    pool = urllib3.PoolManager(retries=False, timeout=60)
    names, seen = ["bundle.js", "favicon.ico"], set[str]()
    while names:
        seen.add(name := names.pop())
        answer = pool.request("GET", f"{url}/assets/{name}")
        if answer.status != 200:
            continue
        (folder / name).write_bytes(answer.data)
        text = answer.data.decode(errors="replace") if name.endswith(".js") else ""
        linked = {f"{number}.bundle.js" for number in _CHUNK.findall(text)} | set(_FILE.findall(text))
        names += linked - seen - set(names)
    assert len(seen) > 20, "the bundle has another form"


class Site(Side):
    """A Dagway that shows the front end."""

    def create(self, name: str, spec: str = TOUR) -> None:
        assert self.ask("POST", "/dags", {"name": name, "spec": spec})[0] == 201

    def start(self, name: str, run_id: str = "first", status: str = "", **body: str) -> None:
        """Start a run, and wait for its status if one is given."""
        assert self.ask("POST", f"/dags/{name}/start", {"dagRunId": run_id, **body})[0] == 200
        if status:
            self.until(name, run_id, lambda run: run["statusLabel"] == status)

    def get(self, path: str) -> Any:
        status, answer = self.ask("GET", path)
        assert status == 200, (path, status, answer)
        return answer

    def until(self, name: str, run_id: str, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the details of a run are as they should be, and return them."""

        def there() -> dict[str, Any]:
            status, answer = self.ask("GET", f"/dag-runs/{name}/{run_id}")
            assert status == 200, answer
            details: dict[str, Any] = answer["dagRunDetails"]
            assert check(details), details
            return details

        return eventually(there)


class FrontEnd:
    """One page of the front end in a browser. ``said`` is what its alerts and questions said; each is accepted."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self._url = page, url
        self.said: list[str] = []
        self.failed: list[str] = []
        page.on("pageerror", self._record)
        page.on("response", self._judge)
        page.on("dialog", self._accept)

    def _accept(self, dialog: Dialog) -> None:
        self.said.append(dialog.message)
        dialog.accept()

    def _record(self, error: Error) -> None:
        if error.message != _OWN_ERROR:
            self.failed.append(f"uncaught: {error}")

    def _judge(self, response: Response) -> None:
        path = urlsplit(response.url).path
        if response.status >= 400 and path != _OWN_MISTAKE:
            self.failed.append(f"{response.status} {response.request.method} {path}")

    def open(self, place: str) -> None:
        self.page.goto(f"{self._url}/{place}")

    def text(self, text: str, *, exact: bool = True) -> Locator:
        """Return the first visible place of a text: the page has hidden copies for small screens."""
        return self.page.get_by_text(text, exact=exact).filter(visible=True).first

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True).filter(visible=True).first

    def titled(self, title: str) -> Locator:
        return self.page.get_by_title(title).filter(visible=True).first

    def choose(self, row: str, action: str) -> None:
        """Choose an action from the menu at the end of a row of a table, when no dialog covers it any more."""
        expect(self.dialog).to_have_count(0)
        menu = self.page.get_by_role("menu")
        item = menu.get_by_role("menuitem", name=action, exact=True)

        def shown() -> None:
            # A table that is loaded again closes the menu. An open menu hides the table.
            if menu.count() == 0:
                self.page.get_by_role("row").filter(has_text=row).get_by_role("button").last.click()
            expect(item).to_be_visible(timeout=5_000)

        eventually(shown)
        item.click()

    def pick(self, shown: str, option: str) -> None:
        """Choose the first option with this text from the list that shows the text ``shown`` now."""
        item = self.page.get_by_role("option", name=option).first

        def there() -> None:
            # A page that is loaded again closes the list.
            if not item.is_visible():
                self.page.get_by_role("combobox").filter(visible=True).filter(has_text=shown).click()
            expect(item).to_be_visible(timeout=5_000)

        eventually(there)
        item.click()

    def write(self, text: str) -> None:
        """Replace the text in the editor of specs."""
        self.page.locator(".view-lines").filter(visible=True).first.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def sees(self, text: str, *, exact: bool = True) -> None:
        """Wait until a text is shown."""
        expect(self.text(text, exact=exact)).to_be_visible()

    def lacks(self, text: str) -> None:
        """Wait until a text is no longer shown."""
        expect(self.page.get_by_text(text, exact=True).filter(visible=True)).to_have_count(0)

    def told(self, part: str) -> None:
        """Wait until an alert or a question has said this."""

        def there() -> None:
            self.page.evaluate("0")  # The driver notices dialogs while it waits for an answer.
            assert any(part in each for each in self.said), self.said

        eventually(there)

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog").filter(visible=True)


@contextmanager
def opened(context: BrowserContext, url: str, *expected: str) -> Iterator[FrontEnd]:
    """Open a page, and fail at the end if it had errors or refused requests.

    ``expected``: beginnings of the refusals that may come, such as ``404 GET /api/v2/dags/a/webhook``.
    """
    page = context.new_page()
    try:
        front = FrontEnd(page, url)
        yield front
        unexpected = [each for each in front.failed if not each.startswith(expected)]
        assert unexpected == [], unexpected
    finally:
        page.close()
