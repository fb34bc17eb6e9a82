"""A gateway on a real SQLite database and the real in-process transport, with a responder for its commands.

Tests insert rows into the database, as a scheduler would have written them.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import Engine

from services.api.app import create_app
from services.api.command_client import Commands
from services.api.deps import Deps
from services.api.settings import Settings
from shared.contracts.audit import AuditEntry
from shared.contracts.codec import decode, decode_as, encode
from shared.contracts.commands import Command, CommandReply, RefusedError
from shared.language.load import load
from shared.store import tables as t
from shared.store.engine import open_engine
from shared.store.reads.reader import Reads
from shared.transport.base import AUDIT, COMMANDS
from shared.transport.embedded.transport import EmbeddedTransport
from tests.conformance import store_rows
from tests.harness.databases import migrated_sqlite
from tests.harness.eventually import PATIENCE_S

__all__ = ["CHAIN", "NOW", "Stack", "open_stack", "recorded", "refused"]

NOW = datetime(2025, 11, 24, 12, 0, 0, tzinfo=UTC)
CHAIN = """\
description: A chain
tags: [ETL, Prod]
schedule: "0 2 * * *"
params: REGION=eu
steps:
  - name: pull
    command: echo one
    output: ROW_COUNT
  - name: a/b c
    command: echo two
handlerOn:
  exit:
    command: echo bye
"""

Reply = dict[str, Any]


def recorded(**result: Any) -> Reply:
    return {"outcome": "recorded", "result": result}


def refused(code: str, message: str = "no") -> Reply:
    return {"outcome": "refused", "error": RefusedError(code=code, message=message)}


class Stack:
    """A gateway and its test client. ``answer`` returns the reply to each command, or ``None`` for no reply."""

    def __init__(self, engine: Engine, reader: Engine, **deps: Any) -> None:
        self.engine = engine
        self.reader = reader
        self.transport = EmbeddedTransport(None)
        self.transport.declare([COMMANDS])
        self.seen: list[tuple[str, Command]] = []
        self.answer: Callable[[Command], Reply | None] = lambda _: recorded()
        settings = replace(deps.pop("settings", Settings()), zone=UTC)
        timeouts = {"reply_timeout_s": deps.pop("reply_timeout_s", PATIENCE_S)}
        self.deps = Deps(
            transport=self.transport,
            commands=Commands(self.transport, lambda: NOW, **timeouts),
            reads=Reads(reader),
            clock=lambda: NOW,
            version="1.2.3",
            uptime_s=lambda: 90.0,
            settings=settings,
            **deps,
        )
        self.app = create_app(self.deps)
        self.client: FlaskClient = self.app.test_client()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._respond)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.deps.audit.close()
        self.transport.close()

    def _respond(self) -> None:
        consumer = self.transport.consume([COMMANDS], prefetch=10)
        while not self._stop.is_set():
            for delivery in consumer.take(10, 0.05):
                envelope = decode(delivery.body)
                assert isinstance(envelope.body, Command)
                self.seen.append((envelope.id, envelope.body))
                reply = self.answer(envelope.body)
                delivery.ack()
                if reply is not None:
                    message = CommandReply(command_id=envelope.id, **reply)
                    delivery.reply(encode(message, id=envelope.id, at=NOW))
        consumer.close()

    @property
    def command(self) -> Any:
        """The one command that was sent."""
        [(_, command)] = self.seen
        return command

    @property
    def asked(self) -> Any:
        """The one command that was sent, without its actor, which differs by request."""
        return self.command.model_copy(update={"actor": None})

    def audited(self) -> list[AuditEntry]:
        """Return the entries that the gateway has sent for the audit log. It sends no more then."""
        self.transport.declare([AUDIT])
        self.deps.audit.close()
        consumer = self.transport.consume([AUDIT], prefetch=1000)
        found = [decode_as(delivery.body, AuditEntry) for delivery in consumer.take(1000, 0)]
        consumer.close()
        return found

    def api(self, method: str, path: str, **options: Any) -> Any:
        return self.client.open(f"/api/v2{path}", method=method, **options)

    def get(self, path: str, **options: Any) -> Any:
        """Return the JSON of a GET that must succeed."""
        response = self.api("GET", path, **options)
        assert response.status_code == 200, response.get_data(as_text=True)
        return response.get_json()

    # -- filling the database -----------------------------------------------------------------

    def add_dag(self, name: str, spec: str = "steps:\n  - echo hi\n", **columns: Any) -> None:
        loaded = load(spec, file_name=f"{name}.yaml")
        facts = {
            "dag_name": loaded.dag.name if loaded.dag else name,
            "tags": list(loaded.dag.tags) if loaded.dag else [],
            "errors": [str(issue) for issue in loaded.errors],
            "created_at": NOW,
            "updated_at": NOW,
        }
        store_rows.add_dag(self.engine, name, spec=spec, **facts | columns)

    def add_run(
        self, dag_name: str, run_id: str, status: str, spec: str = "steps:\n  - echo hi\n", **columns: Any
    ) -> str:
        """Add a run with a node for each step and handler of its spec; return the run's key."""
        key = hashlib.sha256(f"{dag_name}/{run_id}".encode()).hexdigest()[:32]
        nodes = columns.pop("nodes", {})
        facts = {"run_key": key, "file_name": dag_name, "status": status, "created_at": NOW}
        store_rows.add_run(self.engine, dag_name, run_id, spec=spec, **facts | columns)
        dag = load(spec, dag_name=dag_name).dag
        assert dag is not None
        names = [("step", step.name) for step in dag.steps]
        names += [("handler", handler.value) for handler in dag.handlers] + [("prepare", "")]
        for idx, (kind, name) in enumerate(names):
            node = {"kind": kind, "number": int("started_at" in nodes.get(name, {})), **nodes.get(name, {})}
            store_rows.add_node(self.engine, key, idx, name, **node)
        return key

    def add_log(self, run_key: str, node: int, text: str | bytes, stream: str = "stdout") -> None:
        data = text.encode() if isinstance(text, str) else text
        facts = {"token": f"{run_key[:20]}{node}", "stream": stream, "run_key": run_key, "node": node, "at": NOW}
        store_rows.add_chunk(self.engine, 0, data, **facts)

    def add(self, table: str, **row: Any) -> None:
        store_rows.add(self.engine, getattr(t, table), row)


@contextmanager
def open_stack(folder: Path, **deps: Any) -> Iterator[Stack]:
    """Open a stack on an empty database in ``folder``."""
    url = migrated_sqlite(folder / "dagway.db")
    engine, reader = open_engine(url), open_engine(url, read_only=True)
    stack = Stack(engine, reader, **deps)
    try:
        yield stack
    finally:
        stack.close()
        engine.dispose()
        reader.dispose()
