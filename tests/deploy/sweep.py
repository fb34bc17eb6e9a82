"""Import all modules of an installed Dagway and print the results as JSON.

The interpreter of an installation (see ``locked.py``) runs this file's text, since the installation has no
tests. It uses the standard library and the installation only.
"""

import ast
import importlib
import json
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

_PACKAGES = ("dagway", "services", "shared")
_STARTED = ("dagway.__main__", "shared.store.migrations.")
"""Modules not to import: the command line itself, and those that work only while ``dagway migrate`` runs."""


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the name and the file of every module, also in folders without ``__init__.py``."""
    for package in _PACKAGES:
        folder = Path(str(importlib.import_module(package).__file__)).parent
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


class Imports(ast.NodeVisitor):
    """Collects the imports of a module as ``(module, name)``, also in functions, but not under ``TYPE_CHECKING``."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.found: set[tuple[str, str]] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.found.update((alias.name, "") for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = resolve_name("." * node.level + (node.module or ""), self.package)
        self.found.update((module, alias.name) for alias in node.names)

    def visit_If(self, node: ast.If) -> None:
        only_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in node.orelse if only_for_types else [node.test, *node.body, *node.orelse]:
            self.visit(child)


def attempt(module: str, name: str = "") -> str:
    """Import a module and a name of it; return the error text, empty on success."""
    try:
        if name and name != "*" and not hasattr(importlib.import_module(module), name):
            importlib.import_module(f"{module}.{name}")
        importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001 - every error is reported
        return f"{type(error).__name__}: {error}"
    return ""


def executors() -> dict[str, str]:
    """Return the types of step, each with the error of loading its executor, empty on success."""
    make = importlib.import_module("services.worker.executors").executor_for
    kinds = importlib.import_module("shared.language.steps.executor_types")
    said = {}
    for kind in set(kinds.known_types()).difference(kinds.SUB_DAG_TYPES):
        try:
            make(kind)
            said[kind] = ""
        except Exception as error:  # noqa: BLE001
            said[kind] = f"{type(error).__name__}: {error}"
    return said


def commands(group: Any) -> Iterator[list[str]]:
    """Yield the words of every command and command group."""
    context = importlib.import_module("click").Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield [name]
        for words in commands(command) if hasattr(command, "commands") else ():
            yield [name, *words]


def without_help(cli: Any) -> list[str]:
    """Return the commands, and groups of commands, whose ``--help`` does not say how they are used."""
    runner = importlib.import_module("click.testing").CliRunner()
    wrong = []
    for words in commands(cli):
        said = runner.invoke(cli, [*words, "--help"], prog_name="dagway")
        if said.exit_code or not said.output.startswith(" ".join(["Usage: dagway", *words, "["])):
            wrong.append(" ".join(words))
    return wrong


def foreign() -> list[str]:
    """Return the files of loaded modules that are neither in this environment nor in the standard library."""
    own = Path(sys.prefix)
    base = {Path(sysconfig.get_path(name, vars={"base": sys.base_prefix})) for name in ("stdlib", "platstdlib")}
    files = {Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    return [
        str(file)
        for file in sorted(files)
        if not file.is_relative_to(own)
        and ("site-packages" in file.parts or not any(file.is_relative_to(each) for each in base))
    ]


def main() -> None:
    """Print all results as one JSON document."""
    asked: set[tuple[str, str]] = set()
    failed: dict[str, str] = {}
    seen = [(name, file) for name, file in modules() if not name.startswith(_STARTED)]
    for name, file in seen:
        if error := attempt(name):
            failed[name] = error
        imports = Imports(name if file.name == "__init__.py" else name.rpartition(".")[0])
        imports.visit(ast.parse(file.read_text()))
        asked |= imports.found
    for module, name in sorted(asked):
        if module not in failed and (error := attempt(module, name)):
            failed[f"{module}:{name}" if name else module] = error
    cli = importlib.import_module("services.cli").cli
    answer = {
        "modules": len(seen),
        "failed": failed,
        "executors": executors(),
        "commands": list(commands(cli)),
        "without_help": without_help(cli),
        "foreign": foreign(),
    }
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
