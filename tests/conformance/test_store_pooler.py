"""The store behind PgBouncer in transaction mode, beside what the other tests of the store show there."""

import pytest
from sqlalchemy import Connection, create_engine

from shared.errors import StoreUnavailable
from shared.store.engine import one_statement, open_engine, transaction
from shared.store.time_limits import TimeLimits
from tests.harness.servers import PgBouncer


def test_behind_a_pooler_each_transaction_has_its_settings_and_leaves_none(pooler: PgBouncer) -> None:
    url = pooler.url_of(pooler.postgres.create_database())
    writer = open_engine(url, limits=TimeLimits(statement_s=4, lock_s=2))
    reader = open_engine(url, limits=TimeLimits(statement_s=60), read_only=True)

    def shown(connection: Connection, *names: str) -> list[str]:
        return [str(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names]

    with pytest.raises(StoreUnavailable, match="statement timeout"), transaction(writer) as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    with transaction(writer) as connection:
        assert shown(connection, "lock_timeout", "transaction_isolation", "transaction_read_only") == [
            "2s",
            "read committed",
            "off",
        ]
    with one_statement(reader) as connection:
        assert shown(connection, "transaction_isolation", "transaction_read_only") == ["repeatable read", "on"]
        assert shown(connection, "statement_timeout", "TimeZone") == ["1min", "UTC"]
    # The sessions of the server that these transactions used, seen by a client that sets nothing.
    plain = create_engine(url.partition("?")[0].replace("postgresql:", "postgresql+psycopg2:"))
    with plain.connect() as connection:
        assert shown(connection, "statement_timeout", "transaction_read_only") == ["0", "off"]
    for engine in (writer, reader, plain):
        engine.dispose()
