"""What commands say of a write that the server has stored and not carried out yet (202)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from click.testing import CliRunner

from services.cli import cli
from services.cli.errors import GatewayError, GatewayUnreachable
from services.cli.remote import gateway as sending
from services.cli.remote.gateway import Gateway, ServerConnection

WRITES = [
    ["start", "--detach", "w"],
    ["enqueue", "w"],
    ["exec", "--", "true"],
    ["stop", "--run-id", "r", "--no-wait", "w"],
    ["dequeue", "q", "--dag-run", "w:r"],
    ["retry", "--run-id", "r", "--detach", "w"],
    ["restart", "--run-id", "r", "--detach", "w"],
    ["suspend", "w"],
    ["resume", "w"],
    ["pause", "--all"],
    ["secrets", "set", "db"],
    ["secrets", "set", "db", "--json"],
    ["secrets", "delete", "db"],
    ["secrets", "rotate"],
    ["keys", "create", "ci", "--role", "viewer"],
]
PENDING = {"commandId": "c1"}
RUN = {"dagRunId": "r", "name": "w", "status": 1, "statusLabel": "running"}
FOUND = {"dagRuns": [RUN], "dag": {"name": "w"}, "dagRunDetails": RUN}
"""What reads before a write are answered with."""

Answer = Callable[[str], tuple[int, Any]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    monkeypatch.setattr(sending, "_PAUSE_S", 0)
    return []


def answer_with(monkeypatch: pytest.MonkeyPatch, sent: list[dict[str, str]], answer: Answer) -> None:
    def request(_: object, method: str, url: str, *, headers: dict[str, str], **__: Any) -> urllib3.HTTPResponse:
        sent.append({"method": method, "path": url.partition("/api/v2")[2], **headers})
        status, content = answer(method)
        return urllib3.HTTPResponse(body=json.dumps(content).encode(), status=status)

    monkeypatch.setattr(urllib3.PoolManager, "request", request)


@pytest.mark.parametrize("argv", WRITES, ids=" ".join)
def test_what_is_never_carried_out_is_an_error_and_no_traceback(
    argv: list[str], sent: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, sent, lambda method: (200, FOUND) if method == "GET" else (202, PENDING))

    result = CliRunner().invoke(cli, argv, input="value")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "has stored this request, but has not carried it out yet: it may still do so" in result.stderr
    assert len({each["Idempotency-Key"] for each in sent if each["method"] != "GET"}) == 1


def test_a_write_that_is_carried_out_later_has_its_result(
    sent: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([(202, PENDING), (503, {}), (202, PENDING), (200, {"dagRunId": "r1"})])
    answer_with(monkeypatch, sent, lambda _: next(answers))

    assert Gateway(ServerConnection("http://gateway")).post("/dags/w/start") == {"dagRunId": "r1"}
    assert len({each["Idempotency-Key"] for each in sent}) == 1


@pytest.mark.parametrize("then", [503, None], ids=["answers 503", "is gone"])
def test_a_gateway_that_fails_after_it_has_stored_a_write_does_not_hide_that(
    then: int | None, sent: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: str) -> tuple[int, Any]:
        if len(sent) == 1:
            return 202, PENDING
        if then is None:
            raise urllib3.exceptions.ProtocolError("gone")
        return then, {}

    answer_with(monkeypatch, sent, answer)

    with pytest.raises(GatewayError, match="has stored this request, but has not carried it out yet: it may"):
        Gateway(ServerConnection("http://gateway")).post("/dags/w/start")


UNKNOWN = (503, {"code": "service_unavailable", "message": "unknown", "details": {"outcome": "unknown"}})
LOST = urllib3.exceptions.ProtocolError("gone")
REFUSED = urllib3.exceptions.NewConnectionError(urllib3.connection.HTTPConnection("gateway"), "refused")


@pytest.mark.parametrize(
    "first", [UNKNOWN, LOST, (504, {}), (502, {})], ids=["not confirmed", "not answered", "too slow", "cut off"]
)
def test_a_write_is_in_doubt_if_an_earlier_try_may_have_been_stored(
    first: Any, sent: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the broker is lost during the first try, and away during the others."""
    away = {"code": "service_unavailable", "message": "The message broker is unavailable; nothing was changed."}

    def answer(_: str) -> tuple[int, Any]:
        if len(sent) > 1:
            return 503, away
        if isinstance(first, Exception):
            raise first
        status, content = first
        return status, content

    answer_with(monkeypatch, sent, answer)

    with pytest.raises(GatewayError, match="not known whether the server has stored this request: look before"):
        Gateway(ServerConnection("http://gateway")).post("/dags/w/start")


@pytest.mark.parametrize("lost", [1, 4], ids=["first", "last"])
def test_a_gateway_that_is_lost_during_a_write_leaves_it_in_doubt(
    lost: int, sent: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: str) -> tuple[int, Any]:
        raise LOST if len(sent) == lost else REFUSED

    answer_with(monkeypatch, sent, answer)
    gateway = Gateway(ServerConnection("http://gateway"))

    with pytest.raises(GatewayUnreachable, match="not known whether the server has stored this request"):
        gateway.post("/dags/w/start")
    sent.clear()
    with pytest.raises(GatewayUnreachable) as read:
        gateway.get("/dags/w")
    assert "not known" not in str(read.value)


def test_a_write_that_never_reached_a_gateway_is_not_in_doubt(
    sent: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: str) -> tuple[int, Any]:
        raise REFUSED

    answer_with(monkeypatch, sent, answer)

    with pytest.raises(GatewayUnreachable) as write:
        Gateway(ServerConnection("http://gateway")).post("/dags/w/start")
    assert "not known" not in str(write.value)
