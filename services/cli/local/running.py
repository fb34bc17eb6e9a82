"""``dagway run``: one workflow file, here and now, without a server."""

import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

import click

from services.cli.exit_codes import FAILED, INTERRUPTED
from services.cli.help_pages import PageCommand
from services.cli.interrupts import interruptible
from services.cli.output.harmless import StepColours, line_as_shown
from services.cli.output.run_page import MARKS, run_lines
from services.cli.output.terminal import echo, echo_json, echo_output, on_terminal, paint, say
from services.cli.output.times import duration, seconds_between
from services.cli.paths import WorkflowFile
from services.cli.remote.dagu_flags import PARAMS_ARGUMENT, PARAMS_OPTION, QUIET, RUN_ID, params_text
from services.cli.settings import configure, options_of

if TYPE_CHECKING:
    from services.cli.local.local_run import LocalRun
    from services.cli.log_tail import LogLine

__all__ = ["run_command"]

_EXAMPLES = """
dagway run hello.yaml -- NAME=Ada
dagway run --dry hello.yaml          show what it would do
dagway run --watch hello.yaml        run it again whenever the file changes
"""


@click.command("run", cls=PageCommand, examples=_EXAMPLES)
@click.argument("file", type=WorkflowFile())
@PARAMS_ARGUMENT
@PARAMS_OPTION
@RUN_ID
@click.option("-N", "--name", default="", help="name of the DAG, instead of that of the file")
@click.option("--dry", is_flag=True, help="show what the run would do, and run nothing")
@click.option("--watch", is_flag=True, help="run again when the file, or one that it calls, changes")
@QUIET
@click.option("--json", "in_json", is_flag=True, help="print the run as JSON when it has ended")
@options_of("base_config", "log_level")
def run_command(
    *,
    file: Path,
    params: tuple[str, ...],
    params_option: str,
    run_id: str,
    name: str,
    dry: bool,
    watch: bool,
    quiet: bool,
    in_json: bool,
    **given: Any,
) -> None:
    """Run a workflow file here and now, without a server.

    Uses the engine of a server, with its data in a temporary folder that is deleted afterwards. Steps run in the folder
    of the file, and may call other files of it. Schedules, queues and labels of workers are ignored. The exit code is 0
    only if the run succeeded. Ctrl-C stops the run.
    """
    if watch:
        from services.cli.local.watching_files import run_on_change  # noqa: PLC0415

        run_on_change(file, sys.argv[1:])
    text = params_text(params, params_option)
    if dry:
        from services.cli.local.planning import print_plan  # noqa: PLC0415

        print_plan(file, text, name=name, given=given, quiet=quiet, in_json=in_json)
        return
    _run(file, text, name=name, run_id=run_id, quiet=quiet, in_json=in_json, given=given)


def _run(
    file: Path, params: str, *, name: str, run_id: str, quiet: bool, in_json: bool, given: dict[str, Any]
) -> NoReturn:
    from services.cli.local.bundle import read_bundle, with_working_dir  # noqa: PLC0415 - these take long to import
    from services.cli.local.local_run import LocalRun, as_json  # noqa: PLC0415
    from services.processes.base_config import read_base_config  # noqa: PLC0415
    from services.processes.here import engine_here  # noqa: PLC0415

    config = configure("run", {**given, "log_level": given["log_level"] or "error"})
    base = with_working_dir(read_base_config(config), file.resolve().parent)
    bundle = read_bundle(file, name=name, base=base)
    for warning in bundle.warnings:
        echo(warning, err=True)
    config = replace(config, worker_labels=tuple(bundle.labels.items()))
    show = _Live if on_terminal() and not (quiet or in_json) else _Quiet if quiet or in_json else _Plain
    interrupted = False
    with (
        interruptible(),
        engine_here(config, installed_version("dagway"), base_config=base, on_death=_die) as engine,
    ):
        run = LocalRun(engine, bundle.spec, name=bundle.dag.name, params=params, run_id=run_id)
        with show(run) as shown:
            try:
                _follow(run, shown)
            except KeyboardInterrupt:
                interrupted = True
                run.stop()
                _follow(run, shown)
            for line in run.last_output():
                shown.line(line)
        row = run.row
    if in_json:
        echo_json(as_json(row))
    shown.end()
    sys.exit(INTERRUPTED if interrupted else 0 if row.status == "succeeded" else FAILED)


def _follow(run: "LocalRun", shown: "_Quiet") -> None:
    for _state in run.states():
        for line in run.output():
            shown.line(line)
        shown.change()


def _die() -> None:
    signal.raise_signal(signal.SIGTERM)


class _Quiet:
    """Shows nothing."""

    def __init__(self, run: "LocalRun") -> None:
        self.run = run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def line(self, line: "LogLine") -> None:
        """Show a line of output."""

    def change(self) -> None:
        """Show that the run has changed."""

    def end(self) -> None:
        """Show the result."""

    def _lines(self) -> Iterator[str]:
        from services.cli.local.local_run import as_json  # noqa: PLC0415

        return run_lines(as_json(self.run.row), datetime.now(UTC), paint)


class _Plain(_Quiet):
    """Prints a line for each line of output and for each step that ends."""

    def __init__(self, run: "LocalRun") -> None:
        super().__init__(run)
        self._ended: set[str] = set()
        self._colours = StepColours()

    def line(self, line: "LogLine") -> None:
        colours, err = self._colours.before(line), line.stream == "stderr"
        echo_output(line.text, head=f"{line.step} | ", colours=colours, err=err)

    def change(self) -> None:
        from services.cli.local.local_run import as_json  # noqa: PLC0415

        for node in as_json(self.run.row)["nodes"]:
            name = node["step"]["name"]
            if node["statusLabel"] in ("not_started", "running") or name in self._ended:
                continue
            self._ended.add(name)
            took = duration(seconds_between(node["startedAt"], node["finishedAt"], datetime.now(UTC)))
            facts = " ".join(filter(None, (name, node["statusLabel"], took)))
            error = f": {node['error']}" if node["error"] and node["statusLabel"] == "failed" else ""
            echo(f"{MARKS[node['statusLabel']]} {facts}{error}", err=True)

    def end(self) -> None:
        echo(next(self._lines()), err=True)
        _say_why(self.run)


class _Live(_Quiet):
    """Draws the steps with their times, below the output."""

    def __init__(self, run: "LocalRun") -> None:
        from services.cli.output.live import LiveLines  # noqa: PLC0415

        super().__init__(run)
        self._live = LiveLines(self._lines)
        self._colours = StepColours()

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.__exit__(None, None, None)

    def line(self, line: "LogLine") -> None:
        self._live.print(f"{paint(line.step, 'queued')} | {line_as_shown(line.text, self._colours.before(line))}")

    def end(self) -> None:
        _say_why(self.run)


def _say_why(run: "LocalRun") -> None:
    if run.row.status == "waiting":
        say("a step waits for approval, which needs a server: dagway start")
    elif run.row.error:
        say(run.row.error)
