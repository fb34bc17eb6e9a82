"""``dagway run --dry`` and ``dagway dry``: what a run would do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from services.cli.errors import WorkflowInvalid
from services.cli.help_pages import PageCommand
from services.cli.local.named_workflow import file_of, gateway_with_dags, is_dag_name
from services.cli.local.schema_check import schema_problem
from services.cli.output.plan_page import plan_json, plan_lines
from services.cli.output.terminal import echo, echo_json
from services.cli.remote.dagu_flags import PARAMS_ARGUMENT, PARAMS_OPTION, QUIET, dagu_flags, params_text
from services.cli.settings import options_of
from shared.language.expansion.resolve import resolve_params
from shared.language.model import Dag
from shared.settings.config import environment, load_config

__all__ = ["dry_command", "print_plan"]


@click.command("dry", cls=PageCommand, examples="\ndagway dry hello.yaml -- NAME=Ada\ndagway dry hello\n")
@click.argument("workflow", metavar="FILE|DAG")
@PARAMS_ARGUMENT
@PARAMS_OPTION
@click.option("-N", "--name", default="", help="name of the DAG, instead of that of the file")
@QUIET
@click.option("--json", "in_json", is_flag=True, help="print JSON")
@options_of("base_config")
@dagu_flags
def dry_command(
    *, workflow: str, params: tuple[str, ...], params_option: str, name: str, quiet: bool, in_json: bool, **given: Any
) -> None:
    """Show what a run of a workflow file would do.

    Lists the steps by stages: steps of one stage may run at the same time. Runs nothing. Exits with 1 if the file has
    errors, or if the params do not satisfy their schema. If there is no such file, DAG is looked for in the folder that
    `DAGWAY_DAGS_DIR` names, then on the server.
    """
    text = params_text(params, params_option)
    file = file_of(workflow)
    if file is not None:
        print_plan(file, text, name=name, given=given, quiet=quiet, in_json=in_json)
    elif is_dag_name(workflow):
        from services.cli.remote.plans import dags_on_server  # noqa: PLC0415 - a file needs no server
        from services.processes.base_config import read_base_config  # noqa: PLC0415 - not for the help page

        base = read_base_config(load_config(given, environment()))
        dags = tuple(dag for dag, _ in dags_on_server(gateway_with_dags(), workflow, name, base))
        _print(dags, text, None, quiet=quiet, in_json=in_json)
    else:
        raise click.BadParameter(f"there is no file {workflow}", param_hint="'FILE|DAG'")


def print_plan(file: Path, params: str, *, name: str, given: Mapping[str, Any], quiet: bool, in_json: bool) -> None:
    """Print the plan of a workflow file. ``given``: options of settings. Raises ``WorkflowInvalid``."""
    from services.cli.local.bundle import read_bundle  # noqa: PLC0415 - these are not for the help page
    from services.processes.base_config import read_base_config  # noqa: PLC0415

    base = read_base_config(load_config(given, environment()))
    _print(read_bundle(file, name=name, base=base).dags, params, file, quiet=quiet, in_json=in_json)


def _print(dags: tuple[Dag, ...], params: str, file: Path | None, *, quiet: bool, in_json: bool) -> None:
    given = dict(resolve_params(dags[0], params)[0])
    if problem := schema_problem(dags[0], file.parent if file else None, given):
        raise WorkflowInvalid(f"{file or dags[0].name}: {problem}")
    if in_json:
        echo_json(plan_json(dags, params))
        return
    for line in () if quiet else plan_lines(dags, params):
        echo(line)
