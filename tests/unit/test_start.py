"""What a command imports before it begins, since imports are most of the time that it takes to start."""

import subprocess
import sys

import pytest

_NOT_IN = {
    "services.cli": {"pydantic", "sqlalchemy", "services.api", "services.worker.main"},
    # dagway status
    "services.cli.remote.showing": {"flask", "httpx", "pika", "pydantic", "services.api", "sqlalchemy"},
    "services.processes.here": {
        "urllib3",
        "services.worker.inputs.vault",
        "alembic",
        "croniter",
        "gevent",
        "jwt",
        "pika",
        "services.verify",
        "shared.store.checks.verify",
    },
    "services.processes.up": {
        "alembic",
        "croniter",
        "gevent",
        "gunicorn",
        "jwt",
        "pika",
        "services.worker.main",
        "urllib3",
    },
    "services.processes.worker": {"alembic", "croniter", "flask", "pika", "shared.store", "sqlalchemy"},
    "services.processes.scheduler": {"alembic", "croniter", "flask", "pika", "services.api", "services.worker"},
    "services.processes.api": {"alembic", "pika", "services.scheduler", "services.worker", "urllib3"},
}


@pytest.mark.parametrize("module", _NOT_IN)
def test_a_command_imports_nothing_that_it_may_not_need(module: str) -> None:
    # Garbage collections would be a fifth of the CPU time. Commands make few of them too.
    code = f"import gc; gc.disable(); import sys, dagway, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert _NOT_IN[module] & set(loaded) == set()


def test_garbage_is_collected_rarely_until_all_is_loaded() -> None:
    program = (
        "import gc; from shared.garbage import collect_rarely, freeze_loaded; usual = gc.get_threshold();"
        "collect_rarely(); assert gc.get_threshold()[0] > 10 * usual[0];"
        "freeze_loaded(); assert (gc.get_threshold(), gc.get_freeze_count() > 1_000) == (usual, True)"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
