"""A Postgres database with a history, and how many rows of it a gateway's reads look at."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import Engine, event, text

from shared.store.engine import open_engine
from shared.store.reads.reader import Reads
from tests.harness.databases import gateways_url
from tests.harness.servers import PostgresServer

__all__ = ["RowsOf", "counted_rows"]


class RowsOf(Protocol):
    """Returns how many rows the statements of a read look at, in all steps of their plans."""

    def __call__(self, ask: Callable[[Reads], object], setting: str = ..., /) -> int: ...


@contextmanager
def counted_rows(postgres: PostgresServer, history: str, values: Mapping[str, object]) -> Iterator[RowsOf]:
    """Make a database by the statements of ``history``, with their parameters, and yield a function that counts."""
    url = postgres.create_migrated_database()
    engine = open_engine(url)
    with engine.begin() as connection:
        for statement in history.split(";"):
            given = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), given)
    engine.dispose()
    # The gateway's database user, whom policies limit. It prepares nothing, so SQLAlchemy shows every statement.
    reader = open_engine(f"{gateways_url(url)}?pooler=transaction", read_only=True)
    reads = Reads(reader).within("")
    sent: list[tuple[Engine, str, object]] = []
    event.listen(
        reader, "before_cursor_execute", lambda c, _cursor, sql, given, *_: sent.append((c.engine, sql, given))
    )

    def rows(ask: Callable[[Reads], object], setting: str = "RESET enable_bitmapscan") -> int:
        sent.clear()
        ask(reads)
        asked = [each for each in sent if each[1].startswith(("SELECT", "WITH")) and "FROM" in each[1]]
        assert asked
        found = 0
        for of_workspace, sql, given in asked:
            with of_workspace.connect() as connection:
                connection.exec_driver_sql(setting)
                explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", given).scalar_one()  # type: ignore[arg-type]
            found += sum(_looked_at(explained[0]["Plan"]))
        return found

    yield rows
    reader.dispose()
    postgres.drop_database(url)


def _looked_at(plan: dict[str, Any]) -> Iterator[int]:
    removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Join Filter", 0)
    yield round((plan["Actual Rows"] + removed) * plan["Actual Loops"])
    for below in plan.get("Plans", ()):
        yield from _looked_at(below)
