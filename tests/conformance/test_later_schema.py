"""What a program does with the database of a later one, for instance after a rollback."""

import pytest
from sqlalchemy import Engine

from shared.errors import ConfigInvalid
from shared.store.engine import is_postgres, transaction
from shared.store.migrate import migrate, require_head


def test_a_later_schema_is_accepted_so_that_a_program_can_be_rolled_back(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    require_head(engine)


def test_a_database_of_a_newer_program_is_left_alone(engine: Engine, store_url: str) -> None:
    """On a server the older program works on it: after a rollback its migration must not be in the way."""
    with transaction(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql("CREATE TABLE of_a_later_version (id int)")

    if is_postgres(engine):
        assert migrate(store_url) == "9999"
    else:
        with pytest.raises(ConfigInvalid, match="newer version of Dagway.*9999"):
            migrate(store_url)


def test_a_database_that_lacks_a_column_is_no_later_one(engine: Engine, store_url: str) -> None:
    with transaction(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql("ALTER TABLE specs RENAME COLUMN yaml TO text")

    with pytest.raises(ConfigInvalid, match="from before the last release.*9999"):
        migrate(store_url)
