"""Every command has a transcript: a test that gives it and compares what it prints, or its exit code.

The test files are read, not run. Commands that use a server are given on both deployments.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import click

from services.cli import cli
from services.cli.catalog import COMMANDS

TESTS = Path(__file__).parents[2]
ON_BOTH_DEPLOYMENTS = (
    "e2e/test_command_line.py",
    "e2e/test_command_line_accounts.py",
    "e2e/test_command_line_operating.py",
)
ELSEWHERE = (
    "conformance/test_dead_letters.py",
    "conformance/test_store_audit.py",
    "conformance/test_verify.py",
    "e2e/test_python_client.py",
    "e2e/test_refusals.py",
    "harness/cluster.py",
    "integration/test_command_line_here.py",
    "integration/test_deletion_costs.py",
    "unit/cli/test_formatting_files.py",
    "unit/cli/test_pages.py",
    "unit/cli/test_profiles.py",
    "unit/cli/test_start_all.py",
    "unit/importing/test_command.py",
    "unit/importing/test_moving.py",
)

Words = tuple[str, ...]


def commands(*, remote: bool) -> Iterator[Words]:
    """Yield the words of each command and subcommand: of those that use a server, or of the others."""
    for entry in COMMANDS:
        if entry.module.startswith("remote.") is remote:
            yield from _below((entry.name,))


def _below(words: Words) -> Iterator[Words]:
    command, context = _command(words)
    if not isinstance(command, click.Group):
        yield words
        return
    if command.invoke_without_command:
        yield words
    for name in command.list_commands(context):
        yield from _below((*words, name))


def _command(words: Words) -> tuple[click.Command | None, click.Context]:
    command: click.Command | None = cli
    context = click.Context(cli)
    for word in words:
        command = command.get_command(context, word) if isinstance(command, click.Group) else None
    return command, context


def given(*files: str) -> set[Words]:
    """Return the words of each command in these files: leading texts of the arguments of a call, or of a list.

    In a file with ``["config", *args]`` the calls have only the words that follow.
    """
    found = set()
    for file in files:
        every = list(_texts(ast.parse((TESTS / file).read_text())))
        before = {texts for texts, goes_on in every if goes_on and len(texts) == 1 and _command(texts)[0]}
        for texts, _ in every:
            for first in ((), *before):
                words = (*first, *texts)
                found |= {words[:end] for end in range(1, len(words) + 1) if _command(words[:end])[0]}
    return found


def _texts(tree: ast.AST) -> Iterator[tuple[Words, bool]]:
    """Yield the leading texts of each list of arguments without ``-m dagway``, and whether ``*args`` follow them."""
    for node in ast.walk(tree):
        parts = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.List | ast.Tuple) else []
        texts: Words = ()
        rest: ast.expr | None = None
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                texts = (*texts, part.value)
            elif texts:
                rest = part
                break
        if texts[:2] == ("-m", "dagway"):
            texts = texts[2:]
        yield texts, isinstance(rest, ast.Starred)


def test_every_command_that_uses_a_server_is_given_on_both_deployments() -> None:
    assert set(commands(remote=True)) - given(*ON_BOTH_DEPLOYMENTS) == set()
    assert [file for file in ON_BOTH_DEPLOYMENTS if 'parametrize("deployment"' in (TESTS / file).read_text()] == []


def test_every_other_command_is_given_by_a_test() -> None:
    assert set(commands(remote=False)) - given(*ELSEWHERE) == set()
