"""A real browser, headless, that may use loopback only and records everything that a page must not do."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, Request, expect, sync_playwright

from tests.harness.eventually import PATIENCE_S, eventually

__all__ = ["PHONE", "browser", "chromium_bin", "go_to", "watched"]

PHONE = (375, 800)
"""Width and height of a small screen, in CSS pixels."""

_PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
_FLAGS = (
    "--no-sandbox",  # Chromium refuses a sandbox for root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NOT_OURS = "ERR_NETWORK_CHANGED"
"""Chromium's error for pending requests when a network interface appears or disappears.

Container engines that other tests start create and remove such interfaces.
"""
_NOTICES = Path(__file__).parents[2] / "services/api/web/notice.js"
_NOTICES_STAY = """{{
  const later = window.setTimeout;
  window.setTimeout = (act, ms, ...rest) => ms === {ms} ? 0 : later(act, ms, ...rest);
}}"""
"""A notice stays until it is closed: on a busy machine a test may look for it later than a user would read it."""


def chromium_bin() -> str | None:
    """Return the path of the browser's program, or ``None`` if it is not installed.

    The program without windows comes first: a headless Chromium draws its tabs and menus, which nobody sees.
    """
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


@contextmanager
def browser(*flags: str) -> Iterator[Browser]:
    """Start a browser with an empty profile and more ``flags`` of Chromium, and end it afterwards."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium_bin(), headless=True, args=[*_FLAGS, *flags])
        try:
            yield started
        finally:
            started.close()


def _notices_stay() -> str:
    found = re.search(r"TOAST_MS = (\w+);", _NOTICES.read_text())
    assert found, "notices of the pages have no time any more"
    return _NOTICES_STAY.format(ms=found[1])


def go_to(page: Page, url: str) -> None:
    """Open the URL, again if a changed network interface made the request for it or for one of its modules fail."""
    lost: list[str] = []

    def note(request: Request) -> None:
        lost.append(request.failure or "")

    def opened() -> None:
        lost.clear()
        try:
            page.goto(url)
        except Error as error:
            if _NOT_OURS in error.message:
                raise AssertionError(error.message) from error
            raise
        if any(_NOT_OURS in each for each in lost):
            page.goto("about:blank")  # else a URL with a fragment would not load the page anew
            raise AssertionError(lost)

    page.on("requestfailed", note)
    eventually(opened)
    page.remove_listener("requestfailed", note)
    page.locator("main").wait_for(state="attached")


@contextmanager
def watched(
    started: Browser,
    url: str,
    *,
    size: tuple[int, int] = (1280, 900),
    dark: bool = False,
    expected: tuple[str, ...] = (),
    stored: Mapping[str, str] | None = None,
    zone: str | None = None,
) -> Iterator[Page]:
    """Open a page in a new session, and fail at the end if the page had errors.

    Errors are: any text on the console, an uncaught exception, a request that leaves loopback, and a
    dialog, since only injected code would open one. Console texts that contain one of ``expected`` are
    allowed: the browser prints them for refusals and outages that the test causes. ``stored`` is what the
    page finds in its local storage, ``zone`` the time zone of the browser, by default the machine's.
    """
    context = started.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",  # the mark of what is running would be drawn sixty times a second
        accept_downloads=True,
        timezone_id=zone,
    )
    context.set_default_timeout(PATIENCE_S * 1000)
    context.add_init_script(_notices_stay())
    for key, value in (stored or {}).items():
        context.add_init_script(f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)})")
    page = context.new_page()
    errors: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        text = message.text
        if message.type in {"error", "warning"} and not any(each in text for each in (*expected, _NOT_OURS)):
            errors.append(f"console: {text}")

    def on_request(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"blob", "data"} and parts.hostname != "127.0.0.1":
            errors.append(f"request to {request.url}")

    def on_dialog(dialog: Dialog) -> None:
        errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", on_console)
    page.on("pageerror", lambda error: errors.append(f"uncaught: {error}"))
    page.on("dialog", on_dialog)
    context.on("request", on_request)
    try:
        go_to(page, url)
        yield page
        assert errors == []
    finally:
        context.close()
