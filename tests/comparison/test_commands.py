"""Each command of a real Dagu exists here with its options, except those that docs/cli.md names.

``COMPARE_DAGU`` names the program of Dagu; without it the test is skipped, and says so.
"""

import os
import re
import subprocess
from pathlib import Path

import click
import pytest

from services.cli import cli

MISSING = {"coordinator", "server", "help"}
OTHER = {"scheduler", "worker", "migrate"}
"""Services of a cluster: the names are the same, the settings are not."""
WITHOUT = {
    "start": {"--parent", "--root"},  # for Dagu's own use
    "start-all": {"--config", "--cpu-profile", "--dagu-home"},
}
_OPTION = re.compile(r"^\s+(?:(-\w), )?(--[\w.-]+)", re.MULTILINE)


def help_of(program: str, home: Path, *command: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "DAGU_HOME": str(home / "dagu")}
    done = subprocess.run([program, *command, "--help"], capture_output=True, text=True, env=env, check=True)
    return done.stdout


def test_the_commands_of_a_real_dagu(tmp_path: Path) -> None:
    program = os.environ.get("COMPARE_DAGU", "")
    if not program:
        pytest.skip("NOT COMPARED WITH DAGU: set COMPARE_DAGU to the path of a Dagu 1.30.2")
    listed = help_of(program, tmp_path).partition("Available Commands:")[2].partition("\nFlags:")[0]
    names = set(re.findall(r"^  ([a-z-]+) ", listed, re.MULTILINE))
    context = click.Context(cli)
    assert names >= {"start", "exec", "cleanup", "start-all"}
    assert {name for name in names if cli.get_command(context, name) is None} == MISSING
    missing: dict[str, set[str]] = {}
    for name in names - MISSING - OTHER:
        command = cli.get_command(context, name)
        assert command is not None
        ours = {flag for each in command.params if isinstance(each, click.Option) for flag in each.opts} | {
            "-h",
            "--help",
        }
        theirs = _OPTION.findall(help_of(program, tmp_path, name).rpartition("\nFlags:")[2])
        flags = {long for short, long in theirs if long not in ours or (short and short not in ours)}
        missing[name] = {flag for flag in flags if not flag.startswith(("--coordinator.", "--peer."))}
    assert {name: flags for name, flags in missing.items() if flags} == WITHOUT
