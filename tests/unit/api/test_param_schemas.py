"""Schemas of parameters in files of the DAG folder, which steps may be able to write."""

import contextlib
import os
import threading
from pathlib import Path

import pytest

from services.api.param_schemas import param_schema
from shared.language.model import Dag

_SCHEMA = b'{"type": "object"}'


def test_a_schema_in_a_file_of_the_folder_is_known(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_bytes(_SCHEMA)

    assert param_schema(Dag(name="d", param_schema="schema.json"), tmp_path) == {"paramSchema": {"type": "object"}}


@pytest.mark.parametrize("content", [b"[" * 60_000, b"{", _SCHEMA + b" " * 65_536, b"\xff"], ids=len)
def test_a_file_that_is_no_schema_is_no_failure(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "schema.json").write_bytes(content)

    assert param_schema(Dag(name="d", param_schema="schema.json"), tmp_path) == {}


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "schema.json")

    def write() -> None:
        """Let a reader that waits for the pipe come to an end."""
        with contextlib.suppress(BrokenPipeError):
            (tmp_path / "schema.json").write_bytes(_SCHEMA)

    writer = threading.Thread(target=write)
    writer.start()
    found = param_schema(Dag(name="d", param_schema="schema.json"), tmp_path)
    # Lets the writer end that has not met a reader.
    reader = os.open(tmp_path / "schema.json", os.O_RDONLY | os.O_NONBLOCK)
    writer.join()
    os.close(reader)

    assert found == {}
