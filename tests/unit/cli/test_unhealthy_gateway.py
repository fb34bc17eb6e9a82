"""What commands say of a gateway that answers, but not everything behind it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import pytest
import urllib3
from click.testing import CliRunner, Result

from services.cli import cli
from services.cli.remote import gateway as sending
from services.cli.remote.doctor import about_health

NO_BROKER = "the message broker cannot be reached or blocks publishers"
WORKER = {"id": "w1", "state": "lost", "totalPollers": 1, "busyPollers": 0}
LISTS = {
    "/workers": {"workers": [WORKER]},
    "/services/scheduler": {"schedulers": [{"status": "active"}]},
    "/pauses": {"pauses": []},
    "/dags": {"dags": [], "errors": [], "pagination": {"nextPage": 0}},
}


def health(error: str = "", **more: Any) -> dict[str, Any]:
    facts = {
        "status": "unhealthy" if error else "healthy",
        "version": version("dagway"),
        "schemaRevision": {"expected": "0053", "found": "0053"},
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return facts | ({"error": error, "code": "service_unavailable", "message": error} if error else {}) | more


def doctor(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, tuple[int, Any]]) -> Result:
    return dagway(monkeypatch, answers, "doctor")


def dagway(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, tuple[int, Any]], *argv: str) -> Result:
    """Run a command with these answers in the place of a server's."""

    def request(_: object, _method: str, url: str, **__: Any) -> urllib3.HTTPResponse:
        status, content = answers[url.partition("/api/v2")[2].partition("?")[0]]
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return urllib3.HTTPResponse(body=body, status=status)

    monkeypatch.setattr(sending, "_PAUSE_S", 0)
    monkeypatch.setattr(urllib3.PoolManager, "request", request)
    return CliRunner().invoke(cli, [*argv, "--url", "http://x"])


def test_doctor_says_that_the_broker_is_away_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {path: (200, content) for path, content in LISTS.items()}

    said = doctor(monkeypatch, answers | {"/health": (503, health(NO_BROKER))})

    assert said.exit_code == 1
    lines = said.stdout.splitlines()
    assert f"problem  gateway      http://x (--url): {NO_BROKER} -> see its log" in lines
    assert "ok       scheduler    1 active" in lines
    # The lease of a worker that cannot be heard ends, too.
    assert [line for line in lines if "workers" in line] == [
        "warning  workers      none is heard, whether or not it is live -> first solve the other problems"
    ]


def test_doctor_does_not_blame_the_workers_if_there_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {path: (200, content) for path, content in LISTS.items()} | {"/health": (200, health())}

    said = doctor(monkeypatch, answers | {"/services/scheduler": (200, {"schedulers": []})})

    assert "problem  scheduler    none is active" in said.stdout
    assert "start dagway worker" not in said.stdout


def test_doctor_says_that_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    away = {"code": "service_unavailable", "message": "The database is unavailable or overloaded"}
    why = "the database does not answer"

    said = doctor(
        monkeypatch,
        dict.fromkeys(LISTS, (503, away)) | {"/health": (503, health(why, schemaRevision=None))},
    )

    assert said.stdout.splitlines()[1:] == [
        f"problem  gateway      http://x (--url): {why} -> see its log",
        "problem  access       The database is unavailable or overloaded",
    ]


def test_changes_are_followed_while_the_broker_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "/health": (503, health(NO_BROKER)),
        "/dags/w": (200, {"dag": {"name": "w"}}),
        "/dag-runs/w/latest/events": (204, b""),
    }

    assert dagway(monkeypatch, answers, "events", "w").exit_code == 0


@pytest.mark.parametrize("answer", [b"<html>no backend</html>", b"[" * 50_000], ids=["page", "nested too deeply"])
def test_a_503_of_something_else_is_no_health(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    said = doctor(monkeypatch, {"/health": (503, answer)})

    assert said.exit_code == 1
    assert "answered 503 without JSON" in said.stdout


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("0054", ("warning", "upgrade the gateway")),
        ("0052", ("problem", "dagway migrate")),
        (None, ("problem", "dagway migrate")),
    ],
)
def test_doctor_knows_who_is_behind(found: str | None, expected: tuple[str, str]) -> None:
    revisions = {"expected": "0053", "found": found}

    findings = about_health(health(schemaRevision=revisions), "x", version("dagway"), datetime.now(UTC))

    assert [(each.level, each.remedy) for each in findings if each.check == "schema"] == [expected]
