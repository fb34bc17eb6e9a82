"""Identifiers: how they are made, and which names and ids a caller may choose.

Tokens (``new_token``) are secret. The other ids are unique but can be guessed: they come from a generator inside the
process, seeded by the kernel. A system call for each id would release the interpreter lock, and under load another
thread then holds the lock for milliseconds.
"""

import os
import random
import re
import secrets
import time

__all__ = [
    "DAG_NAME_RULE",
    "MAX_DAG_NAME",
    "MOST_LABELS",
    "MOST_LABEL_CHARS",
    "MOST_QUEUE_CHARS",
    "RESERVED_FILE_NAMES",
    "RUN_ID_RULE",
    "new_command_id",
    "new_run_id",
    "new_token",
    "random_hex",
    "valid_dag_name",
    "valid_run_id",
    "valid_worker_id",
]

MAX_DAG_NAME = 40
MOST_LABELS, MOST_LABEL_CHARS = 100, 63
"""How many labels a worker may have besides its pool, and how long the name and the value of each may be."""
MOST_QUEUE_CHARS = 200
"""The longest name of a queue, with its workspace."""
_MAX_RUN_ID = 64
_CHARACTERS = "letters, digits, dashes, dots or underscores"
DAG_NAME_RULE = f"1 to {MAX_DAG_NAME} {_CHARACTERS}"
RUN_ID_RULE = f"1 to {_MAX_RUN_ID} {_CHARACTERS}, and not 'latest'"
"""The rules of ``valid_dag_name`` and ``valid_run_id`` in words, for error messages."""

RESERVED_FILE_NAMES = frozenset({"search", "tags", "validate"})
"""Valid names that no DAG file can have: the API has fixed paths with these words, for example ``/dags/search``."""
_DAG_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_DAG_NAME}}}")
_RUN_ID = re.compile(rf"[A-Za-z0-9_.-]{{1,{_MAX_RUN_ID}}}")
_WORKER_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")


_SEED_BYTES = 64
_random = random.Random(os.urandom(_SEED_BYTES))  # noqa: S311 - no secrets, see the module
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(_SEED_BYTES)))


def random_hex(digits: int) -> str:
    """Return ``digits`` random hexadecimal digits."""
    return f"{_random.getrandbits(4 * digits):0{digits}x}"


def new_command_id() -> str:
    """Return the id of a new command, a UUIDv4. Source: RFC 9562 section 5.4."""
    return _uuid_text(_random.getrandbits(128), version=4)


def new_run_id() -> str:
    """Return the id of a new run, a UUIDv7: ids sort by time of creation. Source: RFC 9562 section 5.7."""
    millis = time.time_ns() // 1_000_000
    return _uuid_text((millis & (1 << 48) - 1) << 80 | _random.getrandbits(80), version=7)


def _uuid_text(bits: int, *, version: int) -> str:
    """Return the UUID made of 128 bits, with its version and variant set (RFC 9562 section 4)."""
    value = bits & ~(0xF << 76 | 0b11 << 62) | version << 76 | 0b10 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_token() -> str:
    """Return a new token, by which a worker shows that an attempt is its own. Nobody can guess it."""
    return secrets.token_hex(16)


def valid_dag_name(name: str) -> bool:
    """Return whether ``name`` may be the name of a DAG or of a DAG file."""
    return bool(_DAG_NAME.fullmatch(name)) and name not in {".", ".."}


def valid_run_id(run_id: str) -> bool:
    """Return whether ``run_id`` may be the id of a DAG run. ``latest`` is reserved."""
    return bool(_RUN_ID.fullmatch(run_id)) and run_id not in {".", "..", "latest"}


def valid_worker_id(text: str) -> bool:
    """Return whether ``text`` may be the id of a worker. It becomes a part of the names of broker queues and topics."""
    return bool(_WORKER_ID.fullmatch(text))
