"""The names that plugins import. New names may be added; removing one would break a plugin."""

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import dagway
from dagway import executors, secrets

ROOT = Path(__file__).parents[2]
NAMES = {
    "CancelScope",
    "Cancelled",
    "CommandFailed",
    "DagwayError",
    "Environment",
    "Executor",
    "ExpansionError",
    "GuardianLost",
    "Interrupted",
    "InvalidInput",
    "Job",
    "Outcome",
    "ProcessExit",
    "Result",
    "Step",
    "StepIO",
    "StopKind",
    "StopRequest",
    "Supervisor",
    "evaluate",
    "make_result",
    "positive_seconds",
    "process_result",
    "write_all",
}
MEMBERS = {
    executors.Job: {"step", "environment", "working_dir", "shell", "supervisor", "options"},
    executors.StepIO: {"stdout", "stderr", "stderr_tail", "messages"},
    executors.Supervisor: {"run", "call", "cleanup", "remaining_s", "grace_s", "stop_signal"},
    executors.CancelScope: {"cancel", "check", "expire", "guard", "on_cancel", "write"},
    executors.ProcessExit: {"code", "signal", "errno", "exit_code"},
    executors.Result: {"outcome", "exit_code", "error"},
    executors.StopRequest: {"kind", "listen", "unlisten"},
}


def test_no_public_name_is_missing() -> None:
    assert set(executors.__all__) >= NAMES
    assert set(secrets.__all__) >= {"SecretMissing", "SecretProvider"}
    assert {name for name in executors.__all__ if not hasattr(executors, name)} == set()


def test_no_public_member_is_missing() -> None:
    missing = {cls.__name__: members - set(dir(cls)) for cls, members in MEMBERS.items()}

    assert {name: members for name, members in missing.items() if members} == {}


def test_every_public_name_is_documented() -> None:
    for module in (executors, secrets):
        described = set(re.findall(r"``(\w+)``", module.__doc__ or ""))

        assert set(module.__all__) - described == set()


def test_the_documented_plugin_imports_nothing_else_of_dagway() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "executors.md").read_text(), re.DOTALL)
    imported = [node.module for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]

    assert imported == ["dagway.executors"]


def test_there_is_one_version() -> None:
    done = subprocess.run([sys.executable, "-m", "dagway", "version"], capture_output=True, text=True, check=True)

    assert dagway.__version__ == importlib.metadata.version("dagway") == done.stdout.strip()
