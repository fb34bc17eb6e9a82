"""The programs that tests need on the machine; tests are skipped or fail where a program is missing."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import pytest

from tests.harness.alertmanager import alertmanager_bin
from tests.harness.browser import chromium_bin
from tests.harness.counterparts import sshd_bin
from tests.harness.engines import engine_bin
from tests.harness.servers import postgres_bin, rabbit_bin

__all__ = ["NEEDED", "missing", "need"]


def _buildx() -> bool:
    docker = shutil.which("docker")
    asked = [docker or "", "buildx", "version"]
    return docker is not None and subprocess.run(asked, capture_output=True, check=False).returncode == 0


NEEDED: dict[str, Callable[[], object]] = {
    "rabbitmq": rabbit_bin,
    "postgres": postgres_bin,
    "sshd": sshd_bin,
    **{
        program: partial(shutil.which, program)
        for program in ("bsdtar", "git", "kubectl", "pgbouncer", "sh", "bash", "zsh", "fish", "python3")
    },
    "chromium": chromium_bin,
    **{program: partial(engine_bin, program) for program in ("dockerd", "podman")},
    "docker-buildx": _buildx,
    "alertmanager": lambda: shutil.which("amtool") and alertmanager_bin(),
    "prometheus": lambda: shutil.which("prometheus") and shutil.which("promtool"),
}


def need(name: str) -> None:
    """Skip the test if ``name`` is not installed; fail it under ``CI=true``.

    Without root, a test that needs a container engine is always skipped: only root can start an engine.
    """
    if NEEDED[name]():
        return
    message = f"{name} is not installed: run scripts/ensure-servers, as root"
    if name in ("dockerd", "podman") and os.geteuid() != 0:
        pytest.skip(f"{message} (only root can start an engine)")
    missing(message)


def missing(message: str) -> NoReturn:
    """Skip the test, because its machine lacks what ``message`` names; fail it under ``CI=true``."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
