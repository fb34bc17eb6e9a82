"""Event streams: the transitions of one run, or of all runs, as Server-Sent Events. Additions to Dagu's API.

A client gets every event exactly once: the stream reads the database from the client's ``Last-Event-ID`` on.
A stream ends after a minute, or a few seconds after its client would not be admitted any more; clients reconnect and
continue. While the database is down it stays open, also beyond its minute. If a run has ended and the client has all
its events, the response is 204, so that browsers do not reconnect.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Call, Operations, Query
from services.api.problems import Problem, bad_request
from services.api.representations import json_values
from services.api.run_details.lookup import RUN, find_run
from shared.errors import StoreUnavailable
from shared.store.reads.reader import ChangeRow, Place

__all__ = ["EVENTS"]

EVENTS = Operations()
_MEDIA_TYPE = "text/event-stream"
_HEADERS = {"X-Accel-Buffering": "no"}
_LIFETIME_S = 60.0
_PING_S = 10.0
_ADMIT_EVERY_S = 5.0
_BATCH = 500
_RETRY_MS = 1000
_PLACE = re.compile(r"(\d{1,18})-(\d{1,9})")


class EventsQuery(Query):
    last_event_id: str = Field(
        default="", alias="lastEventId", description="the same as the header Last-Event-ID, which takes precedence"
    )


@EVENTS.get(f"{RUN}/events", id="streamDAGRunEvents", headers=("Last-Event-ID",), media_type=_MEDIA_TYPE)
def run_events(call: Call, query: EventsQuery, name: str, dag_run_id: str) -> ApiResponse:
    """Stream the transitions of one run as Server-Sent Events. Event ids are sequence numbers within the run."""
    run = find_run(call.deps, name, dag_run_id)
    given = call.headers.get("Last-Event-ID") or query.last_event_id or "0"
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        raise bad_request("Last-Event-ID: must be the id of an event of this run, a number of at most 9 digits")
    if not run.status.active and not call.deps.reads.changes_of(run.run_key, after_seq=int(given), limit=1):
        return ApiResponse(204)

    def read(after: int) -> tuple[bytes, int]:
        found = call.deps.reads.changes_of(run.run_key, after_seq=after, limit=_BATCH)
        return _events(_event(call, str(each.seq), each) for each in found), found[-1].seq if found else after

    def ended(after: int) -> bool:
        status = call.deps.reads.run_status(run.run_key)
        if status is not None and status.active:
            return False
        return not call.deps.reads.changes_of(run.run_key, after_seq=after, limit=1)

    return _response(_Stream(call, read, int(given), run_key=run.run_key, ended=ended))


@EVENTS.get("/events", id="streamEvents", headers=("Last-Event-ID",), media_type=_MEDIA_TYPE)
def all_events(call: Call, query: EventsQuery) -> ApiResponse:
    """Stream the transitions of all runs as Server-Sent Events.

    Without ``Last-Event-ID``, the stream begins with the first transition after the request. A 503, such as while the
    database is down, ends an ``EventSource`` of a browser for good: make another one, with ``lastEventId`` in the URL.
    """
    given = call.headers.get("Last-Event-ID") or query.last_event_id
    after = _place(given) if given else None
    # Without the database this request fails: a stream would end at once, and its client come back at once.
    newest = call.deps.reads.newest_place()
    place = after or newest

    def look(after: Place) -> bytes:
        found = call.deps.reads.changes(after, limit=_BATCH)
        texts = _events(_event(call, f"{each.place.txid}-{each.place.pos}", each) for each in found)
        reached = found[-1].place if found else after
        return b"%d-%d\n%s" % (reached.txid, reached.pos, texts)

    def read(after: Place) -> tuple[bytes, Place]:
        # A notification wakes all streams, and most of them are at the same place: they share one query.
        reached, _, texts = call.deps.single_flight.get(("events", after), lambda: look(after)).partition(b"\n")
        return texts, _place(reached.decode())

    def idle(after: Place) -> tuple[str, Place]:
        found = call.deps.reads.seen_to(after)
        return "" if found == after else f"id: {found.txid}-{found.pos}\n", found

    return _response(_Stream(call, read, place, first_id=f"{place.txid}-{place.pos}", idle=idle))


class _Stream:
    """The body of one stream. The stream counts against the limit of open streams until ``close``."""

    def __init__(
        self,
        call: Call,
        read: Callable[[Any], tuple[bytes, Any]],
        after: Any,
        *,
        first_id: str = "",
        run_key: str | None = None,
        ended: Callable[[Any], bool] = lambda _after: False,
        idle: Callable[[Any], tuple[str, Any]] = lambda after: ("", after),
    ) -> None:
        self._closing = call.deps.closing
        self._admit_again = call.admit_again
        self._read = read
        self._after = after
        self._first_id = first_id
        self._ended = ended
        self._idle = idle
        self._follower = call.deps.followers.add(run_key, workspace=call.workspace, without_place=call.without_place)
        self._parts = self._produce()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Release the place in the limit. The server calls this when the client disconnects or the stream has ended."""
        self._follower.close()

    def _produce(self) -> Iterator[bytes]:
        ends = time.monotonic() + _LIFETIME_S
        last_sent = admitted = time.monotonic()
        down = False
        # With this id, a client that loses the connection before the first event can continue from here.
        yield f"retry: {_RETRY_MS}\n{f'id: {self._first_id}' if self._first_id else ': here'}\n\n".encode()
        while (down or time.monotonic() < ends) and not self._closing.is_set():
            try:
                if time.monotonic() - admitted > _ADMIT_EVERY_S:
                    self._admit_again()
                    admitted = time.monotonic()
                texts, self._after = self._read(self._after)
                down = False
                if texts:
                    last_sent = time.monotonic()
                    yield texts
                    continue
                if self._ended(self._after):
                    return
                if time.monotonic() - last_sent > _PING_S:
                    last_sent = time.monotonic()
                    # An id without data is no event; the client continues from it.
                    moved, self._after = self._idle(self._after)
                    yield f": ping\n{moved}\n".encode()
            except StoreUnavailable:
                down = True
                # It may be back soon. A client that had to come back meanwhile would get a 503, and an EventSource of a
                # browser never asks again after one: the stream outlives its minute until the next read.
                if time.monotonic() - last_sent > _PING_S:
                    last_sent = time.monotonic()
                    yield b": the database is down\n\n"
            except Problem:
                return
            self._follower.wait(_PING_S)


def _response(stream: _Stream) -> ApiResponse:
    return ApiResponse(200, stream, _MEDIA_TYPE, headers=_HEADERS)


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise bad_request("Last-Event-ID: must be the id of an event of this stream, such as 1234-5")
    return Place(int(found[1]), int(found[2]))


def _events(texts: Iterable[str]) -> bytes:
    return "".join(texts).encode("utf-8", "replace")


def _event(call: Call, event_id: str, change: ChangeRow) -> str:
    data = {
        "rootDAGRunName": change.root_dag_name,
        "rootDAGRunId": change.root_dag_run_id,
        "name": change.dag_name,
        "dagRunId": change.dag_run_id,
        "seq": change.seq,
        "at": json_values.timestamp(change.at, call.deps.zone),
        "stepName": change.node_name if change.node is not None else None,
        "was": change.was,
        "became": change.became,
        "why": change.why,
        "by": change.by,
    }
    return f"id: {event_id}\nevent: transition\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
