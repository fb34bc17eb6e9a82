"""One request with its repetitions, without I/O: the generator ``exchange`` says what to send and how long to pause.

``Client`` and ``AsyncClient`` do what it says, so both repeat requests by the same rules.
"""

import json
import random
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from dagway.client.api_call import ApiCall, model
from dagway.client.errors import ClientError, ConnectionFailed, RequestRefused
from shared.foreign_json import read_json
from shared.unknown_outcome import IN_DOUBT, UNAVAILABLE, may_be_stored

__all__ = ["Delay", "Exchange", "HttpAnswer", "Send", "checked", "connection_failed", "exchange", "pauses"]

T = TypeVar("T")

_TRIES = 5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_OUTCOME_TRIES = 60
_FOREIGN = "the answer lacks what was asked for: is this a Dagway gateway of the client's version?"
_LATE = "carried out, but too late for its answer: read the result with another request"
_random = random.Random()  # noqa: S311 - spreads repetitions


@dataclass(frozen=True, slots=True)
class Send:
    """Send this request. ``query`` has no absent values; ``takes_s`` is that of the call."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None = None
    takes_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait this long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer to a request. ``failure`` says why there is none, ``doubt`` what the caller may have got wrong.

    Without ``repeat`` another try would fail in the same way; without ``sent`` nobody has the request.
    """

    status: int = 0
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: Exception | None = None
    doubt: str = ""
    repeat: bool = True
    sent: bool = True


Exchange = Generator[Send | Delay, HttpAnswer | None, T]
"""Gets the answer to each ``Send``, and ``None`` after each ``Delay``."""


def exchange(call: ApiCall[T], deadline: float | None = None) -> Exchange[T]:
    """Send a call until it is answered, and return its result. It is not repeated after ``deadline`` (monotonic).

    If the gateway has stored a command but no scheduler has carried it out yet (202), its outcome is asked for.

    Raises:
        ConnectionFailed: no try was answered.
        RequestRefused: the gateway or the scheduler refused the request.
        ClientError: the answer is not that of a gateway, or the command was carried out, but its outcome does not
            have what the answer would have had.
    """
    answer = yield from _tries(_request(call), deadline)
    if call.is_text and 200 <= answer.status < 300:
        return call.read(answer.content.decode(errors="replace"))
    content = checked(answer)
    if answer.status != 202:
        return _read(call, call.read, content, _FOREIGN)
    command_id = _read(call, model(str, "commandId"), content, _FOREIGN)
    content = {**content, **(yield from _outcome(command_id))}
    return _read(call, call.read, content, _LATE)


def pauses() -> Generator[float, None, None]:
    """Yield the pauses between repetitions, in seconds: they grow, and two clients differ."""
    seconds = _FIRST_PAUSE_S
    while True:
        yield seconds * _random.uniform(0.75, 1.25)
        seconds = min(seconds * 2, _LONGEST_PAUSE_S)


def checked(answer: HttpAnswer) -> Any:
    """Return the JSON of an answer; raise ``RequestRefused`` if the status is not that of a success."""
    try:
        content = read_json(answer.content) if answer.content else {}
    except ValueError as error:
        raise ClientError(f"the answer with status {answer.status} is not JSON: is this a Dagway gateway?") from error
    if 200 <= answer.status < 300:
        return content
    about = content if isinstance(content, dict) else {}
    message = str(about.get("message") or f"the gateway answered {answer.status}")
    raise RequestRefused(answer.status, str(about.get("code", "")), message, about.get("details") or {})


def _read(call: ApiCall[Any], read: Callable[[Any], T], content: Any, otherwise: str) -> T:
    try:
        return read(content)
    except (ValueError, KeyError, TypeError) as error:
        raise ClientError(f"{call.method} {call.path}: {otherwise}") from error


def _request(call: ApiCall[Any]) -> Send:
    query = {name: _text(value) for name, value in call.query.items() if value is not None}
    # For each GET too: Dagu's API has one that writes, to remove a run from its queue.
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    headers |= {name: value for name, value in call.headers.items() if value is not None}
    if call.body is None:
        return Send(call.method, call.path, query, headers, takes_s=call.takes_s)
    body = call.body
    if isinstance(body, Mapping):
        body = {name: value for name, value in body.items() if value is not None}
    headers["Content-Type"] = "application/json"
    return Send(call.method, call.path, query, headers, json.dumps(body).encode(), call.takes_s)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _tries(request: Send, deadline: float | None = None) -> Exchange[HttpAnswer]:
    waits = islice(pauses(), _TRIES - 1)
    in_doubt = False
    while True:
        answer = (yield request) or HttpAnswer()
        if answer.failure is None and answer.status not in UNAVAILABLE:
            return answer
        stored = answer.sent if answer.failure is not None else may_be_stored(answer.status, answer.content)
        in_doubt = in_doubt or (request.method != "GET" and stored)
        wait_s = next(waits, None)
        if wait_s is None or not answer.repeat:
            break
        wait_s = max(wait_s, _retry_after(answer))
        if deadline is not None and time.monotonic() + wait_s >= deadline:
            break
        yield Delay(wait_s)
    what = f"{request.method} {request.path}"
    if answer.failure is not None:
        raise connection_failed(what, answer, f"; {IN_DOUBT}" if in_doubt else "") from answer.failure
    why = f"; {IN_DOUBT}" if in_doubt else _reason(answer)
    raise ConnectionFailed(f"{what}: the gateway answered {answer.status}{why}")


def connection_failed(what: str, answer: HttpAnswer, but: str = "") -> ConnectionFailed:
    """Return the error that says why ``what`` has no answer."""
    doubt = f" ({answer.doubt})" if answer.doubt else ""
    return ConnectionFailed(f"{what}: {answer.failure}{doubt}{but}")


def _reason(answer: HttpAnswer) -> str:
    """Return what the gateway says about it; nothing of the page of a proxy."""
    try:
        message = read_json(answer.content)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {message}" if message else ""


def _retry_after(answer: HttpAnswer) -> float:
    given = answer.headers.get("retry-after", "")
    return min(float(given), _LONGEST_PAUSE_S) if given.isdecimal() else 0.0


def _outcome(command_id: str) -> Exchange[dict[str, Any]]:
    request = Send("GET", f"/commands/{command_id}", {}, {})
    waits = pauses()
    for _ in range(_OUTCOME_TRIES):
        answer = yield from _tries(request)
        if answer.status != 404:
            found = checked(answer)
            if found["outcome"] == "recorded":
                return dict(found["result"])
            error = found.get("error") or {}
            # A dead letter, which is no refusal, has the status that the gateway gives one at once.
            status = 500 if found["outcome"] == "failed" else 409
            raise RequestRefused(status, error.get("code", ""), error.get("message", "refused"), {})
        yield Delay(next(waits))
    raise ConnectionFailed(f"no scheduler has carried out the command {command_id} yet; it stays queued")
