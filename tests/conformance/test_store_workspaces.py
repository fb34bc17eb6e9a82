"""A transaction that deletes a workspace waits for the commands that use it."""

import pytest

from shared.errors import RowsLocked
from shared.store.engine import open_engine, transaction
from shared.store.time_limits import TimeLimits
from shared.store.writes.workspaces import WorkspaceWrites
from tests.conformance.store_rows import NOW


def test_a_workspace_is_not_deleted_while_a_command_uses_it(migrated_database_url: str) -> None:
    engine = open_engine(migrated_database_url, limits=TimeLimits(lock_s=0.1))
    row = {"name": "acme", "description": "", "created_at": NOW, "updated_at": NOW, "by": "root", "max_running": 1}
    with transaction(engine) as connection:
        WorkspaceWrites(connection).put(row)

    with transaction(engine) as using:
        assert WorkspaceWrites(using).existing(["acme"]) == {"acme"}
        with transaction(engine) as other:
            quotas = WorkspaceWrites(other).quotas("acme")
            assert quotas is not None
            assert quotas["max_running"] == 1
        with pytest.raises(RowsLocked), transaction(engine) as deleting:
            WorkspaceWrites(deleting).lock("acme")
    engine.dispose()


def test_the_rules_are_what_the_two_separate_reads_find(migrated_database_url: str) -> None:
    engine = open_engine(migrated_database_url)
    row = {"description": "", "created_at": NOW, "updated_at": NOW, "by": "root", "max_running": None}
    with transaction(engine) as connection:
        writes = WorkspaceWrites(connection)
        assert writes.rules() == ({}, {})
        writes.put({**row, "name": "acme", "max_log_bytes": 0})
        writes.put({**row, "name": "beta", "max_log_bytes": 7 << 40})
        writes.put({**row, "name": "free", "max_log_bytes": None})
        writes.reserve_pool("gpu", ["acme", "free"], by="root", at=NOW)

        assert writes.rules()[0] == writes.reserved_pools()
        assert writes.rules() == ({"gpu": frozenset({"acme", "free"})}, {"acme": 0, "beta": 7 << 40})
    engine.dispose()
