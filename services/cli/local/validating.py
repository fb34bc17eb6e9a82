"""``dagway validate``: check workflow files without running them."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from services.cli.errors import GatewayError
from services.cli.exit_codes import FAILED
from services.cli.help_pages import PageCommand
from services.cli.local.cases import CASES_SUFFIXES
from services.cli.local.named_workflow import file_of, gateway_with_dags, is_dag_name
from services.cli.local.schema_check import schema_problem
from services.cli.output.terminal import echo, echo_json, say
from services.cli.paths import is_folder, read_text
from services.cli.remote.dagu_flags import QUIET, dagu_flags
from shared.language.file_names import EXTENSIONS

__all__ = ["STDIN", "ValidatedFile", "validate_command", "workflow_files"]

STDIN = "-"

_EXAMPLES = """
dagway validate hello.yaml
dagway validate dags/            all .yaml and .yml files in a folder
dagway validate - < hello.yaml
dagway validate hello            a DAG by its name
"""


@dataclass(frozen=True, slots=True)
class ValidatedFile:
    """What was found in one file. ``problems``: its errors and warnings, and what this machine lacks to run it."""

    file: str
    valid: bool
    problems: tuple[str, ...]
    dags: int = 0
    steps: int = 0


def workflow_files(paths: Sequence[str]) -> Iterator[str]:
    """Yield the workflow files that the paths mean: files, ``-`` for standard input, or all in a folder, sorted."""
    for given in paths:
        path = Path(given)
        if given == STDIN or not is_folder(path):
            yield given
            continue
        for found in sorted(path.rglob("*")):
            shown = not any(part.startswith(".") for part in found.relative_to(path).parts)
            named = found.suffix in EXTENSIONS and not found.name.endswith(CASES_SUFFIXES)
            if shown and named and found.is_file():
                yield str(found)


@dataclass(frozen=True, slots=True)
class _Source:
    """The text of a workflow. ``shown`` is its name in messages; ``folder`` is that of its file, if it is here."""

    shown: str
    file_name: str
    folder: Path | None
    text: str


def _read(given: str) -> _Source:
    if given == STDIN:
        return _Source(given, "stdin", Path(), sys.stdin.read())
    file = file_of(given)
    if file is None and is_dag_name(given):
        from services.cli.remote.gateway import path  # noqa: PLC0415 - a file needs no server

        return _Source(given, given, None, gateway_with_dags().get(path("dags", given, "spec"))["spec"])
    file = file or Path(given)
    shown = given if file == Path(given) else str(file)
    return _Source(shown, file.stem, file.parent, read_text(file))


def _validated(file: str, *, elsewhere: bool) -> ValidatedFile:
    from services.worker.executors.capabilities import available_types  # noqa: PLC0415 - not for the help page
    from shared.language.load import load  # noqa: PLC0415
    from shared.language.steps.requirements import Capabilities, steps_with_requirements, unsatisfied  # noqa: PLC0415

    try:
        source = _read(file)
    except OSError as error:
        return ValidatedFile(file, valid=False, problems=(f"cannot read the file: {error.strerror}",))
    except GatewayError as error:
        reason = f"there is no such file here; as the name of a DAG: {error}"
        return ValidatedFile(file, valid=False, problems=(reason,))
    loaded = load(source.text, file_name=source.file_name)
    here = [] if elsewhere else [Capabilities({}, available_types())]
    missing = unsatisfied(steps_with_requirements(loaded.documents), here, no_worker="no worker on this machine")
    warnings = [*map(str, loaded.warnings), *missing]
    unfit = [problem for dag in loaded.documents if (problem := schema_problem(dag, source.folder))]
    problems = (*map(str, loaded.errors), *unfit, *(f"warning: {each}" for each in warnings))
    steps = sum(len(dag.steps) for dag in loaded.documents)
    # A missing program is not a mistake in the file: as in Dagu, the file is valid, and its step fails where it runs.
    return ValidatedFile(source.shown, loaded.ok and not unfit, problems, len(loaded.documents), steps)


@click.command("validate", cls=PageCommand, examples=_EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DAG|DIR|-...")
@click.option("--elsewhere", is_flag=True, help="do not warn of steps that cannot run on this machine")
@QUIET
@click.option("--json", "in_json", is_flag=True, help="print JSON")
@dagu_flags
def validate_command(*, paths: tuple[str, ...], elsewhere: bool, quiet: bool, in_json: bool) -> None:
    """Check workflow files and print all their errors.

    Each with its line, and a warning for each step that this machine lacks a program or package for. Exits with 1 if a
    file is invalid, or if a folder has no workflow. If there is no file DAG, it is looked for in the folder that
    `DAGWAY_DAGS_DIR` names, then on the server.
    """
    results = [_validated(file, elsewhere=elsewhere) for file in workflow_files(paths)]
    if in_json:
        echo_json(
            {
                "files": [
                    {"file": each.file, "valid": each.valid, "problems": list(each.problems), "steps": each.steps}
                    for each in results
                ]
            }
        )
    else:
        for each in results:
            for problem in each.problems:
                echo(f"{each.file}: {problem}", err=True)
            if each.valid and not quiet:
                dags = f"{each.dags} dag{'s' * (each.dags > 1)}"
                steps = f"{each.steps} step{'s' * (each.steps != 1)}"
                echo(f"{each.file}: valid ({dags}, {steps})")
    if not results:
        say(f"no .yaml or .yml file in {', '.join(paths)}")
    sys.exit(0 if results and all(each.valid for each in results) else FAILED)
