"""The client for programs without ``asyncio``."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from dagway.client import calls
from dagway.client.api_call import ApiCall
from dagway.client.connection import (
    API,
    PATIENCE_S,
    check_repeatable,
    check_stream,
    no_answer,
    pause_until,
    settings_of,
    stream_options,
    timeout_of,
)
from dagway.client.errors import ConnectionFailed, WaitTimeout
from dagway.client.exchange import HttpAnswer, Send, checked, exchange, pauses
from dagway.client.methods import method
from dagway.client.models import ENDED, Run, RunDetails, RunEvent
from dagway.client.operations.blocking import OperationMethods
from shared.event_stream import EventParser

__all__ = ["Client"]

T = TypeVar("T")


class Client(OperationMethods):
    """Sends requests to one gateway; threads may share it. Close it, or use it in a ``with`` statement.

    ``token`` is an API key or another bearer token, ``basic`` a user name and password. ``ca_file`` has the
    certificates of the authorities to trust, instead of the system's. ``workspace`` is what all requests are about;
    without it that is the default workspace.

    Its methods raise ``ConnectionFailed`` or ``RequestRefused``.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        token: str = "",
        basic: tuple[str, str] | None = None,
        ca_file: str = "",
        workspace: str = "",
    ) -> None:
        self._http = httpx.Client(**settings_of(url, token=token, basic=basic, ca_file=ca_file, workspace=workspace))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    dags = method(calls.dags)
    dag = method(calls.dag)
    create_dag = method(calls.create_dag)
    spec = method(calls.spec)
    update_spec = method(calls.update_spec)
    delete_dag = method(calls.delete_dag)
    validate = method(calls.validate)
    suspend = method(calls.suspend)
    resume = method(calls.resume)
    start = method(calls.start)
    enqueue = method(calls.enqueue)
    start_spec = method(calls.start_spec)
    runs = method(calls.runs)
    run = method(calls.run)
    attempts = method(calls.attempts)
    outputs = method(calls.outputs)
    step_log = method(calls.step_log)
    stop = method(calls.stop)
    retry = method(calls.retry)
    dequeue = method(calls.dequeue)
    approve = method(calls.approve)
    reject = method(calls.reject)
    queues = method(calls.queues)

    def send(self, call: ApiCall[T], *, deadline: float | None = None) -> T:
        """Send a call, repeat it if necessary, and return its result. ``deadline``: no more repetitions after it."""
        conversation = exchange(call, deadline)
        answer: HttpAnswer | None = None
        while True:
            try:
                asked = conversation.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(asked, Send):
                answer = self._once(asked, deadline)
            else:
                time.sleep(asked.seconds)

    def all_runs(self, **filters: Any) -> Iterator[Run]:
        """Yield the runs of all pages, the newest first. ``filters`` are those of ``runs``, without its times."""
        cursor = ""
        while True:
            page = self.runs(**filters, cursor=cursor)
            yield from page.dagRuns
            if not page.nextCursor:
                return
            cursor = page.nextCursor

    def events(self, *, last_id: str = "", patience_s: float = PATIENCE_S) -> Iterator[RunEvent]:
        """Yield each change of all runs as it happens, after the event ``last_id`` or from now on. It has no end.

        A lost connection is opened again after the last event: none is missing, and none comes twice.

        Raises:
            ConnectionFailed: no connection was possible for ``patience_s`` seconds, or none ever can be: only one side
                speaks TLS, or the certificate is not accepted.
        """
        return (event for event in self._follow("/events", last_id=last_id, patience_s=patience_s) if event)

    def run_events(
        self, name: str, run_id: str, *, last_id: str = "", patience_s: float = PATIENCE_S
    ) -> Iterator[RunEvent]:
        """Yield each change of a run and its steps, from its beginning or after ``last_id``, until the run has ended.

        Raises:
            ConnectionFailed: see ``events``.
        """
        path = calls.events_path(name, run_id)
        return (event for event in self._follow(path, last_id=last_id, patience_s=patience_s) if event)

    def wait(self, name: str, run_id: str, *, timeout_s: float | None = None) -> RunDetails:
        """Wait until a run has ended, and return it. A run that waits for approval has not ended.

        Raises:
            WaitTimeout: it has not ended after ``timeout_s`` seconds.
            ConnectionFailed: the gateway did not answer in this time, or in 5 s if that is longer.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        run = self.send(calls.run(name, run_id), deadline=deadline)
        while run.statusLabel not in ENDED:
            for _ in self._follow(calls.events_path(name, run.dagRunId), deadline=deadline):
                if deadline is not None and time.monotonic() >= deadline:
                    raise WaitTimeout(f"run {run_id!r} of {name!r} has not ended after {timeout_s:g} s")
            run = self.send(calls.run(name, run_id), deadline=deadline)
        return run

    def _once(self, asked: Send, deadline: float | None) -> HttpAnswer:
        try:
            answer = self._http.request(
                asked.method,
                API + asked.path,
                params=asked.query,
                headers=asked.headers,
                content=asked.body,
                timeout=timeout_of(asked.takes_s, deadline),
            )
        except httpx.RequestError as error:
            return no_answer(error)
        return HttpAnswer(answer.status_code, answer.content, answer.headers)

    def _follow(
        self, path: str, *, last_id: str = "", patience_s: float = PATIENCE_S, deadline: float | None = None
    ) -> Iterator[RunEvent | None]:
        """Yield the events of a stream, and ``None`` for each piece of it, so that a caller can watch the time.

        It yields ``None`` at ``deadline`` too, a time of ``time.monotonic()``.
        """
        lost_at = time.monotonic()
        waits = pauses()
        while True:
            try:
                with self._http.stream("GET", API + path, **stream_options(last_id, deadline)) as answer:
                    if answer.status_code == 204:
                        return
                    if answer.status_code == 200:
                        check_stream(answer)
                        waits, parser = pauses(), EventParser()
                        for piece in answer.iter_bytes():
                            lost_at = time.monotonic()
                            yield None
                            for event in parser.feed(piece):
                                last_id = event.id or last_id
                                if event.data is not None:
                                    yield RunEvent.of(event.id, event.data)
                    elif answer.status_code < 500:
                        checked(HttpAnswer(answer.status_code, answer.read()))
            except httpx.RequestError as error:
                check_repeatable(path, error)
            yield None
            if time.monotonic() - lost_at > patience_s:
                raise ConnectionFailed(f"{path}: no connection for {patience_s:g} s")
            time.sleep(pause_until(deadline, next(waits)))
