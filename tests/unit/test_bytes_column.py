"""Bytes in the statements that Postgres gets. That they come back as they were is shown in ``test_store_bulk``."""

import pytest
from psycopg2.extensions import Binary, adapt
from sqlalchemy import create_engine

from shared.store.tables.base import Bytes


def _literal(data: bytes) -> bytes:
    bind = Bytes().bind_processor(create_engine("postgresql+psycopg2://").dialect)
    assert bind is not None
    quoted: bytes = adapt(bind(data)).getquoted()
    return quoted


@pytest.mark.parametrize(
    ("data", "literal"),
    [
        (b'{"type": "task"}\n', b'E\'{"type": "task"}\n\'::bytea'),
        (b"it's", b"E'it''s'::bytea"),
        (b"a\\b", rb"E'a\\\\b'::bytea"),
    ],
)
def test_ascii_is_sent_as_text(data: bytes, literal: bytes) -> None:
    assert _literal(data) == literal


@pytest.mark.parametrize("data", ["größe".encode(), b"a\0b", b"\xff"])
def test_other_bytes_are_left_to_psycopg2(data: bytes) -> None:
    assert _literal(data) == Binary(data).getquoted()


def test_sqlite_gets_bytes() -> None:
    bind = Bytes().bind_processor(create_engine("sqlite://").dialect)
    assert bind is not None
    assert bind(b"it's") == b"it's"
