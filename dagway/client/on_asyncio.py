"""The client for programs with ``asyncio``."""

import asyncio
import time
from collections.abc import AsyncIterator
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
from dagway.client.methods import async_method
from dagway.client.models import ENDED, Run, RunDetails, RunEvent
from dagway.client.operations.on_asyncio import AsyncOperationMethods
from shared.event_stream import EventParser

__all__ = ["AsyncClient"]

T = TypeVar("T")


class AsyncClient(AsyncOperationMethods):
    """``Client`` for ``asyncio``: its methods are coroutines. Close it, or use it in an ``async with`` statement."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        token: str = "",
        basic: tuple[str, str] | None = None,
        ca_file: str = "",
        workspace: str = "",
    ) -> None:
        settings = settings_of(url, token=token, basic=basic, ca_file=ca_file, workspace=workspace)
        self._http = httpx.AsyncClient(**settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    dags = async_method(calls.dags)
    dag = async_method(calls.dag)
    create_dag = async_method(calls.create_dag)
    spec = async_method(calls.spec)
    update_spec = async_method(calls.update_spec)
    delete_dag = async_method(calls.delete_dag)
    validate = async_method(calls.validate)
    suspend = async_method(calls.suspend)
    resume = async_method(calls.resume)
    start = async_method(calls.start)
    enqueue = async_method(calls.enqueue)
    start_spec = async_method(calls.start_spec)
    runs = async_method(calls.runs)
    run = async_method(calls.run)
    attempts = async_method(calls.attempts)
    outputs = async_method(calls.outputs)
    step_log = async_method(calls.step_log)
    stop = async_method(calls.stop)
    retry = async_method(calls.retry)
    dequeue = async_method(calls.dequeue)
    approve = async_method(calls.approve)
    reject = async_method(calls.reject)
    queues = async_method(calls.queues)

    async def send(self, call: ApiCall[T], *, deadline: float | None = None) -> T:
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
                answer = await self._once(asked, deadline)
            else:
                await asyncio.sleep(asked.seconds)

    async def all_runs(self, **filters: Any) -> AsyncIterator[Run]:
        """See ``Client.all_runs``."""
        cursor = ""
        while True:
            page = await self.runs(**filters, cursor=cursor)
            for run in page.dagRuns:
                yield run
            if not page.nextCursor:
                return
            cursor = page.nextCursor

    async def events(self, *, last_id: str = "", patience_s: float = PATIENCE_S) -> AsyncIterator[RunEvent]:
        """See ``Client.events``."""
        async for event in self._follow("/events", last_id=last_id, patience_s=patience_s):
            if event:
                yield event

    async def run_events(
        self, name: str, run_id: str, *, last_id: str = "", patience_s: float = PATIENCE_S
    ) -> AsyncIterator[RunEvent]:
        """See ``Client.run_events``."""
        async for event in self._follow(calls.events_path(name, run_id), last_id=last_id, patience_s=patience_s):
            if event:
                yield event

    async def wait(self, name: str, run_id: str, *, timeout_s: float | None = None) -> RunDetails:
        """See ``Client.wait``."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        run = await self.send(calls.run(name, run_id), deadline=deadline)
        while run.statusLabel not in ENDED:
            async for _ in self._follow(calls.events_path(name, run.dagRunId), deadline=deadline):
                if deadline is not None and time.monotonic() >= deadline:
                    raise WaitTimeout(f"run {run_id!r} of {name!r} has not ended after {timeout_s:g} s")
            run = await self.send(calls.run(name, run_id), deadline=deadline)
        return run

    async def _once(self, asked: Send, deadline: float | None) -> HttpAnswer:
        try:
            answer = await self._http.request(
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

    async def _follow(
        self, path: str, *, last_id: str = "", patience_s: float = PATIENCE_S, deadline: float | None = None
    ) -> AsyncIterator[RunEvent | None]:
        """See ``Client``."""
        lost_at = time.monotonic()
        waits = pauses()
        while True:
            try:
                async with self._http.stream("GET", API + path, **stream_options(last_id, deadline)) as answer:
                    if answer.status_code == 204:
                        return
                    if answer.status_code == 200:
                        check_stream(answer)
                        waits, parser = pauses(), EventParser()
                        async for piece in answer.aiter_bytes():
                            lost_at = time.monotonic()
                            yield None
                            for event in parser.feed(piece):
                                last_id = event.id or last_id
                                if event.data is not None:
                                    yield RunEvent.of(event.id, event.data)
                    elif answer.status_code < 500:
                        checked(HttpAnswer(answer.status_code, await answer.aread()))
            except httpx.RequestError as error:
                check_repeatable(path, error)
            yield None
            if time.monotonic() - lost_at > patience_s:
                raise ConnectionFailed(f"{path}: no connection for {patience_s:g} s")
            await asyncio.sleep(pause_until(deadline, next(waits)))
