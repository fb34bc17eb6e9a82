"""A Postgres database with a history, and how many rows of it a gateway's reads look at."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event, text

from shared.store.engine import open_engine
from shared.store.reads.reader import Reads
from tests.harness.databases import gateways_url
from tests.harness.servers import PostgresServer

__all__ = ["RowsOf", "counted_rows"]


@contextmanager
def counted_rows(postgres: PostgresServer, history: str, values: Mapping[str, object]) -> Iterator["RowsOf"]:
    """Make a database by the statements of ``history``, with their parameters, and yield what counts its rows."""
    url = postgres.create_migrated_database()
    writer = open_engine(url)
    with writer.begin() as connection:
        for statement in history.split(";"):
            given = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), given)
    # The gateway's database user, whom policies limit. It prepares nothing, so SQLAlchemy shows every statement.
    reader = open_engine(f"{gateways_url(url)}?pooler=transaction", read_only=True)
    yield RowsOf(reader, writer)
    reader.dispose()
    writer.dispose()
    postgres.drop_database(url)


class RowsOf:
    """Counts how many rows statements look at, in all steps of their plans."""

    def __init__(self, reader: Engine, writer: Engine) -> None:
        self._reads, self._writer = Reads(reader).within(""), writer
        self._sent: list[tuple[Engine, str, Any]] = []
        for engine in (reader, writer):
            event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, connection: Connection, _cursor: object, statement: str, given: object, *_: object) -> None:
        self._sent.append((connection.engine, statement, given))

    def __call__(self, ask: Callable[[Reads], object], setting: str = "RESET enable_bitmapscan") -> int:
        """Count those of a gateway's reads."""
        self._sent.clear()
        ask(self._reads)
        return self._explained(setting)

    def of_writes(self, find: Callable[[Connection], object]) -> int:
        """Count those of the reads for writes, which a scheduler does."""
        self._sent.clear()
        with self._writer.connect() as connection:
            find(connection)
        return self._explained("RESET enable_bitmapscan")

    def _explained(self, setting: str) -> int:
        asked = [each for each in self._sent if each[1].startswith(("SELECT", "WITH")) and "FROM" in each[1]]
        assert asked
        found = 0
        for engine, sql, given in asked:
            with engine.connect() as connection:
                connection.exec_driver_sql(setting)
                explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", given).scalar_one()
            found += sum(_looked_at(explained[0]["Plan"]))
        return found


def _looked_at(plan: dict[str, Any]) -> Iterator[int]:
    removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Join Filter", 0)
    yield round((plan["Actual Rows"] + removed) * plan["Actual Loops"])
    for below in plan.get("Plans", ()):
        yield from _looked_at(below)
