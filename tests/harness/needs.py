"""What a test needs of the machine, and what happens where it is missing."""

import os

import pytest

from tests.harness.counterparts import sshd_bin
from tests.harness.engines import engine_bin

__all__ = ["need_program"]

_FOUND = {"sshd": sshd_bin, "dockerd": engine_bin}


def need_program(name: str) -> None:
    """Skip the test when ``name`` is not installed (dockerd also needs root); under ``CI=true`` that is a failure."""
    if _FOUND[name]() is not None:
        return
    message = f"{name} is not installed: run scripts/ensure-servers, as root"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
