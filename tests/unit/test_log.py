"""Values of clients in the log: whatever they are, a record is one line."""

import json
import logging
import re
import sys
from pathlib import Path
from typing import Literal

import pytest
from waitress.task import ThreadedTaskDispatcher

from shared.log import Repeats, set_up_logging

FORGED = {
    "a line": "x\n12:00:00 info    login.succeeded username=admin",
    "a line of Windows": "x\r\n12:00:00 info    login.succeeded",
    "over the line": "x\r12:00:00 info    login.succeeded",
    "a Unicode line": "x\u2028y\u2029z\x85",
    "JSON": 'x", "event": "login.succeeded", "y": "',
    "a colour": "\x1b[31mred\x1b[0m",
    "a link of terminals": "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "a title of terminals": "\x1b]0;owned\x07",
    "erased": "x\x08\x08\x7f",
    "right to left": "\u202egpj.exe",
    "half a character": "\udcff",
    "nul": "a\x00b",
}


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("name", FORGED)
def test_no_value_forges_a_line_or_acts_on_a_terminal(
    name: str, style: Literal["text", "json"], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = _Lines()
    monkeypatch.setattr(sys, "stderr", written)
    set_up_logging("info", style, "api")
    [handler] = logging.root.handlers
    try:
        raise ValueError(FORGED[name])
    except ValueError:
        record = logging.getLogger("tests").makeRecord(
            "tests", logging.INFO, __file__, 1, "request.refused", (), sys.exc_info(), extra={"username": FORGED[name]}
        )

    handler.handle(record)

    if style == "json":
        [line] = written.text.splitlines()
        assert json.loads(line)["event"] == "request.refused"
        assert json.loads(line)["username"] == FORGED[name]
    else:
        first, *rest = written.text.split("\n")
        assert "request.refused username=" in first
        assert rest.pop() == ""
        assert all(each.startswith("  ") for each in rest)
        assert all(each.isprintable() for each in (first, *rest))


@pytest.mark.parametrize("style", ["text", "json"])
def test_passwords_in_urls_are_masked_wherever_they_are_in_a_line(
    style: Literal["text", "json"], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = _Lines()
    monkeypatch.setattr(sys, "stderr", written)
    urls = (
        "amqp://ann:hid:d/en@broker:5672/v",
        "postgresql+psycopg2://bob:hidden@h,i/db",
        "http://api:8080/v2 of ann@h",
    )
    set_up_logging("info", style, "api")
    try:
        raise ValueError(urls[0])
    except ValueError:
        logging.getLogger("a.library").warning("no answer from %s", urls[1], exc_info=True, extra={"next": urls[2]})

    assert "hid" not in written.text
    for shown in ("amqp://ann:***@broker:5672/v", "postgresql+psycopg2://bob:***@h,i/db", urls[2]):
        assert shown in written.text


@pytest.mark.parametrize("repeated", ["w", "://a:", "http://a:", "http://a/"])
def test_a_long_line_takes_no_longer_for_each_letter_than_a_short_one(
    repeated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pattern that begins again at each of these would take minutes to hours.
    written = _Lines()
    monkeypatch.setattr(sys, "stderr", written)
    text = repeated * 1_000_000
    set_up_logging("info", "text", "api")
    logging.getLogger("tests").warning(text)

    assert text in written.text


def test_requests_that_wait_for_a_thread_log_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = _Lines()
    monkeypatch.setattr(sys, "stderr", written)
    set_up_logging("debug", "text", "up")

    ThreadedTaskDispatcher().add_task("a request")  # there is no thread yet

    assert written.text == ""
    logging.getLogger("waitress").warning("another warning")
    assert "another warning" in written.text


class _Lines:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        """Keep it."""


def test_what_is_tried_again_and_again_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    times = iter(each for each in (0.0, 0.3, 59.9, 60.0, 60.0) for _ in range(3))
    log = logging.getLogger("tried")
    log.addFilter(repeats := Repeats(lambda: next(times)))
    try:
        for _ in range(4):
            log.warning("leases.wait", extra={"error": "connection refused"})
            log.warning("broker.lost", extra={"why": "connection refused"})
            log.warning("consumer.interrupted", extra={"error": "ACCESS_REFUSED"})
            log.warning("ended_runs.not_kept", extra={"error": "Too many open files"})
        log.warning("leases.wait", extra={"error": "too many connections"})
    finally:
        log.removeFilter(repeats)

    waits = [vars(one) for one in caplog.records if one.message == "leases.wait"]
    assert [(one["error"], one.get("repeated")) for one in waits] == [
        ("connection refused", None),
        ("connection refused", 2),
        ("too many connections", None),
    ]
    events = [one.message for one in caplog.records]
    assert [events.count(one) for one in ("consumer.interrupted", "ended_runs.not_kept", "broker.lost")] == [2, 2, 4]


def test_each_event_of_work_that_waits_is_one_that_is_not_repeated_for_a_minute() -> None:
    root = Path(__file__).parents[2]
    files = [*(root / "services").rglob("*.py"), *(root / "shared").rglob("*.py")]
    events = {name for file in files for name in re.findall(r'_log\.\w+\(\s*"([\w.]+waits?)"', file.read_text())}
    assert len(events) > 10
    for name in events:
        repeats = Repeats()
        kept = [repeats.filter(logging.LogRecord("scheduler", 30, "", 1, name, (), None)) for _ in range(2)]
        assert kept == [True, False], name
