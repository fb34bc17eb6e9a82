"""``dagway test``: run the test cases of workflow files on the real engine, without their effects."""

import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from services.cli.errors import WorkflowInvalid
from services.cli.exit_codes import FAILED
from services.cli.help_pages import PageCommand
from services.cli.local.cases import CASES_SUFFIXES, Case, CaseFile, read_cases
from services.cli.output.junit import CaseResult, junit_xml
from services.cli.output.terminal import echo, echo_json, paint, say
from services.cli.output.times import duration
from services.cli.paths import is_file, is_folder
from services.cli.remote.dagu_flags import params_text
from services.cli.settings import configure, options_of

if TYPE_CHECKING:
    from services.processes.here import LocalEngine

__all__ = ["differences", "test_command"]

_EXAMPLES = """
dagway test                                 all *.test.yaml below this folder
dagway test dags/report.test.yaml
dagway test --junit results.xml dags/       for a CI system
"""


@click.command("test", cls=PageCommand, examples=_EXAMPLES)
@click.argument("paths", nargs=-1, metavar="[FILE|DIR]...")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="also write the results as JUnit XML")
@click.option("--case", "only", multiple=True, help="run only the case with this name; may be repeated")
@click.option("--json", "in_json", is_flag=True, help="print JSON")
@options_of("base_config", "log_level")
def test_command(
    *, paths: tuple[str, ...], junit: Path | None, only: tuple[str, ...], in_json: bool, **given: Any
) -> None:
    """Run the test cases of workflow files.

    The cases of report.yaml are in report.test.yaml beside it; FILE may be either. They run on the engine of
    `dagway run`, but steps do what the case says instead of their commands. Exits with 1 if a case fails, or if there
    is none.
    """
    files = [read_cases(path) for path in _case_files(paths or (".",))]
    results = list(_results(files, frozenset(only), given, in_json=in_json))
    failed = sum(bool(each.failures) for each in results)
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_text(junit_xml(results), encoding="utf-8")
    if in_json:
        fields = ("file", "case", "seconds", "failures")
        echo_json({"results": [{name: getattr(each, name) for name in fields} for each in results]})
    else:
        echo(f"{len(results)} {'case' if len(results) == 1 else 'cases'}, {failed} failed")
        if not files:
            say(f"there is no file *{CASES_SUFFIXES[0]} below {' '.join(paths) or 'this folder'}")
        elif not results and only:
            say(f"there is no case with the name {' or '.join(map(repr, only))}")
    sys.exit(FAILED if failed or not results else 0)


def _case_files(paths: tuple[str, ...]) -> Iterator[Path]:
    for path in map(Path, paths):
        if not is_folder(path):
            yield path if path.name.endswith(CASES_SUFFIXES) else _beside(path)
        else:
            yield from sorted(found for suffix in CASES_SUFFIXES for found in path.rglob(f"*{suffix}"))


def _beside(workflow: Path) -> Path:
    """Return the file with the cases of a workflow file."""
    names = [f"{workflow.stem}{suffix}" for suffix in CASES_SUFFIXES]
    for name in names:
        if is_file(workflow.with_name(name)):
            return workflow.with_name(name)
    if not is_file(workflow):
        raise click.BadParameter(f"there is no file {workflow}")
    raise click.BadParameter(f"{workflow} has no test cases: write them in {workflow.with_name(names[0])}")


def _results(
    files: list[CaseFile], only: frozenset[str], given: dict[str, Any], *, in_json: bool
) -> Iterator[CaseResult]:
    from services.processes.base_config import read_base_config  # noqa: PLC0415
    from services.processes.here import engine_here  # noqa: PLC0415 - it takes long to import

    config = configure("test", {**given, "log_level": given["log_level"] or "error"})
    chosen = [(file, case) for file in files for case in file.cases if not only or case.name in only]
    if not chosen:
        return
    base = read_base_config(config)
    with (
        tempfile.TemporaryDirectory(prefix="dagway-test-") as name,
        engine_here(config, installed_version("dagway"), on_death=_die) as engine,
    ):
        for number, (file, case) in enumerate(chosen):
            folder = Path(name) / str(number)
            folder.mkdir()
            begun = time.monotonic()
            failures = tuple(_failures(engine, file, case, folder, base))
            result = CaseResult(str(file.file), case.name, time.monotonic() - begun, failures)
            if not in_json:
                _print(result)
            yield result


def _die() -> None:
    say("the engine has died of a bug; --log-level info shows its log")


def _print(result: CaseResult) -> None:
    mark = paint("failed", "failed") if result.failures else paint("ok", "succeeded")
    echo(f"{mark} {result.file}: {result.case} ({duration(result.seconds)})")
    for failure in result.failures:
        echo(f"    {failure}")


def _failures(engine: "LocalEngine", file: CaseFile, case: Case, folder: Path, base: str) -> Iterator[str]:
    """Run a case, and yield what was not as expected."""
    from services.cli.local.bundle import read_bundle, with_working_dir  # noqa: PLC0415 - they take long to import
    from services.cli.local.local_run import LocalRun  # noqa: PLC0415
    from services.cli.local.mocking import mocked_spec  # noqa: PLC0415
    from services.processes.here import CommandRefused  # noqa: PLC0415
    from shared.language.snapshot import make_snapshot  # noqa: PLC0415

    try:
        bundle = read_bundle(file.dag, base=base)
        spec = mocked_spec(bundle.spec, bundle.dag, case, folder, base=base)
        spec = make_snapshot(spec, with_working_dir("", file.dag.resolve().parent if case.run else folder))
        run = LocalRun(engine, spec, name=bundle.dag.name, params=_params(case))
    except (WorkflowInvalid, CommandRefused, ValueError) as error:
        yield str(error)
        return
    for _state in run.states():
        pass
    printed: dict[str, list[str]] = {}
    for line in run.last_output():
        if line.stream == "stdout":
            printed.setdefault(line.step, []).append(line.text)
    yield from differences(case, run, {step: "\n".join(lines) for step, lines in printed.items()})


def _params(case: Case) -> str:
    if isinstance(case.params, str):
        return case.params
    return params_text([f"{name}={value}" for name, value in case.params.items()])


def differences(case: Case, run: Any, printed: dict[str, str]) -> Iterator[str]:
    """Yield a line for each thing that a run did not do as the case expects."""
    row = run.row
    nodes = {node.name: node for node in row.nodes or ()}
    if row.status != case.status:
        errors = [
            f"step {node.name}: {node.error}" for node in nodes.values() if node.status == "failed" and node.error
        ]
        because = "; ".join(filter(None, [row.error, *errors])).replace("\n", " ")
        yield f"status: expected {case.status}, was {row.status}{f' ({because})' if because else ''}"
    for name, status in case.steps.items():
        if nodes[name].status != status:
            yield f"step {name}: expected {status}, was {nodes[name].status}"
    for name, count in case.retries.items():
        if nodes[name].retry_count != count:
            yield f"step {name}: expected {count} retries, had {nodes[name].retry_count}"
    outputs = {key: str(value) for node in nodes.values() for key, value in node.outputs.items()}
    for name, value in case.outputs.items():
        if outputs.get(name) != value:
            was = repr(outputs[name]) if name in outputs else "missing"
            yield f"output {name}: expected {value!r}, was {was}"
    for name, value in case.stdout.items():
        if printed.get(name, "") != value.removesuffix("\n"):
            yield f"stdout of step {name}: expected {value!r}, was {printed.get(name, '')!r}"
