"""Event streams: every transition of one run, or of all, as Server-Sent Events. Additions to the contract.

Nothing is left out and nothing comes twice: what a client has not seen is read from the database,
from the ``Last-Event-ID`` it gives on. A stream ends by itself after a minute; clients come again
and go on where they were. A run that has ended and was told to its end is answered 204, which tells
browsers not to come again.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import Field

from services.api.operations import Answer, Call, Operations, Query
from services.api.problems import Problem, bad_request
from services.api.representations import json_values
from services.api.routes.runs import find_run
from shared.errors import StoreUnavailable
from shared.store.reads.reader import ChangeRow, Place

__all__ = ["EVENTS"]

EVENTS = Operations()
_TYPE = "text/event-stream"
_HEADERS = {"X-Accel-Buffering": "no"}
_LIVES_S = 60.0
_PING_S = 10.0
_AT_ONCE = 500
_RETRY_MS = 1000
_PLACE = re.compile(r"(\d{1,18})-(\d{1,9})")


class EventsQuery(Query):
    last_event_id: str = Field(default="", alias="lastEventId", description="as the header Last-Event-ID")


@EVENTS.get("/dag-runs/{name}/{dagRunId}/events", id="streamDAGRunEvents", query=EventsQuery)
def run_events(call: Call, query: EventsQuery, name: str, dag_run_id: str) -> Answer:
    """Follow one run; ids are its transitions' sequence numbers."""
    run = find_run(call, name, dag_run_id)
    given = call.headers.get("Last-Event-ID") or query.last_event_id or "0"
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        raise bad_request("Last-Event-ID: must be a number that an event had as its id")
    if not run.status.active and not call.deps.reads.changes_of(run.run_key, after_seq=int(given), limit=1):
        return Answer(204)

    def read(after: int) -> tuple[list[str], int]:
        found = call.deps.reads.changes_of(run.run_key, after_seq=after, limit=_AT_ONCE)
        return [_event(call, str(each.seq), each) for each in found], found[-1].seq if found else after

    def over(after: int) -> bool:
        now = find_run(call, name, run.dag_run_id)
        return not now.status.active and not call.deps.reads.changes_of(run.run_key, after_seq=after, limit=1)

    return _answer(_Stream(call, read, int(given), run_key=run.run_key, over=over))


@EVENTS.get("/events", id="streamEvents", query=EventsQuery)
def all_events(call: Call, query: EventsQuery) -> Answer:
    """Follow all runs; without a ``Last-Event-ID`` from now on."""
    given = call.headers.get("Last-Event-ID") or query.last_event_id
    place = _place(given) if given else call.deps.reads.newest_place()

    def read(after: Place) -> tuple[list[str], Place]:
        found = call.deps.reads.changes(after, limit=_AT_ONCE)
        texts = [_event(call, f"{each.place.txid}-{each.place.pos}", each) for each in found]
        return texts, found[-1].place if found else after

    return _answer(_Stream(call, read, place, first_id=f"{place.txid}-{place.pos}"))


class _Stream:
    """The body of one stream; holds one of the places for streams until it is closed."""

    def __init__(
        self,
        call: Call,
        read: Callable[[Any], tuple[list[str], Any]],
        after: Any,
        *,
        first_id: str = "",
        run_key: str | None = None,
        over: Callable[[Any], bool] = lambda _after: False,
    ) -> None:
        self._closing = call.deps.closing
        self._read = read
        self._after = after
        self._first_id = first_id
        self._over = over
        self._watch = call.deps.follower.watch(run_key)
        self._parts = self._produce()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Give the place back; the server calls it when the client is gone or all is sent."""
        self._watch.close()

    def _produce(self) -> Iterator[bytes]:
        ends = time.monotonic() + _LIVES_S
        spoke = time.monotonic()
        # A client that loses this connection before the first event still knows where it was.
        yield f"retry: {_RETRY_MS}\n{f'id: {self._first_id}' if self._first_id else ': here'}\n\n".encode()
        while time.monotonic() < ends and not self._closing.is_set():
            try:
                texts, self._after = self._read(self._after)
                while texts:
                    spoke = time.monotonic()
                    yield "".join(texts).encode("utf-8", "replace")
                    texts, self._after = self._read(self._after)
                if self._over(self._after):
                    return
            except (StoreUnavailable, Problem):
                # The client comes again with the last id it saw.
                return
            if time.monotonic() - spoke > _PING_S:
                spoke = time.monotonic()
                yield b": ping\n\n"
            self._watch.wait(_PING_S)


def _answer(stream: _Stream) -> Answer:
    return Answer(200, stream, _TYPE, headers=_HEADERS)


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise bad_request("Last-Event-ID: must be an id that an event had")
    return Place(int(found[1]), int(found[2]))


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
