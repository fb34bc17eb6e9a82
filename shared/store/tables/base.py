"""Shared parts of all tables: the metadata, types for aware UTC times and for bytes, columns that are NOT NULL."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, DateTime, Dialect, LargeBinary, MetaData, TypeDecorator, text

__all__ = ["Bytes", "UTCDateTime", "col", "metadata", "where"]


_UNTIL_ZONE = len("2026-01-31 23:59:59.000000")


@lru_cache(maxsize=256)
def _text_on_sqlite(utc: datetime) -> str:
    """Return the text that SQLAlchemy stores for a UTC time. A transaction writes the same few times many times."""
    return utc.isoformat(" ", "microseconds")[:_UNTIL_ZONE]


class UTCDateTime(TypeDecorator[datetime]):
    """A column of aware UTC datetimes on both databases. SQLite alone would lose the time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value}: a time needs a time zone")
        return value.astimezone(UTC)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        if dialect.name != "sqlite":
            return super().bind_processor(dialect)

        def bind(value: datetime | None) -> str | None:
            utc = self.process_bind_param(value, dialect)
            return None if utc is None else _text_on_sqlite(utc)

        return bind

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        # psycopg2 returns aware UTC datetimes already, because all our sessions are in UTC. A list has thousands of
        # datetimes, so the conversion would be slow.
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Bytes(LargeBinary):
    """A column of bytes. ASCII, as most logs and messages are, goes to Postgres as the text that it is.

    The usual literal has two hexadecimal digits for each byte: twice as much to send, and for Postgres to parse.
    """

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        usual: Callable[[Any], Any] | None = super().bind_processor(dialect)  # type: ignore[no-untyped-call]
        if usual is None or dialect.driver != "psycopg2":
            return usual

        def bind(value: Any) -> Any:
            # Postgres takes no NUL in a text.
            fits = isinstance(value, bytes) and value.isascii() and b"\0" not in value
            return _AsciiLiteral(value) if fits else usual(value)

        return bind

    def __repr__(self) -> str:
        # The type in the database, which is all that the schema is compared by.
        return repr(LargeBinary())


class _AsciiLiteral:
    """ASCII bytes that psycopg2 writes as a literal of the type bytea, in its escape format.

    Source of the two methods: psycopg2 docs, "Adapting new Python types to SQL syntax".
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __conform__(self, _protocol: object) -> object:
        return self

    def getquoted(self) -> bytes:
        # A backslash is escaped for the type, and each of these two for the literal. All servers read E'' the same way.
        escaped = self._data.replace(b"\\", b"\\" * 4).replace(b"'", b"''")
        return b"E'%s'::bytea" % escaped


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def col(name: str, kind: Any, *constraints: Any, **options: Any) -> Column[Any]:
    """Return a column, NOT NULL unless ``nullable=True``."""
    options.setdefault("nullable", False)
    return Column(name, kind, *constraints, **options)


def where(condition: str) -> dict[str, Any]:
    """Return the options that make an index partial, with this condition, on both databases."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}
