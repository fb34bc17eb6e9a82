"""Identifiers: how they are made and which ones a caller may choose."""

import os
import re
import secrets
import time

__all__ = ["MAX_DAG_NAME", "new_run_id", "new_token", "valid_dag_name", "valid_run_id"]

MAX_DAG_NAME = 40
_DAG_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def new_run_id() -> str:
    """Return a UUIDv7 in text form: unique, and ordered by time of creation.

    Source: RFC 9562 section 5.7.
    """
    millis = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (
        (millis & (1 << 48) - 1) << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_token() -> str:
    """Return the fence of one attempt: unguessable, never reused."""
    return secrets.token_hex(16)


def valid_dag_name(name: str) -> bool:
    """Tell whether ``name`` may name a dag or a dag file (contract section 3)."""
    return bool(_DAG_NAME.fullmatch(name)) and name not in {".", ".."}


def valid_run_id(run_id: str) -> bool:
    """Tell whether ``run_id`` may name a DAG-run (contract section 3; ``latest`` is reserved)."""
    return bool(_RUN_ID.fullmatch(run_id)) and run_id not in {".", "..", "latest"}
